/*  test_fleet_keep.c - how a fleet keeps its answers until the clients have them
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

static world_t *
up_with_outbox (uint64_t outbox_bytes)
{
    dn_fleet_config_t config = world_config ();
    config.outbox_bytes = outbox_bytes;
    return world_up (&config);
}

static void
settle_some (world_t *world, uint64_t first, uint64_t count)
{
    for (uint64_t seq = first; seq < first + count; seq++)
        world_settle (world, seq);
}

/*  ---- the outbox ---- */

static void
answer_that_the_socket_does_not_take_is_kept_and_sent_later (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_run (world, 2);
    world_start (world, 1);
    world->full = true;
    world_answer (world, 0, 10);
    assert_false (relayed (world, 1));
    world_exit (world, 1, SIGNALLED (SIGSEGV));
    assert_true (dn_fleet_wants_writable (world->fleet));
    world_about (world, DN_MSG_RESEND, 1, 0); /* no more than waiting can be done */
    assert_false (relayed (world, 1));
    world_writable (world);
    assert_true (relayed (world, 1));
    assert_int_equal (result_of (world, 2)->outcome, DENIM_LOST);
    assert_false (dn_fleet_wants_writable (world->fleet));
    assert_int_equal (relays_of (world, 1), 1);
    assert_int_equal (held_count (world, 1), 2);
    world_free (world);
}

static void
full_outbox_takes_no_task (void **state)
{
    world_t *world = up_with_outbox (25); /* of answers with 10 */
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world->full = true;
    world_answer (world, 0, 10);
    world_answer (world, 1, 10);
    assert_false (logged (world, "outbox_full"));
    world_answer (world, 0, 10);
    assert_true (logged (world, "outbox_full"));
    world->full = false;
    world_beat (world, 1, 1);
    assert_int_equal (last_sent (world, DN_MSG_HELD)->states[0], 2);
    world_run (world, 4); /* the manager did not know yet */
    assert_int_equal (kept_count (world), 3);
    world_writable (world);
    assert_true (relayed (world, 1) && relayed (world, 2) && relayed (world, 3));
    assert_int_equal (answers_kept (world), 3); /* that they were sent makes no room */
    world_run_of (world, &world_other, 5, &(dn_submit_t){0}, 10);
    assert_int_equal (refusal_of (world, 5)->slots + refusal_of (world, 5)->standby, 0);
    settle_some (world, 1, 2);
    world_run (world, 6);
    assert_true (slot_with (world, 6) >= 0);
    world_free (world);
}

static void
settled_and_forgotten_answers_are_let_go (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_run (world, 2);
    world->full = true;
    world_answer (world, 0, 10);
    world_answer (world, 1, 10);
    world_settle (world, 1);
    assert_int_equal (kept_count (world), 1);
    world_forget (world, &world_client);
    assert_int_equal (kept_count (world), 0);
    world_writable (world);
    assert_false (relayed (world, 1) || relayed (world, 2));
    world_free (world);
}

static void
refusal_that_cannot_be_sent_is_kept_like_an_answer (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 3; seq++)
        world_run (world, seq);
    world->full = true;
    world_pass (world, 100);
    assert_null (refusal_of (world, 3));
    world_writable (world);
    assert_int_equal (refusal_of (world, 3)->reason, DENIM_REASON_STANDBY);
    world_free (world);
}

static void
long_outbox_goes_in_portions (void **state)
{
    world_t *world = up_with_outbox (1000000);
    (void) state;

    world->full = true;
    for (uint64_t seq = 1; seq <= 300; seq++) {
        world_run (world, seq);
        world_answer (world, (uint32_t) slot_with (world, seq), 10);
    }
    world_forget_notes (world);
    world_writable (world);
    assert_true (count_of (world, DN_FX_RELAY_KEPT) < 300);
    world_pass (world, 1);
    assert_int_equal (count_of (world, DN_FX_RELAY_KEPT), 300);
    assert_int_equal (answers_kept (world), 300);
    world_free (world);
}

/*  ---- kept until SETTLED ---- */

static void
answer_is_kept_before_it_is_sent_and_until_it_is_settled (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_forget_notes (world);
    world_answer (world, 0, 10);
    assert_int_equal (world->note[0].kind, DN_FX_KEEP);
    assert_int_equal (world->note[1].kind, DN_FX_RELAY_KEPT);
    world_pass (world, 2000);
    assert_int_equal (relays_of (world, 1), 1); /* once is enough, unless it is asked for */
    assert_int_equal (held_count (world, 1), 1);
    assert_int_equal (world->listed[1], 2 + 1);
    world_settle (world, 1);
    assert_int_equal (held_count (world, 1), 0);
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

static void
answer_that_was_made_here_is_kept_too (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_exit (world, 0, SIGNALLED (SIGSEGV));
    assert_int_equal (sends_of (world, 1), 1);
    assert_int_equal (held_count (world, 1), 1);
    world_about (world, DN_MSG_RESEND, 1, 0);
    assert_int_equal (sends_of (world, 1), 2);
    assert_int_equal (result_of (world, 1)->outcome, DENIM_LOST);
    assert_int_equal (result_of (world, 1)->signal, SIGSEGV);
    world_settle (world, 1);
    assert_int_equal (held_count (world, 1), 0);
    world_free (world);
}

static void
settled_message_lets_go_of_all_that_it_names (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 20);
    world_run_some (world, &world_other, 21, 20);
    world_settle_all (world, (uint64_t[]){3, 21, 99, 3, 40}, 5);
    assert_int_equal (held_count (world, 1), 37);
    assert_int_equal (answers_kept (world), 37);
    assert_int_equal (world->listed[3] + world->listed[21] + world->listed[40], 0);
    world_free (world);
}

static void
what_a_long_settled_has_no_room_for_is_listed_again (void **state)
{
    static uint64_t seq[1000];
    world_t        *world = up_with_outbox (1000000);
    (void) state;

    for (uint32_t i = 0; i < 1000; i++) {
        seq[i] = i + 1;
        world_run_some (world, &world_client, i + 1, 1);
        world_forget_notes (world);
    }
    assert_int_equal (answers_kept (world), 1000);
    world_settle_all (world, seq, 1000);
    assert_int_equal (held_count (world, 1), answers_kept (world));
    assert_true (answers_kept (world) < 1000 - 64);
    world_settle_all (world, seq, 1000);
    assert_int_equal (held_count (world, 1) + answers_kept (world), 0);
    world_free (world);
}

static void
settled_of_a_task_in_standby_drops_it (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 4; seq++)
        world_run (world, seq);
    world_settle (world, 3);
    assert_int_equal (kept_count (world), 3);
    assert_int_equal (held_count (world, 1), 3);
    world_answer (world, 0, 10);
    assert_int_equal (slot_with (world, 3), -1);
    assert_int_equal (slot_with (world, 4), 0);
    assert_int_equal (sends_of (world, 3), 0);
    world_free (world);
}

static void
settled_of_a_task_in_a_channel_drops_its_answer (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_start (world, 0);
    world_settle (world, 1);
    assert_int_equal (held_count (world, 1), 1);
    assert_int_equal (world->listed[1], 3 + 1);
    world_answer (world, 0, 10);
    assert_int_equal (sends_of (world, 1), 0);
    assert_int_equal (held_count (world, 1), 0);
    assert_int_equal (kept_count (world), 0);
    world_free (world);
}

/*  ---- RESEND ---- */

static void
resend_sends_a_kept_answer_once_more (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 1);
    world_about (world, DN_MSG_RESEND, 1, 0);
    assert_int_equal (relays_of (world, 1), 2);
    assert_int_equal (answers_kept (world), 1);
    world_about (world, DN_MSG_RESEND, 99, 0); /* of a task that is not here */
    world_run (world, 2);
    world_about (world, DN_MSG_RESEND, 2, 0); /* of one that runs */
    assert_int_equal (sends_of (world, 99) + sends_of (world, 2), 0);
    world_free (world);
}

static void
run_of_a_task_that_has_ended_sends_its_answer_once_more (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 1);
    world_run (world, 1);
    assert_int_equal (slot_with (world, 1), -1);
    assert_int_equal (relays_of (world, 1), 2);
    world_free (world);
}

static void
hello_lists_what_was_not_sent_and_the_manager_asks_for_it (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world_disconnected (world);
    world_answer (world, 0, 10);
    world_writable (world);
    assert_int_equal (last_sent (world, DN_MSG_WORKER_HELLO)->rows, 1);
    assert_int_equal (world->listed[1], 2 + 1);
    world_welcome (world, 1);
    world_pass (world, 500);
    assert_int_equal (sends_of (world, 1), 0);
    world_about (world, DN_MSG_RESEND, 1, 0);
    assert_int_equal (relays_of (world, 1), 1);
    world_free (world);
}

static void
resend_before_welcome_is_answered_after_it (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 2);
    world_disconnected (world);
    world_writable (world);
    world_forget_notes (world);
    world_about (world, DN_MSG_RESEND, 1, 0);
    world_settle (world, 2); /* and this is heard before it, too */
    assert_int_equal (sends_of (world, 1), 0);
    assert_int_equal (answers_kept (world), 1);
    world_welcome (world, 1);
    assert_int_equal (relays_of (world, 1), 1);
    assert_int_equal (sends_of (world, 2), 0);
    world_free (world);
}

static void
what_ended_between_hello_and_welcome_is_sent_after_it (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 1);
    world_run (world, 2);
    world_disconnected (world);
    world_writable (world);
    world_answer (world, (uint32_t) slot_with (world, 2), 10);
    world_forget_notes (world);
    world_welcome (world, 1);
    assert_int_equal (relays_of (world, 2), 1);
    assert_int_equal (relays_of (world, 1), 0);
    world_free (world);
}

static void
hello_that_does_not_go_out_sends_nothing_twice (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run (world, 1);
    world->full = true;
    world_answer (world, 0, 10); /* in the outbox */
    world_say (world, DN_MSG_WHO);
    assert_int_equal (sent_of (world, DN_MSG_WORKER_HELLO), 0);
    world_writable (world);
    assert_int_equal (world->listed[1], 2 + 1);
    world_welcome (world, 1);
    assert_int_equal (sends_of (world, 1), 0);
    world_about (world, DN_MSG_RESEND, 1, 0);
    assert_int_equal (relays_of (world, 1), 1);
    world_free (world);
}

/*  ---- refusals ---- */

static world_t *
up_with_a_refusal_of (uint64_t seq)
{
    world_t *world = world_up_plain ();
    world_run (world, 101);
    world_run (world, 102);
    world_run (world, seq);
    world_pass (world, 100);
    assert_int_equal (refusal_of (world, seq)->reason, DENIM_REASON_STANDBY);
    return world;
}

static void
refused_task_that_was_held_is_kept_until_it_is_settled (void **state)
{
    world_t *world = up_with_a_refusal_of (1);
    (void) state;

    assert_true (refusal_of (world, 1)->held);
    assert_int_equal (held_count (world, 1), 3);
    assert_int_equal (world->listed[1], 4 + 1);
    world_about (world, DN_MSG_RESEND, 1, 0);
    assert_int_equal (sends_of (world, 1), 2);
    world_settle (world, 1);
    assert_int_equal (held_count (world, 1), 2);
    world_free (world);
}

static void
refused_run_that_was_never_held_is_not_kept (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    for (uint64_t seq = 1; seq <= 11; seq++)
        world_run (world, seq);
    assert_false (refusal_of (world, 11)->held);
    assert_int_equal (held_count (world, 1), 10);
    world_free (world);
}

static void
run_of_a_refused_task_replaces_its_record (void **state)
{
    world_t *world = up_with_a_refusal_of (1);
    (void) state;

    world_answer (world, 0, 10);
    world_run (world, 1); /* SETTLED was lost */
    assert_int_equal (slot_with (world, 1), 0);
    assert_int_equal (sends_of (world, 1), 1);
    world_answer (world, 0, 10);
    assert_int_equal (relays_of (world, 1), 1);
    world_free (world);
}

/*  ---- limits of the outbox ---- */

static void
places_are_offered_again_below_three_quarters (void **state)
{
    world_t *world = up_with_outbox (400);
    (void) state;

    for (uint8_t i = 0; i < 4; i++)
        world_run_some (world, &(dn_session_t){{0xc3, i}}, 1 + 10u * i, 10);
    assert_true (logged (world, "outbox_full"));
    world_pass (world, DN_OFFER_MS);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 0);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->standby, 0);
    world_forget_notes (world);
    settle_some (world, 1, 10);
    world_pass (world, 2 * DN_OFFER_MS);
    assert_int_equal (sent_of (world, DN_MSG_OFFER), 0); /* three quarters are used */
    world_settle (world, 11);
    world_pass (world, 2 * DN_OFFER_MS);
    assert_int_equal (sent_of (world, DN_MSG_OFFER), 1);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->slots, 2);
    assert_int_equal (last_sent (world, DN_MSG_OFFER)->standby, 8);
    world_free (world);
}

static void
answers_are_bounded_in_number_too (void **state)
{
    dn_fleet_config_t config = world_config ();
    (void) state;

    config.standby = DN_PLACES_MAX - config.slots;
    config.outbox_bytes = 1000000;
    world_t *world = world_up (&config);
    for (uint64_t seq = 1; seq < DN_HOLDS_MAX - DN_PLACES_MAX; seq++) {
        world_run_some (world, seq % 2 ? &world_client : &world_other, seq, 1);
        world_forget_notes (world);
        if (seq == 999) /* before they have their shares */
            break;
    }
    assert_false (logged (world, "outbox_full"));
    dn_session_t crowd = {{0xc3}};
    for (uint64_t seq = 1000; seq < 2000; seq++) {
        crowd.bytes[1] = (uint8_t) seq;
        world_run_some (world, &crowd, seq, 1);
        assert_false (logged (world, "outbox_full"));
        world_forget_notes (world);
    }
    world_run_some (world, &crowd, 2000, 1);
    assert_true (logged (world, "outbox_full"));
    world_run_of (world, &(dn_session_t){{0xc4}}, 2001, &(dn_submit_t){0}, 10);
    assert_int_equal (refusal_of (world, 2001)->reason, DENIM_REASON_BUSY);
    world_free (world);
}

static void
client_that_leaves_its_answers_here_is_refused_once_half_is_used (void **state)
{
    world_t *world = up_with_outbox (400);
    (void) state;

    world_run_some (world, &world_client, 1, 11);
    world_run (world, 12); /* more than a quarter, and less than half is used */
    assert_null (refusal_of (world, 12));
    world_answer (world, (uint32_t) slot_with (world, 12), 10);
    world_run_some (world, &world_other, 13, 8);
    world_run (world, 21);
    assert_int_equal (refusal_of (world, 21)->reason, DENIM_REASON_OVER_SHARE);
    assert_false (refusal_of (world, 21)->held);
    assert_true (refusal_of (world, 21)->slots + refusal_of (world, 21)->standby > 0);
    world_run_some (world, &world_other, 22, 2); /* up to its quarter it may */
    world_run_of (world, &world_other, 24, &(dn_submit_t){0}, 10);
    assert_int_equal (refusal_of (world, 24)->reason, DENIM_REASON_OVER_SHARE);
    settle_some (world, 1, 3);
    world_run (world, 25);
    assert_null (refusal_of (world, 25));
    world_free (world);
}

/*  A connection that broke may still hand out what it had read, after the HELLO over the next. */
static void
run_and_settled_of_an_older_link_are_dropped (void **state)
{
    world_t *world = world_up_plain ();
    (void) state;

    world_run_some (world, &world_client, 1, 1);
    uint32_t old = world->link;
    world_disconnected (world);
    world_writable (world);
    world_welcome (world, 1);
    uint32_t now = world->link;
    assert_true (now > old);
    world->link = old;
    world_run (world, 2);
    world_settle (world, 1);
    assert_int_equal (kept_count (world), 1); /* the answer of the first */
    world->link = now;
    world_run (world, 2);
    world_settle (world, 1);
    assert_int_equal (kept_count (world), 1); /* the arguments of the second */
    assert_true (slot_with (world, 2) >= 0);
    world_free (world);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (run_and_settled_of_an_older_link_are_dropped),
        cmocka_unit_test (answer_that_the_socket_does_not_take_is_kept_and_sent_later),
        cmocka_unit_test (full_outbox_takes_no_task),
        cmocka_unit_test (settled_and_forgotten_answers_are_let_go),
        cmocka_unit_test (refusal_that_cannot_be_sent_is_kept_like_an_answer),
        cmocka_unit_test (long_outbox_goes_in_portions),
        cmocka_unit_test (answer_is_kept_before_it_is_sent_and_until_it_is_settled),
        cmocka_unit_test (answer_that_was_made_here_is_kept_too),
        cmocka_unit_test (settled_message_lets_go_of_all_that_it_names),
        cmocka_unit_test (what_a_long_settled_has_no_room_for_is_listed_again),
        cmocka_unit_test (settled_of_a_task_in_standby_drops_it),
        cmocka_unit_test (settled_of_a_task_in_a_channel_drops_its_answer),
        cmocka_unit_test (resend_sends_a_kept_answer_once_more),
        cmocka_unit_test (run_of_a_task_that_has_ended_sends_its_answer_once_more),
        cmocka_unit_test (hello_lists_what_was_not_sent_and_the_manager_asks_for_it),
        cmocka_unit_test (resend_before_welcome_is_answered_after_it),
        cmocka_unit_test (what_ended_between_hello_and_welcome_is_sent_after_it),
        cmocka_unit_test (hello_that_does_not_go_out_sends_nothing_twice),
        cmocka_unit_test (refused_task_that_was_held_is_kept_until_it_is_settled),
        cmocka_unit_test (refused_run_that_was_never_held_is_not_kept),
        cmocka_unit_test (run_of_a_refused_task_replaces_its_record),
        cmocka_unit_test (places_are_offered_again_below_three_quarters),
        cmocka_unit_test (answers_are_bounded_in_number_too),
        cmocka_unit_test (client_that_leaves_its_answers_here_is_refused_once_half_is_used),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
