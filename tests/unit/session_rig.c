/*  session_rig.c - a session without a shell, for tests
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "session_rig.h"

#include <stdlib.h>

dn_session_config_t
rig_config (void)
{
    return (dn_session_config_t){.id = {{1, 2, 3}},
                                 .seed = 7,
                                 .name = "tester",
                                 .address = "tcp://127.0.0.1:5570",
                                 .window = 100,
                                 .connect_timeout_ms = DN_CONNECT_TIMEOUT_MS,
                                 .unknown_grace_ms = DN_UNKNOWN_GRACE_MS};
}

void
rig_open (rig_t *rig, const dn_session_config_t *config)
{
    rig->now_ms = 1000;
    rig->rows = 0;
    rig->session = dn_session_new (config, rig->now_ms);
    rig->fx = dn_effects_new ();
    assert_non_null (rig->session);
    assert_non_null (rig->fx);
}

void
rig_close (rig_t *rig)
{
    dn_session_destroy (&rig->session);
    dn_effects_destroy (&rig->fx);
}

void
rig_take (rig_t *rig)
{
    for (uint32_t i = 0; i < rig->fx->count; i++) {
        assert_true (rig->rows < RIG_ROWS);
        const dn_effect_t *row = &rig->fx->row[i];
        if (row->kind == DN_FX_COMPLETE)
            dn_str_copy (rig->text[rig->rows], sizeof rig->text[0], row->msg.u.result.text);
        rig->row[rig->rows++] = *row;
    }
    dn_effects_clear (rig->fx);
    dn_session_check (rig->session);
}

void
rig_forget (rig_t *rig)
{
    rig->rows = 0;
}

void
rig_tick (rig_t *rig, int64_t ms)
{
    rig->now_ms += ms;
    do {
        dn_session_tick (rig->session, rig->now_ms, rig->fx);
        rig_take (rig);
    } while (dn_session_deadline_ms (rig->session) <= rig->now_ms);
}

void
rig_run (rig_t *rig, int64_t ms)
{
    int64_t end_ms = rig->now_ms + ms;
    int64_t due_ms;
    while ((due_ms = dn_session_deadline_ms (rig->session)) <= end_ms)
        rig_tick (rig, due_ms > rig->now_ms ? due_ms - rig->now_ms : 0);
    rig_tick (rig, end_ms - rig->now_ms);
}

void
rig_input (rig_t *rig, const dn_msg_t *msg)
{
    dn_session_input (rig->session, rig->now_ms, msg, 0, rig->fx);
    rig_take (rig);
    if (!rig->no_ticks)
        rig_tick (rig, 0);
}

void
rig_welcome (rig_t *rig, uint64_t epoch, uint32_t term)
{
    dn_msg_t msg = {.kind = DN_MSG_WELCOME};
    msg.u.welcome = (dn_welcome_t){
        .epoch = epoch, .term = term, .heartbeat_ms = 1000, .liveness = 3, .payload_max = 64 << 20};
    dn_session_opened (rig->session, rig->now_ms, rig->fx);
    rig_take (rig);
    rig_input (rig, &msg);
}

dn_request_t
rig_default (const char *service)
{
    return (dn_request_t){.service = dn_str (service),
                          .task = dn_str ("m:f"),
                          .parent = dn_str (""),
                          .codec = 1,
                          .priority = 1,
                          .deadline_ms = DN_NEVER,
                          .payload_bytes = 10};
}

dn_handle_t
rig_request (rig_t *rig, const dn_request_t *request)
{
    dn_handle_t handle = DN_NONE;
    assert_int_equal (dn_session_submit (rig->session, rig->now_ms, request, &handle, rig->fx), 0);
    assert_true (handle != DN_NONE);
    rig_take (rig);
    rig_tick (rig, 0);
    return handle;
}

dn_handle_t
rig_submit (rig_t *rig, const char *service, int64_t deadline_ms)
{
    dn_request_t request = rig_default (service);
    if (deadline_ms)
        request.deadline_ms = rig->now_ms + deadline_ms;
    return rig_request (rig, &request);
}

const dn_effect_t *
rig_find (const rig_t *rig, dn_fx_kind_t kind, dn_kind_t msg, unsigned n)
{
    for (uint32_t i = 0; i < rig->rows; i++) {
        const dn_effect_t *row = &rig->row[i];
        if (row->kind == kind && (msg == DN_MSG_NONE || row->msg.kind == msg) && n-- == 0)
            return row;
    }
    return NULL;
}

unsigned
rig_count (const rig_t *rig, dn_fx_kind_t kind, dn_kind_t msg)
{
    unsigned n = 0;
    while (rig_find (rig, kind, msg, n))
        n++;
    return n;
}

dn_submit_t
rig_sent (const rig_t *rig, dn_handle_t handle)
{
    for (uint32_t i = rig->rows; i-- > 0;)
        if (rig->row[i].kind == DN_FX_SEND_KEPT && rig->row[i].handle == handle)
            return rig->row[i].msg.u.submit;
    fail_msg ("the call was not sent");
    abort ();
}

static int
find_complete (const rig_t *rig, dn_handle_t handle)
{
    int found = -1;
    for (uint32_t i = 0; i < rig->rows; i++) {
        if (rig->row[i].kind != DN_FX_COMPLETE || rig->row[i].handle != handle)
            continue;
        assert_int_equal (found, -1);
        found = (int) i;
    }
    return found;
}

int
rig_outcome (const rig_t *rig, dn_handle_t handle)
{
    int found = find_complete (rig, handle);
    return found < 0 ? -1 : rig->row[found].msg.u.result.outcome;
}

const dn_result_t *
rig_result (const rig_t *rig, dn_handle_t handle)
{
    int found = find_complete (rig, handle);
    assert_true (found >= 0);
    return &rig->row[found].msg.u.result;
}

const char *
rig_text (const rig_t *rig, dn_handle_t handle)
{
    int found = find_complete (rig, handle);
    assert_true (found >= 0);
    return rig->text[found];
}

void
rig_answer (rig_t *rig, dn_handle_t handle, denim_outcome_t outcome, denim_reason_t reason)
{
    dn_submit_t sent = rig_sent (rig, handle);
    dn_msg_t    msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = (dn_session_t){{1, 2, 3}};
    msg.u.result.seq = sent.seq;
    msg.u.result.attempt = sent.attempt;
    msg.u.result.outcome = (uint8_t) outcome;
    msg.u.result.reason = (uint8_t) reason;
    msg.u.result.codec = 1;
    msg.u.result.flags = 1;
    rig_input (rig, &msg);
}

void
rig_reject (rig_t *rig, dn_handle_t handle, denim_reason_t reason)
{
    dn_submit_t sent = rig_sent (rig, handle);
    dn_msg_t    msg = {.kind = DN_MSG_REJECT};
    msg.u.reject = (dn_reject_t){.seq = sent.seq,
                                 .attempt = sent.attempt,
                                 .try_no = sent.try_no,
                                 .reason = (uint8_t) reason,
                                 .retry_after_ms = 100,
                                 .text = dn_str ("the nearest are a, b")};
    rig_input (rig, &msg);
}

void
rig_known (rig_t *rig, dn_handle_t handle)
{
    dn_submit_t sent = rig_sent (rig, handle);
    dn_msg_t    msg = {.kind = DN_MSG_KNOWN};
    msg.u.known = (dn_known_t){sent.seq, sent.attempt, sent.try_no, 5, 1, dn_str ("w1")};
    rig_input (rig, &msg);
}

void
rig_missing (rig_t *rig, dn_handle_t handle, bool never)
{
    dn_submit_t sent = rig_sent (rig, handle);
    dn_msg_t    msg = {.kind = DN_MSG_MISSING};
    msg.u.missing = (dn_missing_t){sent.seq, sent.attempt, sent.try_no, never};
    rig_input (rig, &msg);
}

void
rig_beat (rig_t *rig, uint64_t epoch, uint64_t mark)
{
    dn_msg_t msg = {.kind = DN_MSG_BEAT};
    msg.u.beat.epoch = epoch;
    msg.u.beat.mark = mark;
    rig_input (rig, &msg);
}
