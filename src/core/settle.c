/*  settle.c - how tasks end: results, refusals, acknowledgements, and what workers may let go of
 *
 *  A worker keeps an outcome until it is told that the client has it. So an outcome that did not
 *  reach its client can be asked for again, and the manager itself has nothing to lose.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#define KEY_BYTES   26 /* of a row in SETTLED */
#define BYTES_DECAY 8  /* one part in so many that a task has in its client's mean */

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

static dn_row_key_t
key_of (const dn_task_t *task)
{
    return (dn_row_key_t){task->session, task->seq, task->attempt};
}

/*  ---- changes of one record ---- */

static void
count_place (dn_manager_t *self, const dn_task_t *task, int places)
{
    if (task->state != DN_TASK_PLACED)
        return;
    self->places += (uint32_t) places;
    if (task->service != DN_SERVICE_NONE)
        dn_services_get (self->services, task->service)->placed += (uint32_t) places;
}

void
dn_manager_move (dn_manager_t *self, dn_task_t *task, dn_task_state_t state, dn_peer_t *worker)
{
    dn_peer_t *old = dn_peers_get (self->peers, task->worker);
    count_place (self, task, -1);
    dn_tasks_move (self->tasks, task, state, worker);
    count_place (self, task, 1);
    if (dn_waiters_count (self->waiters))
        self->granting = true; /* a place may have come free */
    if (old && old->gone && old->tasks_count == 0)
        self->sweeping = true; /* its row is free now */
}

dn_task_t *
dn_manager_adopt (dn_manager_t *self, dn_peer_t *client, dn_peer_t *worker, const dn_row_key_t *key,
                  unsigned depth)
{
    unsigned   level = depth < DENIM_NESTING_MAX ? depth : DENIM_NESTING_MAX;
    dn_task_t *task = dn_tasks_place (self->tasks, client, worker, key, level, self->now_ms);
    if (!task)
        return NULL;
    count_place (self, task, 1);
    dn_tasks_told (self->tasks, task); /* not with KNOWN: that answers the client's next OPEN */
    task->settled = client == NULL;
    task->seen = true;
    return task;
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
    dn_peer_t *client = dn_manager_client_of (self, task);
    dn_peer_t *worker = dn_peers_get (self->peers, task->worker);
    if (!client) {
        dn_manager_move (self, task, DN_TASK_FREE, NULL);
        return;
    }
    if (task->state == DN_TASK_PLACED)
        self->counters.lost++;
    task->reason = (uint8_t) reason;
    task->told_mark = client->mark;
    dn_manager_move (self, task, DN_TASK_LOST, NULL);
    if (!client->link)
        return; /* OPEN will ask */
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

void
dn_manager_give_back (dn_manager_t *self, dn_task_t *task, denim_reason_t reason, dn_effects_t *fx)
{
    dn_manager_reject (self, dn_manager_client_of (self, task), task, reason, fx);
    dn_manager_move (self, task, DN_TASK_FREE, NULL);
}

/*  ---- what a worker may let go of ---- */

void
dn_manager_release_now (dn_manager_t *self, const dn_peer_t *worker, dn_effects_t *fx)
{
    dn_settled_batch_t *batch = &self->batch[worker->u.worker.number];
    if (!batch->count)
        return;
    if (worker->link && dn_effects_room (fx, DN_SWEEP_ROWS)) {
        dn_rows_t rows = dn_fx_rows (fx, (size_t) batch->count * KEY_BYTES);
        for (uint32_t i = 0; i < batch->count; i++)
            if (dn_rows_put (&rows, DN_ROW_KEY, &batch->task[i]) < 0)
                break; /* no scratch left: the worker will list them again */
        dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_SETTLED);
        row->to = worker->link;
        row->msg.u.settled.link = worker->link_number;
        row->msg.u.settled.tasks = dn_fx_list (fx, &rows);
    }
    batch->count = 0;
    batch->bytes = 0;
    self->batches--;
}

void
dn_manager_release (dn_manager_t *self, const dn_peer_t *worker, const dn_row_key_t *task,
                    uint64_t bytes, dn_effects_t *fx)
{
    if (!worker || worker->gone || !worker->link ||
        !dn_manager_remembers (self, worker, &task->session))
        return; /* it lists the task again: in its HELLO, if it comes back */
    dn_settled_batch_t *batch = &self->batch[worker->u.worker.number];
    if (self->batches == 0)
        self->settled_ms = self->now_ms + DN_SETTLED_MS;
    if (batch->count == 0)
        self->batches++;
    batch->task[batch->count++] = *task;
    batch->bytes += bytes;
    if (batch->count == DN_SETTLED_MAX || batch->bytes >= DN_SETTLED_BYTES)
        dn_manager_release_now (self, worker, fx);
}

void
dn_manager_tick_releases (dn_manager_t *self, dn_effects_t *fx)
{
    if (!self->batches || self->now_ms < self->settled_ms)
        return;
    for (uint32_t i = 0; i < self->config.workers_max && self->batches; i++) {
        const dn_peer_t *worker = self->batch[i].count ? dn_peers_worker (self->peers, i) : NULL;
        if (!dn_effects_room (fx, DN_SWEEP_ROWS))
            return; /* due still: the next tick goes on */
        if (worker)
            dn_manager_release_now (self, worker, fx);
    }
}

void
dn_manager_settle (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx)
{
    if (task->state == DN_TASK_PLACED) {
        task->settled = true;
        dn_tasks_attach (self->tasks, task, NULL);
        return;
    }
    dn_row_key_t key = key_of (task);
    if (task->state == DN_TASK_FINISHED)
        dn_manager_release (self, dn_manager_worker_of (self, task), &key, task->answer_bytes, fx);
    dn_manager_move (self, task, DN_TASK_FREE, NULL);
}

bool
dn_manager_remembers (const dn_manager_t *self, const dn_peer_t *worker, const dn_session_t *client)
{
    uint32_t known = worker->u.worker.forgets;
    if (known == dn_crowd_newest (self->forgets))
        return true;
    uint32_t number = dn_crowd_number (self->forgets, client);
    return number ? number <= known : dn_crowd_lost (self->forgets) <= known;
}

void
dn_manager_forget (dn_manager_t *self, const dn_peer_t *worker, const dn_session_t *client,
                   dn_effects_t *fx)
{
    (void) self;
    if (!worker->link || !dn_effects_room (fx, DN_SWEEP_ROWS))
        return;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_FORGET);
    row->to = worker->link;
    row->msg.u.forget.session = *client;
}

void
dn_manager_ask_again (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx)
{
    const dn_peer_t *client = dn_manager_client_of (self, task);
    const dn_peer_t *worker = dn_manager_worker_of (self, task);
    if (!dn_effects_room (fx, DN_SWEEP_ROWS) || !client || !client->link)
        return; /* the client will list it once more */
    if (!worker) {
        dn_manager_lose (self, task, task->reason ? task->reason : DENIM_REASON_SILENT, fx);
        return;
    }
    if (!worker->link || task->asked_mark > worker->u.worker.listed_mark)
        return;
    task->asked_mark = worker->mark + 1;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_RESEND);
    row->to = worker->link;
    row->msg.u.resend.session = task->session;
    row->msg.u.resend.seq = task->seq;
    row->msg.u.resend.attempt = task->attempt;
}

/*  ---- results ---- */

static void
count_outcome (dn_manager_t *self, const dn_task_t *task, const dn_peer_t *worker,
               const dn_result_t *result)
{
    bool ran = result->outcome == DENIM_VALUE || result->outcome == DENIM_EXCEPTION;
    if (ran && task->service != DN_SERVICE_NONE) {
        dn_services_ran (self->services, task->service, result->run_us);
        dn_services_set_stuck (self->services, task->service, worker->u.worker.number, false);
    }
    if (result->outcome == DENIM_VALUE)
        self->counters.done++;
    else if (result->outcome == DENIM_LOST)
        self->counters.lost++;
    else if (result->outcome == DENIM_CANCELLED)
        self->counters.cancelled++;
    else
        self->counters.failed++;
}

/*  How much one task of its client carries, there and back. */
static void
note_bytes (const dn_manager_t *self, const dn_task_t *task, uint64_t answer_bytes)
{
    dn_peer_t *client = dn_manager_client_of (self, task);
    double     bytes = (double) (task->payload_bytes + answer_bytes);
    if (client)
        client->u.client.task_bytes += (bytes - client->u.client.task_bytes) / BYTES_DECAY;
}

/*  A result without a record, as after a restart: it is the client's if that is known. NULL when it
 *  is not, or when the table is full; the worker keeps it. */
static dn_task_t *
record_result (dn_manager_t *self, dn_peer_t *worker, const dn_row_key_t *key, dn_effects_t *fx)
{
    dn_peer_t *client = dn_peers_by_session (self->peers, &key->session);
    if (!client && !dn_manager_settling (self))
        dn_manager_forget (self, worker, &key->session, fx);
    if (!client || client->role != DN_ROLE_CLIENT || client->gone)
        return NULL;
    return dn_manager_adopt (self, client, worker, key, 0);
}

static void
relay_result (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx)
{
    dn_peer_t *client = dn_manager_client_of (self, task);
    task->asked_mark = 0;
    if (!client->link)
        return; /* it asks when it is back */
    task->told_mark = client->mark;
    dn_effect_t *row = dn_fx_add (fx, DN_FX_RELAY);
    row->to = client->link;
    row->handle = task->self;
}

void
dn_manager_on_result (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                      dn_effects_t *fx)
{
    const dn_result_t *result = &in->msg->u.result;
    dn_row_key_t       key = {result->session, result->seq, result->attempt};
    from->u.worker.refused = false;
    dn_task_t *task = dn_tasks_find (self->tasks, &key.session, key.seq, key.attempt);
    if (!task)
        task = record_result (self, from, &key, fx);
    if (!task)
        return;
    if (task->worker != from->self && task->state != DN_TASK_LOST) {
        dn_manager_release (self, from, &key, in->payload_bytes, fx);
        return;
    }
    if (task->state != DN_TASK_FINISHED)
        count_outcome (self, task, from, result);
    if (task->settled) {
        dn_manager_move (self, task, DN_TASK_FREE, NULL);
        dn_manager_release (self, from, &key, in->payload_bytes, fx);
        return;
    }
    if (task->state != DN_TASK_FINISHED) {
        note_bytes (self, task, in->payload_bytes);
        dn_manager_move (self, task, DN_TASK_FINISHED, from);
    }
    dn_tasks_set_answer (self->tasks, task, in->payload_bytes);
    relay_result (self, task, fx);
}

/*  Why a task that its worker does not take has no place. That one worker drains is nothing that a
 *  client could wait for: it waits for the others. */
static denim_reason_t
reason_of (const dn_manager_t *self, const dn_task_t *task, uint8_t reason)
{
    denim_reason_t without = DENIM_REASON_BUSY;
    if (reason != DENIM_REASON_DRAINING)
        return reason < DENIM_REASONS ? (denim_reason_t) reason : DENIM_REASON_BUSY;
    if (task->service != DN_SERVICE_NONE)
        dn_manager_choose (self, (dn_need_t){task->service, task->depth}, NULL, &without);
    return without;
}

/*  The worker keeps the key of what it held until it is told, so it is told before the same task
 *  can come to it again. */
void
dn_manager_on_refuse (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                      dn_effects_t *fx)
{
    const dn_refuse_t *refuse = &in->msg->u.refuse;
    dn_row_key_t       key = {refuse->session, refuse->seq, refuse->attempt};
    dn_task_t         *task = dn_tasks_find (self->tasks, &key.session, key.seq, key.attempt);
    if (refuse->reason == DENIM_REASON_BUSY)
        from->u.worker.refused = true; /* our count is off: nothing until it says more */
    if (refuse->held) {
        dn_manager_release (self, from, &key, 0, fx);
        dn_manager_release_now (self, from, fx);
    }
    if (!task || task->worker != from->self)
        return;
    if (refuse->reason == DENIM_REASON_STANDBY && task->service != DN_SERVICE_NONE)
        dn_services_set_stuck (self->services, task->service, from->u.worker.number, true);
    dn_manager_give_back (self, task, reason_of (self, task, refuse->reason), fx);
}

void
dn_manager_on_ack (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                   dn_effects_t *fx)
{
    dn_list_t    acks = in->msg->u.ack.acks;
    dn_row_ack_t ack;
    while (dn_list_next (&acks, DN_ROW_ACK, &ack)) {
        dn_task_t *task = dn_tasks_find (self->tasks, &from->session, ack.seq, ack.attempt);
        if (task && !task->settled)
            dn_manager_settle (self, task, fx);
    }
}
