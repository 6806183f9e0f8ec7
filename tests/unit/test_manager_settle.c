/*  test_manager_settle.c - how records end: settled, refused, lost, forgotten
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

#define SETTLED_MS 10 /* what is saved up for a worker goes after this time */

/*  A task that has run and whose outcome its client was sent. */
static void
run_one (bench_t *self, dn_link_t client, uint8_t who, uint64_t seq)
{
    bench_submit (self, client, seq);
    const dn_effect_t *run = bench_sent (self, WORKER, DN_MSG_RUN, 0);
    bench_result (self, run ? WORKER : WORKER2, who, seq, DENIM_VALUE, 5);
}

static uint32_t
peers (bench_t *self, dn_role_t role)
{
    return dn_peers_count (dn_manager_peers (self->core), role);
}

/*  ---- SETTLED ---- */

static void
a_finished_task_has_a_record_until_it_is_acknowledged_and_its_worker_is_told (void **state)
{
    bench_t *self = bench_up (state, 1);
    run_one (self, CLIENT, 1, 1);
    bench_pass (self, 100);
    assert_int_equal (bench_records (self), 1);
    assert_int_equal (bench_settled (self, WORKER), 0);
    bench_ack (self, CLIENT, 1);
    assert_int_equal (bench_records (self), 0);
    assert_int_equal (bench_settled (self, WORKER), 0);
    bench_pass (self, SETTLED_MS - 1);
    assert_int_equal (bench_settled (self, WORKER), 0);
    bench_pass (self, 1);
    assert_int_equal (bench_settled (self, WORKER), 1);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    bench_pass (self, 100);
    assert_int_equal (bench_settled (self, WORKER), 0); /* once */
}

static void
open_that_does_not_list_it_settles_as_an_acknowledgement_does (void **state)
{
    bench_t *self = bench_up (state, 1);
    run_one (self, CLIENT, 1, 1);
    bench_open (self, CLIENT, 0, NULL, 0, 1);
    bench_pass (self, SETTLED_MS);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
}

static void
the_next_attempt_settles_the_one_before (void **state)
{
    bench_t *self = bench_up (state, 1);
    run_one (self, CLIENT, 1, 1);
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    msg.u.submit.seq = 1;
    msg.u.submit.attempt = 2;
    msg.u.submit.try_no = 2;
    msg.u.submit.service = dn_str ("app");
    bench_feed (self, CLIENT, &msg);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RUN), 1);
    bench_pass (self, SETTLED_MS);
    assert_int_equal (bench_settled (self, WORKER), 1);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
}

static void
sixty_four_settled_tasks_go_at_once (void **state)
{
    bench_t *self = *state;
    self->config.tasks_max = 200;
    bench_restart (self);
    bench_up (state, 1);
    for (uint64_t seq = 1; seq <= 70; seq++)
        run_one (self, CLIENT, 1, seq);
    for (uint64_t seq = 1; seq <= 63; seq++) {
        bench_ack (self, CLIENT, seq);
        assert_int_equal (bench_settled (self, WORKER), 0);
    }
    bench_ack (self, CLIENT, 64);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_SETTLED), 1);
    assert_int_equal (bench_settled (self, WORKER), 64);
    bench_ack (self, CLIENT, 65);
    bench_pass (self, SETTLED_MS);
    assert_int_equal (bench_settled (self, WORKER), 1);
}

static void
outcomes_with_many_bytes_are_settled_at_once (void **state)
{
    bench_t *self = bench_up (state, 2);
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = bench_session (1);
    msg.u.result.attempt = 1;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        bench_submit (self, CLIENT, seq);
        msg.u.result.seq = seq;
        bench_feed_bytes (self, WORKER, &msg, 256 * 1024 / 2);
    }
    bench_ack (self, CLIENT, 1);
    assert_int_equal (bench_settled (self, WORKER), 0);
    bench_ack (self, CLIENT, 2);
    assert_int_equal (bench_settled (self, WORKER), 2);
}

static void
each_worker_is_told_of_its_own_tasks (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    for (uint64_t seq = 1; seq <= 2; seq++)
        bench_submit (self, CLIENT, seq);
    bool second = bench_sent (self, WORKER2, DN_MSG_RUN, 0) != NULL;
    bench_result (self, second ? WORKER : WORKER2, 1, 1, DENIM_VALUE, 5);
    bench_result (self, second ? WORKER2 : WORKER, 1, 2, DENIM_VALUE, 5);
    bench_ack (self, CLIENT, 1);
    bench_ack (self, CLIENT, 2);
    bench_pass (self, SETTLED_MS);
    assert_true (bench_settled_has (self, second ? WORKER : WORKER2, 1, 1));
    assert_true (bench_settled_has (self, second ? WORKER2 : WORKER, 1, 2));
    assert_int_equal (bench_settled (self, WORKER) + bench_settled (self, WORKER2), 2);
}

static void
a_settled_task_that_is_listed_again_is_settled_again (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_held_t held = bench_row (1, 1, 2);
    run_one (self, CLIENT, 1, 1);
    bench_ack (self, CLIENT, 1);
    bench_pass (self, SETTLED_MS); /* and this SETTLED is lost */
    bench_held (self, WORKER, 0, &held, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 0);
    bench_open (self, CLIENT, 0, NULL, 0, 1);
    bench_pass (self, SETTLED_MS);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    assert_int_equal (bench_records (self), 0);
}

static void
an_outcome_of_another_worker_is_settled_at_its_sender (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    bench_result (self, WORKER2, 1, 1, DENIM_VALUE, 5);
    assert_false (bench_relayed (self, CLIENT));
    bench_pass (self, SETTLED_MS);
    assert_true (bench_settled_has (self, WORKER2, 1, 1));
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
settled_is_sent_before_a_worker_that_is_gone_is_let_go (void **state)
{
    bench_t *self = bench_up (state, 1);
    run_one (self, CLIENT, 1, 1);
    bench_ack (self, CLIENT, 1);
    bench_bye (self, WORKER);
    assert_int_equal (bench_settled (self, WORKER), 1);
    bench_pass (self, 100);
    assert_int_equal (bench_settled (self, WORKER), 0);
}

/*  ---- REFUSE ---- */

static void
a_refused_task_that_was_held_is_settled_in_the_same_turn (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    bench_refuse (self, WORKER, 1, 1, DENIM_REASON_STANDBY, true);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_STANDBY);
    assert_int_equal (bench_records (self), 0);
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RUN), 1);
}

static void
a_refused_run_that_was_never_held_has_nothing_to_settle (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    bench_refuse (self, WORKER, 1, 1, DENIM_REASON_BUSY, false);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    bench_pass (self, SETTLED_MS);
    assert_int_equal (bench_settled (self, WORKER), 0);
}

static void
a_refusal_that_was_asked_for_again_gives_the_task_back (void **state)
{
    bench_t      *self = bench_up (state, 2);
    dn_row_held_t held = bench_row (1, 1, 2);
    bench_submit (self, CLIENT, 1);
    bench_held (self, WORKER, 0, &held, 1); /* REFUSE was lost */
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    bench_refuse (self, WORKER, 1, 1, DENIM_REASON_STANDBY, true);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_STANDBY);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    assert_int_equal (bench_records (self), 0);
}

/*  ---- workers that are gone ---- */

static void
lost_tasks_have_records_until_they_are_settled_and_are_told_of_again (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1); /* it was not heard */
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
    assert_int_equal (dn_manager_counters (self->core)->lost, 1);
    assert_int_equal (bench_records (self), 1);
    bench_ack (self, CLIENT, 1);
    assert_int_equal (bench_records (self), 0);
}

static void
a_worker_that_is_gone_has_its_row_until_its_tasks_are_settled (void **state)
{
    bench_t *self = bench_up (state, 2);
    run_one (self, CLIENT, 1, 1);
    bench_submit (self, CLIENT, 2);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    assert_int_equal (peers (self, DN_ROLE_WORKER), 1);
    bench_ack (self, CLIENT, 1);
    bench_pass (self, 0);
    assert_int_equal (peers (self, DN_ROLE_WORKER), 1);
    bench_ack (self, CLIENT, 2);
    bench_pass (self, 0);
    assert_int_equal (peers (self, DN_ROLE_WORKER), 0);
}

static void
an_outcome_that_went_with_its_worker_is_lost_when_it_is_asked_for (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    run_one (self, CLIENT, 1, 1);
    bench_bye (self, WORKER);
    bench_pass (self, BEAT_MS);
    assert_int_equal (bench_outcome (self, CLIENT), -1); /* the client has it, as a rule */
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
}

static void
a_worker_that_was_gone_and_comes_back_takes_its_tasks_up_again (void **state)
{
    bench_t      *self = bench_up (state, 3);
    dn_row_held_t held[] = {bench_row (1, 1, 1), bench_row (1, 2, 2)};
    bench_hello_t hello = {.slots = 3, .held = held, .helds = 2};
    for (uint64_t seq = 1; seq <= 3; seq++)
        bench_submit (self, CLIENT, seq);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_RESULT), 3);
    bench_held (self, WORKER, 0, NULL, 0); /* a word of it, and it is asked who it is */
    assert_int_equal (bench_count (self, WORKER, DN_MSG_WHO), 1);
    bench_hello (self, WORKER, 9, 2, &hello);
    assert_int_equal (dn_manager_placed (self->core), 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (bench_relayed (self, CLIENT));
    bench_result (self, WORKER, 1, 2, DENIM_VALUE, 5);
    assert_true (bench_relayed (self, CLIENT));
    dn_row_open_t open = bench_call (3);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 0);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
}

static void
a_full_table_lets_a_worker_that_is_gone_make_room (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    bench_worker (self, WORKER2, 8, 1, 0);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    bench_worker (self, 203, 7, 1, 1);
    assert_null (bench_sent (self, 203, DN_MSG_FAULT, 0));
    assert_non_null (bench_sent (self, 203, DN_MSG_WELCOME, 0));
    assert_int_equal (peers (self, DN_ROLE_WORKER), 2);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
}

static void
a_new_session_of_an_instance_ends_the_older_one (void **state)
{
    bench_t      *self = *state;
    bench_hello_t hello = {.slots = 1, .instance = 44};
    bench_client (self, CLIENT, 1, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    bench_submit (self, CLIENT, 1);
    bench_hello (self, WORKER2, 8, 1, &hello);
    bench_pass (self, 0);
    assert_int_equal (bench_outcome (self, CLIENT), DENIM_LOST);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_RESULT, 0)->msg.u.result.reason,
                      DENIM_REASON_RESTARTED);
}

/*  ---- clients that are gone ---- */

static void
all_workers_are_told_to_forget_a_client_that_is_gone (void **state)
{
    bench_t *self = bench_up (state, 1);
    int      told[2] = {0, 0};
    bench_worker (self, WORKER2, 8, 1, 0);
    run_one (self, CLIENT, 1, 1);
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS + 1; i++) {
        bench_pass (self, BEAT_MS);
        told[0] += bench_count (self, WORKER, DN_MSG_FORGET);
        told[1] += bench_count (self, WORKER2, DN_MSG_FORGET);
        bench_held (self, WORKER, 0, NULL, 0);
        bench_held (self, WORKER2, 0, NULL, 0);
    }
    assert_int_equal (told[0], 1);
    assert_int_equal (told[1], 1);
    assert_int_equal (bench_records (self), 0);
    assert_int_equal (peers (self, DN_ROLE_CLIENT), 0);
}

/*  One of its tasks has ended, another runs: the worker is told to forget, and to let go of neither
 *  before it is known to remember the client. */
static void
what_a_client_that_is_gone_has_left_is_kept_until_its_worker_remembers_it (void **state)
{
    bench_t *self = bench_up (state, 2);
    run_one (self, CLIENT, 1, 1);
    bench_submit (self, CLIENT, 2);
    dn_row_held_t held[2] = {bench_row (1, 1, 2), bench_row (1, 2, 1)};
    uint32_t      settled = 0;
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++) {
        bench_held (self, WORKER, bench_mark (self, WORKER), held, 2);
        bench_pass (self, BEAT_MS);
        settled += bench_settled (self, WORKER);
    }
    uint64_t mark = bench_mark (self, WORKER);
    bench_result (self, WORKER, 1, 2, DENIM_VALUE, 5); /* the FORGET is lost */
    bench_pass (self, SETTLED_MS);
    assert_int_equal (settled + bench_settled (self, WORKER), 0);
    assert_int_equal (bench_records (self), 0);
    held[1].state = 2;
    bench_client (self, OTHER, 1, 2); /* and it is back: what it does not list is settled */
    bench_held (self, WORKER, mark, held, 2);
    bench_open (self, OTHER, 0, NULL, 0, 9);
    bench_pass (self, SETTLED_MS);
    assert_int_equal (bench_settled (self, WORKER), 2);
}

static void
a_client_that_says_goodbye_has_its_outcomes_settled_and_is_not_remembered (void **state)
{
    bench_t *self = bench_up (state, 1);
    run_one (self, CLIENT, 1, 1);
    bench_submit (self, CLIENT, 2);
    bench_bye (self, CLIENT);
    bench_pass (self, 0);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_CANCEL), 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_FORGET), 0);
    bench_pass (self, SETTLED_MS);
    assert_true (bench_settled_has (self, WORKER, 1, 1));
    assert_int_equal (peers (self, DN_ROLE_CLIENT), 0);
    bench_result (self, WORKER, 1, 2, DENIM_CANCELLED, 5);
    assert_false (bench_relayed (self, CLIENT));
    assert_int_equal (bench_records (self), 0);
    bench_pass (self, SETTLED_MS);
    assert_true (bench_settled_has (self, WORKER, 1, 2));
}

static void
a_task_to_be_finished_is_not_cancelled_when_its_client_is_gone (void **state)
{
    bench_t *self = bench_up (state, 1);
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    msg.u.submit.seq = 1;
    msg.u.submit.attempt = 1;
    msg.u.submit.flags = 2;
    msg.u.submit.service = dn_str ("app");
    bench_feed (self, CLIENT, &msg);
    bench_bye (self, CLIENT);
    bench_pass (self, 0);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_CANCEL), 0);
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
a_result_that_the_socket_refuses_is_asked_for_when_the_client_lists_it (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    bench_submit (self, CLIENT, 1);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    dn_effect_t relay = self->fx->row[0];
    assert_int_equal (relay.kind, DN_FX_RELAY);
    dn_effects_clear (self->fx);
    dn_manager_refused (self->core, self->now_ms, &relay, false, self->fx);
    assert_int_equal (bench_records (self), 1);
    bench_pass (self, BEAT_MS);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_RESEND), 1);
}

static void
a_known_that_has_not_come_is_sent_again_when_the_client_lists_the_task (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (1);
    bench_submit (self, CLIENT, 1);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_KNOWN), 0); /* it may end at once */
    bench_pass (self, DN_KNOWN_MS);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_KNOWN), 1);
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_KNOWN), 1);
    open.known = 1;
    bench_open (self, CLIENT, bench_mark (self, CLIENT), &open, 1, 1);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_KNOWN), 0);
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        T (a_known_that_has_not_come_is_sent_again_when_the_client_lists_the_task),
        T (a_finished_task_has_a_record_until_it_is_acknowledged_and_its_worker_is_told),
        T (open_that_does_not_list_it_settles_as_an_acknowledgement_does),
        T (the_next_attempt_settles_the_one_before),
        T (sixty_four_settled_tasks_go_at_once),
        T (outcomes_with_many_bytes_are_settled_at_once),
        T (each_worker_is_told_of_its_own_tasks),
        T (a_settled_task_that_is_listed_again_is_settled_again),
        T (an_outcome_of_another_worker_is_settled_at_its_sender),
        T (settled_is_sent_before_a_worker_that_is_gone_is_let_go),
        T (a_refused_task_that_was_held_is_settled_in_the_same_turn),
        T (a_refused_run_that_was_never_held_has_nothing_to_settle),
        T (a_refusal_that_was_asked_for_again_gives_the_task_back),
        T (lost_tasks_have_records_until_they_are_settled_and_are_told_of_again),
        T (a_worker_that_is_gone_has_its_row_until_its_tasks_are_settled),
        T (an_outcome_that_went_with_its_worker_is_lost_when_it_is_asked_for),
        T (a_worker_that_was_gone_and_comes_back_takes_its_tasks_up_again),
        T (a_full_table_lets_a_worker_that_is_gone_make_room),
        T (a_new_session_of_an_instance_ends_the_older_one),
        T (all_workers_are_told_to_forget_a_client_that_is_gone),
        T (what_a_client_that_is_gone_has_left_is_kept_until_its_worker_remembers_it),
        T (a_client_that_says_goodbye_has_its_outcomes_settled_and_is_not_remembered),
        T (a_task_to_be_finished_is_not_cancelled_when_its_client_is_gone),
        T (a_result_that_the_socket_refuses_is_asked_for_when_the_client_lists_it),
    };
    return cmocka_run_group_tests_name ("manager_settle", tests, NULL, NULL);
}
