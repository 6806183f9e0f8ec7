/*  fleet_answers.c - how tasks end, and what is kept until their clients have heard of it
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

void
dn_fleet_let_go (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    drop_kept (self, hold, fx);
    dn_holds_remove (self->holds, hold);
    dn_fleet_one_less (self);
    note_room (self);
}

void
dn_fleet_send_refuse (dn_fleet_t *self, const dn_session_t *session, uint64_t seq, uint16_t attempt,
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

static uint32_t
length_us (int64_t ms)
{
    return ms < UINT32_MAX / 1000 ? (uint32_t) (ms * 1000) : UINT32_MAX;
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
    result->run_us = length_us (hold->ran_ms);
    result->wait_us = length_us (hold->waited_ms);
    result->worker = dn_str (self->config.name);
    result->host = dn_str (self->config.host);
    result->text = dn_str (end_text (self, hold, fx));
}

void
dn_fleet_send_answer (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx)
{
    dn_handle_t handle = dn_holds_handle (self->holds, hold);

    hold->sending = true;
    if (dn_hold_refused (hold))
        dn_fleet_send_refuse (self, &hold->session, hold->seq, hold->attempt, hold->end.reason,
                              handle, fx);
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
    return DN_HOLDS_MAX - dn_slots_count (self->slots) - self->config.standby;
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

bool
dn_fleet_over_share (const dn_fleet_t *self, const dn_session_t *client)
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
        dn_fleet_let_go (self, hold, fx);
        return;
    }
    if (self->in_hand > self->payload_max) {
        dn_fleet_end (self, hold, &too_large, fx);
        return;
    }
    dn_holds_move (self->holds, hold, DN_HOLD_OUTBOX, NULL, false);
    keep_answer (self, hold, fx);
    if (dn_fleet_may_send (self))
        dn_fleet_send_answer (self, hold, fx);
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
        dn_fleet_send_answer (self, hold, fx);
    note_full (self, fx);
}

void
dn_fleet_end (dn_fleet_t *self, dn_hold_t *hold, const dn_hold_end_t *end, dn_effects_t *fx)
{
    if (hold->forgotten) {
        dn_fleet_let_go (self, hold, fx);
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
        dn_fleet_let_go (self, hold, fx);
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
        dn_fleet_send_answer (self, hold, fx);
    }
}
