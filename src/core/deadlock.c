/*  deadlock.c - when those who hold all places wait for each other
 *
 *  A task that waits in a nested call lends its place, so that this cannot be; but a worker may be
 *  told to lend none, or none so deep. Then the tasks that hold all places of a service can come to
 *  wait for places of it, or for those of another service where it is the same. Whether it is so is
 *  looked for when a nested call finds no place: all workers count as held up where every slot that
 *  is not lent has a task that waits; a client is stuck if it has nothing that runs and waits only
 *  for services of such workers; and a worker where such a slot has a task whose client is not
 *  stuck is not held up after all, until nothing changes any more. It is not an end: with a worker
 *  more, or when a caller gives up, they all go on.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include <string.h>

#define ATTEMPTS_MAX 3 /* of one task */

dn_handle_t
dn_manager_parent_of (const dn_manager_t *self, const dn_submit_t *submit)
{
    dn_session_t session;
    uint64_t     seq = 0;

    if (submit->parent.len != DENIM_PARENT_BYTES)
        return DN_NONE;
    memcpy (session.bytes, submit->parent.ptr, sizeof session.bytes);
    for (unsigned i = sizeof session.bytes; i < DENIM_PARENT_BYTES; i++)
        seq = seq << 8 | (uint8_t) submit->parent.ptr[i];
    for (uint16_t attempt = ATTEMPTS_MAX; attempt > 0; attempt--) {
        const dn_task_t *task = dn_tasks_find (self->tasks, &session, seq, attempt);
        if (task && task->state == DN_TASK_PLACED)
            return task->self;
    }
    return DN_NONE;
}

/*  Does every slot there that is not lent have a task that waits? */
static bool
is_waiting (const dn_peer_t *worker)
{
    uint32_t blocked = worker->u.worker.blocked;
    uint32_t own = dn_manager_own_slots (worker);
    return own && blocked >= own;
}

/*  Are all workers that could run its tasks held up, and is there one at all? */
static bool
is_held_up (const dn_manager_t *self, uint32_t service)
{
    uint32_t number = 0, found;
    bool     somebody = false;

    while ((found = dn_services_next_worker (self->services, service, &number)) !=
           DN_SERVICE_NONE) {
        if (!dn_manager_ready (self, dn_peers_worker (self->peers, found)))
            continue;
        if (!self->held_up[found])
            return false;
        somebody = true;
    }
    return somebody;
}

/*  The task whose calls this client makes, if none of them will be answered as long as nothing
 *  changes; NULL otherwise. */
static const dn_task_t *
stuck_task (const dn_manager_t *self, const dn_peer_t *client)
{
    const dn_client_part_t *part = &client->u.client;
    const dn_waiter_t      *waiter;
    const dn_task_t        *task = NULL;

    if (part->placed || part->granted)
        return NULL;
    TAILQ_FOREACH (waiter, &part->waiters, of_client)
    {
        const dn_task_t *parent = dn_tasks_get (self->tasks, waiter->parent);
        if (!waiter->depth || !is_held_up (self, waiter->service))
            return NULL;
        if (parent && parent->state == DN_TASK_PLACED)
            task = parent; /* else it has ended, and has left the call behind */
    }
    return task;
}

/*  Does it wait in a place that is not lent? Those are the deepest ones at their worker. */
static bool
is_blocked (const dn_peer_t *worker, const dn_task_t *task)
{
    uint32_t deeper = 0;
    for (unsigned i = task->depth; i < DN_LEVELS_MAX; i++)
        deeper += worker->u.worker.at_depth[i];
    return deeper <= worker->u.worker.blocked;
}

/*  One round: true when a worker turned out not to be held up. */
static bool
look_again (dn_manager_t *self)
{
    const dn_peer_t *peer;
    bool             changed = false;

    memset (self->held_by, 0, self->config.workers_max * sizeof self->held_by[0]);
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        const dn_task_t *task = peer->role == DN_ROLE_CLIENT ? stuck_task (self, peer) : NULL;
        const dn_peer_t *worker = task ? dn_manager_worker_of (self, task) : NULL;
        if (worker && is_blocked (worker, task))
            self->held_by[worker->u.worker.number]++;
    }
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        if (peer->role != DN_ROLE_WORKER)
            continue;
        uint32_t number = peer->u.worker.number;
        if (!self->held_up[number] || self->held_by[number] >= dn_manager_own_slots (peer))
            continue;
        self->held_up[number] = false;
        changed = true;
    }
    return changed;
}

bool
dn_manager_deadlocked (dn_manager_t *self, uint32_t service)
{
    const dn_peer_t *peer;
    uint32_t         number = 0, found;

    while ((found = dn_services_next_worker (self->services, service, &number)) !=
           DN_SERVICE_NONE) {
        peer = dn_peers_worker (self->peers, found);
        if (dn_manager_ready (self, peer) && !is_waiting (peer))
            return false; /* as nearly always: the others need not be looked at */
    }
    memset (self->held_up, 0, self->config.workers_max * sizeof self->held_up[0]);
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer->role == DN_ROLE_WORKER)
            self->held_up[peer->u.worker.number] = is_waiting (peer);
    while (is_held_up (self, service))
        if (!look_again (self))
            return true;
    return false;
}
