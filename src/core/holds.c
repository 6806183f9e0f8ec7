/*  holds.c - the records of the tasks that a worker holds
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/holds.h"

#include "base/check.h"
#include "base/index.h"
#include "base/pool.h"

#include <stdlib.h>

enum { HELD_WAITING, HELD_RUNNING, HELD_FINISHED, HELD_FORGOTTEN, HELD_REFUSED };

typedef struct {
    const dn_session_t *session;
    uint64_t            seq;
    uint16_t            attempt;
} hold_key_t;

struct dn_holds {
    uint64_t       seed;
    dn_pool_t     *pool;
    dn_index_t    *index;
    dn_hold_t     *row;     /* DN_HOLDS_MAX */
    uint32_t      *sorted;  /* DN_HOLDS_MAX: scratch of dn_holds_held */
    dn_hold_line_t standby; /* in the order in which they start */
    dn_hold_line_t outbox;  /* in the order in which they ended, or are asked for again */
    dn_hold_line_t kept;
    uint32_t       count[DN_HOLD_STATES];
    uint32_t       at_depth[DN_HOLD_STATES][DENIM_NESTING_MAX + 1]; /* the same, by depth */
    uint64_t       answer_bytes;
    dn_session_t   next_session; /* where the next HELD begins */
    uint64_t       next_seq;
};

static uint64_t
hash_key (const dn_holds_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt)
{
    return dn_hash_key (self->seed + attempt, session->bytes, seq);
}

static bool
same_key (const void *table, uint32_t row, const void *key_)
{
    const dn_holds_t *self = table;
    const dn_hold_t  *hold = &self->row[row];
    const hold_key_t *key = key_;
    return hold->seq == key->seq && hold->attempt == key->attempt &&
           dn_session_eq (&hold->session, key->session);
}

static uint64_t
hash_row (const void *table, uint32_t row)
{
    const dn_holds_t *self = table;
    const dn_hold_t  *hold = &self->row[row];
    return hash_key (self, &hold->session, hold->seq, hold->attempt);
}

dn_holds_t *
dn_holds_new (uint64_t seed)
{
    dn_holds_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->seed = seed;
    self->pool = dn_pool_new (DN_HOLDS_MAX);
    self->index = dn_index_new (DN_HOLDS_MAX, self, same_key, hash_row);
    self->row = calloc (DN_HOLDS_MAX, sizeof *self->row);
    self->sorted = calloc (DN_HOLDS_MAX, sizeof *self->sorted);
    TAILQ_INIT (&self->standby);
    TAILQ_INIT (&self->outbox);
    TAILQ_INIT (&self->kept);
    if (!self->pool || !self->index || !self->row || !self->sorted)
        dn_holds_destroy (&self);
    return self;
}

void
dn_holds_destroy (dn_holds_t **self_p)
{
    dn_holds_t *self = *self_p;
    if (!self)
        return;
    dn_pool_destroy (&self->pool);
    dn_index_destroy (&self->index);
    free (self->row);
    free (self->sorted);
    free (self);
    *self_p = NULL;
}

/*  ---- finding ---- */

dn_hold_t *
dn_holds_find (const dn_holds_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt)
{
    hold_key_t key = {session, seq, attempt};
    uint32_t   row = dn_index_find (self->index, hash_key (self, session, seq, attempt), &key);
    return row == DN_INDEX_NONE ? NULL : &self->row[row];
}

dn_hold_t *
dn_holds_get (const dn_holds_t *self, dn_handle_t handle)
{
    uint32_t row = dn_pool_row (self->pool, handle);
    return row == DN_POOL_NONE ? NULL : &self->row[row];
}

dn_handle_t
dn_holds_handle (const dn_holds_t *self, const dn_hold_t *hold)
{
    return dn_pool_handle (self->pool, (uint32_t) (hold - self->row));
}

dn_hold_line_t *
dn_holds_standby (dn_holds_t *self)
{
    return &self->standby;
}

dn_hold_line_t *
dn_holds_outbox (dn_holds_t *self)
{
    return &self->outbox;
}

uint32_t
dn_holds_count (const dn_holds_t *self, dn_hold_state_t state)
{
    return self->count[state];
}

uint32_t
dn_holds_level (const dn_holds_t *self, dn_hold_state_t state, unsigned depth)
{
    return self->at_depth[state][depth];
}

uint32_t
dn_holds_all (const dn_holds_t *self)
{
    return dn_pool_used (self->pool);
}

uint32_t
dn_holds_ended (const dn_holds_t *self)
{
    return self->count[DN_HOLD_OUTBOX] + self->count[DN_HOLD_KEPT];
}

static uint32_t
answers_in (const dn_hold_line_t *line, const dn_session_t *client, uint64_t *bytes)
{
    uint32_t         count = 0;
    const dn_hold_t *hold;
    TAILQ_FOREACH (hold, line, of_line)
    {
        if (!dn_session_eq (&hold->session, client))
            continue;
        count++;
        *bytes += hold->answer_bytes;
    }
    return count;
}

uint32_t
dn_holds_answers_of (const dn_holds_t *self, const dn_session_t *client, uint64_t *bytes)
{
    *bytes = 0;
    return answers_in (&self->outbox, client, bytes) + answers_in (&self->kept, client, bytes);
}

void
dn_holds_told (dn_holds_t *self)
{
    for (dn_hold_t *hold = TAILQ_FIRST (&self->outbox), *next; hold; hold = next) {
        next = TAILQ_NEXT (hold, of_line);
        if (!hold->sending)
            dn_holds_move (self, hold, DN_HOLD_KEPT, NULL, false);
    }
}

uint64_t
dn_holds_answer_bytes (const dn_holds_t *self)
{
    return self->answer_bytes;
}

dn_hold_t *
dn_holds_next (const dn_holds_t *self, uint32_t *row)
{
    uint32_t found = dn_pool_next (self->pool, *row);
    if (found == DN_POOL_NONE)
        return NULL;
    *row = found + 1;
    return &self->row[found];
}

/*  ---- changing ---- */

dn_hold_t *
dn_holds_add (dn_holds_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt,
              uint8_t depth)
{
    dn_check (depth <= DENIM_NESTING_MAX);
    dn_handle_t handle = dn_pool_take (self->pool);
    if (!handle)
        return NULL;
    uint32_t   row = dn_pool_row (self->pool, handle);
    dn_hold_t *hold = &self->row[row];
    *hold = (dn_hold_t){.session = *session, .seq = seq, .attempt = attempt, .depth = depth};
    dn_index_put (self->index, hash_key (self, session, seq, attempt), row);
    self->count[DN_HOLD_NEW]++;
    self->at_depth[DN_HOLD_NEW][depth]++;
    return hold;
}

static void
leave_line (dn_holds_t *self, dn_hold_t *hold)
{
    if (hold->line)
        TAILQ_REMOVE (hold->line, hold, of_line);
    hold->line = NULL;
    self->count[hold->state]--;
    self->at_depth[hold->state][hold->depth]--;
}

void
dn_holds_move (dn_holds_t *self, dn_hold_t *hold, dn_hold_state_t state, dn_hold_line_t *channel,
               bool front)
{
    dn_hold_line_t *lines[DN_HOLD_STATES] = {NULL, &self->standby, channel, &self->outbox,
                                             &self->kept};

    leave_line (self, hold);
    hold->state = state;
    hold->line = lines[state];
    dn_check (hold->line);
    self->count[state]++;
    self->at_depth[state][hold->depth]++;
    if (front)
        TAILQ_INSERT_HEAD (hold->line, hold, of_line);
    else
        TAILQ_INSERT_TAIL (hold->line, hold, of_line);
}

void
dn_holds_remove (dn_holds_t *self, dn_hold_t *hold)
{
    uint32_t row = (uint32_t) (hold - self->row);

    leave_line (self, hold);
    self->answer_bytes -= hold->answer_bytes;
    dn_index_remove (self->index, hash_row (self, row), row);
    dn_pool_give (self->pool, dn_pool_handle (self->pool, row));
}

void
dn_holds_keep_answer (dn_holds_t *self, dn_hold_t *hold, uint64_t answer_bytes)
{
    dn_check (dn_hold_ended (hold));
    self->answer_bytes += answer_bytes - hold->answer_bytes;
    hold->answer_bytes = answer_bytes;
}

/*  ---- lists ---- */

/*  Only the first task of a channel can run; those behind it wait. */
static uint8_t
wire_state (const dn_hold_t *hold)
{
    if (dn_hold_refused (hold))
        return HELD_REFUSED;
    if (dn_hold_ended (hold))
        return HELD_FINISHED;
    if (hold->forgotten)
        return HELD_FORGOTTEN;
    return hold->state == DN_HOLD_CHANNEL && TAILQ_FIRST (hold->line) == hold ? HELD_RUNNING
                                                                              : HELD_WAITING;
}

/*  A list that leaves a task out would say that it is lost, so there must be room for all. */
static void
put_row (dn_rows_t *rows, const dn_hold_t *hold)
{
    dn_row_held_t row = {hold->session, hold->seq, hold->attempt, wire_state (hold), hold->depth};
    dn_check (dn_rows_put (rows, DN_ROW_HELD, &row) == 0);
}

void
dn_holds_inventory (const dn_holds_t *self, dn_rows_t *rows)
{
    uint32_t   at = 0;
    dn_hold_t *hold;
    while ((hold = dn_holds_next (self, &at)))
        put_row (rows, hold);
}

static int
compare_keys (const dn_session_t *session_a, uint64_t seq_a, const dn_session_t *session_b,
              uint64_t seq_b)
{
    int order = memcmp (session_a->bytes, session_b->bytes, sizeof session_a->bytes);
    if (order)
        return order;
    return seq_a < seq_b ? -1 : seq_a > seq_b;
}

static int
compare_rows (const dn_holds_t *self, uint32_t a, uint32_t b)
{
    return compare_keys (&self->row[a].session, self->row[a].seq, &self->row[b].session,
                         self->row[b].seq);
}

static void
sift_down (dn_holds_t *self, uint32_t root, uint32_t count)
{
    uint32_t *at = self->sorted;
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare_rows (self, at[child], at[child + 1]) < 0)
            child++;
        if (compare_rows (self, at[root], at[child]) >= 0)
            return;
        uint32_t larger = at[child];
        at[child] = at[root];
        at[root] = larger;
    }
}

/*  Heapsort: qsort may allocate. */
static void
sort_rows (dn_holds_t *self, uint32_t count)
{
    for (uint32_t root = count / 2; root-- > 0;)
        sift_down (self, root, count);
    for (uint32_t end = count; end-- > 1;) {
        uint32_t largest = self->sorted[0];
        self->sorted[0] = self->sorted[end];
        self->sorted[end] = largest;
        sift_down (self, 0, end);
    }
}

/*  Rows at or after the place where the last list ended. */
static uint32_t
collect_rows (dn_holds_t *self)
{
    uint32_t   count = 0;
    uint32_t   at = 0;
    dn_hold_t *hold;
    while ((hold = dn_holds_next (self, &at)))
        if (compare_keys (&hold->session, hold->seq, &self->next_session, self->next_seq) >= 0)
            self->sorted[count++] = (uint32_t) (hold - self->row);
    return count;
}

/*  How many of the sorted rows go into one list: two attempts at one task are not parted, as a
 *  range knows no attempts. */
static uint32_t
cut_rows (const dn_holds_t *self, uint32_t count)
{
    uint32_t cut = DN_HELD_ROWS_MAX;
    if (count <= cut)
        return count;
    while (cut > 1 && compare_rows (self, self->sorted[cut - 1], self->sorted[cut]) == 0)
        cut--;
    return cut;
}

void
dn_holds_held (dn_holds_t *self, dn_held_t *held, dn_rows_t *rows)
{
    uint32_t count = collect_rows (self);
    uint32_t cut = count;

    if (count > DN_HELD_ROWS_MAX) {
        sort_rows (self, count);
        cut = cut_rows (self, count);
    }
    for (uint32_t i = 0; i < cut; i++)
        put_row (rows, &self->row[self->sorted[i]]);

    held->from_session = self->next_session;
    held->from_seq = self->next_seq;
    if (cut == count) {
        memset (&held->upto_session, 0xff, sizeof held->upto_session);
        held->upto_seq = UINT64_MAX;
        memset (&self->next_session, 0, sizeof self->next_session);
        self->next_seq = 0;
        return;
    }
    const dn_hold_t *last = &self->row[self->sorted[cut - 1]];
    held->upto_session = last->session;
    held->upto_seq = last->seq;
    self->next_session = last->session;
    self->next_seq = last->seq + 1;
}

/*  ---- checking ---- */

static uint32_t
check_line (const dn_hold_line_t *line, dn_hold_state_t state)
{
    uint32_t         count = 0;
    const dn_hold_t *hold;
    TAILQ_FOREACH (hold, line, of_line)
    {
        dn_check (hold->state == state && hold->line == line);
        count++;
    }
    return count;
}

void
dn_holds_check (const dn_holds_t *self)
{
    uint32_t   count[DN_HOLD_STATES] = {0};
    uint64_t   answer_bytes = 0;
    uint32_t   at = 0;
    dn_hold_t *hold;

    while ((hold = dn_holds_next (self, &at))) {
        dn_check (dn_holds_find (self, &hold->session, hold->seq, hold->attempt) == hold);
        dn_check ((hold->line != NULL) == (hold->state != DN_HOLD_NEW));
        dn_check (hold->answer_bytes == 0 || dn_hold_ended (hold));
        dn_check (!hold->sending || hold->state == DN_HOLD_OUTBOX);
        count[hold->state]++;
        answer_bytes += hold->answer_bytes;
    }
    for (int state = 0; state < DN_HOLD_STATES; state++) {
        dn_check (count[state] == self->count[state]);
        for (unsigned depth = 0; depth <= DENIM_NESTING_MAX; depth++)
            count[state] -= self->at_depth[state][depth];
        dn_check (count[state] == 0);
    }
    dn_check (self->count[DN_HOLD_NEW] == 0);
    dn_check (check_line (&self->standby, DN_HOLD_STANDBY) == self->count[DN_HOLD_STANDBY]);
    dn_check (check_line (&self->outbox, DN_HOLD_OUTBOX) == self->count[DN_HOLD_OUTBOX]);
    dn_check (check_line (&self->kept, DN_HOLD_KEPT) == self->count[DN_HOLD_KEPT]);
    dn_check (answer_bytes == self->answer_bytes);
    dn_check (dn_index_count (self->index) == dn_pool_used (self->pool));
}
