/*  test_fleet_link.c - how a fleet greets its manager, loses it, and leaves
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

static void
call_signal (world_t *world, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_signal (world->fleet, world->now_ms, fx);
}

/*  The socket said that it takes something, and then does not. */
static void
call_writable (world_t *world, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_writable (world->fleet, world->now_ms, fx);
}

static world_t *
new_preloaded (void)
{
    dn_fleet_config_t config = world_config ();
    config.preload = true;
    return world_new (&config);
}

/*  ---- the link ---- */

static void
nothing_is_sent_between_hello_and_welcome (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_run (world, 2);
    world_start (world, 1);
    world_say (world, DN_MSG_WHO);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->link, 2);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->rows, 2);
    world_forget_notes (world);
    world_answer (world, 0, 10);
    world_exit (world, 1, SIGNALLED (SIGSEGV));
    world_run (world, 3); /* placed over the old link: HELLO did not list it */
    world_pass (world, 300);
    assert_int_equal (count_of (world, DN_FX_SEND) + count_of (world, DN_FX_RELAY_KEPT), 0);
    assert_int_equal (kept_count (world), 1);
    world_welcome (world, 1);
    assert_true (relayed (world, 1));
    assert_int_equal (result_of (world, 2)->outcome, DENIM_LOST);
    assert_int_equal (slot_with (world, 3), -1);
    world_settle_all (world, (uint64_t[]){1, 2}, 2);
    assert_int_equal (held_count (world, 1), 0);
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

static void
beat_is_answered_with_what_is_held (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_beat (world, 1, 77);
    const note_t *held = last_sent (world, DN_MSG_HELD);
    assert_int_equal (held->mark, 77);
    assert_int_equal (held->rows, 3);
    assert_int_equal (held->states[0], 1);
    assert_int_equal (held->states[2], 0);
    world_free (world);
}

static void
welcome_to_an_older_hello_is_none (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    uint32_t old = world->link;
    world_beat (world, 2, 1); /* answered with HELLO */
    uint32_t now = world->link;
    world->link = old;
    world_welcome (world, 2);
    world->link = now;
    world_run (world, 1);
    assert_int_equal (kept_count (world), 0);
    world_welcome (world, 2);
    world_run (world, 1);
    assert_int_equal (kept_count (world), 1);
    world_free (world);
}

static void
beat_of_another_epoch_is_answered_with_hello (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_beat (world, 2, 1);
    assert_int_equal (sent_of (world, DN_MSG_HELD), 0);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->link, 2);
    world_beat (world, 2, 2); /* and so is one that came before WELCOME */
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->link, 3);
    world_free (world);
}

static void
silent_manager_is_given_up_and_running_tasks_go_on (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_beat (world, 1, 1);
    world_run (world, 1);
    world_run (world, 2);
    world_pass (world, 2499);
    assert_int_equal (world->fresh, 1);
    world_pass (world, 501);
    assert_int_equal (world->fresh, 2);
    assert_true (logged (world, "manager_lost"));
    world_forget_notes (world);
    world_answer (world, 0, 10);
    assert_int_equal (count_of (world, DN_FX_SEND) + count_of (world, DN_FX_RELAY_KEPT), 0);
    world_writable (world);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->link, 2);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->rows, 2);
    world_welcome (world, 9);
    assert_int_equal (slot_with (world, 2), 1);
    world_answer (world, 1, 10);
    assert_true (relayed (world, 2));
    assert_true (logged (world, "manager_back"));
    world_free (world);
}

static void
cut_off_worker_starts_nothing_from_standby (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_disconnected (world);
    assert_int_equal (world->fresh, 2);
    world_answer (world, 0, 10);
    assert_int_equal (slot_with (world, 3), -1);
    world_pass (world, 500); /* nor is it refused: nobody could be told */
    assert_int_equal (kept_count (world), 3);
    world_writable (world);
    world_welcome (world, 1);
    assert_int_equal (slot_with (world, 3), 0);
    world_free (world);
}

static void
greeting_that_is_not_answered_begins_anew (void **state)
{
    dn_fleet_config_t config = world_config ();
    world_t          *world = world_new (&config);
    (void) state;

    world_ready (world, 0);
    world_writable (world);
    world_pass (world, 3000);
    assert_int_equal (world->fresh, 2);
    assert_true (dn_fleet_wants_writable (world->fleet));
    assert_false (logged (world, "manager_lost"));
    world_free (world);
}

static void
hello_that_the_socket_does_not_take_is_sent_later (void **state)
{
    dn_fleet_config_t config = world_config ();
    world_t          *world = world_new (&config);
    (void) state;

    world_ready (world, 0);
    world->full = true;
    world_call (world, call_writable, NULL);
    assert_int_equal (sent_of (world, DN_MSG_WORKER_HELLO), 0);
    assert_true (dn_fleet_wants_writable (world->fleet));
    world_writable (world);
    assert_int_equal (sent_of (world, DN_MSG_WORKER_HELLO), 1);
    assert_false (dn_fleet_wants_writable (world->fleet));
    world_free (world);
}

static void
frozen_host_counts_as_one_beat (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_beat (world, 1, 1);
    world_pass (world, 1000);
    world->now_ms += 60000; /* no tick was possible */
    world_pass (world, 0);
    assert_int_equal (world->fresh, 1);
    world_pass (world, 3000);
    assert_int_equal (world->fresh, 2);
    world_free (world);
}

static void
other_version_ends_the_worker (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_fault (world, DENIM_REASON_MALFORMED);
    assert_false (world->exited);
    world_fault (world, DENIM_REASON_VERSION);
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 69);
    world_free (world);
}

static void
question_gets_an_answer (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_say (world, DN_MSG_ASK);
    assert_int_equal (sent_of (world, DN_MSG_ANSWER), 1);
    world_free (world);
}

/*  ---- leaving ---- */

static void
end_all (world_t *world)
{
    for (uint32_t i = 0; i < 2; i++)
        if (world->slot[i].alive)
            world_exit (world, i, EXITED (0));
    world_pass (world, 0);
}

static void
drain_refuses_what_waits_and_lets_end_what_runs (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world_start (world, 0);
    world_start (world, 1);
    world_drain (world, 10000);
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_DRAINING), 1);
    assert_int_equal (refusal_of (world, 3)->reason, DENIM_REASON_DRAINING);
    world_run (world, 4);
    assert_int_equal (refusal_of (world, 4)->reason, DENIM_REASON_DRAINING);
    world_answer (world, 0, 10);
    world_answer (world, 1, 10);
    assert_true (relayed (world, 1) && relayed (world, 2));
    world_settle_all (world, (uint64_t[]){1, 2, 3}, 3);
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_BYE), 1);
    assert_int_equal (count_of (world, DN_FX_STOP), 2);
    assert_false (world->exited);
    world_forget_notes (world);
    world_say (world, DN_MSG_WHO);
    end_all (world);
    world_pass (world, 500);
    assert_int_equal (count_of (world, DN_FX_SEND), 0); /* who has said goodbye says no more */
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 0);
    world_free (world);
}

static void
drain_gives_back_what_is_in_a_channel (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 9000; seq < 9008; seq++) {
        world_run (world, seq);
        world_answer (world, (uint32_t) slot_with (world, seq), 10);
    }
    for (uint64_t seq = 1; seq <= 4; seq++)
        world_run (world, seq);
    world_start (world, 0);
    world_start (world, 1);
    world_call (world, call_signal, NULL);
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_REFUSE), 2);
    assert_int_equal (in_channel (world, 0) + in_channel (world, 1), 2);
    world_free (world);
}

static void
drain_that_takes_too_long_loses_what_runs (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_call (world, call_signal, NULL);
    world_pass (world, 499);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (result_of (world, 1)->outcome, DENIM_LOST);
    assert_int_equal (result_of (world, 1)->reason, DENIM_REASON_SHUTDOWN);
    world_settle (world, 1);
    world_pass (world, 0);
    end_all (world);
    assert_true (world->exited);
    world_free (world);
}

static void
second_signal_waits_for_nothing (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_call (world, call_signal, NULL);
    world_pass (world, 0);
    assert_false (world->exited);
    world_call (world, call_signal, NULL);
    world_pass (world, 0);
    assert_int_equal (result_of (world, 1)->reason, DENIM_REASON_SHUTDOWN);
    assert_int_equal (sent_of (world, DN_MSG_BYE), 1);
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 0);
    assert_true (logged (world, "answers_dropped")); /* not even for SETTLED */
    world_free (world);
}

static void
worker_that_drains_waits_until_its_answers_are_settled (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_run (world, 2);
    world_answer (world, 0, 10);
    world_drain (world, 10000);
    world_answer (world, 1, 10);
    for (int i = 0; i < 5; i++) {
        world_pass (world, 1000);
        world_beat (world, 1, 1);
    }
    assert_int_equal (sent_of (world, DN_MSG_BYE), 0);
    world_settle (world, 1);
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_BYE), 0);
    world_settle (world, 2);
    world_pass (world, 0);
    assert_int_equal (sent_of (world, DN_MSG_BYE), 1);
    assert_false (logged (world, "answers_dropped"));
    world_free (world);
}

static void
worker_that_drains_leaves_unsettled_answers_after_the_time_and_some (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_answer (world, 0, 10);
    world_drain (world, 700);
    for (int i = 0; i < 7 + DN_LEAVE_MS / 100 - 1; i++) {
        world_pass (world, 100);
        world_beat (world, 1, 1);
    }
    world_pass (world, 99);
    assert_int_equal (sent_of (world, DN_MSG_BYE), 0);
    world_pass (world, 1);
    assert_int_equal (sent_of (world, DN_MSG_BYE), 1);
    assert_true (logged (world, "answers_dropped"));
    world_free (world);
}

static void
worker_without_a_manager_leaves_after_the_grace (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_disconnected (world);
    world_answer (world, 0, 10);
    world_call (world, call_signal, NULL);
    world_pass (world, 500 + DN_LEAVE_MS - 1);
    assert_int_equal (count_of (world, DN_FX_STOP), 0);
    world_pass (world, 1);
    assert_true (logged (world, "answers_dropped"));
    assert_int_equal (count_of (world, DN_FX_STOP), 2);
    world_pass (world, DN_LEAVE_MS); /* they do not end */
    assert_true (world->exited);
    world_free (world);
}

static void
zygote_is_asked_to_end_last (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.preload = true;
    world_t *world = world_up (&config);
    world_call (world, call_signal, NULL);
    world_pass (world, 0);
    assert_int_equal (count_of (world, DN_FX_STOP), 2);
    end_all (world);
    assert_int_equal (last_of (world, DN_FX_STOP)->slot, DN_SLOT_ZYGOTE);
    assert_false (world->exited);
    world_exit (world, DN_SLOT_ZYGOTE, EXITED (0));
    world_pass (world, 0);
    assert_true (world->exited);
    world_free (world);
}

static void
signal_during_the_import_leaves (void **state)
{
    world_t *world = new_preloaded ();
    (void) state;

    world_call (world, call_signal, NULL);
    world_pass (world, 0);
    assert_int_equal (last_of (world, DN_FX_KILL)->slot, DN_SLOT_ZYGOTE);
    world_exit (world, DN_SLOT_ZYGOTE, SIGNALLED (SIGKILL));
    world_pass (world, 0);
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 0);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_is_sent_between_hello_and_welcome),
        cmocka_unit_test (beat_is_answered_with_what_is_held),
        cmocka_unit_test (welcome_to_an_older_hello_is_none),
        cmocka_unit_test (beat_of_another_epoch_is_answered_with_hello),
        cmocka_unit_test (silent_manager_is_given_up_and_running_tasks_go_on),
        cmocka_unit_test (cut_off_worker_starts_nothing_from_standby),
        cmocka_unit_test (greeting_that_is_not_answered_begins_anew),
        cmocka_unit_test (hello_that_the_socket_does_not_take_is_sent_later),
        cmocka_unit_test (frozen_host_counts_as_one_beat),
        cmocka_unit_test (other_version_ends_the_worker),
        cmocka_unit_test (question_gets_an_answer),
        cmocka_unit_test (drain_refuses_what_waits_and_lets_end_what_runs),
        cmocka_unit_test (drain_gives_back_what_is_in_a_channel),
        cmocka_unit_test (drain_that_takes_too_long_loses_what_runs),
        cmocka_unit_test (second_signal_waits_for_nothing),
        cmocka_unit_test (worker_that_drains_waits_until_its_answers_are_settled),
        cmocka_unit_test (worker_that_drains_leaves_unsettled_answers_after_the_time_and_some),
        cmocka_unit_test (worker_without_a_manager_leaves_after_the_grace),
        cmocka_unit_test (zygote_is_asked_to_end_last),
        cmocka_unit_test (signal_during_the_import_leaves),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
