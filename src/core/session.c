/*  session.c - the session's life: local requests, the link to the manager, time
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/session_private.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dn_session_core_t *
dn_session_new (const dn_session_config_t *config, int64_t now_ms)
{
    dn_check (config->window > 0 && config->window <= DN_WINDOW_MAX);
    dn_session_core_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->calls = dn_calls_new (config->window);
    self->lines = dn_lines_new (DN_LINES_MAX, config->seed);
    if (!self->calls || !self->lines) {
        dn_session_destroy (&self);
        return NULL;
    }
    self->config = *config;
    snprintf (self->name, sizeof self->name, "%s", config->name);
    snprintf (self->address, sizeof self->address, "%s", config->address);
    self->config.name = self->name;
    self->config.address = self->address;
    self->random = config->seed;
    self->now_ms = now_ms;
    self->contact_ms = -1;
    self->heartbeat_ms = DN_HEARTBEAT_MS;
    self->payload_max = DN_PAYLOAD_MAX;
    self->ack_at_ms = DN_NEVER;
    self->repeats = config->window * DN_REPEAT_PARTS;
    return self;
}

void
dn_session_destroy (dn_session_core_t **self_p)
{
    dn_session_core_t *self = *self_p;
    if (!self)
        return;
    dn_calls_destroy (&self->calls);
    dn_lines_destroy (&self->lines);
    free (self);
    *self_p = NULL;
}

/*  ---- small ones ---- */

/*  splitmix64, public domain. */
uint32_t
dn_session_draw (dn_session_core_t *self, uint32_t range)
{
    uint64_t x = self->random += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return range ? (uint32_t) ((x ^ x >> 31) % range) : 0;
}

dn_str_t
dn_session_say (dn_effects_t *fx, const char *format, ...)
{
    if (DN_EFFECTS_SCRATCH - fx->scratch_used < DN_SENTENCE_ROOM)
        return dn_str (""); /* the outcome says it shorter */
    char   *text = (char *) fx->scratch + fx->scratch_used;
    va_list args;
    va_start (args, format);
    int n = vsnprintf (text, DN_SENTENCE_ROOM, format, args);
    va_end (args);
    if (n < 0)
        return dn_str ("");
    size_t text_bytes = n < DN_SENTENCE_ROOM ? (size_t) n : DN_SENTENCE_ROOM - 1;
    fx->scratch_used += (uint32_t) text_bytes + 1;
    return (dn_str_t){text, (uint16_t) text_bytes};
}

/*  ---- local requests ---- */

/*  A call that cannot be submitted at all still ends like any other. */
static bool
refuse_at_once (dn_session_core_t *self, dn_call_t *call, dn_str_t service, dn_effects_t *fx)
{
    dn_ending_t ending = {.outcome = DENIM_REJECTED, .reason = DENIM_REASON_FULL};
    if (call->payload_bytes > self->payload_max) {
        ending.outcome = DENIM_TOO_LARGE;
        ending.reason = DENIM_REASON_TOO_LARGE;
        ending.text = dn_session_say (fx,
                                      "the arguments have %" PRIu64 " bytes, and the manager "
                                      "takes %" PRIu64 " (payload_max)",
                                      call->payload_bytes, self->payload_max);
    } else if (call->depth > DENIM_NESTING_MAX) {
        ending.outcome = DENIM_NESTING_TOO_DEEP;
        ending.reason = DENIM_REASON_NONE;
        ending.text =
            dn_session_say (fx,
                            "the call of \"%.*s\" would be nested %d levels deep, and %d "
                            "are the bound: look for a task that calls itself without "
                            "end, or let tasks return what is left to be called",
                            (int) call->task.len, call->task.ptr, call->depth, DENIM_NESTING_MAX);
    } else if (call->line == DN_LINE_NONE) {
        ending.text = dn_session_say (fx,
                                      "calls of %d services, by level of nesting, are "
                                      "outstanding, and that of \"%.*s\" would be one more",
                                      DN_LINES_MAX, (int) service.len, service.ptr);
    } else {
        return false;
    }
    dn_session_on (self, call, DN_CALL_ON_GIVE_UP, &ending, fx);
    return true;
}

int
dn_session_submit (dn_session_core_t *self, int64_t now_ms, const dn_request_t *request,
                   dn_handle_t *handle, dn_effects_t *fx)
{
    self->now_ms = now_ms;
    dn_call_t *call = dn_calls_add (self->calls, request->deadline_ms);
    if (!call)
        return -1;
    call->task = request->task;
    call->parent = request->parent;
    call->codec = request->codec;
    call->priority = request->priority;
    call->depth = request->depth;
    call->idempotent = request->idempotent;
    call->finish = request->finish;
    call->soft_limit_ms = request->soft_limit_ms;
    call->hard_limit_ms = request->hard_limit_ms;
    call->payload_bytes = request->payload_bytes;
    call->submitted_ms = now_ms;
    call->line = DN_LINE_NONE;
    *handle = call->self;
    if (call->payload_bytes <= self->payload_max && call->depth <= DENIM_NESTING_MAX)
        call->line = dn_lines_take (self->lines, request->service, call->depth);
    if (refuse_at_once (self, call, request->service, fx))
        return 0;
    dn_lines_hold (self->lines, call);
    self->held++;
    return 0;
}

int
dn_session_cancel (dn_session_core_t *self, dn_handle_t handle, bool kill, dn_effects_t *fx)
{
    dn_call_t *call = dn_calls_get (self->calls, handle);
    if (!call)
        return -1;
    bool    held = call->state == DN_CALL_HELD;
    uint8_t how = kill ? 2 : 1;
    if (how > call->cancel)
        call->cancel = how;
    dn_session_on (self, call, DN_CALL_ON_CANCEL, NULL, fx);
    return held;
}

void
dn_session_abandon (dn_session_core_t *self, dn_handle_t handle, dn_effects_t *fx)
{
    dn_call_t *call = dn_calls_get (self->calls, handle);
    if (!call)
        return;
    dn_ending_t ending = {
        .outcome = DENIM_CANCELLED, .started = call->state != DN_CALL_HELD, .how = 1};
    dn_session_on (self, call, DN_CALL_ON_GIVE_UP, &ending, fx);
}

void
dn_session_ask (dn_session_core_t *self, uint64_t question, dn_str_t verb, dn_str_t args,
                int64_t deadline_ms, dn_effects_t *fx)
{
    dn_check (question != 0);
    for (unsigned i = 0; i < DN_ASKS_MAX; i++) {
        if (self->questions[i].question)
            continue;
        self->questions[i] = (dn_question_t){question, verb, args, deadline_ms, false};
        return;
    }
    dn_effect_t *row = dn_fx_add (fx, DN_FX_ANSWER);
    row->number = question;
    row->reason = DENIM_REASON_FULL;
}

/*  ---- the end of everything ---- */

/*  From now on every call ends so, also those that come before the last of them has. */
static void
fail_all (dn_session_core_t *self, denim_outcome_t outcome, denim_reason_t reason)
{
    self->failing = true;
    self->failing_outcome = (uint8_t) outcome;
    self->failing_reason = (uint8_t) reason;
    self->more = true;
}

void
dn_session_close (dn_session_core_t *self, dn_effects_t *fx)
{
    if (dn_session_ready (self))
        dn_fx_msg (fx, DN_FX_SEND, DN_MSG_BYE);
    self->link = DN_SESSION_NONE;
    self->hello_owed = false;
    fail_all (self, DENIM_CANCELLED, DENIM_REASON_NONE);
    snprintf (self->failing_text, sizeof self->failing_text, "the client was closed");
}

/*  ---- the link ---- */

/*  What was sent over the old one may have arrived or not: OPEN over the new one will tell. */
static void
open_fresh (dn_session_core_t *self, const char *why, dn_effects_t *fx)
{
    self->link = DN_SESSION_OPENING;
    self->blocked = self->hello_owed = self->broken = false;
    self->acks_count = 0;
    self->acks_bytes = 0;
    self->ack_at_ms = DN_NEVER;
    self->turns_count = 0;
    dn_fx_add (fx, DN_FX_FRESH);
    dn_effect_t *row = dn_fx_log (fx, DN_FX_INFO, "connecting", self->config.address);
    row->text = why;
}

/*  2.5 to 3 heartbeats; random, so that a thousand clients do not come back in the same moment. */
static void
draw_silence (dn_session_core_t *self)
{
    self->silent_ms =
        (int64_t) self->heartbeat_ms * 5 / 2 + dn_session_draw (self, self->heartbeat_ms / 2 + 1);
}

void
dn_session_opened (dn_session_core_t *self, int64_t now_ms, dn_effects_t *fx)
{
    self->now_ms = now_ms;
    self->blocked = false;
    if (self->link == DN_SESSION_OPENING) {
        self->heard_ms = now_ms;
        draw_silence (self);
        dn_session_say_hello (self, fx);
    } else if (self->hello_owed) {
        dn_session_say_hello (self, fx);
    }
}

void
dn_session_broken (dn_session_core_t *self)
{
    self->broken = self->link == DN_SESSION_GREETING || self->link == DN_SESSION_UP;
}

void
dn_session_refused (dn_session_core_t *self, int64_t now_ms, const dn_effect_t *effect,
                    dn_effects_t *fx)
{
    self->now_ms = now_ms;
    self->blocked = true;
    if (effect->kind == DN_FX_SEND_KEPT) {
        dn_call_t *call = dn_calls_get (self->calls, effect->handle);
        if (call)
            dn_session_on (self, call, DN_CALL_ON_UNSENT, NULL, fx);
    } else if (effect->msg.kind == DN_MSG_CLIENT_HELLO) {
        self->hello_owed = true;
    } else if (effect->msg.kind == DN_MSG_ASK) {
        for (unsigned i = 0; i < DN_ASKS_MAX; i++)
            if (self->questions[i].question == effect->msg.u.ask.question)
                self->questions[i].sent = false;
    }
    /* the others are made good by the next OPEN, or by the manager's patience */
}

/*  ---- messages ---- */

static void
on_who (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    (void) msg;
    dn_session_say_hello (self, fx);
}

static void
on_welcome (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_welcome_t *welcome = &msg->u.welcome;
    if (self->link == DN_SESSION_NONE || self->link == DN_SESSION_OPENING)
        return;
    if (self->epoch != welcome->epoch || self->term != welcome->term)
        dn_lines_reset (self->lines);
    bool was_up = self->link == DN_SESSION_UP;
    self->link = DN_SESSION_UP;
    self->hello_owed = false; /* it answers an earlier one, and we are known */
    self->reached = true;
    self->fault = 0;
    self->epoch = welcome->epoch;
    self->term = welcome->term;
    self->open_from = 0;
    if (welcome->heartbeat_ms)
        self->heartbeat_ms = welcome->heartbeat_ms;
    if (welcome->payload_max)
        self->payload_max = welcome->payload_max;
    draw_silence (self);
    for (unsigned i = 0; i < DN_ASKS_MAX; i++)
        self->questions[i].sent = false; /* it may have gone to a manager before this one */
    if (!was_up)
        dn_fx_log (fx, DN_FX_INFO, "connected", self->config.address);
}

static void
on_beat (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    if (self->link != DN_SESSION_UP || msg->u.beat.epoch != self->epoch)
        dn_session_say_hello (self, fx);
    else
        dn_session_say_open (self, msg->u.beat.mark, fx);
}

/*  The manager will not have this client: nothing more to hope for from this link. */
static void
on_refusal (dn_session_core_t *self, const dn_fault_t *fault)
{
    if (fault->reason == DENIM_REASON_VERSION) {
        fail_all (self, DENIM_MISMATCH, DENIM_REASON_VERSION);
        snprintf (self->failing_text, sizeof self->failing_text,
                  "the manager at %s speaks DENIM/%u.%u and this client DENIM/%d.%d",
                  self->config.address, fault->major, fault->minor, DN_MAJOR, DN_MINOR);
    } else {
        fail_all (self, DENIM_NOT_ALLOWED, DENIM_REASON_NOT_ALLOWED);
        dn_str_copy (self->failing_text, sizeof self->failing_text, fault->text);
    }
    self->link = DN_SESSION_NONE;
    self->hello_owed = false;
}

static void
on_fault (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_fault_t *fault = &msg->u.fault;
    dn_effect_t      *row = dn_fx_log (fx, DN_FX_WARN, "fault", self->config.address);
    row->reason = fault->reason;
    if (fault->reason == DENIM_REASON_VERSION || fault->reason == DENIM_REASON_NOT_ALLOWED)
        on_refusal (self, fault);
    else if (self->link == DN_SESSION_GREETING)
        self->fault = fault->reason; /* say FULL: silence follows, and another try */
}

static void
on_known (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_known (self, &msg->u.known, fx);
}

static void
on_reject (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_reject (self, &msg->u.reject, fx);
}

static void
on_grant (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_grant (self, &msg->u.grant, fx);
}

static void
on_result (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_result (self, &msg->u.result, fx);
}

static void
on_progress (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_progress (self, &msg->u.progress, fx);
}

static void
on_missing (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_missing (self, &msg->u.missing, fx);
}

static void
on_answer (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx)
{
    dn_session_on_answer (self, &msg->u.answer, fx);
}

typedef void (on_message_fn) (dn_session_core_t *self, const dn_msg_t *msg, dn_effects_t *fx);

/*  What comes from a manager; a kind without a row here is not for this version. */
static on_message_fn *const on_message[DN_MSGS] = {
    [DN_MSG_WELCOME] = on_welcome, [DN_MSG_WHO] = on_who,           [DN_MSG_KNOWN] = on_known,
    [DN_MSG_REJECT] = on_reject,   [DN_MSG_GRANT] = on_grant,       [DN_MSG_MISSING] = on_missing,
    [DN_MSG_BEAT] = on_beat,       [DN_MSG_ANSWER] = on_answer,     [DN_MSG_FAULT] = on_fault,
    [DN_MSG_RESULT] = on_result,   [DN_MSG_PROGRESS] = on_progress,
};

void
dn_session_input (dn_session_core_t *self, int64_t now_ms, const dn_msg_t *msg,
                  uint64_t payload_bytes, dn_effects_t *fx)
{
    dn_check (msg->kind < DN_MSGS);
    self->now_ms = now_ms;
    if (self->link == DN_SESSION_NONE)
        return; /* the socket of a link that we gave up */
    self->heard_ms = self->contact_ms = now_ms;
    self->in_hand = payload_bytes;
    if (on_message[msg->kind])
        on_message[msg->kind](self, msg, fx);
}

/*  ---- time ---- */

/*  Is there somebody to connect for? */
static bool
is_needed (const dn_session_core_t *self)
{
    if (dn_calls_count (self->calls))
        return true;
    for (unsigned i = 0; i < DN_ASKS_MAX; i++)
        if (self->questions[i].question)
            return true;
    return false;
}

static int64_t
silence_ms (const dn_session_core_t *self)
{
    bool listening = self->link == DN_SESSION_GREETING || self->link == DN_SESSION_UP;
    return listening ? self->heard_ms + self->silent_ms : DN_NEVER;
}

static void
tend_link (dn_session_core_t *self, dn_effects_t *fx)
{
    if (self->failing)
        return;
    if (self->link == DN_SESSION_NONE && is_needed (self))
        open_fresh (self, "first use", fx);
    else if (self->broken)
        open_fresh (self, "the connection broke", fx);
    else if (self->now_ms >= silence_ms (self))
        open_fresh (self, "the manager is silent", fx);
}

void
dn_session_tick (dn_session_core_t *self, int64_t now_ms, dn_effects_t *fx)
{
    self->now_ms = now_ms;
    self->more = false;
    dn_session_expire_questions (self, fx);
    dn_session_expire (self, fx);
    if (!dn_effects_room (fx, 8)) {
        self->more = true;
        return;
    }
    tend_link (self, fx);
    dn_session_pump (self, fx);
}

int64_t
dn_session_deadline_ms (const dn_session_core_t *self)
{
    if (self->more || self->broken)
        return self->now_ms;
    if (self->link == DN_SESSION_NONE && is_needed (self))
        return self->now_ms;
    int64_t due_ms = dn_min_ms (silence_ms (self), dn_session_expire_ms (self));
    return dn_min_ms (due_ms, dn_session_pump_ms (self));
}

dn_session_facts_t
dn_session_facts (const dn_session_core_t *self)
{
    return (dn_session_facts_t){self->link,    self->reached, dn_calls_count (self->calls),
                                self->held,    self->epoch,   self->submits,
                                self->rejected};
}

void
dn_session_check (const dn_session_core_t *self)
{
    uint32_t row = 0, held = 0;
    uint64_t unplaced_bytes = 0;

    dn_calls_check (self->calls);
    dn_lines_check (self->lines);
    for (const dn_call_t *call; (call = dn_calls_walk (self->calls, &row)) != NULL;) {
        held += call->state == DN_CALL_HELD;
        if (call->in_bytes) {
            dn_check (call->state != DN_CALL_HELD);
            unplaced_bytes += call->payload_bytes;
        }
        dn_check (call->cancel == 0 || call->state == DN_CALL_CANCELLING);
        dn_check (call->state != DN_CALL_CANCELLING || call->cancel != 0);
    }
    dn_check (held == self->held && unplaced_bytes == self->unplaced_bytes);
    dn_check (self->acks_count < DN_ACKS_MAX && self->turns_count <= DN_GRANTS_MAX);
    dn_check (!self->hello_owed || self->link == DN_SESSION_GREETING);
}
