/*  test_fleet_limits.c - how tasks are limited and cancelled, and what becomes of a client's that
 *  is gone
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

/*  ---- limits ---- */

static world_t *
up_with_limits (int64_t soft_ms, int64_t hard_ms)
{
    dn_fleet_config_t config = world_config ();
    config.soft_limit_ms = soft_ms;
    config.hard_limit_ms = hard_ms;
    return world_up (&config);
}

static void
soft_limit_interrupts_once_and_hard_limit_kills (void **state)
{
    world_t *world = up_with_limits (50, 80);
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_pass (world, 49);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 0);
    world_pass (world, 20);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 1);
    assert_int_equal (last_of (world, DN_FX_INTERRUPT)->how, 0);
    assert_int_equal (last_of (world, DN_FX_INTERRUPT)->number, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_pass (world, 20);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    const note_t *result = result_of (world, 1);
    assert_int_equal (result->outcome, DENIM_TIME_LIMIT);
    assert_int_equal (result->flags, 1);
    assert_int_equal (result->wait_us, 0);
    assert_int_equal (result->run_us, 89000);
    assert_non_null (strstr (result->text, "80 ms"));
    world_free (world);
}

static void
limits_of_the_task_go_before_those_of_the_worker (void **state)
{
    world_t    *world = up_with_limits (50, 80);
    dn_submit_t fields = {.soft_limit_ms = 500, .hard_limit_ms = 1000};
    (void) state;

    world_run_with (world, 1, &fields, 10);
    world_start (world, 0);
    world_pass (world, 400);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT) + count_of (world, DN_FX_KILL), 0);
    world_pass (world, 100);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 1);
    world_pass (world, 500);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_free (world);
}

static void
answer_that_came_before_the_kill_counts (void **state)
{
    world_t *world = up_with_limits (0, 80);
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_pass (world, 80);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_answer (world, 0, 80000); /* it was in the socket */
    assert_true (relayed (world, 1));
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_null (result_of (world, 1));
    world_free (world);
}

static void
deadline_before_the_start_and_after_it (void **state)
{
    world_t    *world = world_up_plain ();
    dn_submit_t fields = {.deadline_ms = 60};
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run_with (world, seq, &fields, 10);
    world_start (world, 0);
    world_start (world, 1);
    world_pass (world, 59);
    assert_int_equal (sent_of (world, DN_MSG_RESULT), 0);
    world_pass (world, 1);
    assert_int_equal (result_of (world, 3)->outcome, DENIM_DEADLINE);
    assert_int_equal (result_of (world, 3)->flags, 0);
    assert_int_equal (result_of (world, 3)->wait_us, 60000);
    assert_int_equal (result_of (world, 3)->run_us, 0);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 2);
    assert_int_equal (last_of (world, DN_FX_INTERRUPT)->how, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_obey (world, 1); /* and keeps its slot */
    assert_int_equal (result_of (world, 2)->outcome, DENIM_DEADLINE);
    assert_int_equal (result_of (world, 2)->flags, 1);
    world_pass (world, DN_EXPIRED_GRACE_MS - 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_DEADLINE);
    assert_int_equal (result_of (world, 1)->flags, 1);
    world_free (world);
}

/*  The caller's own timer is the first: its cancel comes just before the deadline passes here. */
static void
deadline_shortens_the_grace_of_a_cancel (void **state)
{
    dn_fleet_config_t config = world_config ();
    dn_submit_t       fields = {.deadline_ms = 60};
    (void) state;

    config.grace_ms = 5000;
    world_t *world = world_up (&config);
    world_run_with (world, 1, &fields, 10);
    world_start (world, 0);
    world_pass (world, 59);
    world_about (world, DN_MSG_CANCEL, 1, 1);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 1);
    world_pass (world, DN_EXPIRED_GRACE_MS);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 1);
    world_free (world);
}

static void
memory_limit_kills_and_says_so (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.rss_max = 1000;
    world_t *world = world_up (&config);
    world_run (world, 1);
    world_start (world, 0);
    world_rss (world, 0, 1000);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_rss (world, 0, 1001);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_LOST);
    assert_int_equal (result_of (world, 1)->reason, DENIM_REASON_OUT_OF_MEMORY);
    assert_int_equal (result_of (world, 1)->flags, 3);

    world_rss (world, 1, 2000); /* idle, and grown all the same */
    assert_int_equal (last_of (world, DN_FX_KILL)->slot, 1);
    world_free (world);
}

static void
answer_larger_than_the_manager_takes_is_not_sent (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_answer_large (world, 0, 1000001);
    assert_false (relayed (world, 1));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_TOO_LARGE);
    assert_int_equal (result_of (world, 1)->flags, 1);
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

/*  ---- cancel ---- */

static void
cancel_of_a_waiting_task_ends_it_at_once (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_about (world, DN_MSG_CANCEL, 3, 1);
    assert_int_equal (result_of (world, 3)->outcome, DENIM_CANCELLED);
    assert_int_equal (result_of (world, 3)->flags, 0);
    assert_int_equal (kept_count (world), 2);
    world_free (world);
}

static void
cancel_of_a_task_in_a_channel_takes_it_back (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.slots = 1;
    world_t *world = world_up (&config);
    make_measured (world);
    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_start (world, 0);
    world_about (world, DN_MSG_CANCEL, 2, 1);
    world_pass (world, 0);
    assert_int_equal (result_of (world, 2)->outcome, DENIM_CANCELLED);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 0);
    assert_int_equal (slot_with (world, 3), 0);
    world_answer (world, 0, SHORT_US);
    assert_true (relayed (world, 1));
    world_free (world);
}

static void
soft_cancel_interrupts_and_kills_after_the_grace (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_about (world, DN_MSG_CANCEL, 1, 1);
    world_about (world, DN_MSG_CANCEL, 1, 1); /* repeated each heartbeat */
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 1);
    assert_int_equal (last_of (world, DN_FX_INTERRUPT)->how, 1);
    world_pass (world, 499);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_CANCELLED);
    assert_int_equal (result_of (world, 1)->flags, 1);
    world_free (world);
}

static void
hard_cancel_kills_at_once (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_about (world, DN_MSG_CANCEL, 1, 1);
    world_about (world, DN_MSG_CANCEL, 1, 2);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_CANCELLED);
    world_free (world);
}

static void
cancel_of_what_has_not_started_kills_nothing (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_about (world, DN_MSG_CANCEL, 1, 2);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    assert_int_equal (result_of (world, 1)->flags, 0);
    world_about (world, DN_MSG_CANCEL, 77, 2); /* no such task */
    world_free (world);
}

/*  ---- clients that leave ---- */

static void
forgotten_client_leaves_only_what_runs (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 4; seq++)
        world_run (world, seq);
    world_start (world, 0);
    world_start (world, 1);
    world_forget (world, &world_client);
    assert_int_equal (count_of (world, DN_FX_TAKE_BACK), 2); /* what runs is asked to end */
    assert_int_equal (kept_count (world), 2);
    world_beat (world, 1, 5);
    assert_int_equal (last_sent (world, DN_MSG_HELD)->rows, 2);
    assert_int_equal (last_sent (world, DN_MSG_HELD)->states[0], 3);
    world_answer (world, 0, SHORT_US);
    assert_false (relayed (world, 1));
    world_exit (world, 1, SIGNALLED (SIGSEGV));
    assert_int_equal (sent_of (world, DN_MSG_RESULT), 0);
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (soft_limit_interrupts_once_and_hard_limit_kills),
        cmocka_unit_test (limits_of_the_task_go_before_those_of_the_worker),
        cmocka_unit_test (answer_that_came_before_the_kill_counts),
        cmocka_unit_test (deadline_before_the_start_and_after_it),
        cmocka_unit_test (deadline_shortens_the_grace_of_a_cancel),
        cmocka_unit_test (memory_limit_kills_and_says_so),
        cmocka_unit_test (answer_larger_than_the_manager_takes_is_not_sent),
        cmocka_unit_test (cancel_of_a_waiting_task_ends_it_at_once),
        cmocka_unit_test (cancel_of_a_task_in_a_channel_takes_it_back),
        cmocka_unit_test (soft_cancel_interrupts_and_kills_after_the_grace),
        cmocka_unit_test (hard_cancel_kills_at_once),
        cmocka_unit_test (cancel_of_what_has_not_started_kills_nothing),
        cmocka_unit_test (forgotten_client_leaves_only_what_runs),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
