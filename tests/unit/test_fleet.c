/*  test_fleet.c - how tasks go to slots, come back, and are lost with them
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHORT_US 20 /* run time of a task of which many fit into a channel */

/*  The service is known to have short tasks from here on. */
static void
make_measured (world_t *world)
{
    for (uint64_t seq = 9000; seq < 9008; seq++) {
        world_run (world, seq);
        world_answer (world, (uint32_t) slot_with (world, seq), SHORT_US);
    }
    world_forget_notes (world);
}

/*  ---- there and back ---- */

static void
task_goes_to_an_idle_slot_and_its_answer_back (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    assert_int_equal (slot_with (world, 1), 0);
    assert_int_equal (kept_count (world), 1);
    world_answer (world, 0, SHORT_US);
    assert_true (relayed (world, 1));
    assert_int_equal (answers_kept (world), 1);
    world_settle (world, 1);
    assert_int_equal (kept_count (world), 0);
    assert_int_equal (held_count (world, 1), 0);
    world_free (world);
}

static void
tasks_are_spread_and_the_next_stands_by (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    assert_int_equal (in_channel (world, 0), 1);
    assert_int_equal (in_channel (world, 1), 1);
    assert_int_equal (slot_with (world, 3), -1);
    world_answer (world, 1, SHORT_US);
    assert_int_equal (slot_with (world, 3), 1);
    world_free (world);
}

static void
measured_short_tasks_share_channels_evenly (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    make_measured (world);
    for (uint64_t seq = 1; seq <= 8; seq++)
        world_run (world, seq);
    assert_int_equal (in_channel (world, 0), 4);
    assert_int_equal (in_channel (world, 1), 4);
    world_free (world);
}

static void
channel_holds_a_millisecond_of_work (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.slots = 1;
    config.standby = 100;
    world_t *world = world_up (&config);
    make_measured (world);
    for (uint64_t seq = 1; seq <= 60; seq++)
        world_run (world, seq);
    assert_int_equal (in_channel (world, 0), DN_CHANNEL_WORK_US / SHORT_US);
    world_free (world);
}

static void
channel_holds_64_tasks_however_short (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.slots = 1;
    config.standby = 200;
    world_t *world = world_up (&config);
    for (uint64_t seq = 9000; seq < 9008; seq++) {
        world_run (world, seq);
        world_answer (world, 0, 1);
    }
    for (uint64_t seq = 1; seq <= 100; seq++)
        world_run (world, seq);
    assert_int_equal (in_channel (world, 0), DN_CHANNEL_TASKS);
    world_free (world);
}

static void
long_tasks_and_large_ones_go_one_at_a_time (void **state)
{
    world_t    *world = world_up_plain ();
    dn_submit_t fields = {0};
    (void) state;

    make_measured (world);
    world_run (world, 1);
    world_run (world, 2);
    world_run_with (world, 3, &fields, DN_FRAME_SMALL + 1);
    assert_int_equal (slot_with (world, 3), -1);
    world_answer (world, 0, SHORT_US);
    assert_int_equal (slot_with (world, 3), 0);
    world_run (world, 4);
    assert_int_equal (slot_with (world, 4), 1);
    world_free (world);
}

static void
one_run_too_many_is_refused_with_the_true_numbers (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 10; seq++)
        world_run (world, seq);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 0);
    world_run (world, 11);
    const note_t *refusal = refusal_of (world, 11);
    assert_non_null (refusal);
    assert_int_equal (refusal->reason, DENIM_REASON_BUSY);
    assert_int_equal (refusal->slots + refusal->standby, 0);
    assert_int_equal (kept_count (world), 10);
    world_answer (world, 0, SHORT_US);
    world_run (world, 12);
    assert_null (refusal_of (world, 12));
    world_free (world);
}

static void
standby_that_lasts_too_long_is_refused (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_pass (world, 99);
    assert_null (refusal_of (world, 3));
    world_pass (world, 1);
    const note_t *refusal = refusal_of (world, 3);
    assert_non_null (refusal);
    assert_int_equal (refusal->reason, DENIM_REASON_STANDBY);
    assert_int_equal (refusal->standby, 8);
    assert_int_equal (kept_count (world), 2);
    world_free (world);
}

static void
same_run_once_more_is_ignored (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_run (world, 1);
    assert_int_equal (in_channel (world, 0) + in_channel (world, 1), 1);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 0);
    world_free (world);
}

static void
run_without_a_submit_is_logged_and_dropped (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    dn_msg_t run = {.kind = DN_MSG_RUN, .u.run.link = world->link};
    world_feed (world, &run, 0);
    assert_true (logged (world, "malformed"));
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

/*  ---- taking back ---- */

static void
tasks_behind_a_long_one_go_to_another_slot (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    make_measured (world);
    for (uint64_t seq = 1; seq <= 6; seq++)
        world_run (world, seq);
    uint32_t slow = (uint32_t) slot_with (world, 1);
    world_start (world, slow);
    world_pass (world, DN_TAKE_BACK_MS);
    assert_int_equal (count_of (world, DN_FX_TAKE_BACK), 0);
    uint32_t quick = 1 - slow;
    while (in_channel (world, quick))
        world_answer (world, quick, SHORT_US);
    world_pass (world, 1);
    assert_int_equal (in_channel (world, slow), 1);
    assert_int_equal (slot_with (world, 3), quick);
    assert_int_equal (slot_with (world, 5), quick);
    world_answer (world, quick, SHORT_US);
    assert_true (relayed (world, 3)); /* in the order in which they came */
    world_free (world);
}

static void
task_that_started_just_before_stays (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.slots = 1;
    world_t *world = world_up (&config);
    make_measured (world);
    for (uint64_t seq = 1; seq <= 4; seq++)
        world_run (world, seq);
    world_start (world, 0);
    world_start (world, 0); /* the answer of 1 is on its way */
    world_pass (world, DN_TAKE_BACK_MS + 1);
    assert_int_equal (in_channel (world, 0), 2);
    world_answer (world, 0, SHORT_US);
    assert_true (relayed (world, 1));
    world_answer (world, 0, SHORT_US);
    assert_true (relayed (world, 2));
    world_free (world);
}

/*  ---- the death of a slot ---- */

static void
crash_loses_the_task_that_ran_and_no_other (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.slots = 1;
    world_t *world = world_up (&config);
    make_measured (world);
    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_start (world, 0);
    world_exit (world, 0, SIGNALLED (SIGSEGV));
    const note_t *result = result_of (world, 1);
    assert_non_null (result);
    assert_int_equal (result->outcome, DENIM_LOST);
    assert_int_equal (result->reason, DENIM_REASON_CRASH);
    assert_int_equal (result->signal, SIGSEGV);
    assert_int_equal (result->exit_code, 255);
    assert_int_equal (result->flags, 1);
    assert_non_null (strstr (result->text, "SIGSEGV"));
    assert_int_equal (sent_of (world, DN_MSG_RESULT), 1);

    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    world_ready (world, 0);
    assert_int_equal (in_channel (world, 0), 2);
    world_answer (world, 0, SHORT_US);
    assert_true (relayed (world, 2));
    world_free (world);
}

static void
task_that_had_not_started_is_not_lost_with_its_slot (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_exit (world, 0, EXITED (1));
    assert_null (result_of (world, 1));
    assert_int_equal (slot_with (world, 1), 1);
    world_free (world);
}

static void
exit_code_and_memory_are_told (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_run (world, 2);
    world_start (world, 0);
    world_start (world, 1);
    world_exit (world, 0, EXITED (7));
    assert_int_equal (result_of (world, 1)->exit_code, 7);
    assert_int_equal (result_of (world, 1)->signal, 0);
    world_exit_oom (world, 1);
    assert_int_equal (result_of (world, 2)->reason, DENIM_REASON_OUT_OF_MEMORY);
    assert_int_equal (result_of (world, 2)->flags, 3);
    assert_int_equal (result_of (world, 2)->signal, SIGKILL);
    world_free (world);
}

static void
death_that_nobody_can_explain_is_told_all_the_same (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_exit (world, 0, -1);
    assert_int_equal (result_of (world, 1)->signal, 0);
    assert_int_equal (result_of (world, 1)->exit_code, 255);
    world_free (world);
}

static void
answer_that_was_not_asked_for_costs_the_slot (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_result_of (world, 0, 99);
    assert_true (logged (world, "slot_garbled"));
    assert_int_equal (last_of (world, DN_FX_KILL)->slot, 0);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_LOST);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (task_goes_to_an_idle_slot_and_its_answer_back),
        cmocka_unit_test (tasks_are_spread_and_the_next_stands_by),
        cmocka_unit_test (measured_short_tasks_share_channels_evenly),
        cmocka_unit_test (channel_holds_a_millisecond_of_work),
        cmocka_unit_test (channel_holds_64_tasks_however_short),
        cmocka_unit_test (long_tasks_and_large_ones_go_one_at_a_time),
        cmocka_unit_test (one_run_too_many_is_refused_with_the_true_numbers),
        cmocka_unit_test (standby_that_lasts_too_long_is_refused),
        cmocka_unit_test (same_run_once_more_is_ignored),
        cmocka_unit_test (run_without_a_submit_is_logged_and_dropped),
        cmocka_unit_test (tasks_behind_a_long_one_go_to_another_slot),
        cmocka_unit_test (task_that_started_just_before_stays),
        cmocka_unit_test (crash_loses_the_task_that_ran_and_no_other),
        cmocka_unit_test (task_that_had_not_started_is_not_lost_with_its_slot),
        cmocka_unit_test (exit_code_and_memory_are_told),
        cmocka_unit_test (death_that_nobody_can_explain_is_told_all_the_same),
        cmocka_unit_test (answer_that_was_not_asked_for_costs_the_slot),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
