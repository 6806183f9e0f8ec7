/*  test_session.c - the session: how a call goes out, comes back and ends
 *
 *  Links and silence are in test_session_link.c.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "session_rig.h"

#include "core/lines.h"

static rig_t rig;

static void
begin (void)
{
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
}

/*  A session that is connected, with one call that was sent. */
static dn_handle_t
begin_with_call (void)
{
    begin ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    assert_int_equal (rig_sent (&rig, call).try_no, 1);
    return call;
}

/*  ---- the table ---- */

static void
every_cell_of_the_table_is_filled_and_a_call_on_its_way_is_never_sent_twice (void **state)
{
    (void) state;
    for (unsigned i = 0; i < DN_CALL_STATES; i++) {
        for (unsigned event = 0; event < DN_CALL_EVENTS; event++) {
            dn_call_action_t action = dn_call_action ((dn_call_state_t) i, (dn_call_event_t) event);
            assert_in_range (action, 0, DN_CALL_ACTIONS - 1);
            bool sends = action == DN_CALL_DO_SEND;
            assert_true (sends == (i == DN_CALL_HELD && event == DN_CALL_ON_SUBMIT));
            bool ends = action == DN_CALL_DO_END || action == DN_CALL_DO_END_CANCELLED ||
                        action == DN_CALL_DO_LEAVE;
            if (event == DN_CALL_ON_RESULT || event == DN_CALL_ON_GIVE_UP)
                assert_true (ends); /* whatever the state: nothing hangs */
            if (i == DN_CALL_CANCELLING)
                assert_true (action != DN_CALL_DO_HOLD && action != DN_CALL_DO_RETRY);
        }
    }
}

/*  ---- the way through ---- */

static void
call_is_sent_after_welcome_and_ends_with_its_result (void **state)
{
    (void) state;
    begin ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    assert_null (rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_NONE, 0));

    rig_welcome (&rig, 5, 1);
    dn_submit_t sent = rig_sent (&rig, call);
    assert_int_equal (sent.seq, 1);
    assert_int_equal (sent.attempt, 1);
    assert_int_equal (sent.deadline_ms, 0);
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_outcome (&rig, call), DENIM_VALUE);
    assert_int_equal (dn_session_facts (rig.session).in_flight, 0);
    rig_close (&rig);
}

static void
result_that_comes_twice_is_acknowledged_twice_and_completes_once (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_outcome (&rig, call), DENIM_VALUE);
    rig_run (&rig, DN_ACK_MS);
    const dn_effect_t *ack = rig_find (&rig, DN_FX_SEND, DN_MSG_ACK, 0);
    assert_non_null (ack);
    assert_int_equal (ack->msg.u.ack.acks.count, 2);
    rig_close (&rig);
}

static void
acknowledgements_go_in_batches_of_64 (void **state)
{
    (void) state;
    begin ();
    dn_handle_t calls[64];
    rig_submit (&rig, "x", 0);
    rig_welcome (&rig, 5, 1);
    for (int i = 0; i < 64; i++) {
        calls[i] = rig_submit (&rig, "m", 0);
        rig_answer (&rig, calls[i], DENIM_VALUE, DENIM_REASON_NONE);
        assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_ACK), i == 63);
    }
    rig_close (&rig);
}

static void
result_of_another_session_or_attempt_changes_nothing (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    dn_msg_t    msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = (dn_session_t){{9}};
    msg.u.result.seq = 1;
    msg.u.result.attempt = 1;
    rig_input (&rig, &msg);
    msg.u.result.session = (dn_session_t){{1, 2, 3}};
    msg.u.result.attempt = 2;
    rig_input (&rig, &msg);
    assert_int_equal (rig_outcome (&rig, call), -1);
    rig_close (&rig);
}

static void
known_tells_the_caller_that_a_worker_has_it (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    rig_known (&rig, call);
    rig_known (&rig, call);
    assert_int_equal (rig_count (&rig, DN_FX_PLACED, DN_MSG_NONE), 1);
    assert_int_equal (rig_find (&rig, DN_FX_PLACED, DN_MSG_NONE, 0)->number, 1);
    rig_close (&rig);
}

static void
progress_is_handed_on (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    dn_msg_t    msg = {.kind = DN_MSG_PROGRESS};
    msg.u.progress = (dn_progress_t){{{1, 2, 3}}, 1, 1, 3, 10, dn_str ("third")};
    rig_input (&rig, &msg);
    const dn_effect_t *row = rig_find (&rig, DN_FX_PROGRESS, DN_MSG_NONE, 0);
    assert_non_null (row);
    assert_true (row->handle == call && row->msg.u.progress.done == 3);
    rig_close (&rig);
}

static void
window_is_the_limit_of_calls_that_have_not_ended (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    config.window = 2;
    rig_open (&rig, &config);
    rig_submit (&rig, "m", 0);
    rig_submit (&rig, "m", 0);
    dn_request_t request = rig_default ("m");
    dn_handle_t  handle;
    assert_int_equal (dn_session_submit (rig.session, rig.now_ms, &request, &handle, rig.fx), -1);
    rig_close (&rig);
}

static void
high_priority_goes_first_and_each_priority_in_order (void **state)
{
    (void) state;
    begin ();
    dn_request_t         request = rig_default ("m");
    static const uint8_t priorities[] = {2, 1, 0, 1, 0};
    dn_handle_t          calls[5];
    for (int i = 0; i < 5; i++) {
        request.priority = priorities[i];
        calls[i] = rig_request (&rig, &request);
    }
    rig_welcome (&rig, 5, 1);
    static const int order[] = {2, 4, 1, 3, 0};
    for (int i = 0; i < 5; i++)
        assert_true (rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT, (unsigned) i)->handle ==
                     calls[order[i]]);
    rig_close (&rig);
}

static void
services_take_turns (void **state)
{
    (void) state;
    begin ();
    for (int i = 0; i < 4; i++)
        rig_submit (&rig, "a", 0);
    for (int i = 0; i < 2; i++)
        rig_submit (&rig, "b", 0);
    rig_welcome (&rig, 5, 1);
    static const char order[] = "ababaa";
    for (unsigned i = 0; i < 6; i++) {
        dn_submit_t sent = rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT, i)->msg.u.submit;
        assert_int_equal (sent.service.ptr[0], order[i]);
    }
    rig_close (&rig);
}

static void
one_mebibyte_at_most_is_on_its_way_without_an_answer (void **state)
{
    (void) state;
    begin ();
    dn_request_t          request = rig_default ("m");
    dn_handle_t           calls[4];
    static const uint64_t sizes[] = {600000, 600000, 5000000, 10};
    for (int i = 0; i < 4; i++) {
        request.payload_bytes = sizes[i];
        calls[i] = rig_request (&rig, &request);
    }
    rig_welcome (&rig, 5, 1);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 1);
    rig_known (&rig, calls[0]);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 2);
    rig_answer (&rig, calls[1], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_sent (&rig, calls[2]).seq, 3); /* a large one goes alone */
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 3);
    rig_reject (&rig, calls[2], DENIM_REASON_FULL);
    rig_answer (&rig, calls[0], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_sent (&rig, calls[2]).try_no, 2);
    rig_close (&rig);
}

static void
payload_that_the_manager_does_not_take_is_not_sent (void **state)
{
    (void) state;
    begin ();
    dn_request_t request = rig_default ("m");
    request.payload_bytes = DN_PAYLOAD_MAX + 1;
    dn_handle_t call = rig_request (&rig, &request);
    assert_int_equal (rig_outcome (&rig, call), DENIM_TOO_LARGE);
    assert_non_null (strstr (rig_text (&rig, call), "67108865"));
    rig_close (&rig);
}

static void
service_number_257_is_refused_and_a_free_row_is_used_again (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    config.window = 1000;
    rig_open (&rig, &config);
    dn_handle_t call = DN_NONE, first = DN_NONE;
    char        name[16];
    for (int i = 0; i < DN_LINES_MAX; i++) {
        snprintf (name, sizeof name, "s%d", i);
        call = rig_submit (&rig, name, 0);
        first = i ? first : call;
        assert_int_equal (rig_outcome (&rig, call), -1);
    }
    call = rig_submit (&rig, "more", 0);
    assert_int_equal (rig_outcome (&rig, call), DENIM_REJECTED);
    assert_int_equal (rig_result (&rig, call)->reason, DENIM_REASON_FULL);
    assert_int_equal (dn_session_cancel (rig.session, first, false, rig.fx), 1);
    rig_take (&rig);
    call = rig_submit (&rig, "more", 0);
    assert_int_equal (rig_outcome (&rig, call), -1);
    rig_close (&rig);
}

/*  ---- refusals ---- */

static void
refused_call_is_held_and_goes_before_those_that_were_never_sent (void **state)
{
    (void) state;
    begin ();
    dn_handle_t calls[12];
    for (int i = 0; i < 12; i++)
        calls[i] = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 8);
    for (int i = 2; i < 8; i++)
        rig_reject (&rig, calls[i], DENIM_REASON_FULL);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 8);

    rig_answer (&rig, calls[0], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 9);
    dn_submit_t again = rig_sent (&rig, calls[2]);
    assert_int_equal (again.seq, 3);
    assert_int_equal (again.attempt, 1);
    assert_int_equal (again.try_no, 2);
    assert_int_equal (again.held, 9);
    rig_close (&rig);
}

static void
answer_to_an_older_try_is_ignored (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    dn_submit_t old = rig_sent (&rig, call);
    rig_reject (&rig, call, DENIM_REASON_BUSY);
    rig_run (&rig, 300);
    assert_true (rig_sent (&rig, call).try_no > old.try_no);

    dn_msg_t msg = {.kind = DN_MSG_MISSING};
    msg.u.missing = (dn_missing_t){old.seq, old.attempt, old.try_no, 0};
    rig_input (&rig, &msg);
    assert_int_equal (rig_outcome (&rig, call), -1);
    assert_int_equal (dn_session_facts (rig.session).held, 0);
    rig_close (&rig);
}

static void
lone_refused_call_is_tried_again_by_the_timer (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    for (int i = 0; i < 5; i++) {
        rig_reject (&rig, call, DENIM_REASON_NO_WORKER);
        rig_run (&rig, 2000);
        rig_beat (&rig, 5, 1);
    }
    assert_true (rig_sent (&rig, call).try_no >= 6);
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_outcome (&rig, call), DENIM_VALUE);
    rig_close (&rig);
}

static void
service_that_nobody_offers_is_waited_for_and_then_unknown (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    int64_t     begun_ms = rig.now_ms;
    while (rig_outcome (&rig, call) < 0) {
        if (dn_session_facts (rig.session).held == 0)
            rig_reject (&rig, call, DENIM_REASON_NO_SERVICE);
        rig_beat (&rig, 5, 1);
        rig_run (&rig, 50);
        assert_true (rig.now_ms < begun_ms + 7000);
    }
    assert_in_range (rig.now_ms - begun_ms, 5000, 5100);
    assert_int_equal (rig_outcome (&rig, call), DENIM_UNKNOWN_TASK);
    assert_non_null (strstr (rig_text (&rig, call), "the nearest are a, b"));
    assert_in_range (rig_sent (&rig, call).try_no, 5, 30);
    rig_close (&rig);
}

static void
service_that_has_served_and_is_not_known_any_more_is_waited_for (void **state)
{
    (void) state;
    rig_answer (&rig, begin_with_call (), DENIM_VALUE, DENIM_REASON_NONE);
    dn_handle_t call = rig_submit (&rig, "m", 0);
    int64_t     end_ms = rig.now_ms + 20000;
    while (rig.now_ms < end_ms) {
        if (dn_session_facts (rig.session).held == 0)
            rig_reject (&rig, call, DENIM_REASON_NO_SERVICE);
        rig_beat (&rig, 5, 1);
        rig_run (&rig, 50);
        assert_int_equal (rig_outcome (&rig, call), -1);
    }
    if (dn_session_facts (rig.session).held)
        rig_run (&rig, 2000);
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (rig_outcome (&rig, call), DENIM_VALUE);
    rig_close (&rig);
}

static void
reasons_that_stay_end_a_call_at_once (void **state)
{
    static const struct {
        denim_reason_t  reason;
        denim_outcome_t outcome;
    } rows[] = {{DENIM_REASON_TOO_LARGE, DENIM_TOO_LARGE},
                {DENIM_REASON_NOT_ALLOWED, DENIM_NOT_ALLOWED},
                {DENIM_REASON_EXPIRED, DENIM_DEADLINE}};
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dn_handle_t call = begin_with_call ();
        rig_reject (&rig, call, rows[i].reason);
        assert_int_equal (rig_outcome (&rig, call), rows[i].outcome);
        assert_int_equal (rig_result (&rig, call)->flags & 1, 0);
        rig_close (&rig);
    }
}

static void
grant_is_answered_with_calls_and_the_rest_of_it_passed_on (void **state)
{
    (void) state;
    begin ();
    dn_handle_t calls[10];
    for (int i = 0; i < 10; i++)
        calls[i] = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    for (int i = 0; i < 8; i++)
        rig_reject (&rig, calls[i], DENIM_REASON_BUSY);
    dn_msg_t msg = {.kind = DN_MSG_GRANT};
    msg.u.grant = (dn_grant_t){
        .grant = 77, .service = dn_str ("m"), .priority = 1, .count = 9, .lease_ms = 1000};
    rig_input (&rig, &msg);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 17);
    assert_int_equal (rig_sent (&rig, calls[0]).grant, 77);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_PASS), 0);

    msg.u.grant.grant = 78;
    rig_input (&rig, &msg);
    assert_int_equal (rig_sent (&rig, calls[9]).grant, 78);
    assert_int_equal (rig_find (&rig, DN_FX_SEND, DN_MSG_PASS, 0)->msg.u.pass.grant, 78);
    msg.u.grant.service = dn_str ("never heard of");
    msg.u.grant.grant = 79;
    rig_input (&rig, &msg);
    assert_int_equal (rig_find (&rig, DN_FX_SEND, DN_MSG_PASS, 1)->msg.u.pass.grant, 79);
    rig_close (&rig);
}

static void
send_that_the_socket_refused_is_held_until_it_takes_messages_again (void **state)
{
    (void) state;
    begin ();
    dn_handle_t a = rig_submit (&rig, "m", 0);
    dn_handle_t b = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    for (unsigned i = 0; i < 2; i++) {
        dn_effect_t row = *rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT, i);
        dn_session_refused (rig.session, rig.now_ms, &row, rig.fx);
        rig_take (&rig);
    }
    assert_int_equal (dn_session_facts (rig.session).held, 2);
    rig_forget (&rig);
    rig_run (&rig, 500);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 0);
    dn_session_opened (rig.session, rig.now_ms, rig.fx);
    rig_tick (&rig, 0);
    assert_true (rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT, 0)->handle == a);
    assert_true (rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT, 1)->handle == b);
    assert_int_equal (rig_sent (&rig, a).try_no, 2);
    rig_close (&rig);
}

/*  ---- lost ---- */

static void
lost_call_ends_as_lost_unless_it_may_run_twice (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_CRASH);
    assert_int_equal (rig_outcome (&rig, call), DENIM_LOST);
    rig_close (&rig);
}

static dn_handle_t
begin_with_idempotent_call (void)
{
    begin ();
    dn_request_t request = rig_default ("m");
    request.idempotent = true;
    dn_handle_t call = rig_request (&rig, &request);
    rig_welcome (&rig, 5, 1);
    return call;
}

static void
idempotent_call_gets_three_attempts_and_is_poison_when_all_crashed (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_idempotent_call ();
    for (int i = 1; i < 3; i++) {
        rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_CRASH);
        assert_int_equal (rig_sent (&rig, call).attempt, i + 1);
        assert_int_equal (rig_sent (&rig, call).seq, 1);
        assert_int_equal (rig_sent (&rig, call).flags, 1);
    }
    rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_OUT_OF_MEMORY);
    assert_int_equal (rig_outcome (&rig, call), DENIM_POISON);
    assert_int_equal (rig_result (&rig, call)->attempt, 3);
    rig_close (&rig);
}

static void
idempotent_call_that_lost_a_worker_too_is_lost_and_no_poison (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_idempotent_call ();
    rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_CRASH);
    rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_SILENT);
    rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_CRASH);
    assert_int_equal (rig_outcome (&rig, call), DENIM_LOST);
    rig_close (&rig);
}

static void
missing_never_is_sent_again_and_missing_unknown_is_lost (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    rig_missing (&rig, call, true);
    assert_int_equal (rig_sent (&rig, call).attempt, 1);
    assert_int_equal (rig_sent (&rig, call).try_no, 2);
    rig_missing (&rig, call, false);
    assert_int_equal (rig_outcome (&rig, call), DENIM_LOST);
    assert_int_equal (rig_result (&rig, call)->flags & 1, 1);
    rig_close (&rig);
}

/*  ---- cancel ---- */

static void
held_call_is_cancelled_at_once (void **state)
{
    (void) state;
    begin ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    assert_int_equal (dn_session_cancel (rig.session, call, false, rig.fx), 1);
    rig_take (&rig);
    assert_int_equal (rig_outcome (&rig, call), DENIM_CANCELLED);
    assert_int_equal (dn_session_cancel (rig.session, call, false, rig.fx), -1);
    rig_close (&rig);
}

static void
wish_to_cancel_is_sent_and_a_kill_after_it (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    for (int i = 0; i < 2; i++) {
        assert_int_equal (dn_session_cancel (rig.session, call, i, rig.fx), 0);
        rig_take (&rig);
        const dn_effect_t *row = rig_find (&rig, DN_FX_SEND, DN_MSG_CLIENT_CANCEL, (unsigned) i);
        assert_int_equal (row->msg.u.client_cancel.how, i + 1);
    }
    assert_int_equal (rig_outcome (&rig, call), -1);
    rig_answer (&rig, call, DENIM_CANCELLED, DENIM_REASON_NONE);
    assert_int_equal (rig_outcome (&rig, call), DENIM_CANCELLED);
    rig_close (&rig);
}

static void
cancelled_call_is_never_sent_again (void **state)
{
    (void) state;
    for (int i = 0; i < 4; i++) {
        dn_handle_t call = begin_with_idempotent_call ();
        dn_session_cancel (rig.session, call, false, rig.fx);
        rig_take (&rig);
        switch (i) {
        case 0: rig_reject (&rig, call, DENIM_REASON_BUSY); break;
        case 1: rig_missing (&rig, call, true); break;
        case 2: rig_missing (&rig, call, false); break;
        case 3: rig_answer (&rig, call, DENIM_LOST, DENIM_REASON_CRASH); break;
        }
        assert_int_equal (rig_outcome (&rig, call), i < 2 ? DENIM_CANCELLED : DENIM_LOST);
        assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 1);
        rig_close (&rig);
    }
}

static void
abandoned_call_ends_at_once_and_its_late_result_is_acknowledged (void **state)
{
    (void) state;
    dn_handle_t call = begin_with_call ();
    dn_session_abandon (rig.session, call, rig.fx);
    rig_take (&rig);
    assert_int_equal (rig_outcome (&rig, call), DENIM_CANCELLED);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_CLIENT_CANCEL), 1);
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    rig_run (&rig, DN_ACK_MS);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_ACK), 1);
    rig_close (&rig);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (
            every_cell_of_the_table_is_filled_and_a_call_on_its_way_is_never_sent_twice),
        cmocka_unit_test (call_is_sent_after_welcome_and_ends_with_its_result),
        cmocka_unit_test (result_that_comes_twice_is_acknowledged_twice_and_completes_once),
        cmocka_unit_test (acknowledgements_go_in_batches_of_64),
        cmocka_unit_test (result_of_another_session_or_attempt_changes_nothing),
        cmocka_unit_test (known_tells_the_caller_that_a_worker_has_it),
        cmocka_unit_test (progress_is_handed_on),
        cmocka_unit_test (window_is_the_limit_of_calls_that_have_not_ended),
        cmocka_unit_test (high_priority_goes_first_and_each_priority_in_order),
        cmocka_unit_test (services_take_turns),
        cmocka_unit_test (one_mebibyte_at_most_is_on_its_way_without_an_answer),
        cmocka_unit_test (payload_that_the_manager_does_not_take_is_not_sent),
        cmocka_unit_test (service_number_257_is_refused_and_a_free_row_is_used_again),
        cmocka_unit_test (refused_call_is_held_and_goes_before_those_that_were_never_sent),
        cmocka_unit_test (answer_to_an_older_try_is_ignored),
        cmocka_unit_test (lone_refused_call_is_tried_again_by_the_timer),
        cmocka_unit_test (service_that_nobody_offers_is_waited_for_and_then_unknown),
        cmocka_unit_test (service_that_has_served_and_is_not_known_any_more_is_waited_for),
        cmocka_unit_test (reasons_that_stay_end_a_call_at_once),
        cmocka_unit_test (grant_is_answered_with_calls_and_the_rest_of_it_passed_on),
        cmocka_unit_test (send_that_the_socket_refused_is_held_until_it_takes_messages_again),
        cmocka_unit_test (lost_call_ends_as_lost_unless_it_may_run_twice),
        cmocka_unit_test (idempotent_call_gets_three_attempts_and_is_poison_when_all_crashed),
        cmocka_unit_test (idempotent_call_that_lost_a_worker_too_is_lost_and_no_poison),
        cmocka_unit_test (missing_never_is_sent_again_and_missing_unknown_is_lost),
        cmocka_unit_test (held_call_is_cancelled_at_once),
        cmocka_unit_test (wish_to_cancel_is_sent_and_a_kill_after_it),
        cmocka_unit_test (cancelled_call_is_never_sent_again),
        cmocka_unit_test (abandoned_call_ends_at_once_and_its_late_result_is_acknowledged),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
