/*  session_calls.c - what happens to a call of the session, and how it ends
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/session_private.h"

#include "base/check.h"

#include <inttypes.h>

enum { RESULT_STARTED = 1 };

/*  Is a call that was refused for this reason submitted again? */
static bool
is_retried (unsigned reason)
{
    static const bool retried[DENIM_REASONS] = {
#define X(number, name, again, text) [number] = again,
        DENIM_REASON_MAP (X)
#undef X
    };
    return reason < DENIM_REASONS && retried[reason];
}

/*  ---- accounts: bytes on their way, and the pace of the service ---- */

static void
count_out_bytes (dn_session_core_t *self, dn_call_t *call)
{
    if (!call->in_bytes)
        return;
    self->unplaced_bytes -= call->payload_bytes;
    call->in_bytes = false;
}

static void
count_placed (dn_session_core_t *self, dn_call_t *call, bool stays)
{
    if (call->placed)
        return;
    dn_line_t *line = dn_lines_get (self->lines, call->line);
    call->placed = true;
    line->shut = false;
    dn_pace_placed (&line->pace, call->probe, stays);
}

/*  Tell the accounts of an event to a call that is on its way. */
static void
account (dn_session_core_t *self, dn_call_t *call, dn_call_event_t event, const dn_ending_t *ending)
{
    dn_line_t *line = dn_lines_get (self->lines, call->line);
    dn_pace_t *pace = &line->pace;
    bool       known = call->placed;
    switch (event) {
    case DN_CALL_ON_PLACED: count_placed (self, call, true); break;
    case DN_CALL_ON_RESULT:
    case DN_CALL_ON_LOST:
        if (ending->result)
            count_placed (self, call, false);
        if (ending->result && line->held_all)
            dn_pace_ended (pace, known);
        else
            dn_pace_left (pace, known); /* nobody waits to take its place */
        break;
    case DN_CALL_ON_AGAIN:
        if (ending->refused)
            dn_pace_refused (pace, known, ending->turn, ending->retry_after_ms, self->now_ms);
        else
            dn_pace_left (pace, known);
        break;
    case DN_CALL_ON_UNSENT:
    case DN_CALL_ON_REFUSED:
    case DN_CALL_ON_GIVE_UP: dn_pace_left (pace, known); break;
    case DN_CALL_ON_SUBMIT:
    case DN_CALL_ON_CANCEL:
    case DN_CALL_EVENTS: return;
    }
    count_out_bytes (self, call);
}

/*  ---- actions ---- */

typedef void (action_fn) (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending,
                          dn_effects_t *fx);

static void
do_ignore (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    (void) self, (void) call, (void) ending, (void) fx;
}

static void
do_bug (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    (void) self, (void) call, (void) ending, (void) fx;
    dn_check (!"an event that is only asked for in another state");
}

/*  Take it out of every table; the handle is stale from then on. */
static void
forget (dn_session_core_t *self, dn_call_t *call)
{
    if (call->line != DN_LINE_NONE) {
        dn_line_t *line = dn_lines_get (self->lines, call->line);
        if (call->state == DN_CALL_HELD) {
            dn_lines_unhold (self->lines, call);
            self->held--;
        }
        dn_lines_done (self->lines, line);
    }
    dn_calls_remove (self->calls, call);
}

/*  How a call ends whose earlier attempt was lost: that one may have run, whatever is known of the
 *  last one. */
static denim_outcome_t
after_lost_attempt (denim_outcome_t outcome, dn_result_t *result)
{
    result->flags |= RESULT_STARTED;
    if (outcome != DENIM_REJECTED && outcome != DENIM_UNAVAILABLE && outcome != DENIM_UNKNOWN_TASK)
        return outcome;
    result->text = dn_str ("an attempt was lost and may have run; the next one found no place");
    return DENIM_LOST;
}

static void
complete (dn_session_core_t *self, dn_call_t *call, denim_outcome_t outcome,
          const dn_ending_t *ending, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_COMPLETE, DN_MSG_RESULT);
    dn_result_t *result = &row->msg.u.result;
    if (ending && ending->result) {
        *result = *ending->result;
    } else if (ending) {
        result->reason = (uint8_t) ending->reason;
        result->flags = ending->started;
        result->text = ending->text;
        result->exit_code = 255;
    }
    result->session = self->config.id;
    result->seq = call->seq;
    result->attempt = call->attempt;
    if (call->attempt > 1)
        outcome = after_lost_attempt (outcome, result);
    result->outcome = (uint8_t) outcome;
    row->handle = call->self;
    row->reason = result->reason;
    forget (self, call);
}

static void
do_end (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    uint8_t told = ending->result ? ending->result->outcome : (uint8_t) ending->outcome;
    complete (self, call, (denim_outcome_t) told, ending, fx);
}

static void
do_end_cancelled (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending,
                  dn_effects_t *fx)
{
    (void) ending;
    dn_ending_t unstarted = {.outcome = DENIM_CANCELLED};
    complete (self, call, DENIM_CANCELLED, &unstarted, fx);
}

static void
do_leave (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    dn_session_say_cancel (self, call, ending->how, fx);
    do_end (self, call, ending, fx);
}

static void
tell_unplaced (dn_call_t *call, dn_effects_t *fx)
{
    if (call->state != DN_CALL_KNOWN)
        return;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_PLACED, DN_MSG_KNOWN);
    row->handle = call->self;
}

static void
do_hold (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    (void) ending;
    tell_unplaced (call, fx);
    call->state = DN_CALL_HELD;
    call->placed = call->probe = false;
    dn_lines_hold (self->lines, call);
    self->held++;
}

static void
do_mark (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    (void) self, (void) ending;
    if (call->state != DN_CALL_SENT)
        return;
    call->state = DN_CALL_KNOWN;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_PLACED, DN_MSG_KNOWN);
    row->handle = call->self;
    row->number = 1;
}

/*  May one more attempt be made? The stock allows all calls that are outstanding to be lost at
 *  once; in the long run one in DN_REPEAT_PARTS, so that a service which loses most of its calls
 *  does not get each of them three times. */
static bool
spend_repeat (dn_session_core_t *self)
{
    if (self->repeats < DN_REPEAT_PARTS)
        return false;
    self->repeats -= DN_REPEAT_PARTS;
    return true;
}

static void
earn_repeat (dn_session_core_t *self)
{
    if (self->repeats < self->config.window * DN_REPEAT_PARTS)
        self->repeats++;
}

/*  It may have run. Only a call that may run twice gets another attempt; one whose every attempt
 *  took its slot along would take the next one too. */
static void
do_retry (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    uint8_t reason = ending->result ? ending->result->reason : (uint8_t) ending->reason;
    if (reason == DENIM_REASON_CRASH || reason == DENIM_REASON_OUT_OF_MEMORY)
        call->crashes++;
    if (!call->idempotent || call->attempt >= DN_CALL_ATTEMPTS || !spend_repeat (self)) {
        bool poison = call->idempotent && call->crashes >= DN_CALL_ATTEMPTS;
        complete (self, call, poison ? DENIM_POISON : DENIM_LOST, ending, fx);
        return;
    }
    call->attempt++;
    if (call->state != DN_CALL_HELD)
        do_hold (self, call, ending, fx);
}

static void
do_wish (dn_session_core_t *self, dn_call_t *call, const dn_ending_t *ending, dn_effects_t *fx)
{
    (void) ending;
    call->state = DN_CALL_CANCELLING;
    dn_session_say_cancel (self, call, call->cancel, fx);
}

static action_fn *const actions[DN_CALL_ACTIONS] = {
    [DN_CALL_DO_IGNORE] = do_ignore, [DN_CALL_DO_BUG] = do_bug,
    [DN_CALL_DO_SEND] = do_bug, /* the pump sends; nobody else may */
    [DN_CALL_DO_HOLD] = do_hold,     [DN_CALL_DO_MARK] = do_mark,
    [DN_CALL_DO_RETRY] = do_retry,   [DN_CALL_DO_WISH] = do_wish,
    [DN_CALL_DO_END] = do_end,       [DN_CALL_DO_END_CANCELLED] = do_end_cancelled,
    [DN_CALL_DO_LEAVE] = do_leave,
};

void
dn_session_on (dn_session_core_t *self, dn_call_t *call, dn_call_event_t event,
               const dn_ending_t *ending, dn_effects_t *fx)
{
    dn_call_action_t action = dn_call_action ((dn_call_state_t) call->state, event);
    if (action != DN_CALL_DO_IGNORE && call->state != DN_CALL_HELD)
        account (self, call, event, ending);
    actions[action](self, call, ending, fx);
}

/*  ---- messages about a call ---- */

/*  The call on its way that a message is about; NULL when it is about an older attempt or try. */
static dn_call_t *
find_try (const dn_session_core_t *self, uint64_t seq, uint16_t attempt, uint32_t try_no)
{
    dn_call_t *call = dn_calls_find (self->calls, seq);
    if (!call || call->attempt != attempt || call->state == DN_CALL_HELD || call->try_no != try_no)
        return NULL;
    return call;
}

void
dn_session_on_known (dn_session_core_t *self, const dn_known_t *msg, dn_effects_t *fx)
{
    dn_call_t *call = dn_calls_find (self->calls, msg->seq);
    if (!call || !find_try (self, msg->seq, msg->attempt, msg->try_no ? msg->try_no : call->try_no))
        return;
    call->epoch = msg->epoch;
    call->term = msg->term;
    dn_lines_get (self->lines, call->line)->unknown_ms = DN_NEVER;
    dn_session_on (self, call, DN_CALL_ON_PLACED, NULL, fx);
}

/*  The outcome of a call that was refused for good. */
static denim_outcome_t
outcome_of (unsigned reason)
{
    switch (reason) {
    case DENIM_REASON_TOO_LARGE: return DENIM_TOO_LARGE;
    case DENIM_REASON_NOT_ALLOWED: return DENIM_NOT_ALLOWED;
    case DENIM_REASON_EXPIRED: return DENIM_DEADLINE;
    default: return DENIM_REJECTED; /* a number from the wire, not one of ours to list */
    }
}

/*  A manager that has been started anew does not know a service before its workers are back. A
 *  client that was served by it knows that its name is no mistake, and waits. */
static uint8_t
read_reason (const dn_session_core_t *self, const dn_line_t *line, uint8_t reason)
{
    bool served = reason == DENIM_REASON_NO_SERVICE && dn_lines_served (self->lines, line);
    return served ? DENIM_REASON_NO_WORKER : reason;
}

static void
note_refusal (dn_session_core_t *self, dn_line_t *line, const dn_reject_t *msg, uint8_t reason)
{
    if (is_retried (reason)) { /* else it is about this call, not about those behind it */
        line->reason = reason;
        line->refused_ms = self->now_ms;
        line->shut = true;
    }
    if (reason != DENIM_REASON_NO_SERVICE) {
        line->unknown_ms = DN_NEVER;
        return;
    }
    dn_str_copy (line->unknown_text, sizeof line->unknown_text, msg->text);
    if (line->unknown_ms == DN_NEVER)
        line->unknown_ms = self->now_ms;
}

/*  Does the manager remember that this client waits? */
static bool
is_granted (unsigned reason)
{
    return reason == DENIM_REASON_BUSY || reason == DENIM_REASON_STANDBY ||
           reason == DENIM_REASON_NO_WORKER || reason == DENIM_REASON_DEADLOCK;
}

void
dn_session_on_reject (dn_session_core_t *self, const dn_reject_t *msg, dn_effects_t *fx)
{
    dn_call_t *call = find_try (self, msg->seq, msg->attempt, msg->try_no);
    if (!call)
        return;
    dn_line_t *line = dn_lines_get (self->lines, call->line);
    self->rejected++;
    call->reason = read_reason (self, line, msg->reason);
    note_refusal (self, line, msg, call->reason);

    bool        again = is_retried (msg->reason);
    dn_ending_t ending = {.outcome = outcome_of (msg->reason),
                          .reason = (denim_reason_t) msg->reason,
                          .text = msg->text,
                          .refused = true,
                          .turn = is_granted (msg->reason),
                          .retry_after_ms = msg->retry_after_ms};
    if (!again && !msg->text.len)
        ending.text = dn_str (denim_reason_text (msg->reason));
    dn_session_on (self, call, again ? DN_CALL_ON_AGAIN : DN_CALL_ON_REFUSED, &ending, fx);
}

void
dn_session_on_result (dn_session_core_t *self, const dn_result_t *msg, dn_effects_t *fx)
{
    if (!dn_session_eq (&msg->session, &self->config.id))
        return;
    dn_session_ack (self, msg->seq, msg->attempt, fx);
    dn_call_t *call = dn_calls_find (self->calls, msg->seq);
    if (!call || call->attempt != msg->attempt)
        return;
    dn_line_t *line = dn_lines_get (self->lines, call->line);
    line->unknown_ms = DN_NEVER;
    if (msg->outcome == DENIM_VALUE || msg->outcome == DENIM_EXCEPTION)
        dn_line_ran (line, msg->run_us, self->now_ms - call->sent_ms);
    dn_result_t told = *msg;
    if (told.outcome >= DENIM_OUTCOMES)
        told.outcome =
            DENIM_LOST; /* of a newer version: it may have run, and that is all we know */
    dn_ending_t ending = {.result = &told};
    bool        lost = told.outcome == DENIM_LOST;
    if (!lost)
        earn_repeat (self);
    dn_session_on (self, call, lost ? DN_CALL_ON_LOST : DN_CALL_ON_RESULT, &ending, fx);
}

void
dn_session_on_progress (dn_session_core_t *self, const dn_progress_t *msg, dn_effects_t *fx)
{
    if (!dn_session_eq (&msg->session, &self->config.id))
        return;
    dn_call_t *call = dn_calls_find (self->calls, msg->seq);
    if (!call || call->attempt != msg->attempt)
        return;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_PROGRESS, DN_MSG_PROGRESS);
    row->handle = call->self;
    row->msg.u.progress = *msg;
}

void
dn_session_on_missing (dn_session_core_t *self, const dn_missing_t *msg, dn_effects_t *fx)
{
    dn_call_t *call = find_try (self, msg->seq, msg->attempt, msg->try_no);
    if (!call)
        return;
    dn_ending_t ending = {.outcome = DENIM_LOST, .reason = DENIM_REASON_SILENT, .started = true};
    if (!msg->never)
        ending.text =
            dn_str ("neither the manager nor a worker knows of it any more; it may have run");
    dn_session_on (self, call, msg->never ? DN_CALL_ON_AGAIN : DN_CALL_ON_LOST, &ending, fx);
}

/*  ---- what time ends ---- */

/*  Room for what the end of one call appends? Else the next tick goes on. */
static bool
has_room (dn_session_core_t *self, const dn_effects_t *fx)
{
    if (!dn_effects_room (fx, 16))
        self->more = true;
    return !self->more;
}

/*  The deadline of a call that is held: why was it not sent, or not taken, until now? */
static dn_ending_t
held_too_long (dn_session_core_t *self, const dn_call_t *call, dn_effects_t *fx)
{
    const dn_line_t *line = dn_lines_get (self->lines, call->line);
    uint8_t          reason = call->reason;
    if (!reason && (line->shut || line->refused_ms >= call->submitted_ms))
        reason = line->reason; /* it waits behind those that were refused, or for their timer */
    if (!reason)
        reason = self->fault;
    const char *more = reason == DENIM_REASON_NO_SERVICE ? line->unknown_text : "";
    if (reason)
        return (dn_ending_t){.outcome = DENIM_REJECTED,
                             .reason = (denim_reason_t) reason,
                             .text = dn_session_say (fx, "refused until the deadline: %s%s%s",
                                                     denim_reason_text (reason), *more ? "; " : "",
                                                     more)};
    if (self->link != DN_SESSION_UP && self->contact_ms < call->submitted_ms)
        return (dn_ending_t){.outcome = DENIM_UNAVAILABLE,
                             .text = dn_session_say (
                                 fx, "no manager at %s was reached in time%s", self->config.address,
                                 self->reached ? ": it went away" : ": start one with `denimd`")};
    return (dn_ending_t){.outcome = DENIM_DEADLINE,
                         .text = dn_str ("the deadline passed before it was sent")};
}

bool
dn_session_end_late (dn_session_core_t *self, dn_call_t *call, dn_effects_t *fx)
{
    const dn_line_t *line = dn_lines_get (self->lines, call->line);
    if (call->deadline_ms == DN_NEVER || !dn_line_is_late (line, self->now_ms - call->submitted_ms,
                                                           call->deadline_ms - self->now_ms))
        return false;
    dn_ending_t ending = held_too_long (self, call, fx);
    if (ending.outcome == DENIM_DEADLINE) {
        ending.reason = DENIM_REASON_EXPIRED;
        ending.text = dn_str ("it had waited for so long that it would have missed its deadline");
    }
    dn_session_on (self, call, DN_CALL_ON_GIVE_UP, &ending, fx);
    return true;
}

static void
expire_deadlines (dn_session_core_t *self, dn_effects_t *fx)
{
    dn_call_t *call;
    while ((call = dn_calls_urgent (self->calls)) != NULL && call->deadline_ms <= self->now_ms) {
        if (!has_room (self, fx))
            return;
        dn_ending_t ending = {.outcome = DENIM_DEADLINE,
                              .started = true,
                              .text = dn_str ("the deadline passed while it was with a worker"),
                              .how = 1};
        if (call->state == DN_CALL_HELD)
            ending = held_too_long (self, call, fx);
        else if (call->state != DN_CALL_KNOWN)
            ending.text = dn_str ("the deadline passed; it may have started");
        dn_session_on (self, call, DN_CALL_ON_GIVE_UP, &ending, fx);
    }
}

/*  End the held calls of a line that were submitted by then. Their line goes off the ring with
 *  them. */
static void
expire_line (dn_session_core_t *self, dn_line_t *line, int64_t submitted_ms,
             const dn_ending_t *ending, dn_effects_t *fx)
{
    for (unsigned i = 0; i < DN_PRIORITIES; i++) {
        dn_call_t *call;
        while ((call = dn_line_head_of (line, i)) != NULL && call->submitted_ms <= submitted_ms) {
            if (!has_room (self, fx))
                return;
            dn_session_on (self, call, DN_CALL_ON_GIVE_UP, ending, fx);
        }
    }
}

static bool
awaits_first_contact (const dn_session_core_t *self)
{
    return !self->reached && self->config.connect_timeout_ms >= 0;
}

static void
expire_unreached (dn_session_core_t *self, dn_line_t *line, dn_effects_t *fx)
{
    int64_t timeout_ms = self->config.connect_timeout_ms;
    if (dn_line_oldest_ms (line) > self->now_ms - timeout_ms)
        return;
    dn_ending_t ending = {.outcome = DENIM_UNAVAILABLE};
    ending.text = dn_session_say (fx, "no manager at %s within %g s: start one with `denimd`",
                                  self->config.address, (double) timeout_ms / 1000);
    expire_line (self, line, self->now_ms - timeout_ms, &ending, fx);
}

/*  Calls of a service that nobody offers end when they, and it, have been so for the grace. */
static bool
awaits_service (const dn_session_core_t *self, const dn_line_t *line)
{
    return line->unknown_ms != DN_NEVER && self->link == DN_SESSION_UP;
}

static void
expire_unknown (dn_session_core_t *self, dn_line_t *line, dn_effects_t *fx)
{
    int64_t since_ms = self->now_ms - self->config.unknown_grace_ms;
    if (line->unknown_ms > since_ms || dn_line_oldest_ms (line) > since_ms)
        return;
    dn_ending_t ending = {.outcome = DENIM_UNKNOWN_TASK, .reason = DENIM_REASON_NO_SERVICE};
    ending.text = dn_session_say (fx,
                                  "no worker has offered service \"%s\" since the manager "
                                  "started%s%s",
                                  line->name, *line->unknown_text ? ": " : "", line->unknown_text);
    expire_line (self, line, since_ms, &ending, fx);
}

static void
expire_all (dn_session_core_t *self, dn_effects_t *fx)
{
    uint32_t   row = 0;
    dn_call_t *call;
    while ((call = dn_calls_walk (self->calls, &row)) != NULL) {
        if (!has_room (self, fx))
            return;
        dn_ending_t ending = {.outcome = (denim_outcome_t) self->failing_outcome,
                              .reason = (denim_reason_t) self->failing_reason,
                              .started = call->state != DN_CALL_HELD,
                              .text = dn_str (self->failing_text)};
        dn_session_on (self, call, DN_CALL_ON_GIVE_UP, &ending, fx);
    }
    self->failing = false;
}

void
dn_session_expire (dn_session_core_t *self, dn_effects_t *fx)
{
    if (self->failing) {
        expire_all (self, fx);
        return;
    }
    expire_deadlines (self, fx);
    for (dn_line_t *line = dn_lines_first (self->lines), *next; line && has_room (self, fx);
         line = next) {
        next = dn_lines_next (line);
        if (awaits_first_contact (self))
            expire_unreached (self, line, fx);
        if (line->held_all && awaits_service (self, line))
            expire_unknown (self, line, fx);
    }
}

int64_t
dn_session_expire_ms (const dn_session_core_t *self)
{
    const dn_call_t *urgent = dn_calls_urgent (self->calls);
    int64_t          due_ms = urgent ? urgent->deadline_ms : DN_NEVER;
    for (const dn_line_t *line = dn_lines_first (self->lines); line; line = dn_lines_next (line)) {
        int64_t oldest_ms = dn_line_oldest_ms (line);
        if (awaits_first_contact (self))
            due_ms = dn_min_ms (due_ms, oldest_ms + self->config.connect_timeout_ms);
        if (!awaits_service (self, line))
            continue;
        int64_t since_ms = oldest_ms > line->unknown_ms ? oldest_ms : line->unknown_ms;
        due_ms = dn_min_ms (due_ms, since_ms + self->config.unknown_grace_ms);
    }
    return due_ms;
}
