/*  admission.c - what a SUBMIT gets: a place, or a REJECT that says why and for how long
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#include <stdio.h>

#define SUBMIT_BYTES_MAX                                                                           \
    600 /* of its header: a newer version may append to it, RUN has this room */

/*  Milliseconds in which so many places come free; 0: run times are not known. */
static double
places_ms (const dn_manager_t *self, uint32_t service, double places)
{
    double mean_us = service == DN_SERVICE_NONE ? 0 : dn_services_mean_us (self->services, service);
    return mean_us * places / (self->slots ? self->slots : 1) / 1000;
}

/*  Milliseconds after which another try is worth it: the time in which as many places come free as
 *  clients wait and this one holds tasks. */
static uint32_t
retry_after_ms (const dn_manager_t *self, uint32_t service, uint32_t held)
{
    uint32_t retry_max_ms = self->config.retry_max_ms;
    double   places = (double) dn_waiters_of (self->waiters, service) + held + 1;
    double   after_ms = places_ms (self, service, places);
    if (after_ms <= 0)
        return DN_RETRY_UNKNOWN_MS < retry_max_ms ? DN_RETRY_UNKNOWN_MS : retry_max_ms;
    if (after_ms < 1)
        return 1;
    return after_ms < retry_max_ms ? (uint32_t) after_ms : retry_max_ms;
}

static void
reject (dn_manager_t *self, dn_link_t link, const dn_submit_t *submit, denim_reason_t reason,
        uint32_t retry_ms, dn_effects_t *fx)
{
    self->counters.rejected[reason]++;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_REJECT);
    row->to = link;
    row->reason = (uint8_t) reason;
    dn_reject_t *msg = &row->msg.u.reject;
    msg->seq = submit->seq;
    msg->attempt = submit->attempt;
    msg->try_no = submit->try_no;
    msg->reason = (uint8_t) reason;
    msg->retry_after_ms = retry_ms;
    if (reason == DENIM_REASON_NO_SERVICE) {
        dn_services_nearest (self->services, submit->service, self->text, sizeof self->text);
        msg->text = dn_str (self->text);
    } else if (reason == DENIM_REASON_EXPIRED) {
        snprintf (self->text, sizeof self->text,
                  "it would miss its deadline: it has %u ms left, and a slot comes free in about "
                  "%u ms: it needs more time, or more slots",
                  submit->deadline_ms, retry_ms);
        msg->text = dn_str (self->text);
    }
}

/*  Is who is refused so granted a place when there is one? For the rest there is a timer. */
static bool
is_waited_for (denim_reason_t reason)
{
    return reason == DENIM_REASON_BUSY || reason == DENIM_REASON_STANDBY ||
           reason == DENIM_REASON_NO_WORKER || reason == DENIM_REASON_DEADLOCK;
}

void
dn_manager_reject (dn_manager_t *self, dn_peer_t *client, const dn_task_t *task,
                   denim_reason_t reason, dn_effects_t *fx)
{
    if (!client)
        return;
    if (is_waited_for (reason))
        dn_manager_wait (self, client, (dn_need_t){task->service, task->depth}, task->priority, 1,
                         task->ticket);
    if (!client->link)
        return;
    dn_submit_t submit = {.seq = task->seq, .attempt = task->attempt, .try_no = task->try_no};
    reject (self, client->link, &submit, reason, retry_after_ms (self, task->service, 0), fx);
}

dn_peer_t *
dn_manager_choose (const dn_manager_t *self, dn_need_t need, const dn_asker_t *asker,
                   denim_reason_t *reason)
{
    bool           rivals = asker && dn_waiters_count (self->waiters) > (asker->waiter ? 1 : 0);
    dn_peer_t     *best = NULL;
    dn_candidate_t best_place = {0};
    bool           somebody = false;
    uint32_t       number = 0, found;
    while ((found = dn_services_next_worker (self->services, need.service, &number)) !=
           DN_SERVICE_NONE) {
        dn_peer_t     *worker = dn_peers_worker (self->peers, found);
        dn_candidate_t place = dn_manager_candidate (worker, need.depth);
        somebody = somebody || dn_manager_ready (self, worker);
        if (!dn_manager_room (self, worker, need) ||
            (best && !dn_place_better (&place, &best_place)) ||
            (rivals && dn_manager_gives_way (self, asker, need, worker, dn_place_full (&place))))
            continue;
        best = worker;
        best_place = place;
    }
    if (best && asker && asker->client &&
        !dn_manager_takes (self, asker->client, need.depth, dn_place_full (&best_place)))
        best = NULL;
    *reason = somebody ? DENIM_REASON_BUSY : DENIM_REASON_NO_WORKER;
    return best;
}

/*  A SUBMIT whose record exists attaches to it: only the answer is given again. */
static void
attach (dn_manager_t *self, const dn_submit_t *submit, dn_task_t *task, dn_effects_t *fx)
{
    task->try_no = submit->try_no;
    if (task->state == DN_TASK_PLACED)
        dn_manager_known (self, task, submit->try_no, fx);
    else if (task->state == DN_TASK_LOST)
        dn_manager_lose (self, task, task->reason, fx);
    else
        dn_manager_ask_again (self, task, fx);
}

/*  Why this task gets no place before workers are looked at; NONE: it may. */
static denim_reason_t
refusal (const dn_manager_t *self, const dn_manager_event_t *in, const dn_peer_t *client,
         uint32_t service)
{
    if (in->payload_bytes > self->config.payload_max || in->header.len == 0 ||
        in->header.len > SUBMIT_BYTES_MAX)
        return DENIM_REASON_TOO_LARGE;
    if (in->msg->u.submit.depth > DENIM_NESTING_MAX)
        return DENIM_REASON_NOT_ALLOWED; /* clients of ours end it themselves */
    if (self->draining)
        return DENIM_REASON_DRAINING;
    if (service == DN_SERVICE_NONE)
        return DENIM_REASON_NO_SERVICE;
    if (dn_manager_share_left (self, client, in->msg->u.submit.depth, 0) == 0)
        return DENIM_REASON_OVER_SHARE;
    if (dn_tasks_count (self->tasks) == dn_tasks_max (self->tasks))
        return DENIM_REASON_FULL;
    return DENIM_REASON_NONE;
}

static void
place (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *client, dn_peer_t *worker,
       uint32_t service, uint64_t ticket, dn_effects_t *fx)
{
    const dn_submit_t *submit = &in->msg->u.submit;
    dn_row_key_t       key = {client->session, submit->seq, submit->attempt};
    dn_task_t *task = dn_tasks_place (self->tasks, client, worker, &key, submit->depth, in->now_ms);
    dn_check (task != NULL);
    task->try_no = submit->try_no;
    task->payload_bytes = in->payload_bytes;
    task->service = service;
    task->priority = submit->priority;
    task->ticket = ticket;
    task->finish = submit->flags & 2;
    self->places++;
    self->counters.placed++;
    dn_services_get (self->services, service)->placed++;

    dn_effect_t *row = dn_fx_msg (fx, DN_FX_FORWARD, DN_MSG_RUN);
    row->to = worker->link;
    row->handle = task->self;
    row->msg.u.run.session = client->session;
    row->msg.u.run.attempt = submit->attempt;
    row->msg.u.run.link = worker->link_number;
    row->msg.u.run.submit = in->header;
    if (in->payload_bytes >= DN_KNOWN_BYTES)
        dn_manager_known (self, task, submit->try_no, fx);
}

/*  An attempt more is the end of the one before. */
static void
settle_before (dn_manager_t *self, const dn_peer_t *client, const dn_submit_t *submit,
               dn_effects_t *fx)
{
    uint16_t   attempt = (uint16_t) (submit->attempt - 1);
    dn_task_t *before =
        attempt ? dn_tasks_find (self->tasks, &client->session, submit->seq, attempt) : NULL;
    if (before)
        dn_manager_settle (self, before, fx);
}

/*  The place that a grant has reserved, in a slot or behind one; any other if its worker is not
 *  there any more. */
static dn_peer_t *
granted_place (const dn_manager_t *self, const dn_peer_t *client, const dn_turn_taken_t *turn,
               dn_need_t need, denim_reason_t *reason)
{
    dn_peer_t *worker = dn_peers_get (self->peers, turn->worker);
    if (worker && dn_manager_ready (self, worker) && !worker->u.worker.refused) {
        dn_candidate_t place = dn_manager_candidate (worker, need.depth);
        if (dn_place_room (&place, place.standby_max))
            return worker;
    }
    return dn_manager_choose (self, need, &(dn_asker_t){.client = client}, reason);
}

/*  Would a task that has no place now begin after its deadline? At best: those who are served after
 *  it do not count, nor what its client holds beside it, nor the time that it runs. *turn_ms: until
 *  it has a place. */
static bool
is_doomed (const dn_manager_t *self, const dn_peer_t *client, const dn_submit_t *submit,
           dn_need_t need, uint32_t *turn_ms)
{
    denim_reason_t reason;
    if (!submit->deadline_ms || !self->slots || need.depth)
        return false; /* of those who run before a nested call, many may wait in lent places */
    if (dn_manager_choose (self, need, NULL, &reason))
        return false; /* places are free, and others are before it */
    unsigned rank = dn_rank (submit->priority, need.depth);
    double   places = dn_manager_before (self, client, need.service, rank) + 1;
    double   after_ms = places_ms (self, need.service, places);
    *turn_ms = after_ms < UINT32_MAX ? (uint32_t) after_ms : UINT32_MAX;
    return *turn_ms > submit->deadline_ms;
}

/*  A task that is doomed has no use for a turn, but those have that its client holds beside it. One
 *  that comes with a grant, and so with its ticket, is next anyway. */
static void
refuse (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *client, dn_need_t need,
        denim_reason_t reason, uint64_t ticket, dn_effects_t *fx)
{
    const dn_submit_t *submit = &in->msg->u.submit;
    uint32_t           retry_ms = retry_after_ms (self, need.service, submit->held), turn_ms = 0;
    bool               doomed =
        reason == DENIM_REASON_BUSY && !ticket && is_doomed (self, client, submit, need, &turn_ms);
    if (!doomed && reason == DENIM_REASON_BUSY && need.depth &&
        dn_manager_deadlocked (self, need.service))
        reason = DENIM_REASON_DEADLOCK;
    if (doomed)
        reject (self, in->link, submit, DENIM_REASON_EXPIRED, turn_ms, fx);
    else
        reject (self, in->link, submit, reason, retry_ms, fx);
    uint32_t waiting = submit->held + !doomed;
    if (!waiting || !is_waited_for (reason))
        return;
    dn_waiter_t *waiter = dn_manager_wait (self, client, need, submit->priority, waiting, ticket);
    if (waiter)
        waiter->parent = dn_manager_parent_of (self, submit);
}

void
dn_manager_on_submit (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                      dn_effects_t *fx)
{
    const dn_submit_t *submit = &in->msg->u.submit;
    dn_turn_taken_t    turn = {0};
    self->counters.submitted++;
    settle_before (self, from, submit, fx);
    uint32_t   service = dn_services_find (self->services, submit->service);
    bool       granted = dn_manager_take_turn (self, from, submit, service, &turn);
    dn_task_t *task = dn_tasks_find (self->tasks, &from->session, submit->seq, submit->attempt);
    if (task) {
        attach (self, submit, task, fx);
        return;
    }
    if (service != DN_SERVICE_NONE && submit->try_no <= 1)
        dn_services_get (self->services, service)->arrivals++;
    denim_reason_t reason = refusal (self, in, from, service);
    dn_need_t      need = {service, submit->depth};
    dn_peer_t     *worker = NULL;
    if (!reason)
        worker = granted ? granted_place (self, from, &turn, need, &reason)
                         : dn_manager_choose (self, need, &(dn_asker_t){.client = from}, &reason);
    uint64_t ticket = granted ? turn.ticket : worker ? dn_waiters_ticket (self->waiters) : 0;
    if (worker) {
        place (self, in, from, worker, service, ticket, fx);
        return;
    }
    refuse (self, in, from, need, reason, ticket, fx);
}
