/*  test_session_link.c - the session: links, silence, deadlines, questions
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "session_rig.h"

static rig_t rig;

static void
begin (void)
{
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
}

static void
begin_welcomed (void)
{
    begin ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    rig_answer (&rig, call, DENIM_VALUE, DENIM_REASON_NONE);
    rig_run (&rig, DN_ACK_MS);
    rig_forget (&rig);
}

/*  ---- first contact ---- */

static void
nothing_is_connected_before_the_first_call (void **state)
{
    (void) state;
    begin ();
    rig_run (&rig, 60000);
    assert_int_equal (rig.rows, 0);
    assert_true (dn_session_deadline_ms (rig.session) == DN_NEVER);
    rig_close (&rig);
}

static void
manager_that_is_not_reached_in_time_makes_calls_unavailable (void **state)
{
    (void) state;
    begin ();
    dn_handle_t a = rig_submit (&rig, "m", 0);
    rig_run (&rig, 4000);
    dn_handle_t b = rig_submit (&rig, "n", 60000);
    rig_run (&rig, 5999);
    assert_int_equal (rig_outcome (&rig, a), -1);
    rig_run (&rig, 1);
    assert_int_equal (rig_outcome (&rig, a), DENIM_UNAVAILABLE);
    assert_string_equal (rig_text (&rig, a),
                         "no manager at tcp://127.0.0.1:5570 within 10 s: start "
                         "one with `denimd`");
    assert_int_equal (rig_outcome (&rig, b), -1);
    rig_run (&rig, 4000);
    assert_int_equal (rig_outcome (&rig, b), DENIM_UNAVAILABLE);
    rig_close (&rig);
}

static void
negative_connect_timeout_waits_for_ever (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    config.connect_timeout_ms = -1;
    rig_open (&rig, &config);
    dn_handle_t call = rig_submit (&rig, "m", 0);
    rig_run (&rig, 3600000);
    assert_int_equal (rig_outcome (&rig, call), -1);
    rig_close (&rig);
}

static void
manager_that_went_away_is_waited_for_until_the_deadline (void **state)
{
    (void) state;
    begin_welcomed ();
    rig_run (&rig, 3000); /* silent by now */
    dn_handle_t call = rig_submit (&rig, "m", 30000);
    rig_run (&rig, 29999);
    assert_int_equal (rig_outcome (&rig, call), -1);
    rig_run (&rig, 1);
    assert_int_equal (rig_outcome (&rig, call), DENIM_UNAVAILABLE);
    assert_non_null (strstr (rig_text (&rig, call), "went away"));
    rig_close (&rig);
}

/*  ---- deadlines ---- */

static void
deadline_of_a_refused_call_is_a_rejection_with_the_reason (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_handle_t call = rig_submit (&rig, "m", 1000);
    assert_int_equal (rig_sent (&rig, call).deadline_ms, 1000);
    dn_handle_t behind = rig_submit (&rig, "m", 900);
    rig_reject (&rig, behind, DENIM_REASON_BUSY);
    rig_reject (&rig, call, DENIM_REASON_BUSY);
    dn_handle_t later = rig_submit (&rig, "m", 800); /* never sent: it waits behind them */
    while (rig.now_ms < 5000) {
        rig_run (&rig, 5);
        if (dn_session_facts (rig.session).in_flight > dn_session_facts (rig.session).held)
            rig_reject (&rig, rig_outcome (&rig, behind) < 0 ? behind : call, DENIM_REASON_BUSY);
        if (dn_session_facts (rig.session).in_flight > dn_session_facts (rig.session).held)
            rig_reject (&rig, call, DENIM_REASON_BUSY);
    }
    assert_int_equal (rig_outcome (&rig, call), DENIM_REJECTED);
    assert_int_equal (rig_result (&rig, call)->reason, DENIM_REASON_BUSY);
    assert_int_equal (rig_outcome (&rig, behind), DENIM_REJECTED);
    assert_non_null (strstr (rig_text (&rig, call), "no slot is free"));
    assert_true (rig_outcome (&rig, later) >= 0);
    rig_close (&rig);
}

static void
deadline_of_a_call_with_a_worker_ends_it_and_the_run (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_handle_t call = rig_submit (&rig, "m", 1000);
    rig_known (&rig, call);
    rig_run (&rig, 1000);
    assert_int_equal (rig_outcome (&rig, call), DENIM_DEADLINE);
    assert_int_equal (rig_result (&rig, call)->flags & 1, 1);
    const dn_effect_t *row = rig_find (&rig, DN_FX_SEND, DN_MSG_CLIENT_CANCEL, 0);
    assert_non_null (row);
    assert_int_equal (row->msg.u.client_cancel.how, 1);
    rig_close (&rig);
}

/*  A call that is made after the last refusal, and waits for the timer of those before it. */
static void
deadline_while_no_call_of_its_service_is_taken_says_why (void **state)
{
    (void) state;
    begin_welcomed ();
    for (int i = 0; i < 20; i++) {
        dn_handle_t call = rig_submit (&rig, "other", 100);
        for (int ms = 0; ms < 100; ms++) {
            if (dn_session_facts (rig.session).held == 0)
                rig_reject (&rig, call, DENIM_REASON_NO_SERVICE);
            rig_run (&rig, 1);
        }
        assert_int_equal (rig_outcome (&rig, call), DENIM_REJECTED);
        assert_int_equal (rig_result (&rig, call)->reason, DENIM_REASON_NO_SERVICE);
        rig_beat (&rig, 5, 1);
    }
    rig_close (&rig);
}

static void
deadline_of_a_call_that_waits_for_room_here_is_not_started (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_handle_t call = DN_NONE;
    for (int i = 0; i < 40; i++)
        call = rig_submit (&rig, "m", 1000);
    rig_run (&rig, 1000);
    assert_int_equal (rig_outcome (&rig, call), DENIM_DEADLINE);
    assert_int_equal (rig_result (&rig, call)->flags & 1, 0);
    rig_close (&rig);
}

static void
deadlines_end_calls_in_their_order (void **state)
{
    (void) state;
    begin ();
    static const int64_t deadlines[] = {50, 10, 40, 20, 30};
    for (int i = 0; i < 5; i++)
        rig_submit (&rig, "m", deadlines[i]);
    for (unsigned i = 0; i < 5; i++) {
        rig_run (&rig, 10);
        assert_int_equal (rig_count (&rig, DN_FX_COMPLETE, DN_MSG_NONE), i + 1);
    }
    rig_close (&rig);
}

/*  ---- links ---- */

static void
hello_comes_first_on_a_fresh_link_and_its_number_rises (void **state)
{
    (void) state;
    begin ();
    rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    const dn_effect_t *hello = rig_find (&rig, DN_FX_SEND, DN_MSG_CLIENT_HELLO, 0);
    assert_int_equal (hello->msg.u.client_hello.link, 1);
    assert_int_equal (hello->msg.u.client_hello.major, DN_MAJOR);

    dn_msg_t who = {.kind = DN_MSG_WHO};
    rig_input (&rig, &who);
    hello = rig_find (&rig, DN_FX_SEND, DN_MSG_CLIENT_HELLO, 1);
    assert_int_equal (hello->msg.u.client_hello.link, 2);
    rig_close (&rig);
}

static void
nothing_is_sent_between_hello_and_welcome (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_msg_t who = {.kind = DN_MSG_WHO};
    rig_input (&rig, &who);
    rig_forget (&rig);
    dn_handle_t call = rig_submit (&rig, "m", 0);
    rig_run (&rig, 1000);
    assert_int_equal (dn_session_cancel (rig.session, call, false, rig.fx), 1);
    rig_take (&rig);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_NONE), 0);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_NONE), 0);
    rig_close (&rig);
}

static void
hello_that_the_socket_refused_is_said_when_it_takes_messages (void **state)
{
    (void) state;
    begin ();
    rig_submit (&rig, "m", 0);
    dn_session_opened (rig.session, rig.now_ms, rig.fx);
    rig_take (&rig);
    dn_effect_t hello = *rig_find (&rig, DN_FX_SEND, DN_MSG_CLIENT_HELLO, 0);
    dn_session_refused (rig.session, rig.now_ms, &hello, rig.fx);
    rig_take (&rig);
    rig_welcome (&rig, 5, 1);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_CLIENT_HELLO), 2);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_NONE), 1);
    rig_close (&rig);
}

static void
silence_of_two_and_a_half_to_three_heartbeats_opens_a_fresh_link (void **state)
{
    (void) state;
    begin_welcomed ();
    rig_beat (&rig, 5, 1);
    rig_forget (&rig);
    rig_run (&rig, 2499);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 0);
    rig_run (&rig, 502);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    rig_run (&rig, 60000); /* it is the socket's business to connect */
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    rig_close (&rig);
}

static void
silence_after_hello_opens_a_fresh_link_as_well (void **state)
{
    (void) state;
    begin ();
    rig_submit (&rig, "m", 0);
    dn_session_opened (rig.session, rig.now_ms, rig.fx);
    rig_run (&rig, 3001);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 2);
    rig_close (&rig);
}

static void
broken_connection_opens_a_fresh_link_at_once (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_session_broken (rig.session);
    rig_tick (&rig, 0);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    dn_session_broken (rig.session); /* of the socket that has been closed */
    rig_tick (&rig, 0);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    rig_close (&rig);
}

static void
beat_of_another_epoch_or_before_welcome_is_answered_with_hello (void **state)
{
    (void) state;
    begin_welcomed ();
    rig_beat (&rig, 6, 1);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_CLIENT_HELLO), 1);
    rig_beat (&rig, 6, 2);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_CLIENT_HELLO), 2);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_OPEN), 0);
    rig_close (&rig);
}

static void
call_stays_sent_over_a_new_manager_under_its_old_stamp (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    dn_session_broken (rig.session);
    rig_tick (&rig, 0);
    rig_welcome (&rig, 6, 1);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_NONE), 1);

    dn_msg_t beat = {.kind = DN_MSG_BEAT, .u.beat = {.epoch = 6, .mark = 9}};
    dn_session_input (rig.session, rig.now_ms, &beat, 0, rig.fx);
    dn_open_t     open = rig.fx->row[0].msg.u.open;
    dn_row_open_t row;
    uint8_t       bytes[2000];
    dn_msg_t      decoded;
    ptrdiff_t     n = dn_msg_encode (&rig.fx->row[0].msg, bytes, sizeof bytes);
    assert_int_equal (dn_msg_decode (&decoded, C2M, bytes, (size_t) n), 0);
    open = decoded.u.open;
    assert_true (open.mark == 9 && open.from_seq == 0 && open.upto_seq == 2);
    assert_true (dn_list_next (&open.calls, DN_ROW_OPEN, &row));
    assert_true (row.seq == 2 && row.attempt == 1 && row.try_no == 1 && row.epoch == 5);
    assert_false (dn_list_next (&open.calls, DN_ROW_OPEN, &row));
    rig_take (&rig);

    rig_missing (&rig, call, true);
    assert_int_equal (rig_sent (&rig, call).try_no, 2);
    rig_close (&rig);
}

/*  ---- OPEN ---- */

static void
open_lists_many_calls_in_ranges_that_cover_all_numbers (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    config.window = 3000;
    rig_open (&rig, &config);
    dn_request_t request = rig_default ("m");
    dn_handle_t  handle;
    for (int i = 0; i < 2500; i++)
        dn_session_submit (rig.session, rig.now_ms, &request, &handle, rig.fx);
    rig_tick (&rig, 0);
    rig_welcome (&rig, 5, 1);
    for (unsigned i = 0; dn_session_facts (rig.session).held; i++) { /* all of them sent */
        dn_submit_t sent = rig_find (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT, i)->msg.u.submit;
        dn_msg_t    msg = {.kind = DN_MSG_KNOWN};
        msg.u.known = (dn_known_t){sent.seq, 1, 1, 5, 1, dn_str ("w")};
        dn_session_input (rig.session, rig.now_ms, &msg, 0, rig.fx);
        rig_tick (&rig, 0);
    }
    rig_forget (&rig);
    for (int i = 0; i < 4; i++)
        rig_beat (&rig, 5, (uint64_t) i);
    static const uint64_t ranges[][3] = {
        {0, 1000, 1000}, {1001, 2000, 1000}, {2001, 2500, 500}, {0, 1000, 1000}};
    for (unsigned i = 0; i < 4; i++) {
        dn_open_t open = rig_find (&rig, DN_FX_SEND, DN_MSG_OPEN, i)->msg.u.open;
        assert_true (open.from_seq == ranges[i][0] && open.upto_seq == ranges[i][1]);
        assert_int_equal (open.calls.count, ranges[i][2]);
    }
    rig_close (&rig);
}

static void
open_names_services_waited_for_and_calls_that_are_to_be_cancelled (void **state)
{
    (void) state;
    begin_welcomed ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    dn_session_cancel (rig.session, call, true, rig.fx);
    for (int i = 0; i < 10; i++)
        rig_submit (&rig, "busy", 0);
    rig_forget (&rig);
    dn_msg_t beat = {.kind = DN_MSG_BEAT, .u.beat = {.epoch = 5, .mark = 9}};
    dn_session_input (rig.session, rig.now_ms, &beat, 0, rig.fx);
    uint8_t   bytes[2000];
    dn_msg_t  decoded;
    ptrdiff_t n = dn_msg_encode (&rig.fx->row[0].msg, bytes, sizeof bytes);
    assert_int_equal (dn_msg_decode (&decoded, C2M, bytes, (size_t) n), 0);
    dn_row_open_t row;
    assert_true (dn_list_next (&decoded.u.open.calls, DN_ROW_OPEN, &row));
    assert_int_equal (row.cancel, 2);
    dn_row_want_t want;
    assert_true (dn_list_next (&decoded.u.open.wants, DN_ROW_WANT, &want));
    assert_true (dn_str_eq (want.service, dn_str ("busy")) && want.priority == 1 && want.held == 2);
    assert_false (dn_list_next (&decoded.u.open.wants, DN_ROW_WANT, &want));
    rig_take (&rig);
    rig_close (&rig);
}

/*  ---- faults ---- */

static void
manager_of_another_version_ends_calls_with_both_versions_named (void **state)
{
    (void) state;
    begin ();
    dn_handle_t call = rig_submit (&rig, "m", 0);
    dn_session_ask (rig.session, 1, dn_str ("status"), dn_str (""), rig.now_ms + 1000, rig.fx);
    dn_session_opened (rig.session, rig.now_ms, rig.fx);
    rig_take (&rig);
    dn_msg_t fault = {.kind = DN_MSG_FAULT};
    fault.u.fault = (dn_fault_t){DENIM_REASON_VERSION, 2, 3, dn_str ("no")};
    rig_input (&rig, &fault);
    assert_int_equal (rig_outcome (&rig, call), DENIM_MISMATCH);
    assert_non_null (strstr (rig_text (&rig, call), "DENIM/2.3"));
    assert_non_null (strstr (rig_text (&rig, call), "DENIM/1.0"));
    assert_int_equal (rig_find (&rig, DN_FX_ANSWER, DN_MSG_NONE, 0)->reason, DENIM_REASON_VERSION);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    rig_submit (&rig, "m", 0); /* the next call looks again */
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 2);
    rig_close (&rig);
}

static void
manager_that_is_full_is_tried_again_and_its_reason_told_at_the_deadline (void **state)
{
    (void) state;
    begin ();
    dn_handle_t call = rig_submit (&rig, "m", 5000);
    dn_session_opened (rig.session, rig.now_ms, rig.fx);
    rig_take (&rig);
    dn_msg_t fault = {.kind = DN_MSG_FAULT};
    fault.u.fault = (dn_fault_t){DENIM_REASON_FULL, 1, 0, dn_str ("full")};
    rig_input (&rig, &fault);
    rig_run (&rig, 3500);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 2);
    rig_run (&rig, 1500);
    assert_int_equal (rig_outcome (&rig, call), DENIM_REJECTED);
    assert_int_equal (rig_result (&rig, call)->reason, DENIM_REASON_FULL);
    rig_close (&rig);
}

/*  ---- questions ---- */

static void
question_is_asked_again_over_a_fresh_link_and_answered_once (void **state)
{
    (void) state;
    begin ();
    dn_session_ask (rig.session, 42, dn_str ("status"), dn_str (""), rig.now_ms + 5000, rig.fx);
    rig_tick (&rig, 0);
    assert_int_equal (rig_count (&rig, DN_FX_FRESH, DN_MSG_NONE), 1);
    for (unsigned i = 0; i < 2; i++) {
        rig_welcome (&rig, 5 + i, 1);
        assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_ASK), i + 1);
        dn_session_broken (rig.session);
        rig_tick (&rig, 0);
    }
    dn_msg_t answer = {.kind = DN_MSG_ANSWER, .u.answer = {.question = 42}};
    rig_input (&rig, &answer);
    rig_input (&rig, &answer);
    assert_int_equal (rig_count (&rig, DN_FX_ANSWER, DN_MSG_ANSWER), 1);
    rig_run (&rig, 6000);
    assert_int_equal (rig_count (&rig, DN_FX_ANSWER, DN_MSG_NONE), 1);
    rig_close (&rig);
}

static void
question_without_an_answer_is_answered_with_none_in_time (void **state)
{
    (void) state;
    begin ();
    dn_session_ask (rig.session, 42, dn_str ("status"), dn_str (""), rig.now_ms + 500, rig.fx);
    for (unsigned i = 1; i <= DN_ASKS_MAX; i++)
        dn_session_ask (rig.session, i, dn_str ("x"), dn_str (""), rig.now_ms + 900, rig.fx);
    rig_take (&rig);
    const dn_effect_t *full = rig_find (&rig, DN_FX_ANSWER, DN_MSG_NONE, 0);
    assert_int_equal (full->number, DN_ASKS_MAX);
    assert_int_equal (full->reason, DENIM_REASON_FULL);
    rig_run (&rig, 500);
    assert_int_equal (rig_find (&rig, DN_FX_ANSWER, DN_MSG_NONE, 1)->number, 42);
    rig_close (&rig);
}

/*  ---- the end ---- */

static void
closing_says_bye_and_ends_everything_however_much_it_is (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    config.window = 5000;
    rig_open (&rig, &config);
    dn_request_t request = rig_default ("m");
    dn_handle_t  handle;
    for (int i = 0; i < 5000; i++)
        dn_session_submit (rig.session, rig.now_ms, &request, &handle, rig.fx);
    rig_tick (&rig, 0);
    rig_welcome (&rig, 5, 1);
    dn_session_close (rig.session, rig.fx);
    rig_take (&rig);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_BYE), 1);
    rig_tick (&rig, 0);
    assert_int_equal (rig_count (&rig, DN_FX_COMPLETE, DN_MSG_NONE), 5000);
    assert_int_equal (dn_session_facts (rig.session).in_flight, 0);
    assert_true (dn_session_deadline_ms (rig.session) == DN_NEVER);
    rig_close (&rig);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_is_connected_before_the_first_call),
        cmocka_unit_test (manager_that_is_not_reached_in_time_makes_calls_unavailable),
        cmocka_unit_test (negative_connect_timeout_waits_for_ever),
        cmocka_unit_test (manager_that_went_away_is_waited_for_until_the_deadline),
        cmocka_unit_test (deadline_of_a_refused_call_is_a_rejection_with_the_reason),
        cmocka_unit_test (deadline_of_a_call_with_a_worker_ends_it_and_the_run),
        cmocka_unit_test (deadline_while_no_call_of_its_service_is_taken_says_why),
        cmocka_unit_test (deadline_of_a_call_that_waits_for_room_here_is_not_started),
        cmocka_unit_test (deadlines_end_calls_in_their_order),
        cmocka_unit_test (hello_comes_first_on_a_fresh_link_and_its_number_rises),
        cmocka_unit_test (nothing_is_sent_between_hello_and_welcome),
        cmocka_unit_test (hello_that_the_socket_refused_is_said_when_it_takes_messages),
        cmocka_unit_test (silence_of_two_and_a_half_to_three_heartbeats_opens_a_fresh_link),
        cmocka_unit_test (silence_after_hello_opens_a_fresh_link_as_well),
        cmocka_unit_test (broken_connection_opens_a_fresh_link_at_once),
        cmocka_unit_test (beat_of_another_epoch_or_before_welcome_is_answered_with_hello),
        cmocka_unit_test (call_stays_sent_over_a_new_manager_under_its_old_stamp),
        cmocka_unit_test (open_lists_many_calls_in_ranges_that_cover_all_numbers),
        cmocka_unit_test (open_names_services_waited_for_and_calls_that_are_to_be_cancelled),
        cmocka_unit_test (manager_of_another_version_ends_calls_with_both_versions_named),
        cmocka_unit_test (manager_that_is_full_is_tried_again_and_its_reason_told_at_the_deadline),
        cmocka_unit_test (question_is_asked_again_over_a_fresh_link_and_answered_once),
        cmocka_unit_test (question_without_an_answer_is_answered_with_none_in_time),
        cmocka_unit_test (closing_says_bye_and_ends_everything_however_much_it_is),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
