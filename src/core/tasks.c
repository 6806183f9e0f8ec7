/*  tasks.c - records by key, on the lists of their client and worker
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/tasks.h"

#include "base/check.h"
#include "base/index.h"
#include "base/pool.h"
#include "core/services.h"

#include <stdlib.h>

struct dn_tasks {
    uint64_t            seed;
    dn_peers_t         *peers; /* borrowed */
    dn_pool_t          *pool;
    dn_index_t         *keys;
    dn_task_t          *row;
    struct dn_task_list fresh; /* by placed_ms */
};

static const bool holds_place[DN_TASK_STATES] = {
#define X(name, place, text) [DN_TASK_##name] = place,
    DN_TASK_STATE_MAP (X)
#undef X
};

typedef struct {
    const dn_session_t *session;
    uint64_t            seq;
    uint16_t            attempt;
} dn_task_key_t;

static uint64_t
hash_key (const dn_tasks_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt)
{
    return dn_hash_key (self->seed, session->bytes, seq ^ (uint64_t) attempt << 48);
}

static bool
same_key (const void *table, uint32_t row, const void *key_)
{
    const dn_task_t     *task = &((const dn_tasks_t *) table)->row[row];
    const dn_task_key_t *key = key_;
    return task->seq == key->seq && task->attempt == key->attempt &&
           dn_session_eq (&task->session, key->session);
}

static uint64_t
row_key (const void *table, uint32_t row)
{
    const dn_tasks_t *self = table;
    const dn_task_t  *task = &self->row[row];
    return hash_key (self, &task->session, task->seq, task->attempt);
}

dn_tasks_t *
dn_tasks_new (uint32_t tasks_max, dn_peers_t *peers, uint64_t seed)
{
    dn_tasks_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    TAILQ_INIT (&self->fresh);
    self->seed = seed;
    self->peers = peers;
    self->pool = dn_pool_new (tasks_max);
    self->keys = dn_index_new (tasks_max, self, same_key, row_key);
    self->row = calloc (tasks_max, sizeof *self->row);
    if (!self->pool || !self->keys || !self->row)
        dn_tasks_destroy (&self);
    return self;
}

void
dn_tasks_destroy (dn_tasks_t **self_p)
{
    dn_tasks_t *self = *self_p;
    if (!self)
        return;
    dn_pool_destroy (&self->pool);
    dn_index_destroy (&self->keys);
    free (self->row);
    free (self);
    *self_p = NULL;
}

dn_task_t *
dn_tasks_find (const dn_tasks_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt)
{
    dn_task_key_t key = {session, seq, attempt};
    uint32_t      row = dn_index_find (self->keys, hash_key (self, session, seq, attempt), &key);
    return row == DN_INDEX_NONE ? NULL : &self->row[row];
}

dn_task_t *
dn_tasks_get (const dn_tasks_t *self, dn_handle_t task)
{
    uint32_t row = dn_pool_row (self->pool, task);
    return row == DN_POOL_NONE ? NULL : &self->row[row];
}

static void
join_worker (dn_task_t *task, dn_peer_t *worker)
{
    task->worker = worker->self;
    worker->tasks_count++;
    TAILQ_INSERT_TAIL (&worker->tasks, task, of_worker);
}

static void
leave_worker (const dn_tasks_t *self, dn_task_t *task)
{
    dn_peer_t *worker = dn_peers_get (self->peers, task->worker);
    if (!worker)
        return;
    worker->tasks_count--;
    TAILQ_REMOVE (&worker->tasks, task, of_worker);
    task->worker = DN_NONE;
}

dn_task_t *
dn_tasks_place (dn_tasks_t *self, dn_peer_t *client, dn_peer_t *worker, const dn_row_key_t *key,
                unsigned depth, int64_t now_ms)
{
    dn_check (depth <= DENIM_NESTING_MAX);
    dn_handle_t handle = dn_pool_take (self->pool);
    if (handle == DN_NONE)
        return NULL;
    uint32_t   row = dn_pool_row (self->pool, handle);
    dn_task_t *task = &self->row[row];
    memset (task, 0, sizeof *task);
    task->self = handle;
    task->state = DN_TASK_PLACED;
    task->attempt = key->attempt;
    task->session = key->session;
    task->seq = key->seq;
    task->depth = (uint8_t) depth;
    task->service = DN_SERVICE_NONE;
    task->mark = worker->mark;
    task->placed_ms = now_ms;
    task->fresh = true;
    dn_tasks_attach (self, task, client);
    join_worker (task, worker);
    worker->u.worker.placed++;
    worker->u.worker.at_depth[depth]++;
    TAILQ_INSERT_TAIL (&self->fresh, task, of_fresh);
    dn_index_put (self->keys, row_key (self, row), row);
    return task;
}

/*  What its client holds by it, or held: as its state says. */
static void
count_for (dn_peer_t *client, const dn_task_t *task, int sign)
{
    dn_client_part_t *part = &client->u.client;
    part->placed += (uint32_t) (sign * holds_place[task->state]);
    part->answer_bytes += sign > 0 ? task->answer_bytes : -task->answer_bytes;
}

void
dn_tasks_attach (dn_tasks_t *self, dn_task_t *task, dn_peer_t *client)
{
    dn_peer_t *old = dn_peers_get (self->peers, task->client);
    if (old) {
        old->tasks_count--;
        count_for (old, task, -1);
        TAILQ_REMOVE (&old->tasks, task, of_client);
    }
    task->client = client ? client->self : DN_NONE;
    if (client) {
        client->tasks_count++;
        count_for (client, task, 1);
        TAILQ_INSERT_TAIL (&client->tasks, task, of_client);
    }
}

/*  For its client, and the place at its worker. */
static void
count (const dn_tasks_t *self, const dn_task_t *task, int sign)
{
    dn_peer_t *client = dn_peers_get (self->peers, task->client);
    if (client)
        count_for (client, task, sign);
    if (!holds_place[task->state])
        return;
    dn_peer_t *worker = dn_peers_get (self->peers, task->worker);
    dn_check (worker != NULL);
    worker->u.worker.placed += (uint32_t) sign;
    worker->u.worker.at_depth[task->depth] += (uint32_t) sign;
}

void
dn_tasks_move (dn_tasks_t *self, dn_task_t *task, dn_task_state_t state, dn_peer_t *worker)
{
    dn_tasks_told (self, task);
    count (self, task, -1);
    if (worker && worker->self != task->worker) {
        leave_worker (self, task);
        join_worker (task, worker);
    }
    task->state = state;
    if (state != DN_TASK_FINISHED)
        task->answer_bytes = 0;
    count (self, task, 1);
    if (state != DN_TASK_FREE)
        return;

    dn_tasks_attach (self, task, NULL);
    leave_worker (self, task);
    uint32_t row = dn_pool_row (self->pool, task->self);
    dn_index_remove (self->keys, row_key (self, row), row);
    dn_pool_give (self->pool, task->self);
}

void
dn_tasks_set_answer (dn_tasks_t *self, dn_task_t *task, uint64_t bytes)
{
    dn_check (task->state == DN_TASK_FINISHED);
    count (self, task, -1);
    task->answer_bytes = bytes;
    count (self, task, 1);
}

void
dn_tasks_orphan (dn_tasks_t *self, dn_task_t *task)
{
    dn_check (!holds_place[task->state]);
    leave_worker (self, task);
}

dn_task_t *
dn_tasks_fresh (const dn_tasks_t *self)
{
    return TAILQ_FIRST (&self->fresh);
}

void
dn_tasks_told (dn_tasks_t *self, dn_task_t *task)
{
    if (!task->fresh)
        return;
    task->fresh = false;
    TAILQ_REMOVE (&self->fresh, task, of_fresh);
}

uint32_t
dn_tasks_count (const dn_tasks_t *self)
{
    return dn_pool_used (self->pool);
}

uint32_t
dn_tasks_max (const dn_tasks_t *self)
{
    return dn_pool_rows_max (self->pool);
}

void
dn_tasks_check (const dn_tasks_t *self)
{
    uint32_t count = 0;
    for (uint32_t row = dn_pool_next (self->pool, 0); row != DN_POOL_NONE;
         row = dn_pool_next (self->pool, row + 1)) {
        const dn_task_t *task = &self->row[row];
        count++;
        dn_check (task->state != DN_TASK_FREE);
        dn_check (dn_tasks_find (self, &task->session, task->seq, task->attempt) == task);
        dn_check (!holds_place[task->state] || dn_peers_get (self->peers, task->worker));
        dn_check (!task->fresh || task->state == DN_TASK_PLACED);
        dn_check (!task->answer_bytes || task->state == DN_TASK_FINISHED);
    }
    dn_check (count == dn_index_count (self->keys));
}
