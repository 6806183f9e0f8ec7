/*  test_fleet_memory.c - what a fleet remembers for managers to come: clients that are gone,
 *  rosters
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include "core/rosters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*  A new socket, greeted and welcomed by that boot of the manager. */
static void
reconnect (world_t *world, uint64_t epoch)
{
    world_disconnected (world);
    world_writable (world);
    world_welcome (world, epoch);
}

/*  ---- clients that are gone ---- */

static void
forgotten_client_is_listed_in_hello (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_forget (world, &world_client);
    world_forget (world, &world_other); /* of neither is anything held */
    world_forget (world, &world_client);
    reconnect (world, 2);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->forgotten, 2);
    world_free (world);
}

static void
forgotten_clients_are_bounded_in_number (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint32_t i = 0; i < DN_FORGOTTEN_MAX + 10; i++) {
        dn_session_t client = {{0xd0, (uint8_t) (i >> 8), (uint8_t) i}};
        world_forget (world, &client);
    }
    reconnect (world, 2);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->forgotten, DN_FORGOTTEN_MAX);
    world_free (world);
}

static void
forget_drops_what_waits_and_what_has_ended_of_that_client_only (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 1);
    world_run_some (world, &world_other, 2, 1);
    for (uint64_t seq = 3; seq <= 6; seq++)
        world_run_of (world, seq % 2 ? &world_client : &world_other, seq, &(dn_submit_t){0}, 10);
    world_start (world, (uint32_t) slot_with (world, 3));
    world_forget (world, &world_client); /* 3 runs, 5 stands by */
    assert_int_equal (held_count (world, 1), 4);
    assert_int_equal (world->listed[1] + world->listed[5], 0);
    assert_int_equal (world->listed[3], 3 + 1);
    assert_int_equal (world->listed[2], 2 + 1);
    world_answer (world, (uint32_t) slot_with (world, 3), 10);
    assert_int_equal (sends_of (world, 3), 0);
    assert_true (slot_with (world, 6) >= 0);
    world_free (world);
}

static void
forget_keeps_what_waits_and_is_to_be_finished (void **state)
{
    world_t    *world = world_up_plain ();
    dn_submit_t finish = {.flags = 2};
    (void) state;

    world_run (world, 1);
    world_run (world, 2);
    world_run_with (world, 3, &finish, 10);
    world_run (world, 4);
    world_start (world, 0);
    world_start (world, 1);
    world_forget (world, &world_client);
    assert_int_equal (held_count (world, 1), 3);
    assert_int_equal (world->listed[3], 3 + 1);
    world_answer (world, 0, 10);
    assert_int_equal (slot_with (world, 3), 0);
    world_answer (world, 0, 10);
    world_answer (world, 1, 10);
    assert_true (world->ran[3]);
    assert_int_equal (sends_of (world, 3), 0);
    assert_int_equal (held_count (world, 1), 0);
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

static void
clients_of_welcome_and_beat_are_remembered_and_their_tasks_go_on (void **state)
{
    world_t     *world = world_up_plain ();
    dn_session_t clients[3] = {world_client, {{0xd1}}, {{0xd2}}};
    (void) state;

    reconnect (world, 2);
    world_run (world, 1); /* it is back, and has a task */
    world_gone (world, DN_MSG_BEAT, 2, 0, clients, 2, false);
    world_gone (world, DN_MSG_BEAT, 2, 0, clients, 2, false);
    world_gone (world, DN_MSG_BEAT, 9, 0, clients + 2, 1, false); /* another epoch: not believed */
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->forgotten, 2);
    world_gone (world, DN_MSG_WELCOME, 9, 1, clients + 2, 1, false);
    world_say (world, DN_MSG_WHO);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->forgotten, 3);
    world_welcome (world, 9);
    world_answer (world, 0, 10);
    assert_int_equal (sends_of (world, 1), 1);
    world_free (world);
}

/*  In three epochs, with a roster each, so many clients are forgotten, the first one in each. */
static void
forget_in_epochs (world_t *world, uint32_t first, uint32_t second, uint32_t third)
{
    uint32_t counts[3] = {first, second, third};
    for (uint32_t i = 0; i < 3; i++) {
        world_roster (world, DN_MSG_WELCOME, 2 + i, 1, 0xa0, 1);
        for (uint32_t j = 0; j < counts[i]; j++) {
            uint8_t epoch = (uint8_t) (j ? 0xd0 + i : 0xc8);
            world_forget (world, &(dn_session_t){{epoch, (uint8_t) (j >> 8), (uint8_t) j}});
        }
        world_forget_notes (world);
        world_disconnected (world);
        world_writable (world);
    }
}

static void
rosters_are_in_doubt_when_a_client_of_their_time_is_not_remembered (void **state)
{
    static const struct {
        uint32_t forgets[3];
        uint32_t doubtful;
    } cases[] = {
        {{10, 10, 10}, 0},
        {{DN_FORGOTTEN_MAX, 0, 0}, 0},
        {{DN_FORGOTTEN_MAX + 1, 0, 0}, 1},
        {{10, DN_FORGOTTEN_MAX - 9, 0}, 0}, /* the first client is renewed */
        {{10, DN_FORGOTTEN_MAX - 8, 0}, 1},
        {{10, 10, DN_FORGOTTEN_MAX - 9}, 1}, /* likewise, in each epoch */
        {{10, 10, DN_FORGOTTEN_MAX - 8}, 2},
        {{10, 10, DN_FORGOTTEN_MAX + 1}, 3},
    };
    (void) state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint32_t *forgets = cases[i].forgets;
        world_t        *world = world_up_plain ();
        world_disconnected (world);
        world_writable (world);
        forget_in_epochs (world, forgets[0], forgets[1], forgets[2]);
        const note_t *hello = last_sent (world, DN_MSG_WORKER_HELLO);
        assert_int_equal (hello->doubtful, cases[i].doubtful);
        world_free (world);
    }
}

static void
rosters_are_in_doubt_when_the_manager_does_not_know_all_who_were_forgotten (void **state)
{
    world_t     *world = world_up_plain ();
    dn_session_t client = {{0xd1}};
    (void) state;

    world_disconnected (world);
    world_writable (world);
    world_gone (world, DN_MSG_WELCOME, 2, 1, NULL, 0, false);
    reconnect (world, 3);
    world_gone (world, DN_MSG_BEAT, 3, 1, &client, 1, true);
    world_gone (world, DN_MSG_BEAT, 3, 2, NULL, 0, false);
    world_disconnected (world);
    world_writable (world);
    const note_t *hello = last_sent (world, DN_MSG_WORKER_HELLO);
    assert_int_equal (hello->rosters, 4);
    assert_int_equal (hello->doubtful, 2);
    assert_int_equal (hello->forgotten, 1);
    world_gone (world, DN_MSG_WELCOME, 4, 1, NULL, 0, false);
    world_say (world, DN_MSG_WHO);
    hello = last_sent (world, DN_MSG_WORKER_HELLO);
    assert_int_equal (hello->rosters, 5);
    assert_int_equal (hello->doubtful, 2);
    world_free (world);
}

/*  ---- rosters ---- */

static void
rosters_of_welcome_and_beat_are_listed_in_hello (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_disconnected (world);
    world_writable (world);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->rosters, 0);
    world_roster (world, DN_MSG_WELCOME, 5, 1, 0xa0, 2);
    world_roster (world, DN_MSG_BEAT, 5, 3, 0xa0, 3);
    world_roster (world, DN_MSG_BEAT, 5, 2, 0xa0, 1); /* older */
    world_roster (world, DN_MSG_BEAT, 5, 0, 0xa0, 1); /* none: it did not change */
    world_roster (world, DN_MSG_BEAT, 6, 1, 0xa0, 1); /* answered with HELLO, not believed */
    const note_t *hello = last_sent (world, DN_MSG_WORKER_HELLO);
    assert_int_equal (hello->rosters, 3);
    assert_int_equal (hello->epoch[2], 5);
    assert_int_equal (hello->version[2], 3);
    world_free (world);
}

static void
rosters_of_the_last_four_epochs_are_remembered (void **state)
{
    world_t *world = world_up_plain ();
    bool     told[9] = {false};
    (void) state;

    for (uint64_t epoch = 2; epoch <= 7; epoch++) {
        world_disconnected (world);
        world_writable (world);
        world_roster (world, DN_MSG_WELCOME, epoch, 1, (uint8_t) (0xa0 + epoch), 2);
    }
    reconnect (world, 8);
    const note_t *hello = last_sent (world, DN_MSG_WORKER_HELLO);
    assert_int_equal (hello->rosters, 8);
    for (int i = 0; i < 8; i++)
        told[hello->epoch[i]] = true;
    assert_true (told[4] && told[5] && told[6] && told[7]);
    world_free (world);
}

static void
fullest_hello_is_a_message_that_can_be_sent (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.standby = DN_PLACES_MAX - config.slots;
    config.outbox_bytes = 1000000;
    world_t *world = world_up (&config);
    for (uint32_t i = 0; i < DN_FORGOTTEN_MAX; i++)
        world_forget (world, &(dn_session_t){{0xd0, (uint8_t) (i >> 8), (uint8_t) i}});
    for (uint64_t epoch = 2; epoch <= 5; epoch++) {
        world_disconnected (world);
        world_writable (world);
        world_roster (world, DN_MSG_WELCOME, epoch, 1, (uint8_t) (0xa0 + epoch), 2100);
        world_forget_notes (world);
    }
    for (uint64_t seq = 1; seq <= DN_HOLDS_MAX; seq++) {
        dn_session_t client = {{0xc3, (uint8_t) (seq % 200)}};
        world_run_of (world, &client, seq, &(dn_submit_t){0}, 10);
        if (seq <= DN_HOLDS_MAX - DN_PLACES_MAX)
            world_answer (world, (uint32_t) slot_with (world, seq), 10);
        world_forget_notes (world);
    }
    world_say (world, DN_MSG_WHO); /* to send is to encode, here */
    const note_t *hello = last_sent (world, DN_MSG_WORKER_HELLO);
    assert_true (hello->rows >= DN_HOLDS_MAX - DN_PLACES_MAX);
    assert_int_equal (hello->rosters, DN_ROSTERS_TOLD * DN_ROSTER_MAX);
    assert_int_equal (hello->forgotten, DN_FORGOTTEN_MAX);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (forgotten_client_is_listed_in_hello),
        cmocka_unit_test (forgotten_clients_are_bounded_in_number),
        cmocka_unit_test (forget_drops_what_waits_and_what_has_ended_of_that_client_only),
        cmocka_unit_test (forget_keeps_what_waits_and_is_to_be_finished),
        cmocka_unit_test (clients_of_welcome_and_beat_are_remembered_and_their_tasks_go_on),
        cmocka_unit_test (rosters_are_in_doubt_when_a_client_of_their_time_is_not_remembered),
        cmocka_unit_test (
            rosters_are_in_doubt_when_the_manager_does_not_know_all_who_were_forgotten),
        cmocka_unit_test (rosters_of_welcome_and_beat_are_listed_in_hello),
        cmocka_unit_test (rosters_of_the_last_four_epochs_are_remembered),
        cmocka_unit_test (fullest_hello_is_a_message_that_can_be_sent),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
