/*  calls.c - the session's records of calls
 *
 *  Deadlines stand in a binary heap of row numbers; a call without one is not in it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/calls.h"

#include "base/check.h"
#include "base/index.h"
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

#define HEAP_NONE UINT32_MAX

struct dn_calls {
    dn_pool_t          *pool;
    dn_index_t         *by_seq;
    dn_call_t          *row;  /* calls_max of them */
    uint32_t           *heap; /* rows, the earliest deadline first */
    uint32_t            heap_count;
    uint64_t            last_seq;
    struct dn_call_list numbered; /* rising */
};

/*  What each event does in each state. What an answer to an old try or attempt would do is not
 *  asked here: such an answer is no event. */
#define _(name) DN_CALL_DO_##name
static const uint8_t actions[DN_CALL_EVENTS][DN_CALL_STATES] = {
    /* clang-format off */
    /*                       HELD               SENT       KNOWN      CANCELLING */
    [DN_CALL_ON_SUBMIT]  = { _(SEND),           _(BUG),    _(BUG),    _(BUG) },
    [DN_CALL_ON_UNSENT]  = { _(IGNORE),         _(HOLD),   _(IGNORE), _(END_CANCELLED) },
    [DN_CALL_ON_PLACED]  = { _(IGNORE),         _(MARK),   _(MARK),   _(MARK) },
    [DN_CALL_ON_AGAIN]   = { _(IGNORE),         _(HOLD),   _(HOLD),   _(END_CANCELLED) },
    [DN_CALL_ON_REFUSED] = { _(IGNORE),         _(END),    _(END),    _(END_CANCELLED) },
    [DN_CALL_ON_RESULT]  = { _(END),            _(END),    _(END),    _(END) },
    [DN_CALL_ON_LOST]    = { _(RETRY),          _(RETRY),  _(RETRY),  _(END) },
    [DN_CALL_ON_CANCEL]  = { _(END_CANCELLED),  _(WISH),   _(WISH),   _(WISH) },
    [DN_CALL_ON_GIVE_UP] = { _(END),            _(LEAVE),  _(LEAVE),  _(LEAVE) },
    /* clang-format on */
};
#undef _

dn_call_action_t
dn_call_action (dn_call_state_t state, dn_call_event_t event)
{
    dn_check (state < DN_CALL_STATES && event < DN_CALL_EVENTS);
    return (dn_call_action_t) actions[event][state];
}

/*  ---- table ---- */

static bool
same_seq (const void *table, uint32_t row, const void *key)
{
    return ((const dn_call_t *) table)[row].seq == *(const uint64_t *) key;
}

/*  Numbers rise by one, and as places they would be one long run, which a removal walks to its
 *  end. */
static uint64_t
spread (uint64_t seq)
{
    seq *= 0x9e3779b97f4a7c15ULL;
    return seq ^ seq >> 32;
}

static uint64_t
hash_seq (const void *table, uint32_t row)
{
    return spread (((const dn_call_t *) table)[row].seq);
}

dn_calls_t *
dn_calls_new (uint32_t calls_max)
{
    dn_calls_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->pool = dn_pool_new (calls_max);
    self->row = malloc (calls_max * sizeof *self->row);
    self->heap = malloc (calls_max * sizeof *self->heap);
    if (self->row)
        self->by_seq = dn_index_new (calls_max, self->row, same_seq, hash_seq);
    if (!self->pool || !self->row || !self->heap || !self->by_seq)
        dn_calls_destroy (&self);
    else
        TAILQ_INIT (&self->numbered);
    return self;
}

void
dn_calls_destroy (dn_calls_t **self_p)
{
    dn_calls_t *self = *self_p;
    if (!self)
        return;
    dn_pool_destroy (&self->pool);
    dn_index_destroy (&self->by_seq);
    free (self->row);
    free (self->heap);
    free (self);
    *self_p = NULL;
}

/*  ---- deadlines ---- */

static void
heap_set (dn_calls_t *self, uint32_t at, uint32_t row)
{
    self->heap[at] = row;
    self->row[row].heap_at = at;
}

static int64_t
heap_key (const dn_calls_t *self, uint32_t at)
{
    return self->row[self->heap[at]].deadline_ms;
}

static void
heap_up (dn_calls_t *self, uint32_t at)
{
    uint32_t row = self->heap[at];
    int64_t  key = self->row[row].deadline_ms;
    while (at && heap_key (self, (at - 1) / 2) > key) {
        heap_set (self, at, self->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set (self, at, row);
}

static void
heap_down (dn_calls_t *self, uint32_t at)
{
    uint32_t row = self->heap[at];
    int64_t  key = self->row[row].deadline_ms;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= self->heap_count)
            break;
        if (child + 1 < self->heap_count && heap_key (self, child + 1) < heap_key (self, child))
            child++;
        if (heap_key (self, child) >= key)
            break;
        heap_set (self, at, self->heap[child]);
        at = child;
    }
    heap_set (self, at, row);
}

static void
heap_put (dn_calls_t *self, uint32_t row)
{
    uint32_t at = self->heap_count++;
    heap_set (self, at, row);
    heap_up (self, at);
}

static void
heap_remove (dn_calls_t *self, uint32_t at)
{
    uint32_t last = --self->heap_count;
    if (at == last)
        return;
    heap_set (self, at, self->heap[last]);
    heap_up (self, at);
    heap_down (self, self->row[self->heap[at]].heap_at);
}

dn_call_t *
dn_calls_urgent (const dn_calls_t *self)
{
    return self->heap_count ? &self->row[self->heap[0]] : NULL;
}

/*  ---- rows ---- */

dn_call_t *
dn_calls_add (dn_calls_t *self, int64_t deadline_ms)
{
    dn_handle_t handle = dn_pool_take (self->pool);
    if (!handle)
        return NULL;
    uint32_t   row = dn_pool_row (self->pool, handle);
    dn_call_t *call = &self->row[row];
    memset (call, 0, sizeof *call);
    call->self = handle;
    call->attempt = 1;
    call->deadline_ms = deadline_ms;
    call->heap_at = HEAP_NONE;
    if (deadline_ms != DN_NEVER)
        heap_put (self, row);
    return call;
}

void
dn_calls_remove (dn_calls_t *self, dn_call_t *call)
{
    if (call->heap_at != HEAP_NONE)
        heap_remove (self, call->heap_at);
    if (call->seq != DN_SEQ_NONE) {
        dn_index_remove (self->by_seq, spread (call->seq), (uint32_t) (call - self->row));
        TAILQ_REMOVE (&self->numbered, call, of_numbered);
    }
    dn_pool_give (self->pool, call->self);
}

dn_call_t *
dn_calls_get (const dn_calls_t *self, dn_handle_t handle)
{
    uint32_t row = dn_pool_row (self->pool, handle);
    return row == DN_POOL_NONE ? NULL : &self->row[row];
}

dn_call_t *
dn_calls_find (const dn_calls_t *self, uint64_t seq)
{
    if (seq == DN_SEQ_NONE)
        return NULL;
    uint32_t row = dn_index_find (self->by_seq, spread (seq), &seq);
    return row == DN_INDEX_NONE ? NULL : &self->row[row];
}

void
dn_calls_number (dn_calls_t *self, dn_call_t *call)
{
    if (call->seq != DN_SEQ_NONE)
        return;
    call->seq = ++self->last_seq;
    dn_index_put (self->by_seq, spread (call->seq), (uint32_t) (call - self->row));
    TAILQ_INSERT_TAIL (&self->numbered, call, of_numbered);
}

uint64_t
dn_calls_last_seq (const dn_calls_t *self)
{
    return self->last_seq;
}

dn_call_t *
dn_calls_first (const dn_calls_t *self)
{
    return TAILQ_FIRST (&self->numbered);
}

dn_call_t *
dn_calls_next (const dn_call_t *call)
{
    return TAILQ_NEXT (call, of_numbered);
}

dn_call_t *
dn_calls_walk (const dn_calls_t *self, uint32_t *row)
{
    uint32_t at = dn_pool_next (self->pool, *row);
    if (at == DN_POOL_NONE)
        return NULL;
    *row = at + 1;
    return &self->row[at];
}

uint32_t
dn_calls_count (const dn_calls_t *self)
{
    return dn_pool_used (self->pool);
}

uint32_t
dn_calls_max (const dn_calls_t *self)
{
    return dn_pool_rows_max (self->pool);
}

static void
check_heap (const dn_calls_t *self)
{
    for (uint32_t at = 0; at < self->heap_count; at++) {
        dn_check (self->row[self->heap[at]].heap_at == at);
        dn_check (at == 0 || heap_key (self, (at - 1) / 2) <= heap_key (self, at));
    }
}

void
dn_calls_check (const dn_calls_t *self)
{
    uint32_t numbered = 0, with_deadline = 0, row = 0;
    uint64_t seq = 0;

    check_heap (self);
    for (const dn_call_t *call = dn_calls_first (self); call; call = dn_calls_next (call)) {
        dn_check (call->seq > seq && call->seq <= self->last_seq);
        dn_check (dn_calls_find (self, call->seq) == call);
        seq = call->seq;
        numbered++;
    }
    for (const dn_call_t *call; (call = dn_calls_walk (self, &row)) != NULL;) {
        dn_check (dn_calls_get (self, call->self) == call);
        dn_check (call->state < DN_CALL_STATES && call->attempt <= DN_CALL_ATTEMPTS);
        dn_check (call->state == DN_CALL_HELD || call->seq != DN_SEQ_NONE);
        with_deadline += call->deadline_ms != DN_NEVER;
        numbered -= call->seq != DN_SEQ_NONE;
    }
    dn_check (numbered == 0 && with_deadline == self->heap_count);
}
