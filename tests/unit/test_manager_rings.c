/*  test_manager_rings.c - clients that wait in the rings: their rows, their tickets, and how long a
 *  place is reserved for them
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

#define LEASE_MS 20 /* the shortest */

/*  Two clients, and a worker with one slot, in which task 1 of CLIENT runs. */
static bench_t *
busy (void **state)
{
    bench_t *self = *state;
    self->config.lease_ms = LEASE_MS;
    bench_restart (self);
    bench_up (state, 1);
    bench_client (self, OTHER, 2, 1);
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    return self;
}

/*  The task in the slot ends. */
static void
end_one (bench_t *self)
{
    bench_result (self, WORKER, 1, 1, DENIM_VALUE, 1000);
}

/*  What is free is granted: the GRANT to that link, borrowed until the next event; NULL when there
 *  is none. */
static const dn_grant_t *
granted (bench_t *self, dn_link_t to)
{
    bench_pass (self, 0);
    const dn_effect_t *row = bench_sent (self, to, DN_MSG_GRANT, 0);
    return row ? &row->msg.u.grant : NULL;
}

/*  ---- rows ---- */

/*  Nine levels of normal priority and seven of low; the next one would be the first of all. */
static void
a_client_has_sixteen_rows_in_the_rings_and_with_more_only_its_timer (void **state)
{
    bench_t *self = busy (state);
    for (uint8_t i = 0; i < 16; i++) {
        uint8_t priority = i <= DENIM_NESTING_MAX ? DENIM_PRIORITY_NORMAL : DENIM_PRIORITY_LOW;
        uint8_t depth = (uint8_t) (i % (DENIM_NESTING_MAX + 1));
        bench_ask (self, OTHER, (bench_ask_t){.seq = i + 1u, .priority = priority, .depth = depth});
        assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    }
    bench_ask (self, OTHER, (bench_ask_t){.seq = 17, .priority = DENIM_PRIORITY_HIGH});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    assert_true (bench_sent (self, OTHER, DN_MSG_REJECT, 0)->msg.u.reject.retry_after_ms > 0);
    end_one (self);
    const dn_grant_t *grant = granted (self, OTHER);
    assert_non_null (grant);
    assert_int_equal (grant->priority, DENIM_PRIORITY_NORMAL);
    assert_int_equal (grant->depth, DENIM_NESTING_MAX);
}

static void
the_rows_of_one_client_leave_room_for_those_of_another (void **state)
{
    bench_t *self = busy (state);
    for (uint8_t i = 0; i <= DENIM_NESTING_MAX; i++) {
        bench_ask (self, OTHER,
                   (bench_ask_t){.seq = i + 1u, .priority = DENIM_PRIORITY_NORMAL, .depth = i});
        bench_ask (self, OTHER,
                   (bench_ask_t){.seq = i + 21u, .priority = DENIM_PRIORITY_LOW, .depth = i});
    }
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 2, .priority = DENIM_PRIORITY_HIGH});
    end_one (self);
    assert_non_null (granted (self, CLIENT));
}

/*  ---- workers that come ---- */

static void
who_finds_no_worker_waits_and_is_granted_a_place_when_one_comes (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_bye (self, WORKER);
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 1});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_NO_WORKER);
    assert_null (granted (self, CLIENT));
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_non_null (granted (self, CLIENT));
}

/*  ---- tickets ---- */

static void
who_has_a_task_that_its_worker_refuses_is_before_those_that_came_later (void **state)
{
    bench_t *self = busy (state);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    bench_refuse (self, WORKER, 1, 1, DENIM_REASON_BUSY, false);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    bench_held (self, WORKER, 0, NULL, 0); /* the slot is free after all */
    assert_non_null (granted (self, CLIENT));
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

static void
who_has_a_task_that_never_arrived_is_before_those_that_came_later (void **state)
{
    bench_t *self = busy (state);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    assert_non_null (granted (self, CLIENT));
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

/*  It came back with a grant, and what it had waited before that counts. */
static void
who_has_a_granted_task_that_its_worker_refuses_keeps_its_ticket (void **state)
{
    bench_t *self = busy (state);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 2});
    end_one (self);
    const dn_grant_t *grant = granted (self, OTHER);
    assert_non_null (grant);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .grant = grant->grant});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    bench_refuse (self, WORKER, 2, 1, DENIM_REASON_BUSY, false);
    bench_held (self, WORKER, 0, NULL, 0);
    assert_non_null (granted (self, OTHER));
    assert_null (bench_sent (self, CLIENT, DN_MSG_GRANT, 0));
}

/*  ---- granted places ---- */

/*  WORKER has refused a task by then, so its number of places is off until it says more. */
static void
a_granted_task_goes_to_another_worker_when_that_of_its_place_takes_none (void **state)
{
    bench_t      *self = busy (state);
    dn_row_held_t held = bench_row (1, 1, 2);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    end_one (self);
    const dn_grant_t *row = granted (self, OTHER);
    assert_non_null (row);
    uint64_t grant = row->grant;
    bench_worker (self, WORKER2, 8, 1, 1);
    bench_held (self, WORKER, bench_mark (self, WORKER), &held, 1); /* it knows of the new one */
    bench_refuse (self, WORKER, 1, 77, DENIM_REASON_BUSY, false);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .grant = grant});
    assert_non_null (bench_sent (self, WORKER2, DN_MSG_RUN, 0));
    assert_int_equal (bench_reason (self, OTHER), -1);
}

/*  ---- leases ---- */

/*  CLIENT answers a BEAT so much later. */
static void
answer_beat (bench_t *self, int64_t round_ms)
{
    bench_pass (self, BEAT_MS);
    self->now_ms += round_ms;
    bench_open (self, CLIENT, bench_mark (self, CLIENT), NULL, 0, 0);
    bench_held (self, WORKER, 0, NULL, 0);
}

/*  What CLIENT is granted, with OTHER behind it: the lease in ms. */
static uint32_t
lease_ms (bench_t *self)
{
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 2});
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    end_one (self);
    const dn_grant_t *grant = granted (self, CLIENT);
    assert_non_null (grant);
    return grant->lease_ms;
}

static void
a_lease_is_four_round_trips_of_its_client_and_the_place_passes_on_after_it (void **state)
{
    bench_t *self = busy (state);
    answer_beat (self, 30);
    assert_int_equal (lease_ms (self), 4 * 30);
    bench_pass (self, 4 * 30 - 1);
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
    bench_pass (self, 1);
    assert_non_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

static void
a_lease_of_a_client_that_is_near_has_the_length_that_is_set (void **state)
{
    bench_t *self = busy (state);
    answer_beat (self, 1);
    assert_int_equal (lease_ms (self), LEASE_MS);
}

/*  Who is so slow is passed over anyway. */
static void
a_lease_is_a_heartbeat_at_most (void **state)
{
    bench_t *self = busy (state);
    answer_beat (self, BEAT_MS / 2);
    assert_int_equal (lease_ms (self), BEAT_MS);
    bench_pass (self, BEAT_MS);
    assert_non_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

static void
a_longer_round_trip_counts_at_once (void **state)
{
    bench_t *self = busy (state);
    answer_beat (self, 10);
    answer_beat (self, 90);
    assert_int_equal (lease_ms (self), 4 * 90);
}

static void
a_shorter_round_trip_counts_by_an_eighth (void **state)
{
    bench_t *self = busy (state);
    answer_beat (self, 90);
    answer_beat (self, 10);
    assert_int_equal (lease_ms (self), 4 * (90 - (90 - 10) / 8));
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        T (a_client_has_sixteen_rows_in_the_rings_and_with_more_only_its_timer),
        T (the_rows_of_one_client_leave_room_for_those_of_another),
        T (who_finds_no_worker_waits_and_is_granted_a_place_when_one_comes),
        T (who_has_a_task_that_its_worker_refuses_is_before_those_that_came_later),
        T (who_has_a_task_that_never_arrived_is_before_those_that_came_later),
        T (who_has_a_granted_task_that_its_worker_refuses_keeps_its_ticket),
        T (a_granted_task_goes_to_another_worker_when_that_of_its_place_takes_none),
        T (a_lease_is_four_round_trips_of_its_client_and_the_place_passes_on_after_it),
        T (a_lease_of_a_client_that_is_near_has_the_length_that_is_set),
        T (a_lease_is_a_heartbeat_at_most),
        T (a_longer_round_trip_counts_at_once),
        T (a_shorter_round_trip_counts_by_an_eighth),
    };
    return cmocka_run_group_tests_name ("manager_rings", tests, NULL, NULL);
}
