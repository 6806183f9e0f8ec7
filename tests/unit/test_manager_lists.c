/*  test_manager_lists.c - what the lists of peers change in the records
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

/*  A worker with one slot says HELLO and brings one task. */
static void
brings (bench_t *self, dn_row_held_t row)
{
    bench_hello_t hello = {.slots = 1, .held = &row, .helds = 1};
    bench_hello (self, WORKER, 9, 1, &hello);
}

/*  ---- OPEN and HELD ---- */

static void
a_call_without_a_record_under_our_stamp_never_ran (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = {5, 1, 3, 77, 1, 0, 0};
    bench_open (self, CLIENT, 0, &open, 1, 5);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_MISSING, 0);
    assert_int_equal (row->msg.u.missing.never, 1);
    assert_int_equal (row->msg.u.missing.try_no, 3);
}

static void
a_call_under_another_stamp_is_unknown_but_not_while_settling (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = {5, 1, 3, 76, 1, 0, 0};
    bench_open (self, CLIENT, 0, &open, 1, 5);
    assert_null (bench_sent (self, CLIENT, DN_MSG_MISSING, 0));
    for (int i = 0; i < SETTLING; i++)
        bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, 0, &open, 1, 5);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_MISSING, 0)->msg.u.missing.never, 0);
}

static void
a_record_that_open_covers_and_does_not_list_is_settled (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    bench_submit (self, CLIENT, 2);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    bench_open (self, CLIENT, 0, NULL, 0, 1);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 1);
}

static void
cancel_wanted_in_open_is_passed_on (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    dn_row_open_t open = {1, 1, 1, 77, 1, 2, 0};
    bench_open (self, CLIENT, 0, &open, 1, 1);
    assert_int_equal (bench_sent (self, WORKER, DN_MSG_CANCEL, 0)->msg.u.cancel.how, 2);
}

static void
a_task_that_never_reached_its_worker_is_given_back (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    uint64_t mark = bench_mark (self, WORKER);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, mark, NULL, 0);
    assert_null (bench_sent (self, CLIENT, DN_MSG_REJECT, 0));
    bench_held (self, WORKER, mark + 1, NULL, 0);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_REJECT, 0));
    assert_int_equal (dn_manager_placed (self->core), 0);
}

static void
a_task_that_was_seen_at_its_worker_and_is_not_there_is_lost (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    dn_row_held_t row = {bench_session (1), 1, 1, 1, 0};
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), &row, 1);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_RESULT, 0)->msg.u.result.outcome,
                      DENIM_LOST);
    assert_int_equal (dn_manager_placed (self->core), 0);
    bench_ack (self, CLIENT, 1);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

static void
what_a_worker_brings_after_a_restart_is_adopted_and_answered (void **state)
{
    bench_t *self = *state;
    brings (self, bench_row (1, 4, 1));
    assert_int_equal (dn_manager_placed (self->core), 1);
    bench_client (self, CLIENT, 1, 1);
    bench_submit (self, CLIENT, 5);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    dn_row_open_t open = {4, 1, 1, 76, 3, 0, 0};
    bench_open (self, CLIENT, 0, &open, 1, 5);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_KNOWN, 0));
    bench_result (self, WORKER, 1, 4, DENIM_VALUE, 9);
    assert_true (bench_relayed (self, CLIENT));
}

static void
an_outcome_of_another_attempt_changes_nothing (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = bench_session (1);
    msg.u.result.seq = 1;
    msg.u.result.attempt = 2;
    bench_feed (self, WORKER, &msg);
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
an_outcome_that_was_sent_before_the_mark_and_is_listed_is_asked_for_again (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    bench_submit (self, CLIENT, 1);
    bench_pass (self, BEAT_MS);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    uint64_t mark = bench_mark (self, CLIENT);
    bench_open (self, CLIENT, mark, &open, 1, 1); /* it may be on its way */
    assert_null (bench_sent (self, WORKER, DN_MSG_RESEND, 0));
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, mark + 1, &open, 1, 1);
    const dn_effect_t *row = bench_sent (self, WORKER, DN_MSG_RESEND, 0);
    assert_int_equal (row->msg.u.resend.seq, 1);
    assert_int_equal (row->msg.u.resend.session.bytes[0], 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (bench_relayed (self, CLIENT));
    assert_int_equal (dn_manager_counters (self->core)->done, 1);
}

static void
an_outcome_is_not_asked_for_twice_before_its_worker_has_said_what_it_holds (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    dn_row_held_t held = bench_row (1, 1, 2);
    bench_submit (self, CLIENT, 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    uint64_t before = bench_mark (self, WORKER);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 0);
    bench_held (self, WORKER, before, &held, 1); /* of before it was asked */
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 0);
    bench_held (self, WORKER, before + 1, &held, 1); /* so RESEND, or what it caused, was lost */
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
}

static void
a_submit_of_a_finished_task_asks_for_its_outcome (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RUN), 0);
}

static void
held_that_says_finished_frees_the_place_and_asks_for_the_outcome (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t held = bench_row (1, 1, 2);
    bench_submit (self, CLIENT, 1);
    bench_held (self, WORKER, 0, &held, 1);
    assert_int_equal (dn_manager_placed (self->core), 0);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    bench_submit (self, CLIENT, 2);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RUN), 1);
}

static void
a_finished_task_that_is_not_held_any_more_is_lost (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
}

static void
a_list_speaks_for_its_range_only (void **state)
{
    bench_t *self = bench_up (state, 2);
    dn_msg_t msg = {.kind = DN_MSG_HELD};
    bench_submit (self, CLIENT, 1);
    bench_submit (self, CLIENT, 2);
    bench_pass (self, BEAT_MS);
    msg.u.held.mark = bench_mark (self, WORKER);
    msg.u.held.from_session = msg.u.held.upto_session = bench_session (1);
    msg.u.held.from_seq = 2;
    msg.u.held.upto_seq = 9;
    bench_feed (self, WORKER, &msg);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_REJECT), 1);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_REJECT, 0)->msg.u.reject.seq, 2);
}

static void
a_task_that_is_held_elsewhere_too_is_let_go_of_there (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t row = bench_row (1, 1, 1);
    bench_hello_t hello = {.slots = 1, .held = &row, .helds = 1};
    bench_submit (self, CLIENT, 1);
    bench_hello (self, WORKER2, 8, 1, &hello);
    bench_pass (self, 10);
    assert_true (bench_settled_has (self, WORKER2, 1, 1));
    assert_int_equal (bench_settled (self, WORKER), 0);
    assert_int_equal (dn_manager_placed (self->core), 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (bench_relayed (self, CLIENT));
}

/*  The list was made before the task was sent there again: it speaks of the try before. */
static void
a_refusal_in_a_list_that_is_older_than_the_task_says_nothing_of_it (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t held = bench_row (1, 1, 4);
    bench_pass (self, BEAT_MS);
    uint64_t mark = bench_mark (self, WORKER);
    bench_submit (self, CLIENT, 1);
    bench_held (self, WORKER, mark, &held, 1);
    assert_int_equal (bench_settled (self, WORKER), 0);
    assert_int_equal (bench_reason (self, CLIENT), -1);
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
a_refusal_that_is_listed_is_settled_at_once_and_gives_the_task_back (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t held = bench_row (1, 1, 4);
    bench_submit (self, CLIENT, 1);
    bench_pass (self, BEAT_MS);
    uint64_t mark = bench_mark (self, WORKER);
    bench_held (self, WORKER, mark, &held, 1); /* REFUSE was lost */
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    assert_int_equal (bench_records (self), 0);
    bench_held (self, WORKER, mark, &held, 1); /* SETTLED was lost */
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_REJECT), 0);
    assert_int_equal (bench_records (self), 0);
}

static void
held_says_how_many_places_there_are (void **state)
{
    bench_t *self = bench_up (state, 2);
    dn_msg_t msg = {.kind = DN_MSG_HELD};
    bench_feed (self, WORKER, &msg); /* an OFFER without places was lost */
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    msg.u.held.slots = 1;
    bench_feed (self, WORKER, &msg);
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RUN), 1);
}

/*  ---- the inventory of HELLO ---- */

static void
over_a_new_link_what_was_seen_and_is_not_brought_is_lost_and_the_rest_given_back (void **state)
{
    bench_t      *self = bench_up (state, 3);
    dn_row_held_t held = bench_row (1, 1, 1);
    for (uint64_t seq = 1; seq <= 2; seq++)
        bench_submit (self, CLIENT, seq);
    bench_held (self, WORKER, 0, &held, 1);
    bench_worker (self, WORKER2, 9, 2, 3);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_RESULT, 0)->msg.u.result.seq, 1);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_REJECT, 0)->msg.u.reject.seq, 2);
    assert_int_equal (dn_manager_placed (self->core), 0);
}

static void
over_the_same_link_hello_says_nothing_of_what_was_placed_there (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1); /* on its way when the worker answered WHO */
    bench_worker (self, WORKER, 9, 2, 1);
    assert_null (bench_sent (self, CLIENT, DN_MSG_REJECT, 0));
    assert_int_equal (bench_outcome (self, CLIENT), -1);
    assert_int_equal (dn_manager_placed (self->core), 1);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_REJECT, 0));
}

static void
a_list_of_before_hello_does_not_speak_for_what_was_placed_after_it (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_pass (self, BEAT_MS);
    uint64_t mark = bench_mark (self, WORKER);
    bench_worker (self, WORKER, 9, 2, 1);
    bench_submit (self, CLIENT, 1);
    bench_held (self, WORKER, mark, NULL, 0);
    assert_null (bench_sent (self, CLIENT, DN_MSG_REJECT, 0));
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
a_finished_task_that_a_worker_brings_is_asked_for_if_its_client_is_here (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    brings (self, bench_row (1, 4, 2));
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    assert_int_equal (dn_manager_placed (self->core), 0);
    bench_result (self, WORKER, 1, 4, DENIM_VALUE, 9);
    assert_true (bench_relayed (self, CLIENT));
}

static void
a_finished_task_that_a_worker_brings_is_asked_for_when_its_client_lists_it (void **state)
{
    bench_t      *self = *state;
    dn_row_open_t open = {.seq = 4, .attempt = 1, .try_no = 2, .epoch = 76, .term = 3};
    brings (self, bench_row (1, 4, 2));
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 0);
    bench_client (self, CLIENT, 1, 1);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 4);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    bench_result (self, WORKER, 1, 4, DENIM_VALUE, 9);
    assert_true (bench_relayed (self, CLIENT));
}

static void
a_task_that_its_worker_was_told_to_forget_holds_a_place_for_nobody (void **state)
{
    bench_t      *self = bench_up (state, 1);
    bench_hello_t hello = {
        .slots = 1, .held = &(dn_row_held_t){bench_session (2), 4, 1, 3, 0}, .helds = 1};
    bench_hello (self, WORKER, 9, 3, &hello);
    assert_int_equal (dn_manager_placed (self->core), 1);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 1);
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    assert_int_equal (bench_records (self), 0);
    assert_int_equal (dn_manager_placed (self->core), 0);
}

static void
a_client_that_comes_back_attaches_to_a_task_that_was_forgotten (void **state)
{
    bench_t      *self = *state;
    dn_row_open_t open = {.seq = 4, .attempt = 1, .try_no = 2, .epoch = 76, .term = 3};
    brings (self, bench_row (1, 4, 3));
    bench_client (self, CLIENT, 1, 1);
    bench_open (self, CLIENT, 0, &open, 1, 4);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_KNOWN, 0));
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0); /* it ran and was dropped */
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
}

/*  ---- clients known from inventories only ---- */

static void
a_client_known_from_inventories_is_silent_since_then_and_forgotten_when_gone (void **state)
{
    bench_t      *self = *state;
    dn_row_held_t held = bench_row (1, 4, 2);
    int           forgets = 0;
    brings (self, held);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 1);
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++) {
        assert_int_equal (forgets, 0);
        bench_pass (self, BEAT_MS);
        forgets += bench_count (self, WORKER, DN_MSG_FORGET);
        bench_held (self, WORKER, 0, &held, 1);
    }
    forgets += bench_count (self, WORKER, DN_MSG_FORGET);
    bench_pass (self, 0);
    forgets += bench_count (self, WORKER, DN_MSG_FORGET);
    assert_true (forgets > 0);
    assert_int_equal (bench_records (self), 0);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 0);
}

static void
after_settling_a_task_of_nobody_known_is_to_be_forgotten (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t held = bench_row (5, 4, 2);
    bench_live (self, SETTLING);
    bench_held (self, WORKER, 0, &held, 1);
    const dn_effect_t *row = bench_sent (self, WORKER, DN_MSG_FORGET, 0);
    assert_int_equal (row->msg.u.forget.session.bytes[0], 5);
    assert_int_equal (bench_records (self), 0);
    bench_result (self, WORKER, 5, 4, DENIM_VALUE, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_FORGET), 1);
}

static void
while_settling_nobody_is_forgotten (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t held = bench_row (5, 4, 2);
    bench_live (self, SETTLING - 1);
    bench_result (self, WORKER, 5, 9, DENIM_VALUE, 1);
    assert_int_equal (self->fx->count, 0);
    bench_held (self, WORKER, 0, &held, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_FORGET), 0);
    assert_int_equal (bench_records (self), 1);
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        T (a_call_without_a_record_under_our_stamp_never_ran),
        T (a_call_under_another_stamp_is_unknown_but_not_while_settling),
        T (a_record_that_open_covers_and_does_not_list_is_settled),
        T (cancel_wanted_in_open_is_passed_on),
        T (a_task_that_never_reached_its_worker_is_given_back),
        T (a_task_that_was_seen_at_its_worker_and_is_not_there_is_lost),
        T (what_a_worker_brings_after_a_restart_is_adopted_and_answered),
        T (an_outcome_of_another_attempt_changes_nothing),
        T (an_outcome_that_was_sent_before_the_mark_and_is_listed_is_asked_for_again),
        T (an_outcome_is_not_asked_for_twice_before_its_worker_has_said_what_it_holds),
        T (a_submit_of_a_finished_task_asks_for_its_outcome),
        T (held_that_says_finished_frees_the_place_and_asks_for_the_outcome),
        T (a_finished_task_that_is_not_held_any_more_is_lost),
        T (a_list_speaks_for_its_range_only),
        T (a_task_that_is_held_elsewhere_too_is_let_go_of_there),
        T (a_refusal_in_a_list_that_is_older_than_the_task_says_nothing_of_it),
        T (a_refusal_that_is_listed_is_settled_at_once_and_gives_the_task_back),
        T (held_says_how_many_places_there_are),
        T (over_a_new_link_what_was_seen_and_is_not_brought_is_lost_and_the_rest_given_back),
        T (over_the_same_link_hello_says_nothing_of_what_was_placed_there),
        T (a_list_of_before_hello_does_not_speak_for_what_was_placed_after_it),
        T (a_finished_task_that_a_worker_brings_is_asked_for_if_its_client_is_here),
        T (a_finished_task_that_a_worker_brings_is_asked_for_when_its_client_lists_it),
        T (a_task_that_its_worker_was_told_to_forget_holds_a_place_for_nobody),
        T (a_client_that_comes_back_attaches_to_a_task_that_was_forgotten),
        T (a_client_known_from_inventories_is_silent_since_then_and_forgotten_when_gone),
        T (after_settling_a_task_of_nobody_known_is_to_be_forgotten),
        T (while_settling_nobody_is_forgotten),
    };
    return cmocka_run_group_tests_name ("manager_lists", tests, NULL, NULL);
}
