/*  test_session_nested.c - calls that a task makes
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "session_rig.h"

static rig_t rig;

static dn_request_t
begin_nested (uint8_t depth)
{
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
    dn_request_t request = rig_default ("m");
    request.parent = (dn_str_t){"0123456789abcdef76543210", DENIM_PARENT_BYTES};
    request.depth = depth;
    return request;
}

static void
call_nested_to_the_bound_is_sent_with_its_parent_and_depth (void **state)
{
    (void) state;
    dn_request_t request = begin_nested (DENIM_NESTING_MAX);
    dn_handle_t  call = rig_request (&rig, &request);
    rig_welcome (&rig, 5, 1);
    dn_submit_t sent = rig_sent (&rig, call);
    assert_int_equal (sent.depth, DENIM_NESTING_MAX);
    assert_int_equal (sent.parent.len, DENIM_PARENT_BYTES);
    assert_memory_equal (sent.parent.ptr, request.parent.ptr, DENIM_PARENT_BYTES);
    rig_close (&rig);
}

static void
call_nested_beyond_the_bound_ends_at_once_and_nothing_is_sent (void **state)
{
    (void) state;
    dn_request_t request = begin_nested (DENIM_NESTING_MAX + 1);
    dn_handle_t  call = rig_request (&rig, &request);
    assert_int_equal (rig_outcome (&rig, call), DENIM_NESTING_TOO_DEEP);
    assert_int_equal (rig_result (&rig, call)->reason, DENIM_REASON_NONE);
    assert_int_equal (rig_result (&rig, call)->flags, 0);
    assert_non_null (strstr (rig_text (&rig, call), "9 levels deep, and 8 are the bound"));
    assert_int_equal (dn_session_facts (rig.session).in_flight, 0);
    rig_welcome (&rig, 5, 1);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 0);
    rig_close (&rig);
}

static void
refused_call_keeps_its_parent_and_depth (void **state)
{
    (void) state;
    dn_request_t request = begin_nested (3);
    dn_handle_t  call = rig_request (&rig, &request);
    rig_welcome (&rig, 5, 1);
    rig_reject (&rig, call, DENIM_REASON_BUSY);
    rig_run (&rig, 1000);
    assert_int_equal (rig_sent (&rig, call).depth, 3);
    assert_int_equal (rig_sent (&rig, call).parent.len, DENIM_PARENT_BYTES);
    rig_close (&rig);
}

/*  Four calls that a task has left behind, and a deeper one for which the next task waits: all of
 *  one service. */
static dn_handle_t
leave_behind (dn_handle_t left[4])
{
    dn_request_t request = begin_nested (1);
    for (int i = 0; i < 4; i++)
        left[i] = rig_request (&rig, &request);
    rig_welcome (&rig, 5, 1);
    for (int i = 0; i < 4; i++)
        rig_reject (&rig, left[i], DENIM_REASON_BUSY);
    request.depth = 2;
    return rig_request (&rig, &request);
}

static void
call_that_is_nested_deeper_goes_past_those_that_wait (void **state)
{
    (void) state;
    dn_handle_t left[4], deeper = leave_behind (left);
    assert_int_equal (rig_sent (&rig, deeper).depth, 2);
    rig_close (&rig);
}

static void
calls_of_each_level_wait_for_their_own_turn_and_open_says_so (void **state)
{
    (void) state;
    dn_handle_t left[4], deeper = leave_behind (left);
    rig_reject (&rig, deeper, DENIM_REASON_BUSY);
    dn_msg_t beat = {.kind = DN_MSG_BEAT, .u.beat = {.epoch = 5, .mark = 1}};
    dn_session_input (rig.session, rig.now_ms, &beat, 0, rig.fx);
    assert_int_equal (rig.fx->row[0].msg.kind, DN_MSG_OPEN);
    dn_list_t     wants = rig.fx->row[0].msg.u.open.wants;
    dn_row_want_t want;
    uint32_t      held[3] = {0};
    while (dn_list_next (&wants, DN_ROW_WANT, &want)) {
        assert_in_range (want.depth, 1, 2);
        assert_true (want.waits);
        held[want.depth] += want.held;
    }
    assert_int_equal (held[1], 4);
    assert_int_equal (held[2], 1);
    rig_take (&rig);

    dn_msg_t grant = {.kind = DN_MSG_GRANT};
    grant.u.grant = (dn_grant_t){
        .grant = 7, .service = dn_str ("m"), .priority = 1, .depth = 2, .count = 1, .lease_ms = 9};
    rig_forget (&rig);
    rig_input (&rig, &grant);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 1);
    assert_int_equal (rig_sent (&rig, deeper).grant, 7);
    rig_close (&rig);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (call_nested_to_the_bound_is_sent_with_its_parent_and_depth),
        cmocka_unit_test (call_nested_beyond_the_bound_ends_at_once_and_nothing_is_sent),
        cmocka_unit_test (refused_call_keeps_its_parent_and_depth),
        cmocka_unit_test (call_that_is_nested_deeper_goes_past_those_that_wait),
        cmocka_unit_test (calls_of_each_level_wait_for_their_own_turn_and_open_says_so),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
