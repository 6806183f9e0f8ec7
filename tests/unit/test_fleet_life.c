/*  test_fleet_life.c - how a fleet starts, and how its slots die and are replaced
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
call_garbled (world_t *world, const void *arg, dn_effects_t *fx)
{
    dn_fleet_slot_garbled (world->fleet, world->now_ms, *(const uint32_t *) arg, fx);
}

static void
call_start_failed (world_t *world, const void *arg, dn_effects_t *fx)
{
    uint32_t slot = *(const uint32_t *) arg;
    world->slot[slot == DN_SLOT_ZYGOTE ? WORLD_SLOTS : slot].alive = false;
    dn_fleet_start_failed (world->fleet, world->now_ms, slot, fx);
}

static world_t *
new_preloaded (void)
{
    dn_fleet_config_t config = world_config ();
    config.preload = true;
    return world_new (&config);
}

/*  ---- the start ---- */

static void
first_slot_imports_before_the_others_start_and_hello_is_sent (void **state)
{
    dn_fleet_config_t config = world_config ();
    world_t          *world = world_new (&config);
    (void) state;

    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    assert_int_equal (world->fresh, 0);
    assert_false (dn_fleet_wants_writable (world->fleet));
    world_ready (world, 0);
    world_pass (world, 0);
    assert_int_equal (count_of (world, DN_FX_EXEC), 2);
    assert_int_equal (world->fresh, 1);
    assert_string_equal (dn_fleet_service (world->fleet, 0), "app");
    assert_null (dn_fleet_service (world->fleet, 1));
    world_writable (world);
    const note_t *hello = last_sent (world, DN_MSG_WORKER_HELLO);
    assert_int_equal (hello->link, 1);
    assert_int_equal (hello->slots, 1); /* the other one still imports */
    assert_int_equal (hello->standby, 8);
    world_welcome (world, 1);
    assert_true (logged (world, "ready"));
    world_ready (world, 1);
    world_pass (world, DN_OFFER_MS);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 2);
    world_free (world);
}

static void
zygote_imports_and_forks_the_slots (void **state)
{
    world_t *world = new_preloaded ();
    (void) state;

    assert_int_equal (count_of (world, DN_FX_START_ZYGOTE), 1);
    assert_int_equal (count_of (world, DN_FX_FORK), 0);
    world_ready (world, DN_SLOT_ZYGOTE);
    world_pass (world, 0);
    assert_int_equal (count_of (world, DN_FX_FORK), 2);
    world_writable (world);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->slots, 2);
    world_free (world);
}

static void
app_that_starts_threads_is_named_and_not_forked (void **state)
{
    world_t *world = new_preloaded ();
    (void) state;

    world_ready_with (world, DN_SLOT_ZYGOTE, 3);
    assert_true (logged (world, "preload_off"));
    assert_non_null (strstr (world->note[world->notes - 2].text, "app"));
    assert_int_equal (last_of (world, DN_FX_STOP)->slot, DN_SLOT_ZYGOTE);
    assert_int_equal (world->fresh, 0);
    world_exit (world, DN_SLOT_ZYGOTE, EXITED (0));
    world_pass (world, 0);
    assert_int_equal (count_of (world, DN_FX_FORK), 0);
    assert_int_equal (count_of (world, DN_FX_EXEC), 2);
    assert_int_equal (count_of (world, DN_FX_START_ZYGOTE), 1);
    world_ready (world, 1);
    assert_int_equal (world->fresh, 1);
    world_free (world);
}

static void
app_that_cannot_be_imported_ends_the_worker (void **state)
{
    world_t *world = new_preloaded ();
    (void) state;

    world_failed (world, DN_SLOT_ZYGOTE);
    assert_true (logged (world, "import_failed"));
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 78);
    world_free (world);
}

static void
process_that_dies_before_it_is_ready_is_tried_three_times (void **state)
{
    world_t *world = new_preloaded ();
    (void) state;

    for (int i = 1; i < DN_START_TRIES; i++) {
        world_exit (world, DN_SLOT_ZYGOTE, SIGNALLED (SIGSEGV));
        world_pass (world, DN_BACKOFF_MAX_MS);
        assert_false (world->exited);
        assert_int_equal (count_of (world, DN_FX_START_ZYGOTE), i + 1);
    }
    world_exit (world, DN_SLOT_ZYGOTE, SIGNALLED (SIGSEGV));
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 70);
    assert_true (logged (world, "start_failed"));
    world_free (world);
}

static void
process_that_cannot_be_configured_is_not_tried_again (void **state)
{
    world_t *world = new_preloaded ();
    (void) state;

    world_exit (world, DN_SLOT_ZYGOTE, EXITED (78));
    assert_true (world->exited);
    assert_int_equal (world->exit_code, 78);
    world_free (world);
}

/*  ---- slots that die ---- */

static void
dead_slot_is_replaced_at_once_and_a_barren_row_of_them_waits (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (int i = 0; i < DN_BARREN_FREE; i++) {
        world_exit (world, 0, SIGNALLED (SIGSEGV));
        assert_int_equal (count_of (world, DN_FX_EXEC), i + 1);
        world_ready (world, 0);
    }
    world_exit (world, 0, SIGNALLED (SIGSEGV));
    assert_int_equal (count_of (world, DN_FX_EXEC), DN_BARREN_FREE);
    assert_true (logged (world, "slot_backoff"));
    world_pass (world, DN_BACKOFF_MS);
    assert_int_equal (count_of (world, DN_FX_EXEC), DN_BARREN_FREE + 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 1);

    world_ready (world, 0);
    world_run (world, 1);
    world_answer (world, (uint32_t) slot_with (world, 1), 10);
    world_run (world, 2);
    world_answer (world, (uint32_t) slot_with (world, 2), 10);
    world_exit (world, 0, SIGNALLED (SIGSEGV));
    assert_int_equal (count_of (world, DN_FX_EXEC), DN_BARREN_FREE + 2);
    world_free (world);
}

/*  The caller's wish killed them, however short they lived. */
static void
slots_that_are_killed_at_a_deadline_are_replaced_at_once (void **state)
{
    world_t    *world = world_up_plain ();
    dn_submit_t fields = {.deadline_ms = 60};
    (void) state;

    for (uint64_t seq = 1; seq <= DN_BARREN_FREE + 3; seq++) {
        world_run_with (world, seq, &fields, 0);
        uint32_t slot = (uint32_t) slot_with (world, seq);
        world_start (world, slot);
        world_pass (world, 100);
        world_exit (world, slot, SIGNALLED (SIGKILL));
        assert_int_equal (count_of (world, DN_FX_EXEC), seq);
        world_ready (world, slot);
    }
    assert_false (logged (world, "slot_backoff"));
    world_free (world);
}

static void
backoff_doubles_up_to_its_limit (void **state)
{
    world_t *world = world_up_plain ();
    uint32_t barren = 0;
    (void) state;

    for (int64_t wait_ms = 0; barren < 12; barren++) {
        world_exit (world, 0, SIGNALLED (SIGSEGV));
        if (barren >= DN_BARREN_FREE) {
            wait_ms = wait_ms ? wait_ms * 2 : DN_BACKOFF_MS;
            if (wait_ms > DN_BACKOFF_MAX_MS)
                wait_ms = DN_BACKOFF_MAX_MS;
            world_pass (world, wait_ms - 1);
            assert_int_equal (count_of (world, DN_FX_EXEC), barren);
            world_pass (world, 1);
        }
        assert_int_equal (count_of (world, DN_FX_EXEC), barren + 1);
        world_forget_notes (world);
        for (uint32_t i = 0; i <= barren; i++) { /* what was counted before */
            world->note[world->notes].kind = DN_FX_EXEC;
            world->notes++;
        }
    }
    world_free (world);
}

static void
start_that_never_ends_is_killed (void **state)
{
    dn_fleet_config_t config = world_config ();
    world_t          *world = world_new (&config);
    (void) state;

    world_pass (world, DN_START_MAX_MS - 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 0);
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_KILL), 1);
    world_free (world);
}

static void
process_that_cannot_be_made_is_tried_again_later (void **state)
{
    world_t       *world = world_up_plain ();
    const uint32_t slot = 0;
    (void) state;

    world_exit (world, 0, EXITED (1));
    for (int i = 0; i < DN_BARREN_FREE; i++)
        world_call (world, call_start_failed, &slot);
    world_forget_notes (world);
    world_pass (world, DN_BACKOFF_MAX_MS);
    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    world_free (world);
}

static void
death_of_the_zygote_takes_the_slots_and_all_come_back (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.preload = true;
    world_t *world = world_up (&config);
    world_run (world, 1);
    world_start (world, 0);
    world_exit (world, DN_SLOT_ZYGOTE, SIGNALLED (SIGKILL));
    assert_int_equal (count_of (world, DN_FX_START_ZYGOTE), 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    world_exit (world, 1, SIGNALLED (SIGKILL));
    assert_int_equal (count_of (world, DN_FX_FORK), 0);
    assert_int_equal (result_of (world, 1)->outcome, DENIM_LOST);
    world_pass (world, DN_OFFER_MS);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 0);
    world_ready (world, DN_SLOT_ZYGOTE);
    world_pass (world, DN_OFFER_MS);
    assert_int_equal (count_of (world, DN_FX_FORK), 2);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 2);
    world_free (world);
}

static void
garbled_slot_is_killed (void **state)
{
    world_t       *world = world_up_plain ();
    const uint32_t slot = 1;
    (void) state;

    world_call (world, call_garbled, &slot);
    assert_int_equal (last_of (world, DN_FX_KILL)->slot, 1);
    world_free (world);
}

static void
slots_are_recycled_one_at_a_time (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.recycle_tasks = 2;
    world_t *world = world_up (&config);
    for (uint64_t seq = 1; seq <= 4; seq++)
        world_run (world, seq);
    world_answer (world, 0, 10); /* 1; then 3 goes to slot 0 */
    world_answer (world, 0, 10);
    assert_int_equal (count_of (world, DN_FX_STOP), 1);
    assert_int_equal (last_of (world, DN_FX_STOP)->slot, 0);
    world_answer (world, 1, 10); /* 2; then 4 goes to slot 1 */
    world_answer (world, 1, 10);
    assert_int_equal (count_of (world, DN_FX_STOP), 1);
    world_exit (world, 0, EXITED (0));
    assert_int_equal (count_of (world, DN_FX_EXEC), 1);
    world_ready (world, 0);
    world_run (world, 5);
    world_run (world, 6);
    while (in_channel (world, 1))
        world_answer (world, 1, 10);
    assert_int_equal (last_of (world, DN_FX_STOP)->slot, 1);
    world_pass (world, DN_LEAVE_MS); /* one that does not end when it is asked to */
    assert_int_equal (last_of (world, DN_FX_KILL)->slot, 1);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (first_slot_imports_before_the_others_start_and_hello_is_sent),
        cmocka_unit_test (zygote_imports_and_forks_the_slots),
        cmocka_unit_test (app_that_starts_threads_is_named_and_not_forked),
        cmocka_unit_test (app_that_cannot_be_imported_ends_the_worker),
        cmocka_unit_test (process_that_dies_before_it_is_ready_is_tried_three_times),
        cmocka_unit_test (process_that_cannot_be_configured_is_not_tried_again),
        cmocka_unit_test (slots_that_are_killed_at_a_deadline_are_replaced_at_once),
        cmocka_unit_test (dead_slot_is_replaced_at_once_and_a_barren_row_of_them_waits),
        cmocka_unit_test (backoff_doubles_up_to_its_limit),
        cmocka_unit_test (start_that_never_ends_is_killed),
        cmocka_unit_test (process_that_cannot_be_made_is_tried_again_later),
        cmocka_unit_test (death_of_the_zygote_takes_the_slots_and_all_come_back),
        cmocka_unit_test (garbled_slot_is_killed),
        cmocka_unit_test (slots_are_recycled_one_at_a_time),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
