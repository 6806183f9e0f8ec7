/*  test_fleet_lend.c - a task that waits in a nested call lends its place
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/*  Places are lent down to level 2. */
static world_t *
up_with (uint32_t slots, uint32_t standby, bool preload)
{
    dn_fleet_config_t config = world_config ();
    config.slots = slots;
    config.standby = standby;
    config.nesting = 2;
    config.preload = preload;
    return world_up (&config);
}

/*  One slot, or two; 2 standby places. */
static world_t *
up (uint32_t slots, bool preload)
{
    return up_with (slots, 2, preload);
}

/*  RUN of a task that is nested so deep. */
static void
run_at (world_t *world, uint64_t seq, uint8_t depth)
{
    dn_submit_t fields = {.depth = depth};
    world_run_with (world, seq, &fields, 10);
}

/*  The same, with more than fits behind another task. */
static void
run_large_at (world_t *world, uint64_t seq, uint8_t depth)
{
    dn_submit_t fields = {.depth = depth};
    world_run_with (world, seq, &fields, DN_FRAME_SMALL + 1);
}

/*  So many of its tasks have run that they are known to be tiny. */
static void
know_tiny (world_t *world)
{
    for (uint64_t seq = 9000; seq < 9008; seq++) {
        world_run (world, seq);
        world_answer (world, (uint32_t) slot_with (world, seq), 100);
    }
}

/*  Task `seq`, which runs in that slot, waits for as long as it takes to lend its place, and the
 *  process that works there instead is ready. */
static void
lend (world_t *world, uint32_t slot, uint64_t seq, uint32_t spare)
{
    world_start (world, slot);
    world_waits (world, slot, DN_MSG_LEND, seq);
    world_pass (world, DN_LEND_MS + 1);
    world_ready (world, spare);
    world_pass (world, 1);
}

/*  So much time passes, and the manager is heard. */
static void
live (world_t *world, int64_t ms)
{
    static uint64_t mark;
    for (; ms > 0; ms -= 1000) {
        world_beat (world, 1, ++mark);
        world_pass (world, ms < 1000 ? ms : 1000);
    }
}

/*  ---- lending ---- */

static void
task_that_waits_for_a_while_lends_its_place (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    world_start (world, 0);
    world_forget_notes (world);
    world_waits (world, 0, DN_MSG_LEND, 1);
    world_pass (world, DN_LEND_MS - 1);
    assert_int_equal (count_of (world, DN_FX_EXEC), 0);
    world_pass (world, 2);
    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    assert_int_equal (last_of (world, DN_FX_EXEC)->slot, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 1); /* the other one imports */
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->lent, 1);
    world_ready (world, 1);
    world_pass (world, DN_OFFER_MS);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 2);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->services, 0);

    run_at (world, 2, 1);
    assert_int_equal (slot_with (world, 2), 1);
    world_free (world);
}

static void
place_is_offered_at_once_and_before_its_process_is_there_if_that_is_forked (void **state)
{
    world_t *world = up (1, true);
    (void) state;

    run_at (world, 1, 0);
    world_start (world, 0);
    world_forget_notes (world);
    world_waits (world, 0, DN_MSG_LEND, 1);
    world_pass (world, DN_LEND_MS + 1);
    assert_int_equal (last_of (world, DN_FX_FORK)->slot, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 2);
    run_at (world, 2, 1);
    world_ready (world, 1);
    assert_int_equal (slot_with (world, 2), 1);
    world_free (world);
}

static void
short_wait_lends_nothing (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    world_start (world, 0);
    world_forget_notes (world);
    for (int i = 0; i < 5; i++) {
        world_waits (world, 0, DN_MSG_LEND, 1);
        world_pass (world, DN_LEND_MS - 1);
        world_waits (world, 0, DN_MSG_BACK, 1);
        world_pass (world, DN_LEND_MS - 1);
    }
    assert_int_equal (count_of (world, DN_FX_EXEC) + sent_of (world, DN_MSG_OFFER), 0);
    world_free (world);
}

static void
wait_of_another_task_is_ignored (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    world_waits (world, 0, DN_MSG_LEND, 1); /* nothing runs there */
    world_waits (world, 0, DN_MSG_BACK, 1);
    run_at (world, 1, 0);
    world_start (world, 0);
    world_forget_notes (world);
    world_waits (world, 0, DN_MSG_LEND, 7);
    world_waits_of (world, 0, DN_MSG_LEND, &world_other, 1); /* of the task before it */
    world_pass (world, 10);
    assert_int_equal (count_of (world, DN_FX_EXEC) + sent_of (world, DN_MSG_OFFER), 0);
    world_waits (world, 0, DN_MSG_LEND, 1);
    world_waits (world, 0, DN_MSG_BACK, 7);
    world_pass (world, 10);
    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    world_free (world);
}

static void
lent_place_is_not_for_tasks_of_the_same_level (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    run_at (world, 2, 0); /* nothing comes free for it before the task that waits goes on */
    assert_int_equal (refusal_of (world, 2)->reason, DENIM_REASON_STANDBY);
    run_at (world, 3, 1);
    assert_int_equal (slot_with (world, 3), 1);
    world_free (world);
}

static void
task_that_stands_by_is_passed_by_those_that_may_have_a_lent_place (void **state)
{
    world_t *world = up (2, false);
    (void) state;

    run_at (world, 1, 0);
    run_at (world, 2, 0);
    lend (world, 0, 1, 2);
    run_at (world, 3, 0); /* the other slot may come free for it at any moment */
    assert_int_equal (slot_with (world, 3), -1);
    run_at (world, 4, 1);
    assert_int_equal (slot_with (world, 4), 2);
    world_answer (world, 2, 100);
    assert_int_equal (slot_with (world, 3), -1);
    world_answer (world, 1, 100);
    assert_true (slot_with (world, 3) >= 0);
    world_free (world);
}

static void
task_that_stands_by_is_handed_back_when_all_slots_for_it_are_lent (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    run_at (world, 2, 0);
    run_at (world, 3, 1);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 0);
    lend (world, 0, 1, 1);
    assert_int_equal (refusal_of (world, 2)->reason, DENIM_REASON_STANDBY);
    assert_int_equal (slot_with (world, 3), 1);
    world_free (world);
}

/*  Each level stands by for itself: the last lent place of one shuts that one only. */
static void
lent_places_shut_their_own_level_to_those_that_stand_by (void **state)
{
    world_t *world = up_with (2, 4, false);
    (void) state;

    run_at (world, 1, 0);
    run_at (world, 2, 1);
    run_at (world, 3, 0);
    run_at (world, 4, 1);
    lend (world, 0, 1, 2); /* task 3 runs there */
    run_at (world, 5, 0);
    run_at (world, 6, 1);
    lend (world, 1, 2, 3); /* task 4 */
    run_at (world, 7, 1);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 0);
    lend (world, 2, 3, 4); /* the second one of level 0 */
    assert_int_equal (refusal_of (world, 5)->reason, DENIM_REASON_STANDBY);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 1);
    lend (world, 3, 4, 5); /* and of level 1 */
    assert_int_equal (refusal_of (world, 6)->reason, DENIM_REASON_STANDBY);
    assert_int_equal (refusal_of (world, 7)->reason, DENIM_REASON_STANDBY);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 3);
    world_free (world);
}

/*  What finds no slot keeps back neither a shorter one of its level nor those of others. */
static void
task_that_fits_is_found_behind_those_that_do_not (void **state)
{
    world_t *world = up (2, false);
    (void) state;

    know_tiny (world);
    run_at (world, 1, 0);
    run_at (world, 2, 1);
    lend (world, 0, 1, 2);
    lend (world, 1, 2, 3);
    run_at (world, 3, 1); /* with the one that waits as many as there are slots */
    int slot = slot_with (world, 3);
    run_large_at (world, 4, 1);
    assert_int_equal (slot_with (world, 4), -1);
    run_at (world, 5, 1);
    assert_int_equal (slot_with (world, 5), slot);
    run_large_at (world, 6, 2);
    assert_int_equal (slot_with (world, 6), 5 - slot); /* the other one of 2 and 3 */
    world_answer (world, (uint32_t) slot, 100);
    assert_int_equal (slot_with (world, 4), -1);
    world_answer (world, (uint32_t) slot, 100);
    assert_int_equal (slot_with (world, 4), slot);
    world_free (world);
}

/*  It would run as soon as that one has ended, whatever else is there by then. */
static void
short_task_is_not_put_behind_one_of_another_level (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    know_tiny (world);
    run_at (world, 1, 1);
    run_at (world, 2, 0);
    run_at (world, 3, 1);
    assert_int_equal (slot_with (world, 2), -1);
    assert_int_equal (in_channel (world, 0), 1); /* nor does any pass it */
    world_answer (world, 0, 100);
    assert_int_equal (slot_with (world, 2), 0);
    assert_int_equal (in_channel (world, 0), 1);
    world_free (world);
}

static void
each_level_has_as_many_slots_as_there_are (void **state)
{
    world_t *world = up (2, false);
    (void) state;

    run_at (world, 1, 0);
    run_at (world, 2, 0);
    lend (world, 0, 1, 2);
    lend (world, 1, 2, 3);
    run_at (world, 3, 1);
    run_at (world, 4, 1);
    lend (world, 2, 3, 4);
    lend (world, 3, 4, 5);
    run_at (world, 5, 1); /* two of them are there, and wait for what is deeper */
    assert_int_equal (slot_with (world, 5), -1);
    run_at (world, 6, 2);
    run_at (world, 7, 2);
    assert_true (slot_with (world, 6) >= 4 && slot_with (world, 7) >= 4);
    world_free (world);
}

static void
task_at_the_bound_lends_nothing_and_is_told_of (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 2);
    world_start (world, 0);
    world_forget_notes (world);
    world_waits (world, 0, DN_MSG_LEND, 1);
    world_pass (world, DN_LEND_MS + 1);
    assert_int_equal (count_of (world, DN_FX_EXEC), 0);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->lent, 0);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->blocked, 1);
    world_waits (world, 0, DN_MSG_BACK, 1);
    world_pass (world, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->blocked, 0);
    world_free (world);
}

/*  One slot, whose task is at the bound and waits; the manager knows. */
static world_t *
up_blocked (void)
{
    world_t *world = up (1, false);

    run_at (world, 1, 2);
    world_start (world, 0);
    world_waits (world, 0, DN_MSG_LEND, 1);
    world_pass (world, DN_LEND_MS + 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->blocked, 1);
    world_forget_notes (world);
    return world;
}

static void
end_of_a_task_that_is_told_of_is_told_at_once (void **state)
{
    world_t *world = up_blocked ();
    (void) state;

    world_answer (world, 0, 100); /* without a BACK */
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_OFFER), 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->blocked, 0);
    world_free (world);
}

static void
death_of_a_task_that_is_told_of_is_told_at_once (void **state)
{
    world_t *world = up_blocked ();
    (void) state;

    world_exit (world, 0, SIGNALLED (SIGSEGV));
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_OFFER), 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->blocked, 0);
    world_free (world);
}

static void
worker_that_lends_nothing_has_no_more_processes_than_slots (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    assert_int_equal (dn_fleet_rows (&config), 2);
    config.nesting = 3;
    assert_int_equal (dn_fleet_rows (&config), 8);
    config.nesting = 200;
    assert_int_equal (dn_fleet_rows (&config), 2 * (DENIM_NESTING_MAX + 1));
    config.slots = DN_SLOTS_MAX;
    assert_int_equal (dn_fleet_rows (&config), DN_SLOT_ROWS_MAX);
    config.slots = 700;
    assert_int_equal (dn_fleet_rows (&config), 1400);
}

/*  ---- coming back ---- */

static void
task_goes_on_at_once_and_nothing_begins_until_there_is_a_slot_for_it (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    run_at (world, 2, 1);
    world_start (world, 1);
    world_waits (world, 0, DN_MSG_BACK, 1);
    world_pass (world, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->lent, 0);

    run_at (world, 3, 1);
    world_answer (world, 1, 100); /* an idle process, and no slot for it: the first task runs */
    assert_int_equal (slot_with (world, 3), -1);
    world_answer (world, 0, 100);
    assert_true (slot_with (world, 3) >= 0);
    world_free (world);
}

static void
task_that_ends_while_it_waits_gives_its_place_back (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    world_answer (world, 0, 100);
    world_pass (world, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->lent, 0);
    assert_true (relayed (world, 1));
    world_free (world);
}

static void
slot_that_dies_while_its_task_waits_is_not_replaced (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    world_forget_notes (world);
    world_exit (world, 0, SIGNALLED (SIGSEGV));
    world_pass (world, 1);
    assert_int_equal (result_of (world, 1)->outcome, DENIM_LOST);
    assert_int_equal (count_of (world, DN_FX_EXEC), 0); /* the other one works in its place */
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 1);
    world_exit (world, 1, SIGNALLED (SIGSEGV)); /* now there is none */
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    world_free (world);
}

static void
process_that_is_not_needed_any_more_ends_after_a_while (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    world_answer (world, 0, 100);
    world_forget_notes (world);
    live (world, DN_SPARE_MS - 2000);
    assert_int_equal (count_of (world, DN_FX_STOP), 0);
    live (world, 4000);
    assert_int_equal (count_of (world, DN_FX_STOP), 1);
    world_exit (world, last_of (world, DN_FX_STOP)->slot, EXITED (0));
    live (world, 2 * DN_SPARE_MS);
    assert_int_equal (count_of (world, DN_FX_STOP), 1);
    assert_int_equal (count_of (world, DN_FX_EXEC), 0);
    run_at (world, 2, 0);
    assert_true (slot_with (world, 2) >= 0);
    world_free (world);
}

/*  ---- limits, cancels, the end ---- */

static void
task_that_waits_keeps_its_limits_and_can_be_cancelled (void **state)
{
    dn_submit_t fields = {.soft_limit_ms = 50, .hard_limit_ms = 500};
    world_t    *world = up (1, false);
    (void) state;

    world_run_with (world, 1, &fields, 10);
    lend (world, 0, 1, 1);
    world_forget_notes (world);
    world_pass (world, 60);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 1);
    assert_int_equal (last_of (world, DN_FX_INTERRUPT)->slot, 0);
    world_about (world, DN_MSG_CANCEL, 1, 1);
    assert_int_equal (count_of (world, DN_FX_INTERRUPT), 2);
    world_pass (world, 500);
    assert_int_equal (last_of (world, DN_FX_KILL)->slot, 0);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_TIME_LIMIT);
    world_free (world);
}

static void
what_is_behind_a_task_that_waits_goes_elsewhere (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    know_tiny (world);
    run_at (world, 1, 0);
    run_at (world, 2, 0);
    run_at (world, 3, 1);
    assert_int_equal (in_channel (world, 0), 2);
    lend (world, 0, 1, 1);
    assert_int_equal (refusal_of (world, 2)->reason, DENIM_REASON_STANDBY);
    assert_int_equal (slot_with (world, 3), 1);
    world_free (world);
}

static void
worker_that_drains_waits_for_tasks_that_wait_and_starts_no_more_processes (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    world_start (world, 0);
    world_drain (world, 10000);
    world_forget_notes (world);
    world_waits (world, 0, DN_MSG_LEND, 1);
    world_pass (world, DN_LEND_MS + 1);
    assert_int_equal (count_of (world, DN_FX_EXEC), 0);
    run_at (world, 2, 1);
    assert_int_equal (refusal_of (world, 2)->reason, DENIM_REASON_DRAINING);
    world_waits (world, 0, DN_MSG_BACK, 1);
    world_answer (world, 0, 100);
    assert_true (relayed (world, 1));
    world_free (world);
}

static void
lists_and_greetings_say_what_is_lent_and_how_deep (void **state)
{
    world_t *world = up (1, false);
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    world_beat (world, 1, 5);
    assert_int_equal (last_sent (world, DN_MSG_HELD)->slots, 2);
    assert_int_equal (last_sent (world, DN_MSG_HELD)->lent, 1);
    world_say (world, DN_MSG_WHO);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->slots, 2);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->lent, 1);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->services, 1);
    world_free (world);
}

static void
health_counts_a_task_that_waits_beside_those_that_run (void **state)
{
    world_t          *world = up (1, false);
    dn_fleet_health_t health;
    (void) state;

    run_at (world, 1, 0);
    lend (world, 0, 1, 1);
    run_at (world, 2, 1);
    run_at (world, 3, 1);
    dn_fleet_health (world->fleet, world->now_ms, &health);
    assert_int_equal (health.slots, 1);
    assert_int_equal (health.busy, 1);
    assert_int_equal (health.lent, 1);
    assert_int_equal (health.standby, 1);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (task_that_waits_for_a_while_lends_its_place),
        cmocka_unit_test (
            place_is_offered_at_once_and_before_its_process_is_there_if_that_is_forked),
        cmocka_unit_test (short_wait_lends_nothing),
        cmocka_unit_test (wait_of_another_task_is_ignored),
        cmocka_unit_test (lent_place_is_not_for_tasks_of_the_same_level),
        cmocka_unit_test (task_that_stands_by_is_passed_by_those_that_may_have_a_lent_place),
        cmocka_unit_test (task_that_stands_by_is_handed_back_when_all_slots_for_it_are_lent),
        cmocka_unit_test (lent_places_shut_their_own_level_to_those_that_stand_by),
        cmocka_unit_test (task_that_fits_is_found_behind_those_that_do_not),
        cmocka_unit_test (short_task_is_not_put_behind_one_of_another_level),
        cmocka_unit_test (each_level_has_as_many_slots_as_there_are),
        cmocka_unit_test (task_at_the_bound_lends_nothing_and_is_told_of),
        cmocka_unit_test (end_of_a_task_that_is_told_of_is_told_at_once),
        cmocka_unit_test (death_of_a_task_that_is_told_of_is_told_at_once),
        cmocka_unit_test (worker_that_lends_nothing_has_no_more_processes_than_slots),
        cmocka_unit_test (task_goes_on_at_once_and_nothing_begins_until_there_is_a_slot_for_it),
        cmocka_unit_test (task_that_ends_while_it_waits_gives_its_place_back),
        cmocka_unit_test (slot_that_dies_while_its_task_waits_is_not_replaced),
        cmocka_unit_test (process_that_is_not_needed_any_more_ends_after_a_while),
        cmocka_unit_test (task_that_waits_keeps_its_limits_and_can_be_cancelled),
        cmocka_unit_test (what_is_behind_a_task_that_waits_goes_elsewhere),
        cmocka_unit_test (
            worker_that_drains_waits_for_tasks_that_wait_and_starts_no_more_processes),
        cmocka_unit_test (lists_and_greetings_say_what_is_lent_and_how_deep),
        cmocka_unit_test (health_counts_a_task_that_waits_beside_those_that_run),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
