/*  session_send.c - what the session sends, and when
 *
 *  Between HELLO and WELCOME nothing is sent. After it: acknowledgements and questions first, then
 *  the answers to grants, then calls, as far as the paces of their lines and the bytes on their
 *  way allow. Lines take turns, a call each.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/session_private.h"

#include "base/check.h"

#include <string.h>

#define OPEN_CALLS_MAX  1000 /* as messages.def says */
#define OPEN_WANTS_MAX  64   /* likewise */
#define OPEN_CALL_BYTES 28   /* of an encoded row */
#define OPEN_WANT_BYTES (1 + 127 + 1 + 4 + 1 + 1)
#define ROOM_ROWS       16 /* effects that are left to others by who makes many */

bool
dn_session_ready (const dn_session_core_t *self)
{
    return self->link == DN_SESSION_UP && !self->blocked;
}

/*  ---- single messages ---- */

void
dn_session_say_hello (dn_session_core_t *self, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_CLIENT_HELLO);
    row->msg.u.client_hello.major = DN_MAJOR;
    row->msg.u.client_hello.session = self->config.id;
    row->msg.u.client_hello.link = ++self->link_number;
    row->msg.u.client_hello.name = dn_str (self->config.name);
    self->link = DN_SESSION_GREETING;
    self->hello_owed = false;
}

void
dn_session_say_cancel (dn_session_core_t *self, const dn_call_t *call, uint8_t how,
                       dn_effects_t *fx)
{
    if (!dn_session_ready (self))
        return; /* OPEN will say it; or settles the call if it has ended */
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_CLIENT_CANCEL);
    row->msg.u.client_cancel.seq = call->seq;
    row->msg.u.client_cancel.attempt = call->attempt;
    row->msg.u.client_cancel.how = how;
}

static void
say_pass (uint64_t grant, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_PASS);
    row->msg.u.pass.grant = grant;
}

/*  ---- acknowledgements ---- */

static void
drop_acks (dn_session_core_t *self)
{
    self->acks_count = 0;
    self->acks_bytes = 0;
    self->ack_at_ms = DN_NEVER;
}

static void
say_acks (dn_session_core_t *self, dn_effects_t *fx)
{
    dn_rows_t rows = dn_fx_rows (fx, DN_ACKS_MAX * sizeof (dn_row_ack_t));
    for (uint32_t i = 0; i < self->acks_count; i++)
        if (dn_rows_put (&rows, DN_ROW_ACK, &self->acks[i]) < 0)
            break; /* no scratch left this turn; OPEN settles the others */
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_ACK);
    row->msg.u.ack.acks = dn_fx_list (fx, &rows);
    drop_acks (self);
}

void
dn_session_ack (dn_session_core_t *self, uint64_t seq, uint16_t attempt, dn_effects_t *fx)
{
    if (!dn_session_ready (self))
        return;
    if (self->acks_count == 0)
        self->ack_at_ms = self->now_ms + DN_ACK_MS;
    self->acks[self->acks_count++] = (dn_row_ack_t){seq, attempt};
    self->acks_bytes += self->in_hand;
    if (self->acks_count == DN_ACKS_MAX || self->acks_bytes >= DN_ACK_BYTES)
        say_acks (self, fx);
}

/*  ---- OPEN ---- */

static dn_row_open_t
open_row (const dn_call_t *call)
{
    return (dn_row_open_t){.seq = call->seq,
                           .attempt = call->attempt,
                           .try_no = call->try_no,
                           .epoch = call->epoch,
                           .term = call->term,
                           .cancel = call->cancel,
                           .known = call->placed};
}

/*  List calls that are with the manager from open_from on; *upto: the list is complete up to
 *  there. */
static dn_list_t
list_calls (const dn_session_core_t *self, uint64_t *upto, dn_effects_t *fx)
{
    dn_rows_t rows = dn_fx_rows (fx, OPEN_CALLS_MAX * OPEN_CALL_BYTES);
    *upto = dn_calls_last_seq (self->calls);
    uint64_t last = 0;
    for (const dn_call_t *call = dn_calls_first (self->calls); call; call = dn_calls_next (call)) {
        if (call->seq < self->open_from || call->state == DN_CALL_HELD)
            continue;
        dn_row_open_t row = open_row (call);
        if (rows.count == OPEN_CALLS_MAX || dn_rows_put (&rows, DN_ROW_OPEN, &row) < 0) {
            *upto = last;
            break;
        }
        last = call->seq;
    }
    return dn_fx_list (fx, &rows);
}

static dn_list_t
list_wants (const dn_session_core_t *self, dn_effects_t *fx)
{
    dn_rows_t rows = dn_fx_rows (fx, OPEN_WANTS_MAX * OPEN_WANT_BYTES);
    for (const dn_line_t *line = dn_lines_first (self->lines); line; line = dn_lines_next (line))
        for (unsigned i = 0; i < DN_PRIORITIES; i++) {
            dn_row_want_t want = {.service = line->name_str,
                                  .priority = (uint8_t) i,
                                  .held = line->held[i],
                                  .waits = line->pace.turn,
                                  .depth = line->depth};
            if (!want.held || rows.count == OPEN_WANTS_MAX)
                continue;
            if (dn_rows_put (&rows, DN_ROW_WANT, &want) < 0)
                break;
        }
    return dn_fx_list (fx, &rows);
}

void
dn_session_say_open (dn_session_core_t *self, uint64_t mark, dn_effects_t *fx)
{
    if (!dn_session_ready (self) || !dn_effects_room (fx, ROOM_ROWS))
        return; /* the next BEAT asks again */
    uint64_t  upto;
    dn_list_t calls = list_calls (self, &upto, fx);
    if (calls.count == 0 && upto < self->open_from)
        self->open_from = 0;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_OPEN);
    dn_open_t   *open = &row->msg.u.open;
    open->mark = mark;
    open->from_seq = self->open_from;
    open->upto_seq = upto;
    open->calls = calls;
    open->wants = list_wants (self, fx);

    bool all = upto == dn_calls_last_seq (self->calls);
    if (all && self->open_from == 0)
        drop_acks (self); /* what is covered and not listed is settled */
    self->open_from = all ? 0 : upto + 1;
}

/*  ---- questions ---- */

void
dn_session_on_answer (dn_session_core_t *self, const dn_answer_t *msg, dn_effects_t *fx)
{
    for (unsigned i = 0; i < DN_ASKS_MAX; i++) {
        if (self->questions[i].question == 0 || self->questions[i].question != msg->question)
            continue;
        dn_effect_t *row = dn_fx_msg (fx, DN_FX_ANSWER, DN_MSG_ANSWER);
        row->msg.u.answer = *msg;
        row->number = msg->question;
        row->reason = msg->reason;
        self->questions[i].question = 0;
    }
}

void
dn_session_expire_questions (dn_session_core_t *self, dn_effects_t *fx)
{
    for (unsigned i = 0; i < DN_ASKS_MAX; i++) {
        dn_question_t *question = &self->questions[i];
        if (!question->question || (question->deadline_ms > self->now_ms && !self->failing))
            continue;
        dn_effect_t *row = dn_fx_add (fx, DN_FX_ANSWER);
        row->number = question->question;
        row->reason = self->failing_reason;
        question->question = 0;
    }
}

static void
send_questions (dn_session_core_t *self, dn_effects_t *fx)
{
    for (unsigned i = 0; i < DN_ASKS_MAX; i++) {
        dn_question_t *question = &self->questions[i];
        if (!question->question || question->sent)
            continue;
        dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_ASK);
        row->msg.u.ask.question = question->question;
        row->msg.u.ask.verb = question->verb;
        row->msg.u.ask.args = question->args;
        question->sent = true;
    }
}

/*  ---- calls ---- */

/*  What is left of a deadline, as the wire has it: 0 is none. */
static uint32_t
left_ms (const dn_session_core_t *self, int64_t deadline_ms)
{
    if (deadline_ms == DN_NEVER)
        return 0;
    int64_t left = deadline_ms - self->now_ms;
    return left < 1 ? 1 : left < UINT32_MAX ? (uint32_t) left : UINT32_MAX;
}

static void
send_call (dn_session_core_t *self, dn_line_t *line, dn_call_t *call, uint64_t grant,
           dn_effects_t *fx)
{
    dn_check (dn_call_action ((dn_call_state_t) call->state, DN_CALL_ON_SUBMIT) == DN_CALL_DO_SEND);
    dn_lines_unhold (self->lines, call);
    self->held--;
    dn_calls_number (self->calls, call);
    call->state = DN_CALL_SENT;
    call->try_no++;
    call->sent_ms = self->now_ms;
    call->epoch = self->epoch;
    call->term = self->term;
    call->in_bytes = true;
    self->unplaced_bytes += call->payload_bytes;
    self->submits++;
    call->probe = dn_pace_sent (&line->pace, grant != 0, self->now_ms);
    if (line->held_all == 0)
        dn_pace_settle (&line->pace);

    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND_KEPT, DN_MSG_SUBMIT);
    row->handle = call->self;
    row->msg.u.submit = (dn_submit_t){.seq = call->seq,
                                      .attempt = call->attempt,
                                      .try_no = call->try_no,
                                      .grant = grant,
                                      .priority = call->priority,
                                      .codec = call->codec,
                                      .flags = (uint8_t) (call->idempotent | call->finish << 1),
                                      .depth = call->depth,
                                      .deadline_ms = left_ms (self, call->deadline_ms),
                                      .soft_limit_ms = call->soft_limit_ms,
                                      .hard_limit_ms = call->hard_limit_ms,
                                      .held = line->held[call->priority],
                                      .parent = call->parent,
                                      .service = line->name_str,
                                      .task = call->task};
}

/*  May these bytes go too? One call always may. */
static bool
fits (const dn_session_core_t *self, const dn_call_t *call)
{
    return self->unplaced_bytes == 0 ||
           self->unplaced_bytes + call->payload_bytes <= DN_UNPLACED_BYTES;
}

/*  A call of each line in turn, until none may send any more. */
static void
send_calls (dn_session_core_t *self, dn_effects_t *fx)
{
    for (dn_line_t *line = dn_lines_first (self->lines); line; line = dn_lines_next (line))
        dn_pace_tick (&line->pace, self->now_ms);

    uint32_t passed = 0; /* lines seen in a row that may not send */
    while (passed < dn_lines_waiting (self->lines)) {
        dn_line_t *line = dn_lines_first (self->lines);
        if (dn_pace_room (&line->pace) == 0) {
            dn_lines_turn (self->lines, line);
            passed++;
            continue;
        }
        dn_call_t *call = dn_line_head (line);
        if (!dn_effects_room (fx, ROOM_ROWS)) {
            self->more = true;
            return;
        }
        if (dn_session_end_late (self, call, fx)) {
            passed = 0;
            continue;
        }
        if (!fits (self, call))
            break; /* it is next: the others wait for it */
        send_call (self, line, call, 0, fx);
        passed = 0;
        if (line->held_all)
            dn_lines_turn (self->lines, line);
    }
}

/*  ---- grants ---- */

void
dn_session_on_grant (dn_session_core_t *self, const dn_grant_t *msg, dn_effects_t *fx)
{
    if (!dn_session_ready (self))
        return;
    if (self->turns_count == DN_GRANTS_MAX || msg->priority >= DN_PRIORITIES) {
        say_pass (msg->grant, fx);
        return;
    }
    dn_turn_t *turn = &self->turns[self->turns_count++];
    turn->grant = msg->grant;
    turn->count = msg->count;
    turn->priority = msg->priority;
    turn->depth = msg->depth;
    dn_str_copy (turn->service, sizeof turn->service, msg->service);
    dn_line_t *line = dn_lines_find (self->lines, msg->service, msg->depth);
    if (line && msg->alone)
        dn_pace_alone (&line->pace, msg->count);
    self->more = true;
}

static dn_line_t *
line_of (const dn_session_core_t *self, const dn_turn_t *turn)
{
    return dn_lines_find (self->lines, dn_str (turn->service), turn->depth);
}

/*  Use a grant as far as there are calls, and pass the rest of it on. False: no room this turn. */
static bool
use_turn (dn_session_core_t *self, dn_turn_t *turn, dn_effects_t *fx)
{
    dn_line_t *line = line_of (self, turn);
    while (turn->count) {
        if (!dn_effects_room (fx, ROOM_ROWS))
            return false;
        dn_call_t *call = line ? dn_line_head_of (line, turn->priority) : NULL;
        if (!call) {
            say_pass (turn->grant, fx);
            break;
        }
        if (dn_session_end_late (self, call, fx)) {
            line = line_of (self, turn);
            continue;
        }
        send_call (self, line, call, turn->grant, fx);
        turn->count--;
    }
    return true;
}

static bool
use_turns (dn_session_core_t *self, dn_effects_t *fx)
{
    uint32_t used = 0;
    while (used < self->turns_count && use_turn (self, &self->turns[used], fx))
        used++;
    self->turns_count -= used;
    memmove (self->turns, self->turns + used, self->turns_count * sizeof self->turns[0]);
    if (self->turns_count)
        self->more = true;
    return self->turns_count == 0;
}

/*  ---- all of it ---- */

void
dn_session_pump (dn_session_core_t *self, dn_effects_t *fx)
{
    if (!dn_session_ready (self))
        return;
    if (self->acks_count && self->ack_at_ms <= self->now_ms)
        say_acks (self, fx);
    send_questions (self, fx);
    if (use_turns (self, fx))
        send_calls (self, fx);
    for (dn_line_t *line = dn_lines_first (self->lines); line; line = dn_lines_next (line))
        dn_pace_settle (&line->pace);
}

int64_t
dn_session_pump_ms (const dn_session_core_t *self)
{
    int64_t due_ms = DN_NEVER;
    for (unsigned i = 0; i < DN_ASKS_MAX; i++)
        if (self->questions[i].question)
            due_ms = dn_min_ms (due_ms, self->questions[i].deadline_ms);
    if (!dn_session_ready (self))
        return due_ms;
    due_ms = dn_min_ms (due_ms, self->ack_at_ms);
    for (const dn_line_t *line = dn_lines_first (self->lines); line; line = dn_lines_next (line))
        due_ms = dn_min_ms (due_ms, dn_pace_deadline_ms (&line->pace));
    return due_ms;
}
