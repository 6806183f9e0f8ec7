/*  test_manager.c - the manager's machine under a false clock: who gets what, and when
 */
#include "core/manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CLIENT  101 /* links */
#define OTHER   102
#define WORKER  201
#define WORKER2 202
#define BEAT_MS 1000

typedef struct {
    dn_manager_t       *core;
    dn_effects_t       *fx;
    int64_t             now_ms;
    dn_manager_config_t config;
} bench_t;

static dn_session_t
session (uint8_t n)
{
    dn_session_t s = {{0}};
    s.bytes[0] = n;
    return s;
}

static int
setup (void **state)
{
    bench_t *self = calloc (1, sizeof *self);
    self->config = (dn_manager_config_t){.epoch = 77,
                                         .seed = 5,
                                         .clients_max = 3,
                                         .workers_max = 2,
                                         .tasks_max = 8,
                                         .services_max = 4,
                                         .heartbeat_ms = BEAT_MS,
                                         .liveness = 3,
                                         .payload_max = 1000,
                                         .standby_ms = 100,
                                         .retry_max_ms = 2000};
    self->now_ms = 50000;
    self->core = dn_manager_new (&self->config, self->now_ms);
    self->fx = dn_effects_new ();
    *state = self;
    return 0;
}

static int
teardown (void **state)
{
    bench_t *self = *state;
    dn_manager_check (self->core);
    dn_effects_destroy (&self->fx);
    dn_manager_destroy (&self->core);
    free (self);
    return 0;
}

/*  Feed a message; the effects of before are gone. */
static void
feed_bytes (bench_t *self, dn_link_t from, const dn_msg_t *msg, uint64_t payload_bytes)
{
    dn_effects_clear (self->fx);
    dn_manager_event_t in = {self->now_ms, from, msg, dn_str ("header"), payload_bytes};
    dn_manager_input (self->core, &in, self->fx);
    dn_manager_check (self->core);
}

static void
feed (bench_t *self, dn_link_t from, const dn_msg_t *msg)
{
    feed_bytes (self, from, msg, 10);
}

static void
pass (bench_t *self, int64_t ms)
{
    self->now_ms += ms;
    dn_effects_clear (self->fx);
    while (dn_manager_deadline_ms (self->core) <= self->now_ms && dn_effects_room (self->fx, 500)) {
        dn_manager_tick (self->core, self->now_ms, self->fx);
        dn_manager_check (self->core);
    }
}

/*  The n-th effect that sends a message of this kind to that link; NULL if there is none. */
static const dn_effect_t *
sent (bench_t *self, dn_link_t to, dn_kind_t kind, int n)
{
    for (uint32_t i = 0; i < self->fx->count; i++) {
        const dn_effect_t *row = &self->fx->row[i];
        if (row->to == to && row->msg.kind == kind && n-- == 0)
            return row;
    }
    return NULL;
}

static bool
relayed (bench_t *self, dn_link_t to)
{
    for (uint32_t i = 0; i < self->fx->count; i++)
        if (self->fx->row[i].kind == DN_FX_RELAY && self->fx->row[i].to == to)
            return true;
    return false;
}

static void
hello_client (bench_t *self, dn_link_t link, uint8_t who, uint32_t number)
{
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.major = DN_MAJOR;
    msg.u.client_hello.session = session (who);
    msg.u.client_hello.link = number;
    msg.u.client_hello.name = dn_str ("client");
    feed (self, link, &msg);
}

static void
hello_worker_holding (bench_t *self, dn_link_t link, uint8_t who, uint32_t number, uint32_t slots,
                      dn_list_t inventory)
{
    uint8_t          bytes[256];
    dn_rows_t        rows = {bytes, sizeof bytes, 0, 0};
    dn_row_service_t service = {dn_str ("app")};
    dn_rows_put (&rows, DN_ROW_SERVICE, &service);
    dn_msg_t msg = {.kind = DN_MSG_WORKER_HELLO};
    msg.u.worker_hello.major = DN_MAJOR;
    msg.u.worker_hello.session = session (who);
    msg.u.worker_hello.link = number;
    msg.u.worker_hello.name = dn_str ("w");
    msg.u.worker_hello.host = dn_str ("h");
    msg.u.worker_hello.slots = slots;
    msg.u.worker_hello.standby = 64;
    msg.u.worker_hello.services = dn_rows_list (&rows);
    msg.u.worker_hello.inventory = inventory;
    feed (self, link, &msg);
}

static void
hello_worker (bench_t *self, dn_link_t link, uint8_t who, uint32_t number, uint32_t slots)
{
    hello_worker_holding (self, link, who, number, slots, (dn_list_t){0});
}

static void
submit_to (bench_t *self, dn_link_t from, uint64_t seq, const char *service)
{
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    msg.u.submit.seq = seq;
    msg.u.submit.attempt = 1;
    msg.u.submit.try_no = 1;
    msg.u.submit.service = dn_str (service);
    msg.u.submit.task = dn_str ("app:add");
    feed (self, from, &msg);
}

static void
submit (bench_t *self, dn_link_t from, uint64_t seq)
{
    submit_to (self, from, seq, "app");
}

static void
result (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq, uint8_t outcome,
        uint32_t run_us)
{
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = session (client);
    msg.u.result.seq = seq;
    msg.u.result.attempt = 1;
    msg.u.result.outcome = outcome;
    msg.u.result.run_us = run_us;
    feed (self, from, &msg);
}

static void
ack (bench_t *self, dn_link_t from, uint64_t seq)
{
    uint8_t      bytes[64];
    dn_rows_t    rows = {bytes, sizeof bytes, 0, 0};
    dn_row_ack_t row = {seq, 1};
    dn_rows_put (&rows, DN_ROW_ACK, &row);
    dn_msg_t msg = {.kind = DN_MSG_ACK};
    msg.u.ack.acks = dn_rows_list (&rows);
    feed (self, from, &msg);
}

static void
open_list (bench_t *self, dn_link_t from, uint64_t mark, const dn_row_open_t *calls, int count,
           uint64_t upto)
{
    uint8_t   bytes[512];
    dn_rows_t rows = {bytes, sizeof bytes, 0, 0};
    for (int i = 0; i < count; i++)
        dn_rows_put (&rows, DN_ROW_OPEN, &calls[i]);
    dn_msg_t msg = {.kind = DN_MSG_OPEN};
    msg.u.open.mark = mark;
    msg.u.open.upto_seq = upto;
    msg.u.open.calls = dn_rows_list (&rows);
    feed (self, from, &msg);
}

static void
held_list (bench_t *self, dn_link_t from, uint64_t mark, const dn_row_held_t *tasks, int count)
{
    uint8_t   bytes[512];
    dn_rows_t rows = {bytes, sizeof bytes, 0, 0};
    for (int i = 0; i < count; i++)
        dn_rows_put (&rows, DN_ROW_HELD, &tasks[i]);
    dn_msg_t msg = {.kind = DN_MSG_HELD};
    msg.u.held.mark = mark;
    memset (msg.u.held.upto_session.bytes, 0xff, 16);
    msg.u.held.upto_seq = UINT64_MAX;
    msg.u.held.tasks = dn_rows_list (&rows);
    feed (self, from, &msg);
}

static int
reason_of (bench_t *self, dn_link_t to)
{
    const dn_effect_t *row = sent (self, to, DN_MSG_REJECT, 0);
    return row ? row->msg.u.reject.reason : -1;
}

/*  One client, one worker with `slots`. */
static bench_t *
with_worker (void **state, uint32_t slots)
{
    bench_t *self = *state;
    hello_client (self, CLIENT, 1, 1);
    hello_worker (self, WORKER, 9, 1, slots);
    return self;
}

/*  ---- peers ---- */

static void
hello_gets_welcome_with_the_settings (void **state)
{
    bench_t *self = *state;
    hello_client (self, CLIENT, 1, 1);
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_WELCOME, 0);
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
    submit (self, CLIENT, 1);
    assert_non_null (sent (self, CLIENT, DN_MSG_WHO, 0));
    submit (self, CLIENT, 2);
    assert_int_equal (self->fx->count, 0);
}

static void
another_major_version_is_refused_with_both_numbers (void **state)
{
    bench_t *self = *state;
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.major = DN_MAJOR + 6;
    feed (self, CLIENT, &msg);
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_FAULT, 0);
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
    hello_client (self, CLIENT, 1, 2);
    hello_client (self, OTHER, 1, 1);
    assert_int_equal (self->fx->count, 0);
    hello_client (self, OTHER, 1, 3);
    assert_non_null (sent (self, OTHER, DN_MSG_WELCOME, 0));
    submit (self, CLIENT, 1); /* what still arrives over the older link is a stranger's */
    assert_non_null (sent (self, CLIENT, DN_MSG_WHO, 0));
}

static void
full_table_of_clients_says_so (void **state)
{
    bench_t *self = *state;
    for (uint8_t i = 1; i <= 3; i++)
        hello_client (self, 100u + i, i, 1);
    hello_client (self, 104, 4, 1);
    const dn_effect_t *row = sent (self, 104, DN_MSG_FAULT, 0);
    assert_int_equal (row->msg.u.fault.reason, DENIM_REASON_FULL);
}

static void
full_table_of_workers_says_so (void **state)
{
    bench_t *self = *state;
    for (uint8_t i = 1; i <= 2; i++)
        hello_worker (self, 200u + i, i, 1, 1);
    hello_worker (self, 203, 3, 1, 1);
    assert_int_equal (sent (self, 203, DN_MSG_FAULT, 0)->msg.u.fault.reason, DENIM_REASON_FULL);
}

static void
malformed_frames_are_counted_and_told_once_a_minute (void **state)
{
    bench_t *self = with_worker (state, 1);
    dn_effects_clear (self->fx);
    dn_manager_malformed (self->core, self->now_ms, CLIENT, DN_WIRE_SHORT, self->fx);
    assert_int_equal (sent (self, CLIENT, DN_MSG_FAULT, 0)->msg.u.fault.reason,
                      DENIM_REASON_MALFORMED);
    dn_effects_clear (self->fx);
    dn_manager_malformed (self->core, self->now_ms + 59999, CLIENT, DN_WIRE_SHORT, self->fx);
    assert_int_equal (self->fx->count, 0);
    dn_manager_malformed (self->core, self->now_ms + 60000, CLIENT, DN_WIRE_SHORT, self->fx);
    assert_non_null (sent (self, CLIENT, DN_MSG_FAULT, 0));
    assert_int_equal (dn_manager_counters (self->core)->malformed, 3);
}

static void
a_client_cannot_speak_as_a_worker (void **state)
{
    bench_t *self = with_worker (state, 1);
    result (self, CLIENT, 1, 1, DENIM_VALUE, 5);
    assert_int_equal (sent (self, CLIENT, DN_MSG_FAULT, 0)->msg.u.fault.reason,
                      DENIM_REASON_MALFORMED);
}

/*  ---- admission ---- */

static void
a_free_slot_takes_the_task_and_its_result_goes_to_the_client (void **state)
{
    bench_t *self = with_worker (state, 1);
    submit (self, CLIENT, 1);
    const dn_effect_t *run = sent (self, WORKER, DN_MSG_RUN, 0);
    assert_int_equal (run->kind, DN_FX_FORWARD);
    assert_true (dn_str_eq (run->msg.u.run.submit, dn_str ("header")));
    assert_int_equal (run->msg.u.run.session.bytes[0], 1);

    result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (relayed (self, CLIENT));
    assert_int_equal (dn_manager_placed (self->core), 0);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 1);
    ack (self, CLIENT, 1);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

static void
full_service_rejects_and_says_busy (void **state)
{
    bench_t *self = with_worker (state, 1);
    submit (self, CLIENT, 1);
    submit (self, CLIENT, 2);
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_REJECT, 0);
    assert_int_equal (row->msg.u.reject.reason, DENIM_REASON_BUSY);
    assert_int_equal (row->msg.u.reject.seq, 2);
    assert_int_equal (row->msg.u.reject.try_no, 1);
    assert_in_range (row->msg.u.reject.retry_after_ms, 1, 2000);
    assert_null (sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
unknown_service_is_told_with_the_nearest_names (void **state)
{
    bench_t *self = with_worker (state, 1);
    submit_to (self, CLIENT, 1, "ap");
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_REJECT, 0);
    assert_int_equal (row->msg.u.reject.reason, DENIM_REASON_NO_SERVICE);
    char text[DN_HEADER_SMALL];
    dn_str_copy (text, sizeof text, row->msg.u.reject.text);
    assert_string_equal (text, "the nearest is app");
}

static void
known_service_without_workers_is_no_worker (void **state)
{
    bench_t *self = with_worker (state, 1);
    dn_msg_t bye = {.kind = DN_MSG_BYE};
    feed (self, WORKER, &bye);
    submit (self, CLIENT, 1);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_NO_WORKER);
}

static void
payload_above_the_limit_is_too_large (void **state)
{
    bench_t *self = with_worker (state, 1);
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    msg.u.submit.seq = 1;
    msg.u.submit.service = dn_str ("app");
    feed_bytes (self, CLIENT, &msg, 1001);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_TOO_LARGE);
    feed_bytes (self, CLIENT, &msg, 1000);
    assert_non_null (sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
full_table_of_tasks_says_full (void **state)
{
    bench_t *self = with_worker (state, 20);
    for (uint64_t seq = 1; seq <= 8; seq++)
        submit (self, CLIENT, seq);
    submit (self, CLIENT, 9);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_FULL);
}

static void
tasks_go_to_the_worker_with_most_room_in_proportion (void **state)
{
    bench_t *self = with_worker (state, 1);
    hello_worker (self, WORKER2, 8, 1, 3);
    int got[2] = {0, 0};
    for (uint64_t seq = 1; seq <= 4; seq++) {
        submit (self, CLIENT, seq);
        got[0] += sent (self, WORKER, DN_MSG_RUN, 0) != NULL;
        got[1] += sent (self, WORKER2, DN_MSG_RUN, 0) != NULL;
    }
    assert_int_equal (got[0], 1);
    assert_int_equal (got[1], 3);
}

/*  Let `count` tasks of `run_us` run and end. */
static void
run_some (bench_t *self, int count, uint32_t run_us)
{
    for (uint64_t seq = 1000; count-- > 0; seq++) {
        submit (self, CLIENT, seq);
        result (self, WORKER, 1, seq, DENIM_VALUE, run_us);
        ack (self, CLIENT, seq);
    }
}

static void
short_tasks_stand_by_once_eight_results_are_known (void **state)
{
    bench_t *self = with_worker (state, 1);
    run_some (self, 7, 100);
    submit (self, CLIENT, 1);
    submit (self, CLIENT, 2);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_BUSY);
    result (self, WORKER, 1, 1, DENIM_VALUE, 100);
    submit (self, CLIENT, 2);
    submit (self, CLIENT, 3);
    assert_non_null (sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
long_tasks_do_not_stand_by (void **state)
{
    bench_t *self = with_worker (state, 1);
    run_some (self, 20, 20000);
    submit (self, CLIENT, 1);
    submit (self, CLIENT, 2);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_BUSY);
}

static void
a_send_that_the_socket_refuses_is_undone_in_the_same_turn (void **state)
{
    bench_t *self = with_worker (state, 1);
    submit (self, CLIENT, 1);
    dn_effect_t run = *sent (self, WORKER, DN_MSG_RUN, 0);
    dn_effects_clear (self->fx);
    dn_manager_refused (self->core, self->now_ms, &run, false, self->fx);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_BUSY);
    assert_int_equal (dn_manager_placed (self->core), 0);
    submit (self, CLIENT, 2); /* that worker is left alone until it is heard of */
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_BUSY);
    held_list (self, WORKER, 0, NULL, 0);
    submit (self, CLIENT, 2);
    assert_non_null (sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
a_worker_that_refuses_gives_the_task_back_to_its_client (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    dn_msg_t msg = {.kind = DN_MSG_REFUSE};
    msg.u.refuse.session = session (1);
    msg.u.refuse.seq = 1;
    msg.u.refuse.attempt = 1;
    msg.u.refuse.reason = DENIM_REASON_STANDBY;
    feed (self, WORKER, &msg);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_STANDBY);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

static void
a_second_submit_of_a_placed_task_attaches_and_does_not_run_it_again (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    submit (self, CLIENT, 1);
    assert_null (sent (self, WORKER, DN_MSG_RUN, 0));
    assert_non_null (sent (self, CLIENT, DN_MSG_KNOWN, 0));
    assert_int_equal (dn_manager_placed (self->core), 1);
}

static void
draining_refuses_new_tasks_and_lets_old_ones_end (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    dn_manager_drain (self->core, self->fx);
    submit (self, CLIENT, 2);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_DRAINING);
    result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    assert_true (relayed (self, CLIENT));
    assert_int_equal (dn_manager_placed (self->core), 0);
}

static void
draining_worker_gets_no_tasks (void **state)
{
    bench_t *self = with_worker (state, 2);
    dn_msg_t msg = {.kind = DN_MSG_DRAINING};
    feed (self, WORKER, &msg);
    submit (self, CLIENT, 1);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_NO_WORKER);
}

static void
share_of_one_client_is_bounded_when_it_is_set (void **state)
{
    bench_t *self = *state;
    dn_manager_destroy (&self->core);
    self->config.client_share = 50;
    self->core = dn_manager_new (&self->config, self->now_ms);
    with_worker (state, 4);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        submit (self, CLIENT, seq);
        assert_non_null (sent (self, WORKER, DN_MSG_RUN, 0));
    }
    submit (self, CLIENT, 3);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_OVER_SHARE);
}

/*  ---- time ---- */

static void
each_beat_reaches_every_peer_with_a_rising_mark (void **state)
{
    bench_t *self = with_worker (state, 1);
    pass (self, BEAT_MS);
    assert_int_equal (sent (self, CLIENT, DN_MSG_BEAT, 0)->msg.u.beat.mark, 1);
    assert_int_equal (sent (self, WORKER, DN_MSG_BEAT, 0)->msg.u.beat.mark, 1);
    pass (self, BEAT_MS);
    assert_int_equal (sent (self, WORKER, DN_MSG_BEAT, 0)->msg.u.beat.mark, 2);
}

static void
a_task_that_runs_for_long_is_known_after_some_milliseconds (void **state)
{
    bench_t *self = with_worker (state, 1);
    submit (self, CLIENT, 1);
    pass (self, DN_KNOWN_MS - 1);
    assert_null (sent (self, CLIENT, DN_MSG_KNOWN, 0));
    pass (self, 1);
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_KNOWN, 0);
    assert_int_equal (row->msg.u.known.try_no, 1);
    assert_int_equal (row->msg.u.known.epoch, 77);
}

static void
a_quiet_worker_gets_no_tasks_and_one_that_is_gone_loses_its_own (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    dn_row_open_t open = {1, 1, 1, 77, 1, 0};
    for (int i = 0; i < 3; i++) {
        pass (self, BEAT_MS);
        open_list (self, CLIENT, 0, &open, 1, 1);
    }
    submit (self, CLIENT, 2);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_NO_WORKER);
    for (int i = 3; i < DN_WORKER_GONE_BEATS; i++)
        pass (self, BEAT_MS);
    assert_null (sent (self, CLIENT, DN_MSG_RESULT, 0));
    pass (self, BEAT_MS);
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_RESULT, 0);
    assert_int_equal (row->msg.u.result.outcome, DENIM_LOST);
    assert_int_equal (row->msg.u.result.reason, DENIM_REASON_SILENT);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_WORKER), 0);
}

static void
a_client_that_is_gone_has_its_tasks_cancelled_and_forgotten (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    bool cancelled = false;
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++) {
        pass (self, BEAT_MS);
        cancelled |= sent (self, WORKER, DN_MSG_CANCEL, 0) != NULL;
        dn_row_held_t row = {session (1), 1, 1, 1};
        held_list (self, WORKER, 0, &row, 1);
    }
    assert_true (cancelled);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 0);
    assert_int_equal (dn_manager_placed (self->core), 1); /* the slot is still in use */
    result (self, WORKER, 1, 1, DENIM_CANCELLED, 5);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

/*  ---- lists ---- */

static void
a_call_without_a_record_under_our_stamp_never_ran (void **state)
{
    bench_t      *self = with_worker (state, 1);
    dn_row_open_t open = {5, 1, 3, 77, 1, 0};
    open_list (self, CLIENT, 0, &open, 1, 5);
    const dn_effect_t *row = sent (self, CLIENT, DN_MSG_MISSING, 0);
    assert_int_equal (row->msg.u.missing.never, 1);
    assert_int_equal (row->msg.u.missing.try_no, 3);
}

static void
a_call_under_another_stamp_is_unknown_but_not_while_settling (void **state)
{
    bench_t      *self = with_worker (state, 1);
    dn_row_open_t open = {5, 1, 3, 76, 1, 0};
    open_list (self, CLIENT, 0, &open, 1, 5);
    assert_null (sent (self, CLIENT, DN_MSG_MISSING, 0));
    for (int i = 0; i < 3; i++)
        pass (self, BEAT_MS);
    open_list (self, CLIENT, 0, &open, 1, 5);
    assert_int_equal (sent (self, CLIENT, DN_MSG_MISSING, 0)->msg.u.missing.never, 0);
}

static void
a_record_that_open_covers_and_does_not_list_is_settled (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    submit (self, CLIENT, 2);
    result (self, WORKER, 1, 1, DENIM_VALUE, 5);
    open_list (self, CLIENT, 0, NULL, 0, 1);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 1);
}

static void
cancel_wanted_in_open_is_passed_on (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    dn_row_open_t open = {1, 1, 1, 77, 1, 2};
    open_list (self, CLIENT, 0, &open, 1, 1);
    assert_int_equal (sent (self, WORKER, DN_MSG_CANCEL, 0)->msg.u.cancel.how, 2);
}

static void
a_task_that_never_reached_its_worker_is_given_back (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    pass (self, BEAT_MS); /* mark 1 */
    held_list (self, WORKER, 0, NULL, 0);
    assert_null (sent (self, CLIENT, DN_MSG_REJECT, 0));
    held_list (self, WORKER, 1, NULL, 0);
    assert_non_null (sent (self, CLIENT, DN_MSG_REJECT, 0));
    assert_int_equal (dn_manager_placed (self->core), 0);
}

static void
a_task_that_was_seen_at_its_worker_and_is_not_there_is_lost (void **state)
{
    bench_t *self = with_worker (state, 2);
    submit (self, CLIENT, 1);
    dn_row_held_t row = {session (1), 1, 1, 1};
    pass (self, BEAT_MS);
    held_list (self, WORKER, 1, &row, 1);
    pass (self, BEAT_MS);
    held_list (self, WORKER, 2, NULL, 0);
    assert_int_equal (sent (self, CLIENT, DN_MSG_RESULT, 0)->msg.u.result.outcome, DENIM_LOST);
    assert_int_equal (dn_manager_placed (self->core), 0);
    ack (self, CLIENT, 1);
    assert_int_equal (dn_tasks_count (dn_manager_tasks (self->core)), 0);
}

static void
what_a_worker_brings_after_a_restart_is_adopted_and_answered (void **state)
{
    bench_t      *self = *state;
    uint8_t       bytes[64];
    dn_rows_t     rows = {bytes, sizeof bytes, 0, 0};
    dn_row_held_t held = {session (1), 4, 1, 1};
    dn_rows_put (&rows, DN_ROW_HELD, &held);
    hello_worker_holding (self, WORKER, 9, 1, 1, dn_rows_list (&rows));
    assert_int_equal (dn_manager_placed (self->core), 1);
    hello_client (self, CLIENT, 1, 1);
    submit (self, CLIENT, 5);
    assert_int_equal (reason_of (self, CLIENT), DENIM_REASON_BUSY);
    dn_row_open_t open = {4, 1, 1, 76, 3, 0};
    open_list (self, CLIENT, 0, &open, 1, 5);
    assert_non_null (sent (self, CLIENT, DN_MSG_KNOWN, 0));
    result (self, WORKER, 1, 4, DENIM_VALUE, 9);
    assert_true (relayed (self, CLIENT));
}

static void
an_outcome_of_another_attempt_changes_nothing (void **state)
{
    bench_t *self = with_worker (state, 1);
    submit (self, CLIENT, 1);
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = session (1);
    msg.u.result.seq = 1;
    msg.u.result.attempt = 2;
    feed (self, WORKER, &msg);
    assert_int_equal (dn_manager_placed (self->core), 1);
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
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
        T (each_beat_reaches_every_peer_with_a_rising_mark),
        T (a_task_that_runs_for_long_is_known_after_some_milliseconds),
        T (a_quiet_worker_gets_no_tasks_and_one_that_is_gone_loses_its_own),
        T (a_client_that_is_gone_has_its_tasks_cancelled_and_forgotten),
        T (a_call_without_a_record_under_our_stamp_never_ran),
        T (a_call_under_another_stamp_is_unknown_but_not_while_settling),
        T (a_record_that_open_covers_and_does_not_list_is_settled),
        T (cancel_wanted_in_open_is_passed_on),
        T (a_task_that_never_reached_its_worker_is_given_back),
        T (a_task_that_was_seen_at_its_worker_and_is_not_there_is_lost),
        T (what_a_worker_brings_after_a_restart_is_adopted_and_answered),
        T (an_outcome_of_another_attempt_changes_nothing),
    };
    return cmocka_run_group_tests_name ("manager", tests, NULL, NULL);
}
