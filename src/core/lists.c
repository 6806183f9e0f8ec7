/*  lists.c - the lists of peers, compared with the records: they make up for frames that were lost
 *
 *  OPEN says what a client waits for, HELD and the inventory of HELLO what a worker holds. Both
 *  say from where to where they are complete, and for what was sent before which BEAT they speak.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#define WANTS_MAX 64 /* as messages.def says */

#define MARK_HELLO UINT64_MAX /* of an inventory: it says all there is */

#define UNHEARD_BEATS 10 /* until all that a worker holds has been listed once more */

enum { HELD_WAITING, HELD_RUNNING, HELD_FINISHED, HELD_FORGOTTEN, HELD_REFUSED };

/*  ---- OPEN: what a client waits for ---- */

/*  Can it be proven that the task never ran? Either it was sent to this manager and the client's
 *  record was never lost, so the task's would be here; or it was sent to an earlier one, and
 *  everyone who may have had it then has come and does not have it. */
static bool
never_ran (const dn_manager_t *self, const dn_peer_t *client, const dn_row_open_t *call)
{
    if (call->epoch == self->config.epoch)
        return call->term == client->u.client.term;
    return client->u.client.early && !self->overlooked &&
           dn_rosters_all_back (self->rosters, call->epoch) &&
           !dn_crowd_has (self->forgotten, &client->session) && !dn_crowd_lost (self->forgotten);
}

static void
missing (const dn_manager_t *self, const dn_peer_t *client, const dn_row_open_t *call,
         dn_effects_t *fx)
{
    bool never = never_ran (self, client, call);
    if (!never && call->epoch != self->config.epoch &&
        (dn_manager_settling (self) || self->unheard))
        return; /* its worker may still come and say that it has it, or has said so in vain */
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_MISSING);
    row->to = client->link;
    row->msg.u.missing.seq = call->seq;
    row->msg.u.missing.attempt = call->attempt;
    row->msg.u.missing.try_no = call->try_no;
    row->msg.u.missing.never = never;
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
    if (task->settled) { /* as after a restart: its worker was told to forget this client */
        dn_tasks_attach (self->tasks, task, client);
        task->settled = false;
    }
    task->listed_sweep = self->sweep;
    task->try_no = call->try_no;
    if (task->state == DN_TASK_PLACED) {
        if (call->epoch != self->config.epoch || call->term != client->u.client.term ||
            (!call->known && !task->fresh)) /* lost on its way, or it crosses this OPEN */
            dn_manager_known (self, task, call->try_no, fx);
        if (call->cancel)
            dn_manager_cancel (self, task, call->cancel, fx);
    } else if (task->told_mark >= mark)
        return; /* its outcome is on the way */
    else if (task->state == DN_TASK_LOST)
        dn_manager_lose (self, task, task->reason, fx);
    else
        dn_manager_ask_again (self, task, fx);
}

/*  What is covered and not listed has ended for the client. */
static void
settle_unlisted (dn_manager_t *self, dn_peer_t *client, const dn_open_t *open, dn_effects_t *fx)
{
    for (dn_task_t *task = TAILQ_FIRST (&client->tasks), *next; task; task = next) {
        next = TAILQ_NEXT (task, of_client);
        if (task->seq >= open->from_seq && task->seq <= open->upto_seq &&
            task->listed_sweep != self->sweep)
            dn_manager_settle (self, task, fx);
    }
}

/*  Whoever waits is in its ring, whatever was lost. A row that is younger than the BEAT which the
 *  client answers is not known to it yet. */
static void
note_want (dn_manager_t *self, dn_peer_t *client, uint32_t service, const dn_row_want_t *want,
           uint64_t mark)
{
    dn_need_t need = {service, want->depth < DENIM_NESTING_MAX ? want->depth : DENIM_NESTING_MAX};
    if (want->waits && want->held)
        dn_manager_wait (self, client, need, want->priority, want->held, 0);
    dn_waiter_t *waiter =
        dn_waiters_find (self->waiters, client, service, dn_rank (want->priority, need.depth));
    if (!waiter)
        return;
    if (want->waits || waiter->mark >= mark)
        waiter->sweep = self->sweep;
    if (want->waits)
        waiter->held = want->held;
}

static void
leave_unlisted (dn_manager_t *self, dn_peer_t *client, uint64_t mark)
{
    for (dn_waiter_t *waiter = TAILQ_FIRST (&client->u.client.waiters), *next; waiter;
         waiter = next) {
        next = TAILQ_NEXT (waiter, of_client);
        if (waiter->queued && waiter->sweep != self->sweep && waiter->mark < mark)
            dn_waiters_leave (self->waiters, waiter);
    }
}

/*  The round trip: a new one that is longer counts at once, a shorter one by an eighth. */
static void
measure_round (const dn_manager_t *self, dn_peer_t *client, uint64_t mark)
{
    dn_client_part_t *part = &client->u.client;
    if (mark != client->mark || part->beat_ms == DN_NEVER)
        return;
    int64_t round_ms = self->now_ms - part->beat_ms;
    part->beat_ms = DN_NEVER;
    part->round_ms = round_ms > part->round_ms ? round_ms : (7 * part->round_ms + round_ms) / 8;
}

static void
note_wants (dn_manager_t *self, dn_peer_t *client, dn_list_t wants, uint64_t mark)
{
    dn_row_want_t want;
    bool          whole = wants.count < WANTS_MAX;
    client->u.client.waiting = 0;
    self->sweep++;
    while (dn_list_next (&wants, DN_ROW_WANT, &want)) {
        client->u.client.waiting += want.held;
        uint32_t service = dn_services_find (self->services, want.service);
        if (service == DN_SERVICE_NONE || want.priority >= DN_PRIORITIES)
            continue;
        dn_services_get (self->services, service)->waiting_next += want.held;
        note_want (self, client, service, &want, mark);
    }
    if (whole)
        leave_unlisted (self, client, mark);
}

void
dn_manager_on_open (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                    dn_effects_t *fx)
{
    const dn_open_t *open = &in->msg->u.open;
    self->sweep++;
    dn_list_t     calls = open->calls;
    dn_row_open_t call;
    while (dn_effects_room (fx, DN_SWEEP_ROWS) && dn_list_next (&calls, DN_ROW_OPEN, &call))
        listed_open (self, from, &call, open->mark, fx);
    if (calls.count == 0)
        settle_unlisted (self, from, open, fx);
    note_wants (self, from, open->wants, open->mark);
    measure_round (self, from, open->mark);
}

/*  ---- HELD and the inventory: what a worker has ---- */

/*  A table was full, and what a worker has got no record: while it may list it once more, nobody is
 *  told that it is unknown, and never again, in case it did not, that something of an earlier boot
 *  never ran. */
static void
note_overlooked (dn_manager_t *self)
{
    self->overlooked = true;
    self->unheard = UNHEARD_BEATS;
}

/*  A client that is known from a list only. */
static dn_peer_t *
add_client (dn_manager_t *self, const dn_session_t *session)
{
    dn_peer_t *client = dn_peers_add (self->peers, DN_ROLE_CLIENT, session);
    if (!client)
        note_overlooked (self);
    return client;
}

/*  Whose it is, when there is no record: a client that is not known yet may still come while the
 *  manager settles, and is silent until then. */
static dn_peer_t *
owner_of (dn_manager_t *self, dn_peer_t *worker, const dn_session_t *session, dn_effects_t *fx)
{
    dn_peer_t *client = dn_peers_by_session (self->peers, session);
    if (!client && dn_manager_settling (self))
        client = add_client (self, session);
    else if (!client)
        dn_manager_forget (self, worker, session, fx);
    return client && client->role == DN_ROLE_CLIENT && !client->gone ? client : NULL;
}

/*  A task that a worker lists, without a record: as after a restart. */
static dn_task_t *
adopt (dn_manager_t *self, dn_peer_t *worker, const dn_row_held_t *held, dn_effects_t *fx)
{
    dn_row_key_t key = {held->session, held->seq, held->attempt};
    if (held->state == HELD_FORGOTTEN)
        return dn_manager_adopt (self, NULL, worker, &key, held->depth);
    dn_peer_t *client = owner_of (self, worker, &held->session, fx);
    dn_task_t *task = client ? dn_manager_adopt (self, client, worker, &key, held->depth) : NULL;
    if (client && !task)
        note_overlooked (self);
    if (task && held->state == HELD_FINISHED)
        dn_manager_move (self, task, DN_TASK_FINISHED, NULL);
    return task;
}

/*  The record and what its worker says of the task: in which state it is now. */
static void
follow (dn_manager_t *self, dn_task_t *task, dn_peer_t *worker, const dn_row_held_t *held,
        dn_effects_t *fx)
{
    if (held->state != HELD_FINISHED) {
        if (task->state == DN_TASK_LOST)
            dn_manager_move (self, task, DN_TASK_PLACED, worker);
    } else if (task->settled) {
        dn_row_key_t key = {held->session, held->seq, held->attempt};
        dn_manager_move (self, task, DN_TASK_FREE, NULL);
        dn_manager_release (self, worker, &key, 0, fx);
    } else if (task->state != DN_TASK_FINISHED) {
        dn_manager_move (self, task, DN_TASK_FINISHED, worker);
        dn_manager_ask_again (self, task, fx);
    }
}

/*  Its REFUSE was sent, or is on its way: nothing ran. The worker keeps the key until told. A task
 *  that was sent there again since the list was asked for is another try, of which it says
 *  nothing. */
static void
listed_refused (dn_manager_t *self, dn_task_t *task, dn_peer_t *worker, const dn_row_held_t *held,
                uint64_t mark, dn_effects_t *fx)
{
    if (task && task->worker == worker->self && task->mark >= mark)
        return;
    dn_row_key_t key = {held->session, held->seq, held->attempt};
    dn_manager_release (self, worker, &key, 0, fx);
    dn_manager_release_now (self, worker, fx);
    if (task && task->worker == worker->self && dn_effects_room (fx, DN_SWEEP_ROWS))
        dn_manager_give_back (self, task, DENIM_REASON_BUSY, fx);
}

static void
listed_held (dn_manager_t *self, dn_peer_t *worker, const dn_row_held_t *held, uint64_t mark,
             dn_effects_t *fx)
{
    dn_task_t *task = dn_tasks_find (self->tasks, &held->session, held->seq, held->attempt);
    bool       adopted = !task;
    if (held->state == HELD_REFUSED) {
        listed_refused (self, task, worker, held, mark, fx);
        return;
    }
    if (!task)
        task = adopt (self, worker, held, fx);
    if (!task)
        return;
    if (task->worker != worker->self && task->state != DN_TASK_LOST) {
        dn_row_key_t key = {held->session, held->seq, held->attempt};
        dn_manager_release (self, worker, &key, 0, fx);
        return; /* another one has it */
    }
    task->seen = true;
    task->listed_sweep = self->sweep;
    if (!adopted)
        follow (self, task, worker, held, fx);
    else if (mark == MARK_HELLO && held->state == HELD_FINISHED)
        dn_manager_ask_again (self, task, fx);
}

/*  Is the key within the range that a list covers completely? */
static bool
covered (const dn_task_t *task, const dn_held_t *held)
{
    int low = memcmp (task->session.bytes, held->from_session.bytes, sizeof task->session.bytes);
    int high = memcmp (task->session.bytes, held->upto_session.bytes, sizeof task->session.bytes);
    return (low > 0 || (low == 0 && task->seq >= held->from_seq)) &&
           (high < 0 || (high == 0 && task->seq <= held->upto_seq));
}

/*  What was sent before the list was asked for and is not on it: never seen there, it never
 *  arrived; seen there, nobody will ever know. */
static void
absent (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx)
{
    if (task->state == DN_TASK_LOST)
        return;
    if (task->settled)
        dn_manager_move (self, task, DN_TASK_FREE, NULL);
    else if (task->seen || task->state == DN_TASK_FINISHED)
        dn_manager_lose (self, task, DENIM_REASON_SILENT, fx);
    else
        dn_manager_give_back (self, task, DENIM_REASON_BUSY, fx);
}

void
dn_manager_on_held (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                    dn_effects_t *fx)
{
    const dn_held_t *held = &in->msg->u.held;
    from->u.worker.restarts = held->restarts;
    from->u.worker.rss_bytes = held->rss_bytes;
    dn_manager_take_places (self, from,
                            &(dn_offer_t){.slots = held->slots,
                                          .lent = held->lent,
                                          .blocked = held->blocked,
                                          .standby = held->standby});
    if (held->mark >= from->u.worker.news_mark) {
        from->u.worker.roster = from->u.worker.roster_sent;
        from->u.worker.forgets = from->u.worker.forgets_sent;
    }
    dn_manager_name_workers (self);
    if (held->mark > from->u.worker.listed_mark && held->mark <= from->mark)
        from->u.worker.listed_mark = held->mark;
    self->sweep++;
    dn_list_t     tasks = held->tasks;
    dn_row_held_t row;
    while (dn_list_next (&tasks, DN_ROW_HELD, &row))
        listed_held (self, from, &row, held->mark, fx);

    for (dn_task_t *task = TAILQ_FIRST (&from->tasks), *next; task; task = next) {
        next = TAILQ_NEXT (task, of_worker);
        if (dn_effects_room (fx, DN_SWEEP_ROWS) && task->mark < held->mark &&
            task->listed_sweep != self->sweep && covered (task, held))
            absent (self, task, fx);
    }
}

void
dn_manager_inventory (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *worker,
                      bool fresh, dn_effects_t *fx)
{
    worker->u.worker.listed_mark = ++worker->mark;
    self->sweep++;
    dn_list_t     tasks = in->msg->u.worker_hello.inventory;
    dn_row_held_t row;
    while (dn_list_next (&tasks, DN_ROW_HELD, &row))
        listed_held (self, worker, &row, MARK_HELLO, fx);
    if (!fresh)
        return;

    for (dn_task_t *task = TAILQ_FIRST (&worker->tasks), *next; task; task = next) {
        next = TAILQ_NEXT (task, of_worker);
        if (dn_effects_room (fx, DN_SWEEP_ROWS) && task->listed_sweep != self->sweep)
            absent (self, task, fx);
    }
}
