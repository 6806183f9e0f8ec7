/*  lines.c - the lines in which calls wait
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/lines.h"

#include "base/check.h"
#include "base/index.h"
#include "denim.h"

#include <stdlib.h>
#include <string.h>

#define MEAN_WEIGHT 16   /* of what is known of run times, against one answer more */
#define LATE_RUNS   2    /* mean run times, and … */
#define LATE_MS     20   /* … milliseconds: with less time left a call that has waited is late */
#define DOOMED_RUNS 1.05 /* mean run times less two deviations, and … */
#define DOOMED_MS   2  /* … milliseconds and the way: with less time left it would be too late */
#define FRESH_PARTS 16 /* who has waited for less than this part of what is left is not late */

TAILQ_HEAD (line_list, dn_line);

struct dn_lines {
    uint32_t         lines_max;
    uint32_t         used;    /* rows that were ever in use */
    uint32_t         waiting; /* lines on the ring */
    uint64_t         seed;
    dn_index_t      *by_key; /* service and level */
    struct line_list ring;   /* with held calls; the first has the next turn */
    struct line_list idle;   /* without any call; the first was used longest ago */
    dn_line_t        line[];
};

typedef struct {
    dn_str_t name;
    uint8_t  depth;
} line_key_t;

static bool
same_key (const void *table, uint32_t row, const void *key)
{
    const dn_line_t  *line = &((const dn_lines_t *) table)->line[row];
    const line_key_t *wanted = key;
    return line->depth == wanted->depth && dn_str_eq (line->name_str, wanted->name);
}

static uint64_t
hash_key (const dn_lines_t *self, const line_key_t *key)
{
    return dn_hash (self->seed + key->depth, key->name.ptr, key->name.len);
}

static uint64_t
hash_row (const void *table, uint32_t row)
{
    const dn_line_t *line = &((const dn_lines_t *) table)->line[row];
    return hash_key (table, &(line_key_t){line->name_str, line->depth});
}

dn_lines_t *
dn_lines_new (uint32_t lines_max, uint64_t seed)
{
    dn_lines_t *self = calloc (1, sizeof *self + lines_max * sizeof self->line[0]);
    if (!self)
        return NULL;
    self->lines_max = lines_max;
    self->seed = seed;
    TAILQ_INIT (&self->ring);
    TAILQ_INIT (&self->idle);
    self->by_key = dn_index_new (lines_max, self, same_key, hash_row);
    if (!self->by_key)
        dn_lines_destroy (&self);
    return self;
}

void
dn_lines_destroy (dn_lines_t **self_p)
{
    if (!*self_p)
        return;
    dn_index_destroy (&(*self_p)->by_key);
    free (*self_p);
    *self_p = NULL;
}

/*  ---- which services ---- */

/*  A row that was never used, or that of the line used longest ago; NULL when all have calls. */
static dn_line_t *
free_row (dn_lines_t *self)
{
    if (self->used < self->lines_max)
        return &self->line[self->used++];
    dn_line_t *line = TAILQ_FIRST (&self->idle);
    if (!line)
        return NULL;
    TAILQ_REMOVE (&self->idle, line, of_ring);
    uint32_t row = (uint32_t) (line - self->line);
    dn_index_remove (self->by_key, hash_row (self, row), row);
    return line;
}

static dn_line_t *
make (dn_lines_t *self, dn_str_t name, uint8_t depth)
{
    dn_line_t *line = free_row (self);
    if (!line)
        return NULL;
    uint32_t row = (uint32_t) (line - self->line);
    memset (line, 0, sizeof *line);
    dn_str_copy (line->name, sizeof line->name, name);
    line->name_str = dn_str (line->name);
    line->depth = depth;
    line->refused_ms = -1;
    line->unknown_ms = DN_NEVER;
    dn_pace_init (&line->pace, self->seed ^ hash_row (self, row));
    for (unsigned i = 0; i < DN_PRIORITIES; i++) {
        TAILQ_INIT (&line->again[i]);
        TAILQ_INIT (&line->fresh[i]);
    }
    dn_index_put (self->by_key, hash_row (self, row), row);
    return line;
}

uint32_t
dn_lines_take (dn_lines_t *self, dn_str_t name, uint8_t depth)
{
    dn_check (name.len < DN_LINE_ROOM);
    dn_line_t *line = dn_lines_find (self, name, depth);
    if (line && line->calls == 0)
        TAILQ_REMOVE (&self->idle, line, of_ring);
    if (!line)
        line = make (self, name, depth);
    if (!line)
        return DN_LINE_NONE;
    line->calls++;
    return (uint32_t) (line - self->line);
}

void
dn_lines_done (dn_lines_t *self, dn_line_t *line)
{
    dn_check (line->calls > line->held_all);
    if (--line->calls == 0)
        TAILQ_INSERT_TAIL (&self->idle, line, of_ring);
}

dn_line_t *
dn_lines_get (const dn_lines_t *self, uint32_t number)
{
    dn_check (number < self->used);
    return (dn_line_t *) &self->line[number];
}

dn_line_t *
dn_lines_find (const dn_lines_t *self, dn_str_t name, uint8_t depth)
{
    line_key_t key = {name, depth};
    uint32_t   row = dn_index_find (self->by_key, hash_key (self, &key), &key);
    return row == DN_INDEX_NONE ? NULL : dn_lines_get (self, row);
}

void
dn_lines_reset (dn_lines_t *self)
{
    for (uint32_t row = 0; row < self->used; row++) {
        dn_line_t *line = &self->line[row];
        dn_pace_reset (&line->pace);
        line->unknown_ms = DN_NEVER;
        line->shut = false;
    }
}

/*  ---- who waits ---- */

/*  Refusals come in the order of the tries, so the place is nearly always the last. */
static void
insert_again (struct dn_call_list *list, dn_call_t *call)
{
    dn_call_t *before = TAILQ_LAST (list, dn_call_list);
    while (before && before->seq > call->seq)
        before = TAILQ_PREV (before, dn_call_list, of_line);
    if (before)
        TAILQ_INSERT_AFTER (list, before, call, of_line);
    else
        TAILQ_INSERT_HEAD (list, call, of_line);
}

void
dn_lines_hold (dn_lines_t *self, dn_call_t *call)
{
    dn_line_t *line = dn_lines_get (self, call->line);
    dn_check (call->priority < DN_PRIORITIES);
    if (call->seq == DN_SEQ_NONE)
        TAILQ_INSERT_TAIL (&line->fresh[call->priority], call, of_line);
    else
        insert_again (&line->again[call->priority], call);
    line->held[call->priority]++;
    if (line->held_all++ == 0) {
        TAILQ_INSERT_TAIL (&self->ring, line, of_ring);
        self->waiting++;
    }
}

void
dn_lines_unhold (dn_lines_t *self, dn_call_t *call)
{
    dn_line_t *line = dn_lines_get (self, call->line);
    if (call->seq == DN_SEQ_NONE)
        TAILQ_REMOVE (&line->fresh[call->priority], call, of_line);
    else
        TAILQ_REMOVE (&line->again[call->priority], call, of_line);
    line->held[call->priority]--;
    if (--line->held_all == 0) {
        dn_pace_idle (&line->pace);
        TAILQ_REMOVE (&self->ring, line, of_ring);
        self->waiting--;
        dn_pace_settle (&line->pace);
    }
}

/*  ---- run times ---- */

bool
dn_lines_served (const dn_lines_t *self, const dn_line_t *line)
{
    for (uint8_t depth = 0; depth <= DENIM_NESTING_MAX; depth++) {
        const dn_line_t *other = dn_lines_find (self, line->name_str, depth);
        if (other && other->served)
            return true;
    }
    return false;
}

/*  As TCP estimates its round trip (RFC 6298), but for the first ones: a deviation that is half a
 *  run at first would be there for a hundred answers. */
static void
add_length (dn_mean_t *self, double length_us)
{
    if (self->count == 0) {
        *self = (dn_mean_t){1, length_us, length_us / 2};
        return;
    }
    double off_us = length_us - self->mean_us;
    double far_us = off_us < 0 ? -off_us : off_us;
    self->deviation_us += (far_us - self->deviation_us) / self->count;
    if (self->count < MEAN_WEIGHT)
        self->count++;
    self->mean_us += off_us / self->count;
}

void
dn_line_ran (dn_line_t *self, uint32_t run_us, int64_t answered_ms)
{
    double way_us = (double) answered_ms * 1000 - run_us;
    self->served = true;
    add_length (&self->run, run_us);
    add_length (&self->way, way_us > 0 ? way_us : 0); /* an answer to an earlier try, or rounded */
}

/*  Milliseconds that a call needs: none where run times differ much, as a short one may come
 *  next. */
static double
needed_ms (const dn_line_t *self)
{
    double run_us = self->run.mean_us * DOOMED_RUNS - 2 * self->run.deviation_us;
    double way_us = self->way.mean_us + 2 * self->way.deviation_us;
    return run_us > 0 ? (run_us + way_us) / 1000 + DOOMED_MS : 0;
}

bool
dn_line_is_late (const dn_line_t *self, int64_t waited_ms, int64_t left_ms)
{
    if (waited_ms * FRESH_PARTS <= left_ms)
        return false;
    return (double) left_ms < needed_ms (self) ||
           (waited_ms > left_ms &&
            (double) left_ms < LATE_RUNS * self->run.mean_us / 1000 + LATE_MS);
}

/*  ---- order ---- */

dn_call_t *
dn_line_head_of (const dn_line_t *self, unsigned priority)
{
    dn_call_t *call = TAILQ_FIRST (&self->again[priority]);
    return call ? call : TAILQ_FIRST (&self->fresh[priority]);
}

dn_call_t *
dn_line_head (const dn_line_t *self)
{
    for (unsigned i = 0; i < DN_PRIORITIES; i++)
        if (self->held[i])
            return dn_line_head_of (self, i);
    return NULL;
}

int64_t
dn_line_oldest_ms (const dn_line_t *self)
{
    int64_t oldest_ms = DN_NEVER;
    for (unsigned i = 0; i < DN_PRIORITIES; i++) {
        const dn_call_t *head = dn_line_head_of (self, i);
        if (head && head->submitted_ms < oldest_ms)
            oldest_ms = head->submitted_ms;
    }
    return oldest_ms;
}

dn_line_t *
dn_lines_first (const dn_lines_t *self)
{
    return TAILQ_FIRST (&self->ring);
}

dn_line_t *
dn_lines_next (const dn_line_t *line)
{
    return TAILQ_NEXT (line, of_ring);
}

uint32_t
dn_lines_waiting (const dn_lines_t *self)
{
    return self->waiting;
}

void
dn_lines_turn (dn_lines_t *self, dn_line_t *line)
{
    if (TAILQ_NEXT (line, of_ring) == NULL)
        return;
    TAILQ_REMOVE (&self->ring, line, of_ring);
    TAILQ_INSERT_TAIL (&self->ring, line, of_ring);
}

/*  ---- checks ---- */

static uint32_t
check_list (const struct dn_call_list *list, unsigned priority, uint32_t row, bool numbered)
{
    uint32_t         count = 0;
    uint64_t         seq = 0;
    const dn_call_t *call;
    TAILQ_FOREACH (call, list, of_line)
    {
        dn_check (call->state == DN_CALL_HELD && call->priority == priority && call->line == row);
        dn_check (numbered ? call->seq > seq : call->seq == DN_SEQ_NONE);
        seq = call->seq;
        count++;
    }
    return count;
}

static void
check_line (const dn_lines_t *self, uint32_t row)
{
    const dn_line_t *line = &self->line[row];
    uint32_t         held_all = 0;
    for (unsigned i = 0; i < DN_PRIORITIES; i++) {
        uint32_t held = check_list (&line->again[i], i, row, true);
        held += check_list (&line->fresh[i], i, row, false);
        dn_check (held == line->held[i]);
        held_all += held;
    }
    dn_check (held_all == line->held_all && (held_all || line->pace.freed == 0));
    dn_check (line->pace.in_flight == line->calls - held_all);
    dn_check (dn_lines_find (self, line->name_str, line->depth) == line);
    dn_pace_check (&line->pace);
}

void
dn_lines_check (const dn_lines_t *self)
{
    uint32_t         listed = 0, busy = 0;
    const dn_line_t *line;
    for (uint32_t row = 0; row < self->used; row++) {
        check_line (self, row);
        busy += self->line[row].held_all > 0;
        listed += self->line[row].calls == 0;
    }
    dn_check (busy == self->waiting);
    TAILQ_FOREACH (line, &self->ring, of_ring)
    {
        dn_check (line->held_all > 0);
        busy--;
    }
    TAILQ_FOREACH (line, &self->idle, of_ring)
    {
        dn_check (line->calls == 0);
        listed--;
    }
    dn_check (busy == 0 && listed == 0);
}
