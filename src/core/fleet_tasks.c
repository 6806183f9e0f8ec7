/*  fleet_tasks.c - tasks come, stand by, and end
 *
 *  Every task that is taken ends in one of three ways: the answer of a slot goes on as it came, an
 *  answer is made here that says why there is none, or it is refused because nothing of it ran.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

#include <inttypes.h>
#include <string.h>

#define FLUSH_MAX 64 /* answers in one go */

enum { RESULT_STARTED = 1, RESULT_OOM = 2 };
enum { SUBMIT_FINISH = 2 };

/*  ---- leaving ---- */

static void
drop_kept (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    if (!hold->kept)
        return;
    dn_effect_t *row = dn_fx_add (fx, DN_FX_DROP);
    row->handle = dn_holds_handle (self->holds, hold);
    hold->kept = false;
}

static void note_room (dn_fleet_t *self);

static void
let_go (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    drop_kept (self, hold, fx);
    dn_holds_remove (self->holds, hold);
    dn_fleet_one_less (self);
    note_room (self);
}

/*  `handle`: of a task that was held; its place counts as free by now. */
static void
send_refuse (dn_fleet_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt,
             uint8_t reason, dn_handle_t handle, dn_effects_t *fx)
{
    dn_places_t  places = dn_fleet_places (self);
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_REFUSE);
    dn_refuse_t *refuse = &row->msg.u.refuse;

    row->reason = reason;
    row->handle = handle;
    refuse->session = *session;
    refuse->seq = seq;
    refuse->attempt = attempt;
    refuse->reason = reason;
    refuse->held = handle != DN_NONE;
    refuse->slots_free = places.slots_free;
    refuse->standby_free = places.standby_free;
}

/*  ---- answers ---- */

static const char *
signal_name (int number)
{
    const char *name = sigabbrev_np (number);
    return name ? name : "?";
}

/*  Why there is no answer, in a sentence. */
static const char *
end_text (const dn_fleet_t *self, const dn_hold_t *hold, dn_effects_t *fx)
{
    const dn_hold_end_t *end = &hold->end;

    if (end->outcome == DENIM_TIME_LIMIT)
        return dn_fleet_text (fx,
                              "it ran longer than its hard limit of %" PRId64 " ms and was killed",
                              hold->hard_limit_ms);
    if (end->outcome == DENIM_DEADLINE)
        return end->started ? "its deadline passed while it ran, and it was ended"
                            : "its deadline passed before it started";
    if (end->outcome == DENIM_CANCELLED)
        return end->started ? "it was cancelled while it ran, and was killed"
                            : "it was cancelled before it started";
    if (end->outcome == DENIM_TOO_LARGE)
        return dn_fleet_text (fx, "its answer is larger than the manager takes, %" PRIu64 " bytes",
                              self->payload_max);
    if (end->reason == DENIM_REASON_SHUTDOWN)
        return "the worker shut down before it ended";
    if (end->reason == DENIM_REASON_OUT_OF_MEMORY)
        return self->config.rss_max
                   ? dn_fleet_text (fx,
                                    "its slot used more memory than rss_max allows, %" PRIu64
                                    " bytes, and was killed",
                                    self->config.rss_max)
                   : "the system ran out of memory and killed its slot";
    if (end->signal)
        return dn_fleet_text (fx, "its slot was ended by signal %u (SIG%s)", end->signal,
                              signal_name (end->signal));
    if (end->exit_code != DN_NO_EXIT_CODE)
        return dn_fleet_text (fx, "its slot exited with code %u", end->exit_code);
    return "its slot ended, and nobody can say how";
}

static void
send_result (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_RESULT);
    dn_result_t *result = &row->msg.u.result;

    row->handle = dn_holds_handle (self->holds, hold);
    row->reason = hold->end.reason;
    result->session = hold->session;
    result->seq = hold->seq;
    result->attempt = hold->attempt;
    result->outcome = hold->end.outcome;
    result->reason = hold->end.reason;
    result->flags =
        (uint8_t) ((hold->end.started ? RESULT_STARTED : 0) | (hold->end.oom ? RESULT_OOM : 0));
    result->signal = hold->end.signal;
    result->exit_code = hold->end.exit_code;
    result->run_us = (uint32_t) (hold->ran_ms * 1000);
    result->worker = dn_str (self->config.name);
    result->host = dn_str (self->config.host);
    result->text = dn_str (end_text (self, hold, fx));
}

static void
send_answer (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    dn_handle_t handle = dn_holds_handle (self->holds, hold);

    hold->sending = true;
    if (dn_hold_refused (hold))
        send_refuse (self, &hold->session, hold->seq, hold->attempt, hold->end.reason, handle, fx);
    else if (hold->made)
        send_result (self, hold, fx);
    else {
        dn_effect_t *row = dn_fx_add (fx, DN_FX_RELAY_KEPT);
        row->handle = handle;
    }
}

/*  Answers that may be kept: the rows that are no places. */
static uint32_t
answers_max (const dn_fleet_t *self)
{
    return DN_HOLDS_MAX - self->config.slots - self->config.standby;
}

/*  Are there more than `part` quarters of the answers that may be kept, or of their bytes? */
static bool
answers_above (uint32_t count, uint64_t bytes, const dn_fleet_t *self, unsigned part)
{
    return count >= (uint64_t) answers_max (self) * part / 4 ||
           bytes >= self->config.outbox_bytes / 4 * part;
}

static void
note_full (dn_fleet_t *self, dn_effects_t *fx)
{
    uint32_t count = dn_holds_ended (self->holds);
    uint64_t bytes = dn_holds_answer_bytes (self->holds);

    if (self->outbox_full || !answers_above (count, bytes, self, 4))
        return;
    self->outbox_full = true;
    dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "outbox_full", NULL);
    row->number = bytes;
    row->text = "answers are kept for clients that have not acknowledged them; no task is taken";
    dn_fleet_offer (self);
}

/*  There are less of them: with some to spare, places are offered again. */
static void
note_room (dn_fleet_t *self)
{
    if (!self->outbox_full ||
        answers_above (dn_holds_ended (self->holds), dn_holds_answer_bytes (self->holds), self, 3))
        return;
    self->outbox_full = false;
    dn_fleet_offer (self);
}

/*  A client that leaves its answers with us must not use up what others need: once half of it all
 *  is used, no client has more than a quarter. */
static bool
over_share (const dn_fleet_t *self, const dn_session_t *client)
{
    uint64_t bytes = dn_holds_answer_bytes (self->holds);

    if (!answers_above (dn_holds_ended (self->holds), bytes, self, 2))
        return false;
    uint32_t count = dn_holds_answers_of (self->holds, client, &bytes);
    return answers_above (count, bytes, self, 1);
}

static void
keep_answer (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_add (fx, DN_FX_KEEP);

    row->handle = dn_holds_handle (self->holds, hold);
    hold->kept = true;
    dn_holds_keep_answer (self->holds, hold, self->in_hand);
    note_full (self, fx);
}

void
dn_fleet_answer (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    static const dn_hold_end_t too_large = {.outcome = DENIM_TOO_LARGE,
                                            .reason = DENIM_REASON_TOO_LARGE,
                                            .started = true,
                                            .exit_code = DN_NO_EXIT_CODE};
    if (hold->forgotten) {
        let_go (self, hold, fx);
        return;
    }
    if (self->in_hand > self->payload_max) {
        dn_fleet_end (self, hold, &too_large, fx);
        return;
    }
    dn_holds_move (self->holds, hold, DN_HOLD_OUTBOX, NULL, false);
    keep_answer (self, hold, fx);
    if (dn_fleet_may_send (self))
        send_answer (self, hold, fx);
}

static void
log_end (const dn_fleet_t *self, const dn_hold_t *hold, dn_effects_t *fx)
{
    bool           loud = hold->end.started && hold->end.outcome != DENIM_CANCELLED;
    const uint8_t *id = hold->session.bytes;

    dn_effect_t *row = dn_fx_log (fx, loud ? DN_FX_WARN : DN_FX_DEBUG, "task_ended", NULL);
    row->name =
        dn_fleet_text (fx, "%02x%02x%02x%02x:%" PRIu64, id[0], id[1], id[2], id[3], hold->seq);
    row->reason = hold->end.reason;
    row->text = end_text (self, hold, fx);
}

/*  An answer, or a refusal, that is made here: sent now, or kept as these few fields until it can
 *  be. */
static void
end_with (dn_fleet_t *self, dn_hold_t *hold, const dn_hold_end_t *end, dn_effects_t *fx)
{
    drop_kept (self, hold, fx);
    hold->end = *end;
    hold->made = true;
    dn_holds_move (self->holds, hold, DN_HOLD_OUTBOX, NULL, false);
    if (dn_fleet_may_send (self))
        send_answer (self, hold, fx);
    note_full (self, fx);
}

void
dn_fleet_end (dn_fleet_t *self, dn_hold_t *hold, const dn_hold_end_t *end, dn_effects_t *fx)
{
    if (hold->forgotten) {
        let_go (self, hold, fx);
        return;
    }
    end_with (self, hold, end, fx);
    log_end (self, hold, fx);
}

/*  Kept until it is sent, like an answer: a task that was listed once and then is not, is lost. */
void
dn_fleet_refuse (dn_fleet_t *self, dn_hold_t *hold, denim_reason_t reason, dn_effects_t *fx)
{
    dn_hold_end_t end = {.outcome = DENIM_REJECTED, .reason = (uint8_t) reason};

    if (hold->forgotten)
        let_go (self, hold, fx);
    else
        end_with (self, hold, &end, fx);
}

void
dn_fleet_flush (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    unsigned   count = 0;
    dn_hold_t *hold;

    if (!dn_fleet_may_send (self))
        return;
    TAILQ_FOREACH (hold, dn_holds_outbox (self->holds), of_line)
    {
        if (hold->sending)
            continue;
        if (count++ == FLUSH_MAX || !dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms);
            return;
        }
        send_answer (self, hold, fx);
    }
}

/*  ---- standing by ---- */

/*  Ends it if it is not to run any more: true. */
static bool
end_unstarted (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx)
{
    dn_hold_end_t end = {.exit_code = DN_NO_EXIT_CODE};

    if (hold->forgotten && !hold->finish)
        let_go (self, hold, fx);
    else if (hold->cancel || hold->deadline_ms <= now_ms) {
        end.outcome = hold->deadline_ms <= now_ms ? DENIM_DEADLINE : DENIM_CANCELLED;
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
    if (!end_unstarted (self, now_ms, hold, fx))
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
        send_answer (self, hold, fx);
}

static denim_reason_t
reason_to_refuse (const dn_fleet_t *self, const dn_session_t *client)
{
    if (self->stay != DN_STAY_WORKING)
        return DENIM_REASON_DRAINING;
    if (over_share (self, client))
        return DENIM_REASON_OVER_SHARE;
    dn_places_t places = dn_fleet_places (self);
    return places.slots_free + places.standby_free > 0 ? DENIM_REASON_NONE : DENIM_REASON_BUSY;
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
        let_go (self, hold, fx); /* nothing of it ran, and the manager has heard so */
        hold = NULL;
    }
    if (hold) { /* order within a link is the memory against duplicates: its answer was lost */
        send_again (self, hold, fx);
        return;
    }
    denim_reason_t reason = reason_to_refuse (self, &run->session);
    if (!reason)
        hold = dn_holds_add (self->holds, &run->session, submit->seq, run->attempt);
    if (hold)
        take_task (self, now_ms, hold, submit, fx);
    else if (dn_fleet_may_send (self)) /* else the next HELD does not list it: that says as much */
        send_refuse (self, &run->session, submit->seq, run->attempt,
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
        let_go (self, hold, fx);
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
            let_go (self, hold, fx);
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
