/*  test_manager_turn.c - who has no place: refused for now or for good, and where nothing stands by
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

#define RUN_MS  100
#define TINY_US 100
#define THIRD   103 /* another link */

/*  A task as its client may submit it; what is left out is 0, and the priority normal. */
typedef struct {
    uint64_t seq;
    uint32_t deadline_ms;
    uint32_t held;
    uint64_t grant;
    uint8_t  depth;
    bool     high;
    bool     slow; /* of the service of that name */
    uint64_t bytes;
} ask_t;

static void
ask (bench_t *self, dn_link_t from, ask_t what)
{
    bench_ask_t all = {.seq = what.seq,
                       .deadline_ms = what.deadline_ms,
                       .held = what.held,
                       .grant = what.grant,
                       .priority = what.high ? DENIM_PRIORITY_HIGH : DENIM_PRIORITY_NORMAL,
                       .depth = what.depth,
                       .service = what.slow ? "slow" : "app",
                       .bytes = what.bytes};
    bench_ask (self, from, all);
}

/*  Two clients, a worker with so many slots, and run times that are known. */
static bench_t *
up (void **state, uint32_t slots, uint32_t run_us)
{
    bench_t *self = *state;
    self->config.lease_ms = 20;
    self->config.payload_max = 1 << 20;
    self->config.tasks_max = 100;
    bench_restart (self);
    bench_up (state, slots);
    bench_client (self, OTHER, 2, 1);
    bench_run_some (self, DN_RESULTS_KNOWN, run_us);
    return self;
}

/*  One slot, which is taken; each task runs for RUN_MS. */
static bench_t *
busy (void **state)
{
    bench_t *self = up (state, 1, RUN_MS * 1000);
    ask (self, CLIENT, (ask_t){.seq = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    return self;
}

/*  The task in the slot ends, and what is free is granted: the number of the GRANT to that link, 0
 *  when there is none. */
static uint64_t
end_one (bench_t *self, dn_link_t to)
{
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, RUN_MS * 1000);
    bench_pass (self, 0);
    const dn_effect_t *row = bench_sent (self, to, DN_MSG_GRANT, 0);
    return row ? row->msg.u.grant.grant : 0;
}

/*  A second worker, of `slow` alone. */
static void
offer_slow (bench_t *self)
{
    uint8_t          bytes[64];
    dn_rows_t        rows = {bytes, sizeof bytes, 0, 0};
    dn_row_service_t service = {dn_str ("slow")};
    dn_msg_t         msg = {.kind = DN_MSG_OFFER};
    bench_worker (self, WORKER2, 8, 1, 1);
    dn_rows_put (&rows, DN_ROW_SERVICE, &service);
    msg.u.offer.slots = 1;
    msg.u.offer.services = dn_rows_list (&rows);
    bench_feed (self, WORKER2, &msg);
}

/*  ---- who is alone ---- */

/*  Each of two that believe to be alone would keep for ever what it has by chance. */
static void
who_waits_while_others_have_tasks_stays_in_the_ring (void **state)
{
    bench_t *self = up (state, 2, RUN_MS * 1000);
    ask (self, CLIENT, (ask_t){.seq = 1});
    ask (self, OTHER, (ask_t){.seq = 1});
    ask (self, CLIENT, (ask_t){.seq = 2});
    assert_true (end_one (self, CLIENT) != 0);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_GRANT, 0)->msg.u.grant.alone, 0);
}

static void
who_waits_while_nobody_else_has_a_task_is_alone (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2});
    assert_true (end_one (self, CLIENT) != 0);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_GRANT, 0)->msg.u.grant.alone, 1);
}

/*  Somebody else waits, but for a worker that is not there. */
static void
who_waits_for_nothing_that_can_come_does_not_count (void **state)
{
    bench_t *self = busy (state);
    offer_slow (self);
    bench_bye (self, WORKER2);
    ask (self, OTHER, (ask_t){.seq = 1, .slow = true});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_NO_WORKER);
    ask (self, CLIENT, (ask_t){.seq = 2, .held = 9});
    assert_true (end_one (self, CLIENT) != 0);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_GRANT, 0)->msg.u.grant.alone, 1);
}

/*  ---- shares ---- */

/*  Else it would be granted a place, be refused as OVER_SHARE, and be granted it again at once. */
static void
who_has_its_share_is_passed_over_until_it_has_less (void **state)
{
    bench_t *self = *state;
    self->config.client_share = 50;
    up (state, 4, RUN_MS * 1000);
    bench_client (self, THIRD, 3, 1);
    ask (self, CLIENT, (ask_t){.seq = 1});
    ask (self, OTHER, (ask_t){.seq = 1});
    ask (self, OTHER, (ask_t){.seq = 2});
    ask (self, THIRD, (ask_t){.seq = 1});
    ask (self, CLIENT, (ask_t){.seq = 2, .held = 9});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);

    bench_result (self, WORKER, 2, 1, DENIM_VALUE, RUN_MS * 1000);
    bench_result (self, WORKER, 2, 2, DENIM_VALUE, RUN_MS * 1000);
    bench_pass (self, 0);
    const dn_effect_t *grant = bench_sent (self, CLIENT, DN_MSG_GRANT, 0);
    assert_non_null (grant);
    assert_int_equal (grant->msg.u.grant.count, 1); /* of two places that are free */
    ask (self, CLIENT, (ask_t){.seq = 2, .held = 9, .grant = grant->handle});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    bench_pass (self, 0);
    assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
    assert_true (end_one (self, CLIENT) != 0);
}

static void
each_place_of_a_grant_is_counted (void **state)
{
    bench_t *self = up (state, 4, RUN_MS * 1000);
    uint64_t before = dn_manager_counters (self->core)->granted;
    for (uint64_t seq = 1; seq <= 5; seq++)
        ask (self, CLIENT, (ask_t){.seq = seq, .held = 10});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    for (uint64_t seq = 1; seq <= 3; seq++)
        bench_result (self, WORKER, 1, seq, DENIM_VALUE, RUN_MS * 1000);
    bench_pass (self, 0);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_GRANT), 1);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_GRANT, 0)->msg.u.grant.count, 3);
    assert_int_equal (dn_manager_counters (self->core)->granted, before + 3);
}

/*  ---- the table of tasks ---- */

/*  Else it is refused as FULL, and granted again at once, for as long as that lasts. */
static void
nobody_is_granted_a_place_while_there_is_no_record_for_its_task (void **state)
{
    bench_t *self = *state;
    self->config.tasks_max = 1;
    bench_restart (self);
    bench_up (state, 1);
    bench_client (self, OTHER, 2, 1);
    ask (self, CLIENT, (ask_t){.seq = 1});
    ask (self, OTHER, (ask_t){.seq = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_FULL);
    dn_row_want_t want = {.service = dn_str ("app"), .priority = 1, .held = 1, .waits = 1};
    uint8_t       bytes[64];
    dn_rows_t     rows = {bytes, sizeof bytes, 0, 0};
    dn_msg_t      msg = {.kind = DN_MSG_OPEN};
    dn_rows_put (&rows, DN_ROW_WANT, &want);
    msg.u.open.wants = dn_rows_list (&rows);
    bench_feed (self, OTHER, &msg);
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, RUN_MS * 1000); /* the slot is free, */
    bench_pass (self, 0);
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0)); /* and the record is not */
    bench_ack (self, CLIENT, 1);
    bench_pass (self, 0);
    assert_non_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

/*  ---- deadlines ---- */

static void
a_task_whose_turn_comes_after_its_deadline_is_expired_and_waits_for_none (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = RUN_MS - 1});
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_REJECT, 0);
    assert_int_equal (row->msg.u.reject.reason, DENIM_REASON_EXPIRED);
    assert_int_equal (row->msg.u.reject.retry_after_ms, RUN_MS);
    char text[DN_HEADER_SMALL];
    dn_str_copy (text, sizeof text, row->msg.u.reject.text);
    assert_non_null (strstr (text, "99 ms left"));
    assert_int_equal (dn_manager_counters (self->core)->rejected[DENIM_REASON_EXPIRED], 1);
    assert_true (end_one (self, CLIENT) == 0);
}

static void
a_task_whose_turn_may_come_in_time_is_told_busy_and_waits (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = RUN_MS});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    assert_true (end_one (self, CLIENT) != 0);
}

static void
without_a_deadline_or_without_run_times_nothing_is_expired (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);

    bench_restart (self);
    bench_up (state, 1);
    bench_run_some (self, DN_RESULTS_KNOWN - 1, RUN_MS * 1000);
    ask (self, CLIENT, (ask_t){.seq = 1});
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = 1});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
}

static void
a_free_slot_takes_a_task_however_little_time_it_has (void **state)
{
    bench_t *self = up (state, 1, RUN_MS * 1000);
    ask (self, CLIENT, (ask_t){.seq = 1, .deadline_ms = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
those_who_are_served_before_it_count_and_no_others (void **state)
{
    bench_t *self = busy (state);
    ask (self, OTHER, (ask_t){.seq = 1, .held = 50});
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = RUN_MS * 3 / 2});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_EXPIRED);
    ask (self, CLIENT, (ask_t){.seq = 3, .deadline_ms = RUN_MS * 3 / 2, .high = true});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    ask (self, OTHER, (ask_t){.seq = 2, .deadline_ms = RUN_MS * 3 / 2}); /* it is next */
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
}

static void
who_cannot_answer_does_not_count (void **state)
{
    bench_t *self = busy (state);
    ask (self, OTHER, (ask_t){.seq = 1});
    for (int i = 0; i < 2; i++) {
        bench_pass (self, BEAT_MS);
        bench_open (self, CLIENT, 0, NULL, 0, 0);
        bench_held (self, WORKER, 0, NULL, 0);
    }
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = RUN_MS * 3 / 2});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
}

static void
while_a_place_is_free_for_somebody_nobody_is_expired (void **state)
{
    bench_t *self = busy (state);
    ask (self, OTHER, (ask_t){.seq = 1});
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, RUN_MS * 1000);
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = 1}); /* and OTHER is not granted it yet */
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
}

static void
the_tasks_that_a_client_holds_beside_a_doomed_one_have_their_turn (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = 1, .held = 3});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_EXPIRED);
    assert_true (end_one (self, CLIENT) != 0);
}

static void
a_task_that_comes_with_a_grant_is_not_expired (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2});
    uint64_t grant = end_one (self, CLIENT);
    bench_refuse (self, WORKER, 1, 77, DENIM_REASON_BUSY, false); /* it has no place after all */
    ask (self, CLIENT, (ask_t){.seq = 2, .deadline_ms = 1, .grant = grant});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
}

/*  Of those who run before it, many may wait in lent places. */
static void
a_nested_call_is_not_expired_however_little_time_it_has (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2, .depth = 1, .deadline_ms = 1});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    ask (self, CLIENT, (ask_t){.seq = 3, .deadline_ms = 1});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_EXPIRED);
}

/*  ---- when another try is worth it ---- */

/*  What the REJECT to CLIENT of a task with so many more behind it says. */
static uint32_t
retry_after_ms (bench_t *self, uint64_t seq, uint32_t held)
{
    ask (self, CLIENT, (ask_t){.seq = seq, .held = held});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    return bench_sent (self, CLIENT, DN_MSG_REJECT, 0)->msg.u.reject.retry_after_ms;
}

static void
retry_after_is_the_time_of_a_run_for_each_who_waits_and_each_task_that_is_held (void **state)
{
    bench_t *self = busy (state);
    ask (self, OTHER, (ask_t){.seq = 1});
    assert_int_equal (retry_after_ms (self, 2, 0), 2 * RUN_MS); /* OTHER, and itself */
    assert_int_equal (retry_after_ms (self, 3, 5), (2 + 5 + 1) * RUN_MS);
}

static void
retry_after_is_shorter_the_more_slots_there_are (void **state)
{
    bench_t *self = up (state, 4, RUN_MS * 1000);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        ask (self, CLIENT, (ask_t){.seq = seq});
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    }
    assert_int_equal (retry_after_ms (self, 5, 7), (7 + 1) * RUN_MS / 4);
}

static void
retry_after_is_as_long_as_is_set_at_most (void **state)
{
    bench_t *self = busy (state);
    assert_int_equal (retry_after_ms (self, 2, 1000), self->config.retry_max_ms);
}

static void
retry_after_while_run_times_are_not_known_is_as_long_as_is_set_at_most (void **state)
{
    bench_t *self = bench_up (state, 1);
    ask (self, CLIENT, (ask_t){.seq = 1});
    assert_int_equal (retry_after_ms (self, 2, 1000), DN_RETRY_UNKNOWN_MS);

    self->config.retry_max_ms = DN_RETRY_UNKNOWN_MS / 2;
    bench_restart (self);
    bench_up (state, 1);
    ask (self, CLIENT, (ask_t){.seq = 1});
    assert_int_equal (retry_after_ms (self, 2, 1000), DN_RETRY_UNKNOWN_MS / 2);
}

/*  ---- standby ---- */

static void
tasks_handed_back_from_standby_wait_for_a_slot_there (void **state)
{
    bench_t *self = up (state, 1, TINY_US);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        ask (self, CLIENT, (ask_t){.seq = seq});
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    }
    bench_refuse (self, WORKER, 1, 2, DENIM_REASON_STANDBY, true);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_STANDBY);
    bench_pass (self, 0);
    assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
    bench_refuse (self, WORKER, 1, 3, DENIM_REASON_STANDBY, true);
    bench_pass (self, 0);
    assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
    ask (self, OTHER, (ask_t){.seq = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);

    bench_result (self, WORKER, 1, 1, DENIM_VALUE, TINY_US);
    bench_pass (self, 0);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
    assert_non_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0)); /* and there is standby again */
}

static void
a_task_that_ends_elsewhere_or_did_not_run_says_nothing_of_standby (void **state)
{
    bench_t *self = up (state, 1, TINY_US);
    bench_worker (self, WORKER2, 8, 1, 1);
    bench_live (self, 2);
    for (uint64_t seq = 1; seq <= 5; seq++)
        ask (self, CLIENT, (ask_t){.seq = seq});
    const dn_services_t *services = dn_manager_services (self->core);
    const dn_peer_t     *worker = dn_peers_by_link (dn_manager_peers (self->core), WORKER);
    uint64_t             at[2] = {0}; /* a task that is at each worker */
    for (uint64_t seq = 1; seq <= 5; seq++) {
        dn_session_t     session = bench_session (1);
        const dn_task_t *task = dn_tasks_find (dn_manager_tasks (self->core), &session, seq, 1);
        at[task->worker != worker->self] = seq;
    }
    assert_true (at[0] && at[1]);
    bench_refuse (self, WORKER, 1, at[0], DENIM_REASON_STANDBY, true);
    assert_true (dn_services_stuck (services, 0, worker->u.worker.number));
    bench_result (self, WORKER2, 1, at[1], DENIM_VALUE, TINY_US);
    assert_true (dn_services_stuck (services, 0, worker->u.worker.number));
    for (uint64_t seq = 1; seq <= 5; seq++)
        if (seq != at[0] && seq != at[1])
            bench_result (self, WORKER, 1, seq, DENIM_CANCELLED, 0);
    assert_true (dn_services_stuck (services, 0, worker->u.worker.number));
}

static void
a_task_refused_for_another_reason_says_nothing_of_standby (void **state)
{
    bench_t *self = up (state, 1, TINY_US);
    ask (self, CLIENT, (ask_t){.seq = 1});
    ask (self, CLIENT, (ask_t){.seq = 2});
    bench_refuse (self, WORKER, 1, 2, DENIM_REASON_OVER_SHARE, false);
    ask (self, OTHER, (ask_t){.seq = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
the_set_of_workers_where_a_service_is_stuck_is_a_part_of_those_that_offer_it (void **state)
{
    (void) state;
    dn_services_t *services = dn_services_new (3, 100, 5);
    uint32_t       a = dn_services_offer (services, dn_str ("a"), 70);
    uint32_t       b = dn_services_offer (services, dn_str ("b"), 70);
    dn_services_offer (services, dn_str ("a"), 6);
    dn_services_set_stuck (services, a, 70, true);
    dn_services_set_stuck (services, a, 7, true); /* it does not offer it */
    dn_services_check (services);
    assert_true (dn_services_stuck (services, a, 70));
    assert_false (dn_services_stuck (services, a, 6));
    assert_false (dn_services_stuck (services, a, 7));
    assert_false (dn_services_stuck (services, b, 70));

    dn_services_withdraw (services, 70);
    dn_services_check (services);
    dn_services_offer (services, dn_str ("a"), 70); /* another worker by now, or a new offer */
    assert_false (dn_services_stuck (services, a, 70));
    dn_services_destroy (&services);
}

/*  ---- bytes ---- */

#define MEGABYTE (1u << 20)
#define MANY     (2 * DN_CLIENT_BYTES / MEGABYTE) /* tasks that carry a megabyte each */

/*  A task of so many bytes, there and back, has ended and its client has not acknowledged it. */
static void
echo (bench_t *self, uint64_t seq, uint64_t bytes)
{
    ask (self, CLIENT, (ask_t){.seq = seq, .bytes = bytes});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    bench_result_bytes (self, WORKER, 1, seq, DENIM_VALUE, TINY_US, bytes);
}

/*  Else they fill the outbox of its worker, and what it sends then is refused there. */
static void
a_client_that_leaves_megabytes_unacknowledged_has_no_task_placed_and_waits (void **state)
{
    bench_t *self = up (state, 2, TINY_US);
    for (uint64_t seq = 1; seq <= DN_CLIENT_BYTES / MEGABYTE; seq++)
        echo (self, seq, MEGABYTE);
    ask (self, CLIENT, (ask_t){.seq = 20});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    ask (self, OTHER, (ask_t){.seq = 1}); /* it holds nobody up */
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    bench_pass (self, 0);
    assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));

    bench_ack (self, CLIENT, 1);
    bench_pass (self, 0);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
}

static void
tasks_of_a_client_whose_tasks_carry_megabytes_have_slots_and_do_not_stand_by (void **state)
{
    bench_t *self = up (state, 20, TINY_US);
    for (uint64_t seq = 1; seq <= 40; seq++) {
        echo (self, seq, MEGABYTE);
        bench_ack (self, CLIENT, seq);
    }
    for (uint64_t seq = 101; seq <= 120; seq++) {
        ask (self, CLIENT, (ask_t){.seq = seq, .bytes = MEGABYTE});
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    }
    ask (self, CLIENT, (ask_t){.seq = 121, .bytes = MEGABYTE, .held = 50});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    ask (self, OTHER, (ask_t){.seq = 1}); /* its tasks may */
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));

    bench_result_bytes (self, WORKER, 2, 1, DENIM_VALUE, TINY_US, 0);
    bench_result_bytes (self, WORKER, 1, 101, DENIM_VALUE, TINY_US, MEGABYTE);
    bench_pass (self, 0);
    assert_int_equal (bench_count (self, CLIENT, DN_MSG_GRANT), 1);
    assert_int_equal (bench_sent (self, CLIENT, DN_MSG_GRANT, 0)->msg.u.grant.count, 1);
}

/*  One who waits alone is granted all that is free: as much of it as its bytes allow. */
static void
a_grant_of_many_places_is_within_the_bytes_of_its_client (void **state)
{
    bench_t *self = up (state, 1, TINY_US);
    for (uint64_t seq = 1; seq <= 40; seq++) {
        echo (self, seq, MEGABYTE / 2); /* with what comes back, a megabyte each */
        bench_ack (self, CLIENT, seq);
    }
    uint64_t seq = 100;
    do
        ask (self, CLIENT, (ask_t){.seq = ++seq, .bytes = MEGABYTE / 2, .held = 50});
    while (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    assert_in_range (seq - 101, MANY, MANY + 1);
    for (uint64_t end = 101; end < seq; end++) {
        bench_result_bytes (self, WORKER, 1, end, DENIM_VALUE, TINY_US, MEGABYTE / 2);
        bench_ack (self, CLIENT, end);
    }
    bench_pass (self, 0);
    const dn_effect_t *row = bench_sent (self, CLIENT, DN_MSG_GRANT, 0);
    assert_non_null (row);
    assert_in_range (row->msg.u.grant.count, MANY - 1, MANY + 1);
}

/*  ---- services that share slots ---- */

/*  A slot, of which short tasks of CLIENT have each place: ten stand by. Those of `slow`, of which
 *  OTHER has one, do not stand by. */
static bench_t *
flooded (void **state)
{
    uint8_t          bytes[64];
    dn_rows_t        rows = {bytes, sizeof bytes, 0, 0};
    dn_row_service_t services[] = {{dn_str ("app")}, {dn_str ("slow")}};
    dn_msg_t         msg = {.kind = DN_MSG_OFFER};
    bench_t         *self = up (state, 1, 1000);
    for (int i = 0; i < 2; i++)
        dn_rows_put (&rows, DN_ROW_SERVICE, &services[i]);
    msg.u.offer.slots = 1;
    msg.u.offer.standby = 64;
    msg.u.offer.services = dn_rows_list (&rows);
    bench_feed (self, WORKER, &msg);
    for (uint64_t seq = 1; seq <= 11; seq++) {
        ask (self, CLIENT, (ask_t){.seq = seq, .held = 100});
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    }
    return self;
}

static void
end_short (bench_t *self, uint64_t seq)
{
    bench_result (self, WORKER, 1, seq, DENIM_VALUE, 1000);
    bench_ack (self, CLIENT, seq);
    bench_pass (self, 0);
}

static void
nobody_stands_by_where_somebody_who_has_waited_longer_needs_a_slot (void **state)
{
    bench_t *self = flooded (state);
    ask (self, OTHER, (ask_t){.seq = 1, .slow = true});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    ask (self, CLIENT, (ask_t){.seq = 12, .held = 99});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        end_short (self, seq);
        assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
        assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
    }
    end_short (self, 11);
    assert_non_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

/*  Else its long call would wait until its flood of short ones is over. */
static void
nobody_stands_by_where_a_call_of_its_own_of_another_service_needs_a_slot (void **state)
{
    bench_t *self = flooded (state);
    ask (self, CLIENT, (ask_t){.seq = 12, .slow = true});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    end_short (self, 1);
    ask (self, CLIENT, (ask_t){.seq = 13, .held = 99});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    for (uint64_t seq = 2; seq <= 11; seq++) {
        assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
        end_short (self, seq);
    }
    const dn_effect_t *grant = bench_sent (self, CLIENT, DN_MSG_GRANT, 0);
    assert_non_null (grant);
    assert_true (dn_str_eq (grant->msg.u.grant.service, dn_str ("slow")));
}

static void
who_has_waited_longer_than_those_who_need_a_slot_stands_by (void **state)
{
    bench_t *self = flooded (state);
    ask (self, CLIENT, (ask_t){.seq = 12, .held = 99});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    ask (self, OTHER, (ask_t){.seq = 1, .slow = true});
    end_short (self, 1);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
    end_short (self, 2); /* and its next one has not */
    assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
}

/*  ---- a worker that ends ---- */

static void
a_worker_that_is_back_and_draining_has_no_place_reserved (void **state)
{
    bench_t *self = busy (state);
    ask (self, CLIENT, (ask_t){.seq = 2});
    assert_true (end_one (self, CLIENT) != 0);
    const dn_peer_t *worker = dn_peers_by_link (dn_manager_peers (self->core), WORKER);
    assert_int_equal (worker->u.worker.reserved, 1);
    bench_hello_t hello = {.slots = 1, .draining = true};
    bench_hello (self, WORKER2, 9, 2, &hello);
    assert_int_equal (worker->u.worker.reserved, 0);
}

/*  A task stood by at a worker that ends now: its client waits for the others, before those who
 *  came after it. */
static void
who_is_refused_by_a_worker_that_drains_keeps_its_ticket (void **state)
{
    bench_t *self = busy (state);
    dn_msg_t draining = {.kind = DN_MSG_DRAINING};
    bench_worker (self, WORKER2, 8, 1, 1);
    bench_live (self, 3);
    ask (self, CLIENT, (ask_t){.seq = 2});
    assert_non_null (bench_sent (self, WORKER2, DN_MSG_RUN, 0));
    ask (self, OTHER, (ask_t){.seq = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    bench_feed (self, WORKER2, &draining);
    bench_refuse (self, WORKER2, 1, 2, DENIM_REASON_DRAINING, true);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    assert_true (end_one (self, CLIENT) != 0);
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

static void
who_is_refused_by_the_last_worker_waits_for_another_one (void **state)
{
    bench_t *self = busy (state);
    dn_msg_t draining = {.kind = DN_MSG_DRAINING};
    bench_feed (self, WORKER, &draining);
    bench_refuse (self, WORKER, 1, 1, DENIM_REASON_DRAINING, true);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_NO_WORKER);
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        T (who_waits_while_others_have_tasks_stays_in_the_ring),
        T (who_waits_while_nobody_else_has_a_task_is_alone),
        T (who_waits_for_nothing_that_can_come_does_not_count),
        T (who_has_its_share_is_passed_over_until_it_has_less),
        T (each_place_of_a_grant_is_counted),
        T (nobody_is_granted_a_place_while_there_is_no_record_for_its_task),
        T (a_task_whose_turn_comes_after_its_deadline_is_expired_and_waits_for_none),
        T (a_task_whose_turn_may_come_in_time_is_told_busy_and_waits),
        T (without_a_deadline_or_without_run_times_nothing_is_expired),
        T (a_free_slot_takes_a_task_however_little_time_it_has),
        T (those_who_are_served_before_it_count_and_no_others),
        T (who_cannot_answer_does_not_count),
        T (while_a_place_is_free_for_somebody_nobody_is_expired),
        T (the_tasks_that_a_client_holds_beside_a_doomed_one_have_their_turn),
        T (a_task_that_comes_with_a_grant_is_not_expired),
        T (a_nested_call_is_not_expired_however_little_time_it_has),
        T (retry_after_is_the_time_of_a_run_for_each_who_waits_and_each_task_that_is_held),
        T (retry_after_is_shorter_the_more_slots_there_are),
        T (retry_after_is_as_long_as_is_set_at_most),
        T (retry_after_while_run_times_are_not_known_is_as_long_as_is_set_at_most),
        T (tasks_handed_back_from_standby_wait_for_a_slot_there),
        T (a_task_that_ends_elsewhere_or_did_not_run_says_nothing_of_standby),
        T (a_task_refused_for_another_reason_says_nothing_of_standby),
        T (a_client_that_leaves_megabytes_unacknowledged_has_no_task_placed_and_waits),
        T (tasks_of_a_client_whose_tasks_carry_megabytes_have_slots_and_do_not_stand_by),
        T (a_grant_of_many_places_is_within_the_bytes_of_its_client),
        T (nobody_stands_by_where_somebody_who_has_waited_longer_needs_a_slot),
        T (nobody_stands_by_where_a_call_of_its_own_of_another_service_needs_a_slot),
        T (who_has_waited_longer_than_those_who_need_a_slot_stands_by),
        T (a_worker_that_is_back_and_draining_has_no_place_reserved),
        T (who_is_refused_by_a_worker_that_drains_keeps_its_ticket),
        T (who_is_refused_by_the_last_worker_waits_for_another_one),
        cmocka_unit_test (
            the_set_of_workers_where_a_service_is_stuck_is_a_part_of_those_that_offer_it),
    };
    return cmocka_run_group_tests_name ("manager_turn", tests, NULL, NULL);
}
