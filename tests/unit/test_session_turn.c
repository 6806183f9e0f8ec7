/*  test_session_turn.c - a client that waits for its turn
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "session_rig.h"

static rig_t       rig;
static dn_handle_t calls[12];

/*  Twelve calls, eight of them sent, of which the last two are refused. */
static void
begin_refused_as (denim_reason_t reason)
{
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
    for (int i = 0; i < 12; i++)
        calls[i] = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    rig_reject (&rig, calls[6], reason);
    rig_reject (&rig, calls[7], reason);
    assert_int_equal (rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT), 8);
}

/*  As others wait, too. */
static void
begin_refused (void)
{
    begin_refused_as (DENIM_REASON_BUSY);
}

static void
grant (uint64_t number, uint16_t count, bool alone)
{
    dn_msg_t msg = {.kind = DN_MSG_GRANT};
    msg.u.grant = (dn_grant_t){.grant = number,
                               .service = dn_str ("m"),
                               .priority = 1,
                               .count = count,
                               .alone = alone,
                               .lease_ms = 1000};
    rig_input (&rig, &msg);
}

static unsigned
submits (void)
{
    return rig_count (&rig, DN_FX_SEND_KEPT, DN_MSG_SUBMIT);
}

static void
who_waits_for_its_turn_sends_nothing_when_a_call_ends (void **state)
{
    (void) state;
    begin_refused ();
    for (int i = 0; i < 6; i++)
        rig_answer (&rig, calls[i], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (submits (), 8);
    rig_close (&rig);
}

static void
who_is_refused_for_want_of_a_place_waits_for_its_turn_whatever_the_reason (void **state)
{
    static const denim_reason_t reasons[] = {DENIM_REASON_BUSY, DENIM_REASON_STANDBY,
                                             DENIM_REASON_NO_WORKER, DENIM_REASON_DEADLOCK};
    (void) state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        begin_refused_as (reasons[i]);
        rig_answer (&rig, calls[0], DENIM_VALUE, DENIM_REASON_NONE);
        assert_int_equal (submits (), 8);
        grant (77, 1, false);
        assert_int_equal (rig_sent (&rig, calls[6]).grant, 77);
        rig_close (&rig);
    }
    begin_refused_as (DENIM_REASON_FULL); /* that has no ticket */
    rig_answer (&rig, calls[0], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (submits (), 9);
    rig_close (&rig);
}

static void
a_grant_is_answered_with_as_many_calls_and_says_how_many_more_are_held (void **state)
{
    (void) state;
    begin_refused ();
    grant (77, 2, false);
    assert_int_equal (submits (), 10);
    assert_int_equal (rig_sent (&rig, calls[6]).grant, 77);
    assert_int_equal (rig_sent (&rig, calls[6]).held, 5);
    assert_int_equal (rig_sent (&rig, calls[7]).held, 4);
    rig_answer (&rig, calls[6], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (submits (), 10); /* the next turn comes with the next grant */
    rig_close (&rig);
}

static void
after_a_grant_without_rivals_each_end_makes_room_for_the_next (void **state)
{
    (void) state;
    begin_refused ();
    grant (77, 1, true);
    assert_int_equal (submits (), 9);
    rig_answer (&rig, calls[0], DENIM_VALUE, DENIM_REASON_NONE);
    assert_int_equal (submits (), 10);
    assert_int_equal (rig_sent (&rig, calls[7]).grant, 0);
    rig_close (&rig);
}

/*  All that a manager sends in a row is handled before anything is sent. */
static void
who_is_alone_fills_what_ends_after_the_grant_though_the_grant_is_not_used_yet (void **state)
{
    (void) state;
    begin_refused ();
    rig.no_ticks = true;
    rig_answer (&rig, calls[0], DENIM_VALUE, DENIM_REASON_NONE); /* its place is granted */
    grant (77, 1, true);
    for (int i = 1; i < 4; i++)
        rig_answer (&rig, calls[i], DENIM_VALUE, DENIM_REASON_NONE); /* and these are ours */
    rig.no_ticks = false;
    rig_tick (&rig, 0);
    assert_int_equal (submits (), 8 + 1 + 3);
    rig_close (&rig);
}

static void
a_lost_grant_is_made_up_for_by_the_timer (void **state)
{
    (void) state;
    begin_refused ();
    for (int i = 0; i < 6; i++)
        rig_answer (&rig, calls[i], DENIM_VALUE, DENIM_REASON_NONE);
    rig_run (&rig, 300);
    assert_in_range (submits (), 9, 12); /* one each time, and longer apart each time */
    rig_close (&rig);
}

static void
open_says_for_what_the_client_waits (void **state)
{
    (void) state;
    begin_refused ();
    rig_beat (&rig, 5, 3);
    const dn_effect_t *row = rig_find (&rig, DN_FX_SEND, DN_MSG_OPEN, 0);
    assert_non_null (row);
    assert_int_equal (row->msg.u.open.wants.count, 1);
    rig_close (&rig);
}

static void
when_nothing_is_held_any_more_the_next_call_may_try (void **state)
{
    (void) state;
    begin_refused ();
    grant (77, 9, false);
    assert_int_equal (rig_count (&rig, DN_FX_SEND, DN_MSG_PASS), 1);
    for (int i = 0; i < 12; i++)
        rig_answer (&rig, calls[i], DENIM_VALUE, DENIM_REASON_NONE);
    dn_handle_t call = rig_submit (&rig, "m", 0);
    assert_int_equal (rig_sent (&rig, call).grant, 0);
    rig_close (&rig);
}

/*  Others that have time left get the place. */
static void
a_call_that_would_miss_its_deadline_is_not_sent_when_its_turn_comes (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
    for (int i = 0; i < 9; i++)
        calls[i] = rig_submit (&rig, "m", 0);
    calls[9] = rig_submit (&rig, "m", 1000);
    calls[10] = rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    for (int i = 0; i < 8; i++)
        rig_reject (&rig, calls[i], DENIM_REASON_BUSY);
    grant (77, 9, false);
    unsigned sent = submits ();
    rig_beat (&rig, 5, 1);
    rig_tick (&rig, 985); /* 15 ms are left of its deadline */
    rig_beat (&rig, 5, 2);
    grant (78, 1, false);
    assert_int_equal (rig_outcome (&rig, calls[9]), DENIM_REJECTED);
    assert_int_equal (rig_result (&rig, calls[9])->flags, 0); /* it has not started */
    assert_int_equal (submits (), sent + 1);
    assert_int_equal (rig_sent (&rig, calls[10]).grant, 78);
    rig_close (&rig);
}

static void
a_call_that_has_not_waited_goes_however_little_time_it_has (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
    rig_submit (&rig, "m", 0);
    rig_welcome (&rig, 5, 1);
    dn_handle_t call = rig_submit (&rig, "m", 5);
    assert_int_equal (rig_outcome (&rig, call), -1);
    assert_int_equal (submits (), 2);
    rig_close (&rig);
}

static void
a_call_behind_one_that_is_expired_has_its_own_deadline (void **state)
{
    (void) state;
    dn_session_config_t config = rig_config ();
    rig_open (&rig, &config);
    for (int i = 0; i < 12; i++)
        calls[i] = rig_submit (&rig, "m", i == 11 ? 50 : 0);
    rig_welcome (&rig, 5, 1);
    rig_reject (&rig, calls[0], DENIM_REASON_EXPIRED);
    assert_int_equal (rig_outcome (&rig, calls[0]), DENIM_DEADLINE);
    rig_tick (&rig, 50);
    assert_int_equal (rig_outcome (&rig, calls[11]), DENIM_DEADLINE);
    assert_int_equal (rig_result (&rig, calls[11])->reason, DENIM_REASON_NONE);
    rig_close (&rig);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_waits_for_its_turn_sends_nothing_when_a_call_ends),
        cmocka_unit_test (
            who_is_refused_for_want_of_a_place_waits_for_its_turn_whatever_the_reason),
        cmocka_unit_test (a_grant_is_answered_with_as_many_calls_and_says_how_many_more_are_held),
        cmocka_unit_test (after_a_grant_without_rivals_each_end_makes_room_for_the_next),
        cmocka_unit_test (
            who_is_alone_fills_what_ends_after_the_grant_though_the_grant_is_not_used_yet),
        cmocka_unit_test (a_lost_grant_is_made_up_for_by_the_timer),
        cmocka_unit_test (open_says_for_what_the_client_waits),
        cmocka_unit_test (a_call_that_would_miss_its_deadline_is_not_sent_when_its_turn_comes),
        cmocka_unit_test (a_call_that_has_not_waited_goes_however_little_time_it_has),
        cmocka_unit_test (a_call_behind_one_that_is_expired_has_its_own_deadline),
        cmocka_unit_test (when_nothing_is_held_any_more_the_next_call_may_try),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
