/*  fleet_tasks.c - tasks come, stand by, and are wished away
 *
 *  How they end is in fleet_answers.c.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

enum { SUBMIT_FINISH = 2 };

/*  ---- standing by ---- */

/*  Ends it if it is not to run any more: true. */
static bool
end_unstarted (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx)
{
    dn_hold_end_t end = {.exit_code = DN_NO_EXIT_CODE};

    if (hold->forgotten && !hold->finish)
        dn_fleet_let_go (self, hold, fx);
    else if (hold->cancel || hold->deadline_ms <= now_ms) {
        end.outcome = hold->deadline_ms <= now_ms ? DENIM_DEADLINE : DENIM_CANCELLED;
        hold->waited_ms = now_ms - hold->arrived_ms;
        dn_fleet_end (self, hold, &end, fx);
    } else if (self->stay != DN_STAY_WORKING)
        dn_fleet_refuse (self, hold, DENIM_REASON_DRAINING, fx);
    else
        return false;
    return true;
}

static void
stand_by (dn_fleet_t *self, dn_hold_t *hold, bool front)
{
    dn_holds_move (self->holds, hold, DN_HOLD_STANDBY, NULL, front);
    dn_fleet_alarm (self, hold->arrived_ms + self->standby_ms);
}

void
dn_fleet_requeue (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx)
{
    hold->doom = (dn_hold_end_t){0};
    hold->interrupted = false;
    hold->kill_ms = DN_NEVER;
    if (end_unstarted (self, now_ms, hold, fx))
        return;
    if (!hold->forgotten && dn_fleet_is_shut (self, hold->depth))
        dn_fleet_refuse (self, hold, DENIM_REASON_STANDBY, fx);
    else
        stand_by (self, hold, true);
}

/*  ---- RUN ---- */

static int64_t
limit_or (uint32_t limit_ms, int64_t own_ms)
{
    return limit_ms ? limit_ms : own_ms;
}

static void
take_task (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, const dn_submit_t *submit,
           dn_effects_t *fx)
{
    hold->service = dn_services_find (self->services, submit->service);
    hold->payload_bytes = self->in_hand + submit->small.len;
    hold->arrived_ms = now_ms;
    hold->deadline_ms = submit->deadline_ms ? now_ms + submit->deadline_ms : DN_NEVER;
    hold->soft_limit_ms = limit_or (submit->soft_limit_ms, self->config.soft_limit_ms);
    hold->hard_limit_ms = limit_or (submit->hard_limit_ms, self->config.hard_limit_ms);
    hold->kill_ms = DN_NEVER;
    hold->finish = submit->flags & SUBMIT_FINISH;
    if (submit->deadline_ms)
        dn_fleet_alarm_deadline (self, hold->deadline_ms);

    dn_effect_t *row = dn_fx_add (fx, DN_FX_KEEP);
    row->handle = dn_holds_handle (self->holds, hold);
    hold->kept = true;
    stand_by (self, hold, false);
    dn_fleet_dispatch (self, now_ms, fx);
}

/*  Its answer is wanted once more; what is in the outbox goes anyway. */
static void
send_again (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    if (hold->state != DN_HOLD_KEPT)
        return;
    dn_holds_move (self->holds, hold, DN_HOLD_OUTBOX, NULL, false);
    if (dn_fleet_may_send (self))
        dn_fleet_send_answer (self, hold, fx);
}

/*  Levels of nested calls, as far as they are told apart: a client of ours sends no deeper ones. */
static uint8_t
depth_of (const dn_submit_t *submit)
{
    return submit->depth < DENIM_NESTING_MAX ? submit->depth : DENIM_NESTING_MAX;
}

static denim_reason_t
reason_to_refuse (const dn_fleet_t *self, const dn_session_t *client, unsigned depth)
{
    if (self->stay != DN_STAY_WORKING)
        return DENIM_REASON_DRAINING;
    if (dn_fleet_over_share (self, client))
        return DENIM_REASON_OVER_SHARE;
    if (dn_fleet_is_shut (self, depth))
        return DENIM_REASON_STANDBY;
    dn_places_t places = dn_fleet_places (self);
    bool        free = places.slots_free + places.standby_free > 0;
    return free && dn_fleet_may_take (self, depth) ? DENIM_REASON_NONE : DENIM_REASON_BUSY;
}

void
dn_fleet_on_run (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_run_t *run = &msg->u.run;
    dn_msg_t        inner;

    if (run->link != self->link_number)
        return; /* of a connection that is gone: the HELLO since then did not list it */
    int rc = dn_msg_decode (&inner, M2W, run->submit.ptr, run->submit.len);
    if (rc < 0 || inner.kind != DN_MSG_SUBMIT) {
        dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "malformed", NULL);
        row->text = rc < 0 ? dn_wire_strerror (rc) : "a RUN without a SUBMIT inside";
        return; /* without its number it cannot be refused: HELD will not list it */
    }
    const dn_submit_t *submit = &inner.u.submit;
    dn_hold_t         *hold = dn_holds_find (self->holds, &run->session, submit->seq, run->attempt);
    if (hold && hold->state == DN_HOLD_KEPT && dn_hold_refused (hold)) {
        dn_fleet_let_go (self, hold, fx); /* nothing of it ran, and the manager has heard so */
        hold = NULL;
    }
    if (hold) { /* order within a link is the memory against duplicates: its answer was lost */
        send_again (self, hold, fx);
        return;
    }
    denim_reason_t reason = reason_to_refuse (self, &run->session, depth_of (submit));
    if (!reason)
        hold =
            dn_holds_add (self->holds, &run->session, submit->seq, run->attempt, depth_of (submit));
    if (hold)
        take_task (self, now_ms, hold, submit, fx);
    else if (dn_fleet_may_send (self)) /* else the next HELD does not list it: that says as much */
        dn_fleet_send_refuse (self, &run->session, submit->seq, run->attempt,
                              (uint8_t) (reason ? reason : DENIM_REASON_BUSY), DN_NONE, fx);
}

/*  ---- what the manager says of a task ---- */

/*  A wish is repeated each heartbeat: only a stronger one is news. */
void
dn_fleet_on_cancel (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_cancel_t *cancel = &msg->u.cancel;
    dn_hold_t *hold = dn_holds_find (self->holds, &cancel->session, cancel->seq, cancel->attempt);

    if (!hold || hold->cancel >= cancel->how || dn_hold_ended (hold))
        return;
    hold->cancel = cancel->how;
    if (hold->state == DN_HOLD_STANDBY)
        end_unstarted (self, now_ms, hold, fx);
    else if (cancel->how == 2)
        dn_fleet_doom (self, hold, DENIM_CANCELLED, DENIM_REASON_NONE, fx);
    else
        dn_fleet_take_back (dn_slots_get (self->slots, hold->slot), hold->slot, fx);
}

/*  A task that has not ended and is settled all the same is not wanted any more. */
static void
settle (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    if (hold->state == DN_HOLD_CHANNEL)
        hold->forgotten = true;
    else
        dn_fleet_let_go (self, hold, fx);
}

void
dn_fleet_on_settled (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_list_t    tasks = msg->u.settled.tasks;
    dn_row_key_t key;

    (void) now_ms;
    if (msg->u.settled.link != self->link_number)
        return; /* the same key may be another try by now; what is kept will be listed again */
    while (dn_effects_room (fx, DN_ROWS_SPARE) && dn_list_next (&tasks, DN_ROW_KEY, &key)) {
        dn_hold_t *hold = dn_holds_find (self->holds, &key.session, key.seq, key.attempt);
        if (hold)
            settle (self, hold, fx);
    }
}

void
dn_fleet_on_resend (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_resend_t *key = &msg->u.resend;
    dn_hold_t         *hold = dn_holds_find (self->holds, &key->session, key->seq, key->attempt);

    (void) now_ms;
    if (hold)
        send_again (self, hold, fx);
}

/*  Is it for nobody, and not running? */
static bool
is_void (const dn_hold_t *hold)
{
    return hold->forgotten && hold->state != DN_HOLD_CHANNEL &&
           !(hold->finish && hold->state == DN_HOLD_STANDBY);
}

/*  What waits or has ended is let go of. What runs is cancelled, or goes on if it is to be
 *  finished. Nobody is told. */
static void
purge (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t   at = 0;
    dn_hold_t *hold;

    self->purging = false;
    while ((hold = dn_holds_next (self->holds, &at))) {
        if (!is_void (hold) && !hold->vain)
            continue;
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            self->purging = true;
            dn_fleet_alarm (self, now_ms);
            return;
        }
        if (is_void (hold)) {
            dn_fleet_let_go (self, hold, fx);
            continue;
        }
        hold->vain = false;
        dn_fleet_take_back (dn_slots_get (self->slots, hold->slot), hold->slot, fx);
    }
}

void
dn_fleet_on_forget (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    uint32_t   at = 0;
    dn_hold_t *hold;

    dn_fleet_remember (self, &msg->u.forget.session);
    while ((hold = dn_holds_next (self->holds, &at))) {
        if (!dn_session_eq (&hold->session, &msg->u.forget.session))
            continue;
        hold->forgotten = true;
        hold->vain = !hold->finish && hold->state == DN_HOLD_CHANNEL && !hold->cancel;
        if (hold->vain)
            hold->cancel = 1;
    }
    purge (self, now_ms, fx);
}

/*  ---- time ---- */

/*  Stood by too long: other workers may be idle. Not before WELCOME, when it can be told. */
static void
expire_standby (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (!dn_fleet_may_send (self))
        return;
    for (dn_hold_t *hold = TAILQ_FIRST (dn_holds_standby (self->holds)), *next; hold; hold = next) {
        next = TAILQ_NEXT (hold, of_line);
        if (hold->forgotten)
            continue; /* it is to be finished, and nobody would submit it again */
        if (hold->arrived_ms + self->standby_ms > now_ms) {
            dn_fleet_alarm (self, hold->arrived_ms + self->standby_ms);
            return;
        }
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms);
            return;
        }
        dn_fleet_refuse (self, hold, DENIM_REASON_STANDBY, fx);
    }
}

static void
pass_deadline (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx)
{
    if (hold->state == DN_HOLD_STANDBY)
        end_unstarted (self, now_ms, hold, fx);
    else if (hold->state == DN_HOLD_CHANNEL)
        dn_fleet_expire_running (self, now_ms, hold, fx);
}

static void
pass_deadlines (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t   at = 0;
    dn_hold_t *hold;

    if (now_ms < self->deadline_ms) {
        dn_fleet_alarm (self, self->deadline_ms);
        return;
    }
    self->deadline_ms = DN_NEVER;
    while ((hold = dn_holds_next (self->holds, &at))) {
        if (dn_hold_ended (hold) || hold->doom.outcome)
            continue;
        if (hold->deadline_ms > now_ms || !dn_effects_room (fx, DN_ROWS_SPARE))
            dn_fleet_alarm_deadline (self, hold->deadline_ms);
        else
            pass_deadline (self, now_ms, hold, fx);
    }
}

void
dn_fleet_tick_tasks (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->purging)
        purge (self, now_ms, fx);
    pass_deadlines (self, now_ms, fx);
    dn_fleet_dispatch (self, now_ms, fx); /* what can start now is not refused */
    expire_standby (self, now_ms, fx);
}
