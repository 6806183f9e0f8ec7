/*  starve.c - who waits for a place while others are given those of the same workers
 *
 *  Tasks of a service whose tasks are short stand by at a worker, those of others go to slots
 *  only: where the short ones take each slot that comes free, the others wait for as long as the
 *  flood lasts, though nobody of their own service is served before them. So for each waiter it is
 *  counted how many tasks of its level and of other services were placed, since it has its ticket,
 *  at workers that offer its own. Every so many places go to whoever waits longest, so this ends.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#define BY_AGE  8  /* every so many grants go to the oldest, */
#define UNLUCKY 3  /* and so often to others, as there is no place for it then */
#define SLACK   48 /* places that are given at the same time */

static const dn_peer_t *
next_of (const sim_t *sim, dn_role_t role, uint32_t *row)
{
    const dn_peer_t *peer;

    while ((peer = dn_peers_next (dn_manager_peers (sim->manager.core), row)))
        if (peer->role == role && !peer->gone)
            break;
    return peer;
}

void
sim_starve_start (sim_t *sim)
{
    memset (&sim->starve, 0, sizeof sim->starve);
}

/*  A worker that may be given a task of what this one waits for. */
static bool
is_for (const sim_t *sim, const dn_peer_t *worker, const dn_waiter_t *waiter)
{
    const dn_worker_part_t *part = &worker->u.worker;

    return dn_manager_ready (sim->manager.core, worker) && !part->refused && part->named &&
           dn_services_offers (dn_manager_services (sim->manager.core), waiter->service,
                               part->number);
}

void
sim_starve_before (sim_t *sim, uint32_t link, const dn_msg_t *msg)
{
    const dn_peer_t *from = dn_peers_by_link (dn_manager_peers (sim->manager.core), link);
    const dn_peer_t *worker;

    sim->starve.client = from ? from->self : DN_NONE;
    sim->starve.service =
        msg && msg->kind == DN_MSG_SUBMIT
            ? dn_services_find (dn_manager_services (sim->manager.core), msg->u.submit.service)
            : DN_SERVICE_NONE;
    sim->starve.depth = msg && msg->kind == DN_MSG_SUBMIT ? msg->u.submit.depth : DN_LEVELS_MAX;
    for (uint32_t row = 0; (worker = next_of (sim, DN_ROLE_WORKER, &row));)
        sim->starve.placed[worker->u.worker.number % SIM_WORKERS] = worker->u.worker.placed;
}

/*  A task more of its level, and of another service, at a worker that it might have had. */
static bool
is_passed (const sim_t *sim, const dn_waiter_t *waiter)
{
    const dn_peer_t *worker;

    if (waiter->depth != sim->starve.depth || waiter->service == sim->starve.service)
        return false;
    for (uint32_t row = 0; (worker = next_of (sim, DN_ROLE_WORKER, &row));)
        if (is_for (sim, worker, waiter) &&
            worker->u.worker.placed > sim->starve.placed[worker->u.worker.number % SIM_WORKERS])
            return true;
    return false;
}

/*  Places there that have been granted and not taken up. */
static uint32_t
count_ahead (const sim_t *sim, const dn_waiter_t *waiter)
{
    const dn_peer_t *worker;
    uint32_t         sum = 0;

    for (uint32_t row = 0; (worker = next_of (sim, DN_ROLE_WORKER, &row));)
        sum += is_for (sim, worker, waiter) ? worker->u.worker.reserved : 0;
    return sum;
}

/*  How many have waited longer, for whatever. */
static uint32_t
count_older (const sim_t *sim, uint64_t ticket)
{
    const dn_peer_t   *client;
    const dn_waiter_t *waiter;
    uint32_t           count = 0;

    for (uint32_t row = 0; (client = next_of (sim, DN_ROLE_CLIENT, &row));)
        TAILQ_FOREACH (waiter, &client->u.client.waiters, of_client)
    count += waiter->queued && waiter->ticket < ticket;
    return count;
}

/*  What is known of it, if it could have been served all the time. */
static sim_kept_out_t
known_of (const sim_t *sim, const dn_peer_t *client, const dn_waiter_t *waiter)
{
    sim_kept_out_t fresh = {waiter->ticket, waiter->depth, 0, 0, 0, count_ahead (sim, waiter)};

    if (!client->link || client->silent_beats >= SIM_DEAF_BEATS || client->u.client.late ||
        !dn_manager_takes (sim->manager.core, client, waiter->depth, false))
        return fresh;
    for (uint32_t i = 0; i < sim->starve.count; i++)
        if (sim->starve.kept_out[i].ticket == waiter->ticket &&
            sim->starve.kept_out[i].depth == waiter->depth)
            return sim->starve.kept_out[i];
    return fresh;
}

static void
check (sim_t *sim, const dn_peer_t *client, const dn_waiter_t *waiter, const sim_kept_out_t *self)
{
    uint32_t unlucky = sim->nesting ? UNLUCKY * UNLUCKY : UNLUCKY;
    uint32_t tasks = self->tasks > self->ahead ? self->tasks - self->ahead : 0;

    if (sim->counts.kept_out_max < tasks)
        sim->counts.kept_out_max = tasks;
    if (tasks > unlucky * BY_AGE * (self->older + 1) + SLACK)
        sim_fail (
            sim,
            "%s: %s waits for %s, priority %u, and %u tasks (%u its own) go there; %u before it",
            2 * self->own > self->tasks ? "kept out by itself" : "kept out", client->name,
            dn_services_get (dn_manager_services (sim->manager.core), waiter->service)->name,
            waiter->priority, self->tasks, self->own, self->older);
}

/*  A SUBMIT, or time, may have placed a task. */
static void
count (sim_t *sim, const dn_peer_t *client, const dn_waiter_t *waiter, sim_kept_out_t *self)
{
    if (!is_passed (sim, waiter))
        return;
    uint32_t older = count_older (sim, waiter->ticket);
    if (self->older < older)
        self->older = older;
    self->tasks++;
    self->own += sim->starve.client == client->self;
    if (sim_faults_calm (sim))
        check (sim, client, waiter, self);
}

void
sim_starve_after (sim_t *sim)
{
    sim_kept_out_t     now[SIM_WAITING];
    uint32_t           rows = 0;
    const dn_peer_t   *client;
    const dn_waiter_t *waiter;

    for (uint32_t row = 0; (client = next_of (sim, DN_ROLE_CLIENT, &row));)
        TAILQ_FOREACH (waiter, &client->u.client.waiters, of_client)
        {
            if (!waiter->queued)
                continue;
            dn_check (rows < SIM_WAITING);
            now[rows] = known_of (sim, client, waiter);
            count (sim, client, waiter, &now[rows++]);
        }
    memcpy (sim->starve.kept_out, now, rows * sizeof now[0]);
    sim->starve.count = rows;
}
