/*  test_manager.c - the manager's machine under a false clock: who gets what, and when
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

/*  ---- peers ---- */

static void
hello_gets_welcome_with_the_settings (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_WELCOME, 0);
    assert_non_null (row);
    assert_int_equal (row->msg.u.welcome.epoch, 77);
    assert_int_equal (row->msg.u.welcome.heartbeat_ms, BEAT_MS);
    assert_int_equal (row->msg.u.welcome.payload_max, 1000);
    assert_int_equal (row->msg.u.welcome.term, 1);
}

static void
a_stranger_is_asked_who_it_is_once (void **state)
{
    bench_t *self = *state;
    bench_submit (self, CLIENT, 1);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_WHO, 0));
    bench_submit (self, CLIENT, 2);
    assert_int_equal (self->fx->count, 0);
}

static void
another_major_version_is_refused_with_both_numbers (void **state)
{
    bench_t *self = *state;
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.major = DN_MAJOR + 6;
    bench_feed (self, CLIENT, &msg);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_FAULT, 0);
    assert_int_equal (row->msg.u.fault.reason, DENIM_REASON_VERSION);
    char text[DN_HEADER_SMALL];
    dn_str_copy (text, sizeof text, row->msg.u.fault.text);
    assert_non_null (strstr (text, "DENIM/1.0"));
    assert_non_null (strstr (text, "DENIM/7"));
}

static void
a_hello_of_an_older_link_is_dropped (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 2);
    bench_client (self, OTHER, 1, 1);
    assert_int_equal (self->fx->count, 0);
    bench_client (self, OTHER, 1, 3);
    assert_non_null (bench_sent (self, OTHER, DN_MSG_WELCOME, 0));
    bench_submit (self, CLIENT, 1); /* what still arrives over the older link is a stranger's */
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_WHO, 0));
}

static void
full_table_of_clients_says_so (void **state)
{
    bench_t *self = *state;
    for (uint8_t i = 1; i <= 3; i++)
        bench_client (self, 100u + i, i, 1);
    bench_client (self, 104, 4, 1);
    const dn_effect_t *row = bench_sent (self, 104, DN_MSG_FAULT, 0);
    assert_int_equal (row->msg.u.fault.reason, DENIM_REASON_FULL);
}

static void
full_table_of_workers_says_so (void **state)
{
    bench_t *self = *state;
    for (uint8_t i = 1; i <= 2; i++)
        bench_worker (self, 200u + i, i, 1, 1);
    bench_worker (self, 203, 3, 1, 1);
    assert_int_equal (bench_sent (self, 203, DN_MSG_FAULT, 0)->msg.u.fault.reason,
                      DENIM_REASON_FULL);
}

static void
malformed_frames_are_counted_and_told_once_a_minute (void **state)
{
    bench_t *self = bench_up (state, 1);
    dn_effects_clear (self->fx);
    dn_manager_malformed (self->core, self->now_ms, CLIENT, DN_WIRE_SHORT, self->fx);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_FAULT, 0)->msg.u.fault.reason,
                      DENIM_REASON_MALFORMED);
    dn_effects_clear (self->fx);
    dn_manager_malformed (self->core, self->now_ms + 59999, CLIENT, DN_WIRE_SHORT, self->fx);
    assert_int_equal (self->fx->count, 0);
    dn_manager_malformed (self->core, self->now_ms + 60000, CLIENT, DN_WIRE_SHORT, self->fx);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_FAULT, 0));
    assert_int_equal (dn_manager_counters (self->core)->malformed, 3);
}

static void
a_client_cannot_speak_as_a_worker (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_result (self, CLIENT, 1, 1, DENIM_VALUE, 5);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_FAULT, 0)->msg.u.fault.reason,
                      DENIM_REASON_MALFORMED);
}

/*  ---- admission ---- */

static void
a_free_slot_takes_the_task_and_its_result_goes_to_the_client (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    const dn_effect_t *run = bench_sent (self, WORKER, DN_MSG_RUN, 0);
    assert_int_equal (run->kind, DN_FX_FORWARD);
    assert_true (dn_str_eq (run->msg.u.run.submit, dn_str ("header")));
    assert_int_equal (run->msg.u.run.session.bytes[0], 1);

    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (bench_relayed (self, CLIENT));
    assert_int_equal (dn_manager_placed (self->core), 0);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 1);
    bench_ack (self, CLIENT, 1);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

static void
full_service_rejects_and_says_busy (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_submit (self, CLIENT, 2);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_REJECT, 0);
    assert_int_equal (row->msg.u.reject.reason, DENIM_REASON_BUSY);
    assert_int_equal (row->msg.u.reject.seq, 2);
    assert_int_equal (row->msg.u.reject.try_no, 1);
    assert_in_range (row->msg.u.reject.retry_after_ms, 1, 2000);
    assert_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
unknown_service_is_told_with_the_nearest_names (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit_to (self, CLIENT, 1, "ap");
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_REJECT, 0);
    assert_int_equal (row->msg.u.reject.reason, DENIM_REASON_NO_SERVICE);
    char text[DN_HEADER_SMALL];
    dn_str_copy (text, sizeof text, row->msg.u.reject.text);
    assert_string_equal (text, "the nearest is app");
}

static void
known_service_without_workers_is_no_worker (void **state)
{
    bench_t *self = bench_up (state, 1);
    dn_msg_t bye = {.kind = DN_MSG_BYE};
    bench_feed (self, WORKER, &bye);
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_NO_WORKER);
}

static void
payload_above_the_limit_is_too_large (void **state)
{
    bench_t *self = bench_up (state, 1);
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    msg.u.submit.seq = 1;
    msg.u.submit.service = dn_str ("app");
    bench_feed_bytes (self, CLIENT, &msg, 1001);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_TOO_LARGE);
    bench_feed_bytes (self, CLIENT, &msg, 1000);
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
full_table_of_tasks_says_full (void **state)
{
    bench_t *self = bench_up (state, 20);
    for (uint64_t seq = 1; seq <= 8; seq++)
        bench_submit (self, CLIENT, seq);
    bench_submit (self, CLIENT, 9);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_FULL);
}

static void
tasks_go_to_the_worker_with_most_room_in_proportion (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_worker (self, WORKER2, 8, 1, 3);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0); /* it knows of the new one */
    int got[2] = {0, 0};
    for (uint64_t seq = 1; seq <= 4; seq++) {
        bench_submit (self, CLIENT, seq);
        got[0] += bench_sent (self, WORKER, DN_MSG_RUN, 0) != NULL;
        got[1] += bench_sent (self, WORKER2, DN_MSG_RUN, 0) != NULL;
    }
    assert_int_equal (got[0], 1);
    assert_int_equal (got[1], 3);
}

static void
short_tasks_stand_by_once_eight_results_are_known (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_run_some (self, 7, 100);
    bench_submit (self, CLIENT, 1);
    bench_submit (self, CLIENT, 2);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 100);
    bench_submit (self, CLIENT, 2);
    bench_submit (self, CLIENT, 3);
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
long_tasks_do_not_stand_by (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_run_some (self, 20, 20000);
    bench_submit (self, CLIENT, 1);
    bench_submit (self, CLIENT, 2);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
}

static void
a_send_that_the_socket_refuses_is_undone_in_the_same_turn (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    dn_effect_t run = *bench_sent (self, WORKER, DN_MSG_RUN, 0);
    dn_effects_clear (self->fx);
    dn_manager_refused (self->core, self->now_ms, &run, false, self->fx);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    assert_int_equal (dn_manager_placed (self->core), 0);
    bench_submit (self, CLIENT, 2); /* that worker is left alone until it is heard of */
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    bench_held (self, WORKER, 0, NULL, 0);
    bench_submit (self, CLIENT, 2);
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
a_worker_that_refuses_gives_the_task_back_to_its_client (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    dn_msg_t msg = {.kind = DN_MSG_REFUSE};
    msg.u.refuse.session = bench_session (1);
    msg.u.refuse.seq = 1;
    msg.u.refuse.attempt = 1;
    msg.u.refuse.reason = DENIM_REASON_STANDBY;
    bench_feed (self, WORKER, &msg);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_STANDBY);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

static void
a_second_submit_of_a_placed_task_attaches_and_does_not_run_it_again (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    bench_submit (self, CLIENT, 1);
    assert_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_KNOWN, 0));
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
draining_refuses_new_tasks_and_lets_old_ones_end (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    dn_manager_drain (self->core, self->fx);
    bench_submit (self, CLIENT, 2);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_DRAINING);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (bench_relayed (self, CLIENT));
    assert_int_equal (dn_manager_placed (self->core), 0);
}

static void
draining_worker_gets_no_tasks (void **state)
{
    bench_t *self = bench_up (state, 2);
    dn_msg_t msg = {.kind = DN_MSG_DRAINING};
    bench_feed (self, WORKER, &msg);
    bench_submit (self, CLIENT, 1);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_NO_WORKER);
}

static void
share_of_one_client_is_bounded_when_it_is_set (void **state)
{
    bench_t *self = *state;
    dn_manager_destroy (&self->core);
    self->config.client_share = 50;
    self->core = dn_manager_new (&self->config, self->now_ms);
    bench_up (state, 4);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        bench_submit (self, CLIENT, seq);
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    }
    bench_submit (self, CLIENT, 3);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_OVER_SHARE);
}

/*  Its tasks have ended and none is acknowledged: more could be too many for its door. */
static void
a_client_has_four_thousand_records_and_others_have_theirs (void **state)
{
    bench_t *self = *state;
    self->config.tasks_max = 5000;
    bench_restart (self);
    bench_up (state, 1);
    bench_client (self, OTHER, 2, 1);
    for (uint64_t seq = 1; seq <= 4000; seq++) {
        bench_submit (self, CLIENT, seq);
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
        bench_result (self, WORKER, 1, seq, DENIM_VALUE, 20000);
    }
    bench_submit (self, CLIENT, 4001);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_OVER_SHARE);
    bench_submit (self, OTHER, 1);
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    bench_result (self, WORKER, 2, 1, DENIM_VALUE, 20000);

    bench_ack (self, CLIENT, 1);
    bench_submit (self, CLIENT, 4001);
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

/*  A row of effects for each of them could be more than there is room for. */
static void
services_that_find_no_row_are_told_in_one_line (void **state)
{
    bench_t         *self = bench_up (state, 1);
    static uint8_t   bytes[4096];
    dn_rows_t        rows = {bytes, sizeof bytes, 0, 0};
    dn_msg_t         msg = {.kind = DN_MSG_OFFER};
    char             name[8];
    dn_row_service_t row;
    for (int i = 100; i < 300; i++) {
        snprintf (name, sizeof name, "%d", i);
        row.name = dn_str (name);
        assert_int_equal (dn_rows_put (&rows, DN_ROW_SERVICE, &row), 0);
    }
    msg.u.offer.slots = 1;
    msg.u.offer.services = dn_rows_list (&rows);
    bench_feed (self, WORKER, &msg);
    assert_int_equal (self->fx->count, 1);
    assert_string_equal (self->fx->row[0].event, "services_full");
    assert_int_equal (self->fx->row[0].number, 200 - (self->config.services_max - 1));
}

/*  ---- time ---- */

static void
each_beat_reaches_every_peer_with_a_rising_mark (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_pass (self, BEAT_MS);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_BEAT, 0)->msg.u.beat.mark, 1);
    uint64_t mark = bench_sent (self, WORKER, DN_MSG_BEAT, 0)->msg.u.beat.mark;
    bench_pass (self, BEAT_MS);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_BEAT, 0)->msg.u.beat.mark, 2);
    assert_int_equal (bench_sent (self, WORKER, DN_MSG_BEAT, 0)->msg.u.beat.mark, mark + 1);
}

static void
a_task_that_runs_for_long_is_known_after_some_milliseconds (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_pass (self, DN_KNOWN_MS - 1);
    assert_null (bench_sent (self, CLIENT, DN_MSG_KNOWN, 0));
    bench_pass (self, 1);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_KNOWN, 0);
    assert_int_equal (row->msg.u.known.try_no, 1);
    assert_int_equal (row->msg.u.known.epoch, 77);
}

static void
a_quiet_worker_gets_no_tasks_and_one_that_is_gone_loses_its_own (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    dn_row_open_t open = {.seq = 1, .attempt = 1, .try_no = 1, .epoch = 77, .term = 1};
    for (int i = 0; i < 3; i++) {
        bench_pass (self, BEAT_MS);
        bench_open (self, CLIENT, 0, &open, 1, 1);
    }
    bench_submit (self, CLIENT, 2);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_NO_WORKER);
    for (int i = 3; i < DN_WORKER_GONE_BEATS; i++)
        bench_pass (self, BEAT_MS);
    assert_null (bench_sent (self, CLIENT, DN_MSG_RESULT, 0));
    bench_pass (self, BEAT_MS);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_RESULT, 0);
    assert_int_equal (row->msg.u.result.outcome, DENIM_LOST);
    assert_int_equal (row->msg.u.result.reason, DENIM_REASON_SILENT);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_WORKER), 1);
    bench_ack (self, CLIENT, 1);
    bench_pass (self, 0);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_WORKER), 0);
}

static void
a_client_that_says_goodbye_has_its_tasks_cancelled (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, CLIENT);
    bench_pass (self, 0);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_CANCEL), 1);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_FORGET), 0); /* it will not be back */
}

static void
a_client_that_is_gone_is_forgotten_and_its_tasks_with_it (void **state)
{
    bench_t *self = bench_up (state, 2);
    bench_submit (self, CLIENT, 1);
    int forgotten = 0;
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++) {
        bench_pass (self, BEAT_MS);
        forgotten += bench_count (self, WORKER, DN_MSG_FORGET);
        /* it would end as CANCELLED for a client that may be back */
        assert_null (bench_sent (self, WORKER, DN_MSG_CANCEL, 0));
        dn_row_held_t row = {bench_session (1), 1, 1, 1, 0};
        bench_held (self, WORKER, 0, &row, 1);
    }
    assert_true (forgotten > 0);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 0);
    assert_int_equal (dn_manager_placed (self->core), 1); /* the slot is still in use */
    bench_result (self, WORKER, 1, 1, DENIM_CANCELLED, 5);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        T (hello_gets_welcome_with_the_settings),
        T (a_stranger_is_asked_who_it_is_once),
        T (another_major_version_is_refused_with_both_numbers),
        T (a_hello_of_an_older_link_is_dropped),
        T (full_table_of_clients_says_so),
        T (full_table_of_workers_says_so),
        T (malformed_frames_are_counted_and_told_once_a_minute),
        T (a_client_cannot_speak_as_a_worker),
        T (a_free_slot_takes_the_task_and_its_result_goes_to_the_client),
        T (full_service_rejects_and_says_busy),
        T (unknown_service_is_told_with_the_nearest_names),
        T (known_service_without_workers_is_no_worker),
        T (payload_above_the_limit_is_too_large),
        T (full_table_of_tasks_says_full),
        T (tasks_go_to_the_worker_with_most_room_in_proportion),
        T (short_tasks_stand_by_once_eight_results_are_known),
        T (long_tasks_do_not_stand_by),
        T (a_send_that_the_socket_refuses_is_undone_in_the_same_turn),
        T (a_worker_that_refuses_gives_the_task_back_to_its_client),
        T (a_second_submit_of_a_placed_task_attaches_and_does_not_run_it_again),
        T (draining_refuses_new_tasks_and_lets_old_ones_end),
        T (draining_worker_gets_no_tasks),
        T (share_of_one_client_is_bounded_when_it_is_set),
        T (a_client_has_four_thousand_records_and_others_have_theirs),
        T (services_that_find_no_row_are_told_in_one_line),
        T (each_beat_reaches_every_peer_with_a_rising_mark),
        T (a_task_that_runs_for_long_is_known_after_some_milliseconds),
        T (a_quiet_worker_gets_no_tasks_and_one_that_is_gone_loses_its_own),
        T (a_client_that_says_goodbye_has_its_tasks_cancelled),
        T (a_client_that_is_gone_is_forgotten_and_its_tasks_with_it),
    };
    return cmocka_run_group_tests_name ("manager", tests, NULL, NULL);
}
