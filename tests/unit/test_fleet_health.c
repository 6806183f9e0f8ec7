/*  test_fleet_health.c - what a fleet says of itself to whoever asks on its host
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static dn_fleet_health_t
health_of (const world_t *world)
{
    dn_fleet_health_t health;
    dn_fleet_health (world->fleet, world->now_ms, &health);
    return health;
}

static void
fleet_with_nothing_to_offer_is_neither_connected_nor_alone (void **state)
{
    dn_fleet_config_t config = world_config ();
    world_t          *world = world_new (&config);
    (void) state;

    world_pass (world, 5000);
    assert_false (health_of (world).connected);
    assert_int_equal (health_of (world).alone_ms, -1);
    assert_int_equal (health_of (world).slots, 2);
    world_free (world);
}

static void
fleet_is_alone_from_its_offer_until_it_is_welcome (void **state)
{
    dn_fleet_config_t config = world_config ();
    world_t          *world = world_new (&config);
    (void) state;

    world_ready (world, 0);
    assert_int_equal (health_of (world).alone_ms, 0);
    world_pass (world, 10000); /* a socket is tried after the other */
    assert_false (health_of (world).connected);
    assert_int_equal (health_of (world).alone_ms, 10000);
    world_writable (world);
    assert_false (health_of (world).connected);
    world_welcome (world, 1);
    assert_true (health_of (world).connected);
    assert_int_equal (health_of (world).alone_ms, -1);
    world_free (world);
}

static void
lost_manager_is_counted_from_its_loss_and_tasks_stay (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_disconnected (world);
    world_pass (world, 700);
    dn_fleet_health_t health = health_of (world);
    assert_false (health.connected);
    assert_int_equal (health.alone_ms, 700);
    assert_int_equal (health.busy, 1);
    assert_int_equal (health.answers, 0);
    world_answer (world, 0, 10);
    health = health_of (world);
    assert_int_equal (health.busy, 0);
    assert_int_equal (health.answers, 1);
    assert_true (health.answer_bytes > 0);
    world_writable (world);
    world_welcome (world, 2);
    assert_true (health_of (world).connected);
    world_settle (world, 1);
    assert_int_equal (health_of (world).answers, 0);
    assert_int_equal (health_of (world).answer_bytes, 0);
    world_free (world);
}

static void
greeting_that_the_manager_asks_for_is_no_loss (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_say (world, DN_MSG_WHO); /* HELLO again, and no WELCOME yet */
    assert_true (health_of (world).connected);
    assert_int_equal (health_of (world).alone_ms, -1);
    world_free (world);
}

static void
tasks_beyond_those_that_run_stand_by (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 5; seq++)
        world_run (world, seq);
    assert_int_equal (health_of (world).busy, 2);
    assert_int_equal (health_of (world).standby, 3);
    world_free (world);
}

static void
tasks_behind_another_in_a_channel_stand_by (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 9000; seq < 9008; seq++) { /* measured, and tiny */
        world_run (world, seq);
        world_answer (world, (uint32_t) slot_with (world, seq), 10);
        world_settle (world, seq);
    }
    for (uint64_t seq = 1; seq <= 4; seq++)
        world_run (world, seq);
    assert_int_equal (in_channel (world, 0) + in_channel (world, 1), 4);
    assert_int_equal (health_of (world).busy, 2);
    assert_int_equal (health_of (world).standby, 2);
    world_free (world);
}

static void
task_of_a_slot_that_is_killed_is_there_until_its_end (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_about (world, DN_MSG_CANCEL, 1, 2);
    assert_int_equal (health_of (world).busy, 1);
    world_exit (world, 0, SIGNALLED (SIGKILL));
    assert_int_equal (health_of (world).busy, 0);
    assert_int_equal (health_of (world).standby, 0);
    world_free (world);
}

static void
fleet_that_drains_says_so (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    assert_false (health_of (world).draining);
    world_drain (world, 10000);
    world_pass (world, 0);
    assert_true (health_of (world).draining);
    assert_true (health_of (world).connected);
    assert_int_equal (health_of (world).slots, 2);
    assert_int_equal (health_of (world).busy, 1);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (fleet_with_nothing_to_offer_is_neither_connected_nor_alone),
        cmocka_unit_test (fleet_is_alone_from_its_offer_until_it_is_welcome),
        cmocka_unit_test (lost_manager_is_counted_from_its_loss_and_tasks_stay),
        cmocka_unit_test (greeting_that_the_manager_asks_for_is_no_loss),
        cmocka_unit_test (tasks_beyond_those_that_run_stand_by),
        cmocka_unit_test (tasks_behind_another_in_a_channel_stand_by),
        cmocka_unit_test (task_of_a_slot_that_is_killed_is_there_until_its_end),
        cmocka_unit_test (fleet_that_drains_says_so),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
