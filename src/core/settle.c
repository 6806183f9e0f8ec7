/*  settle.c - how tasks end: results, refusals, acknowledgements, and the lists that make up for
 *  frames that were lost
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

enum { HELD_WAITING, HELD_RUNNING, HELD_FINISHED, HELD_FORGOTTEN };

dn_peer_t *
dn_manager_client_of (const dn_manager_t *self, const dn_task_t *task)
{
    return dn_peers_get (self->peers, task->client);
}

dn_peer_t *
dn_manager_worker_of (const dn_manager_t *self, const dn_task_t *task)
{
    dn_peer_t *worker = dn_peers_get (self->peers, task->worker);
    return worker && !worker->gone ? worker : NULL;
}

/*  ---- changes of one record ---- */

void
dn_manager_move (dn_manager_t *self, dn_task_t *task, dn_task_state_t state)
{
    bool frees = task->state == DN_TASK_PLACED && state != DN_TASK_PLACED;
    if (frees) {
        self->places--;
        if (task->service != DN_SERVICE_NONE)
            dn_services_get (self->services, task->service)->placed--;
    }
    dn_tasks_move (self->tasks, task, state, NULL);
}

void
dn_manager_settle (dn_manager_t *self, dn_task_t *task)
{
    if (task->state == DN_TASK_PLACED) {
        task->settled = true;
        dn_tasks_attach (self->tasks, task, NULL);
    } else
        dn_manager_move (self, task, DN_TASK_FREE);
}

void
dn_manager_known (dn_manager_t *self, dn_task_t *task, uint32_t try_no, dn_effects_t *fx)
{
    dn_tasks_told (self->tasks, task);
    dn_peer_t *client = dn_manager_client_of (self, task);
    if (!client || !client->link)
        return;
    dn_peer_t   *worker = dn_manager_worker_of (self, task);
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_KNOWN);
    row->to = client->link;
    row->msg.u.known.seq = task->seq;
    row->msg.u.known.attempt = task->attempt;
    row->msg.u.known.try_no = try_no;
    row->msg.u.known.epoch = self->config.epoch;
    row->msg.u.known.term = client->u.client.term;
    row->msg.u.known.worker = dn_str (worker ? worker->name : "");
}

void
dn_manager_cancel (dn_manager_t *self, const dn_task_t *task, uint8_t how, dn_effects_t *fx)
{
    dn_peer_t *worker = dn_manager_worker_of (self, task);
    if (task->state != DN_TASK_PLACED || !worker || !worker->link)
        return;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_CANCEL);
    row->to = worker->link;
    row->msg.u.cancel.session = task->session;
    row->msg.u.cancel.seq = task->seq;
    row->msg.u.cancel.attempt = task->attempt;
    row->msg.u.cancel.how = how;
}

void
dn_manager_lose (dn_manager_t *self, dn_task_t *task, denim_reason_t reason, dn_effects_t *fx)
{
    if (task->state != DN_TASK_LOST)
        self->counters.lost++;
    task->reason = (uint8_t) reason;
    dn_peer_t *client = dn_manager_client_of (self, task);
    dn_peer_t *worker = dn_peers_get (self->peers, task->worker);
    if (client && client->link) {
        dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_RESULT);
        row->to = client->link;
        row->reason = (uint8_t) reason;
        dn_result_t *msg = &row->msg.u.result;
        msg->session = task->session;
        msg->seq = task->seq;
        msg->attempt = task->attempt;
        msg->outcome = DENIM_LOST;
        msg->reason = (uint8_t) reason;
        msg->flags = 1;
        msg->exit_code = UINT8_MAX;
        if (worker) {
            msg->worker = dn_str (worker->name);
            msg->host = dn_str (worker->u.worker.host);
        }
        msg->text = dn_str (denim_reason_text (reason));
    }
    dn_manager_move (self, task, client ? DN_TASK_LOST : DN_TASK_FREE);
}

/*  It never arrived at its worker, or was refused there: nothing ran. */
static void
give_back (dn_manager_t *self, dn_task_t *task, denim_reason_t reason, dn_effects_t *fx)
{
    dn_manager_reject (self, dn_manager_client_of (self, task), task, reason, fx);
    dn_manager_move (self, task, DN_TASK_FREE);
}

/*  ---- results ---- */

static void
count_outcome (dn_manager_t *self, const dn_task_t *task, const dn_result_t *result)
{
    bool ran = result->outcome == DENIM_VALUE || result->outcome == DENIM_EXCEPTION;
    if (ran && task->service != DN_SERVICE_NONE)
        dn_services_ran (self->services, task->service, result->run_us);
    if (result->outcome == DENIM_VALUE)
        self->counters.done++;
    else if (result->outcome == DENIM_LOST)
        self->counters.lost++;
    else if (result->outcome == DENIM_CANCELLED)
        self->counters.cancelled++;
    else
        self->counters.failed++;
}

/*  A result without a record, as after a restart: it is the client's if that is known. */
static void
relay_unrecorded (dn_manager_t *self, const dn_result_t *result, dn_effects_t *fx)
{
    dn_peer_t *client = dn_peers_by_session (self->peers, &result->session);
    if (client && client->role == DN_ROLE_CLIENT && client->link)
        dn_fx_add (fx, DN_FX_RELAY)->to = client->link;
}

void
dn_manager_on_result (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                      dn_effects_t *fx)
{
    const dn_result_t *result = &in->msg->u.result;
    from->u.worker.refused = false;
    dn_task_t *task = dn_tasks_find (self->tasks, &result->session, result->seq, result->attempt);
    if (!task) {
        relay_unrecorded (self, result, fx);
        return;
    }
    bool mine = task->worker == from->self || task->state == DN_TASK_LOST;
    if (!mine || task->state == DN_TASK_FINISHED)
        return; /* its outcome came already, or it runs elsewhere */

    count_outcome (self, task, result);
    if (task->settled) {
        dn_manager_move (self, task, DN_TASK_FREE);
        return;
    }
    dn_manager_move (self, task, DN_TASK_FINISHED);
    dn_peer_t *client = dn_manager_client_of (self, task);
    if (!client || !client->link)
        return;
    task->told_mark = client->mark;
    dn_effect_t *row = dn_fx_add (fx, DN_FX_RELAY);
    row->to = client->link;
    row->handle = task->self;
}

void
dn_manager_on_refuse (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                      dn_effects_t *fx)
{
    const dn_refuse_t *refuse = &in->msg->u.refuse;
    dn_task_t *task = dn_tasks_find (self->tasks, &refuse->session, refuse->seq, refuse->attempt);
    if (refuse->reason == DENIM_REASON_BUSY)
        from->u.worker.refused = true; /* our count is off: nothing more until it has ended one */
    if (!task || task->state != DN_TASK_PLACED || task->worker != from->self)
        return;
    bool known = refuse->reason < DENIM_REASONS;
    give_back (self, task, known ? (denim_reason_t) refuse->reason : DENIM_REASON_BUSY, fx);
}

void
dn_manager_on_ack (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                   dn_effects_t *fx)
{
    (void) fx;
    dn_list_t    acks = in->msg->u.ack.acks;
    dn_row_ack_t ack;
    while (dn_list_next (&acks, DN_ROW_ACK, &ack)) {
        dn_task_t *task = dn_tasks_find (self->tasks, &from->session, ack.seq, ack.attempt);
        if (task)
            dn_manager_settle (self, task);
    }
}

/*  ---- OPEN: what a client waits for ---- */

static bool
settling (const dn_manager_t *self)
{
    return self->beats < self->config.liveness;
}

static void
missing (const dn_manager_t *self, const dn_peer_t *client, const dn_row_open_t *call,
         dn_effects_t *fx)
{
    bool ours = call->epoch == self->config.epoch && call->term == client->u.client.term;
    if (!ours && settling (self))
        return; /* its worker may still come and say that it has it */
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_MISSING);
    row->to = client->link;
    row->msg.u.missing.seq = call->seq;
    row->msg.u.missing.attempt = call->attempt;
    row->msg.u.missing.try_no = call->try_no;
    row->msg.u.missing.never = ours;
}

static void
listed_open (dn_manager_t *self, dn_peer_t *client, const dn_row_open_t *call, uint64_t mark,
             dn_effects_t *fx)
{
    dn_task_t *task = dn_tasks_find (self->tasks, &client->session, call->seq, call->attempt);
    if (!task) {
        missing (self, client, call, fx);
        return;
    }
    if (!task->settled && !dn_manager_client_of (self, task))
        dn_tasks_attach (self->tasks, task, client);
    task->listed_sweep = self->sweep;
    task->try_no = call->try_no;
    if (task->state == DN_TASK_LOST ||
        (task->state == DN_TASK_FINISHED && task->told_mark < mark)) {
        dn_manager_lose (self, task, task->reason ? task->reason : DENIM_REASON_SILENT, fx);
        return;
    }
    if (task->state != DN_TASK_PLACED)
        return; /* its outcome is on the way */
    if (call->epoch != self->config.epoch || call->term != client->u.client.term)
        dn_manager_known (self, task, call->try_no, fx);
    if (call->cancel)
        dn_manager_cancel (self, task, call->cancel, fx);
}

void
dn_manager_on_open (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                    dn_effects_t *fx)
{
    const dn_open_t *open = &in->msg->u.open;
    self->sweep++;
    dn_list_t     calls = open->calls;
    dn_row_open_t call;
    while (dn_effects_room (fx, 4) && dn_list_next (&calls, DN_ROW_OPEN, &call))
        listed_open (self, from, &call, open->mark, fx);
    if (calls.count == 0) {
        for (dn_task_t *task = TAILQ_FIRST (&from->tasks), *next; task; task = next) {
            next = TAILQ_NEXT (task, of_client);
            if (task->seq >= open->from_seq && task->seq <= open->upto_seq &&
                task->listed_sweep != self->sweep)
                dn_manager_settle (self, task);
        }
    }

    dn_list_t     wants = open->wants;
    dn_row_want_t want;
    from->u.client.waiting = 0;
    while (dn_list_next (&wants, DN_ROW_WANT, &want)) {
        from->u.client.waiting += want.held;
        uint32_t service = dn_services_find (self->services, want.service);
        if (service != DN_SERVICE_NONE)
            dn_services_get (self->services, service)->waiting_next += want.held;
    }
}

/*  ---- HELD and the inventory: what a worker has ---- */

/*  A task that a worker says it waits for or runs, without a record: as after a restart. */
static void
adopt (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *worker,
       const dn_row_held_t *held)
{
    dn_peer_t *client = dn_peers_by_session (self->peers, &held->session);
    if (client && client->role != DN_ROLE_CLIENT)
        return;
    dn_task_t *task = dn_tasks_place (self->tasks, client, worker, &held->session, held->seq,
                                      held->attempt, in->now_ms);
    if (!task)
        return; /* full: its result will come all the same */
    self->places++;
    task->seen = true;
    task->listed_sweep = self->sweep;
    dn_tasks_told (self->tasks, task);
}

static void
listed_held (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *worker,
             const dn_row_held_t *held)
{
    bool       place = held->state == HELD_WAITING || held->state == HELD_RUNNING;
    dn_task_t *task = dn_tasks_find (self->tasks, &held->session, held->seq, held->attempt);
    if (!task) {
        if (place)
            adopt (self, in, worker, held);
        return;
    }
    if (task->state == DN_TASK_LOST && place) {
        dn_tasks_move (self->tasks, task, DN_TASK_PLACED, worker);
        self->places++;
        if (task->service != DN_SERVICE_NONE)
            dn_services_get (self->services, task->service)->placed++;
    }
    if (task->worker != worker->self)
        return;
    task->seen = true;
    task->listed_sweep = self->sweep;
}

/*  Is the key within the range that a list covers completely? */
static bool
covered (const dn_task_t *task, const dn_session_t *from, uint64_t from_seq,
         const dn_session_t *upto, uint64_t upto_seq)
{
    int low = memcmp (task->session.bytes, from->bytes, sizeof from->bytes);
    int high = memcmp (task->session.bytes, upto->bytes, sizeof upto->bytes);
    return (low > 0 || (low == 0 && task->seq >= from_seq)) &&
           (high < 0 || (high == 0 && task->seq <= upto_seq));
}

/*  What was placed before the list was asked for and is not on it: never seen there, it never
 *  arrived; seen there, nobody will ever know. */
static void
absent (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx)
{
    if (task->seen)
        dn_manager_lose (self, task, DENIM_REASON_SILENT, fx);
    else
        give_back (self, task, DENIM_REASON_BUSY, fx);
}

void
dn_manager_on_held (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                    dn_effects_t *fx)
{
    const dn_held_t *held = &in->msg->u.held;
    from->u.worker.restarts = held->restarts;
    from->u.worker.rss_bytes = held->rss_bytes;
    from->u.worker.refused = false;
    self->sweep++;
    dn_list_t     tasks = held->tasks;
    dn_row_held_t row;
    while (dn_list_next (&tasks, DN_ROW_HELD, &row))
        listed_held (self, in, from, &row);

    for (dn_task_t *task = TAILQ_FIRST (&from->tasks), *next; task; task = next) {
        next = TAILQ_NEXT (task, of_worker);
        if (dn_effects_room (fx, 4) && task->mark < held->mark &&
            task->listed_sweep != self->sweep &&
            covered (task, &held->from_session, held->from_seq, &held->upto_session,
                     held->upto_seq))
            absent (self, task, fx);
    }
}

void
dn_manager_inventory (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *worker,
                      dn_effects_t *fx)
{
    self->sweep++;
    dn_list_t     tasks = in->msg->u.worker_hello.inventory;
    dn_row_held_t row;
    while (dn_list_next (&tasks, DN_ROW_HELD, &row))
        listed_held (self, in, worker, &row);

    for (dn_task_t *task = TAILQ_FIRST (&worker->tasks), *next; task; task = next) {
        next = TAILQ_NEXT (task, of_worker);
        if (dn_effects_room (fx, 4) && task->listed_sweep != self->sweep)
            absent (self, task, fx);
    }
}
