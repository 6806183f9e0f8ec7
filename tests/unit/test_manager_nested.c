/*  test_manager_nested.c - nested calls: who goes first, which places are for whom, and when all
 *  who have one wait for each other
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

#define THIRD 103 /* a link; its client is of session 3 */

static void
offer (bench_t *self, dn_link_t from, uint32_t slots, uint32_t lent, uint32_t blocked)
{
    dn_msg_t msg = {.kind = DN_MSG_OFFER};
    msg.u.offer.slots = slots;
    msg.u.offer.lent = lent;
    msg.u.offer.blocked = blocked;
    bench_feed (self, from, &msg);
}

/*  A worker with so many slots of which each has a task of CLIENT, 1 and up; OTHER and THIRD are
 *  there. */
static bench_t *
full (void **state, uint32_t slots)
{
    bench_t *self = *state;
    self->config.lease_ms = 20;
    bench_restart (self);
    bench_up (state, slots);
    bench_client (self, OTHER, 2, 1);
    bench_client (self, THIRD, 3, 1);
    for (uint32_t i = 1; i <= slots; i++)
        bench_ask (self, CLIENT, (bench_ask_t){.seq = i});
    return self;
}

/*  WORKER2 comes, with one slot, and the other one, which has task 1 of CLIENT, knows of it. */
static void
join_another (bench_t *self)
{
    dn_row_held_t held = bench_row (1, 1, 1);
    bench_worker (self, WORKER2, 10, 1, 1);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), &held, 1);
}

/*  Grants what is free: is one of them to that link? */
static bool
granted (bench_t *self, dn_link_t to)
{
    bench_pass (self, 0);
    return bench_sent (self, to, DN_MSG_GRANT, 0) != NULL;
}

static void
end_task (bench_t *self, uint8_t client, uint64_t seq)
{
    bench_result (self, WORKER, client, seq, DENIM_VALUE, 1000);
}

/*  ---- who goes first ---- */

static void
deeper_call_goes_before_those_of_its_priority_that_wait_longer (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 1});
    end_task (self, 1, 1);
    assert_true (granted (self, THIRD));
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

static void
priority_goes_before_depth (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .priority = DENIM_PRIORITY_NORMAL, .depth = 3});
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .priority = DENIM_PRIORITY_HIGH});
    end_task (self, 1, 1);
    assert_true (granted (self, OTHER));
    assert_null (bench_sent (self, THIRD, DN_MSG_GRANT, 0));
}

static void
depth_is_that_of_the_call_which_open_names (void **state)
{
    uint8_t       bytes[256];
    dn_rows_t     rows = {bytes, sizeof bytes, 0, 0};
    dn_row_want_t want = {.service = dn_str ("app"), .held = 1, .waits = 1, .depth = 2};
    dn_msg_t      msg = {.kind = DN_MSG_OPEN};
    bench_t      *self = full (state, 1);

    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1});
    dn_rows_put (&rows, DN_ROW_WANT, &want);
    msg.u.open.wants = dn_rows_list (&rows);
    bench_feed (self, THIRD, &msg);
    end_task (self, 1, 1);
    assert_true (granted (self, THIRD));
}

static void
calls_of_each_level_have_their_own_turn (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1});
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 2});
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 1});
    offer (self, WORKER, 2, 1, 0);
    assert_true (granted (self, OTHER));
    dn_grant_t grant = bench_sent (self, OTHER, DN_MSG_GRANT, 0)->msg.u.grant;
    assert_int_equal (grant.depth, 2);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 2, .grant = grant.grant});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));

    offer (self, WORKER, 3, 2, 0);
    assert_true (granted (self, OTHER)); /* it has kept its ticket */
    assert_int_equal (bench_sent (self, OTHER, DN_MSG_GRANT, 0)->msg.u.grant.depth, 1);
    assert_null (bench_sent (self, THIRD, DN_MSG_GRANT, 0));
}

static void
grant_for_one_level_is_none_for_another (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1});
    offer (self, WORKER, 2, 1, 0);
    assert_true (granted (self, OTHER));
    uint64_t grant = bench_sent (self, OTHER, DN_MSG_GRANT, 0)->msg.u.grant.grant;
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 2, .grant = grant});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY); /* that place is reserved */
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1, .grant = grant});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
call_that_is_nested_too_deep_is_not_allowed (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 1, .depth = DENIM_NESTING_MAX + 1});
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_NOT_ALLOWED);
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 2, .depth = DENIM_NESTING_MAX});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

/*  ---- lent places ---- */

static void
lent_place_is_for_nested_calls_only (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    offer (self, WORKER, 2, 1, 0);
    assert_false (granted (self, OTHER));
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0)); /* nobody else can have it */
}

static void
lent_place_goes_past_those_who_are_before_and_cannot_have_it (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .priority = DENIM_PRIORITY_HIGH});
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .priority = DENIM_PRIORITY_LOW, .depth = 1});
    offer (self, WORKER, 2, 1, 0);
    assert_true (granted (self, THIRD));
    assert_null (bench_sent (self, OTHER, DN_MSG_GRANT, 0));
}

/*  Short tasks of clients, of which ten stand by behind the slot. */
static void
tasks_that_stand_by_take_no_lent_place (void **state)
{
    bench_t *self = *state;
    self->config.tasks_max = 100;
    bench_restart (self);
    bench_up (state, 1);
    bench_client (self, OTHER, 2, 1);
    bench_run_some (self, DN_RESULTS_KNOWN, 1000);
    for (uint64_t seq = 1; seq <= 11; seq++) {
        bench_ask (self, CLIENT, (bench_ask_t){.seq = seq});
        assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    }
    offer (self, WORKER, 2, 1, 0);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
}

static void
each_level_has_as_many_slots_as_the_worker_has_of_its_own (void **state)
{
    bench_t *self = full (state, 1);
    offer (self, WORKER, 2, 1, 0);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1}); /* it runs, then it waits, too */
    offer (self, WORKER, 3, 2, 0);
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 1});
    assert_int_equal (bench_reason (self, THIRD), DENIM_REASON_BUSY);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 2});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
place_that_is_reserved_for_a_level_counts_there (void **state)
{
    bench_t *self = full (state, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1});
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 1});
    offer (self, WORKER, 3, 2, 0); /* of which one is for level 1 */
    assert_true (granted (self, OTHER));
    assert_null (bench_sent (self, THIRD, DN_MSG_GRANT, 0));
    uint64_t grant = bench_sent (self, OTHER, DN_MSG_GRANT, 0)->msg.u.grant.grant;
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1, .grant = grant});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    assert_false (granted (self, THIRD));
}

static void
task_that_a_worker_brings_along_counts_at_its_level (void **state)
{
    bench_t      *self = *state;
    dn_row_held_t held[] = {bench_row (1, 1, 1), bench_row (1, 2, 1)};
    bench_hello_t hello = {.slots = 3, .held = held, .helds = 2};
    held[1].depth = 1;
    bench_client (self, CLIENT, 1, 1);
    bench_client (self, OTHER, 2, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    offer (self, WORKER, 3, 2, 0); /* both wait */
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 2});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

static void
offer_that_names_no_services_leaves_them_as_they_are (void **state)
{
    bench_t *self = full (state, 1);
    offer (self, WORKER, 3, 0, 0);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1});
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
}

/*  ---- when all wait for each other ---- */

static void
call_whose_caller_holds_the_only_place_is_told_so_and_waits (void **state)
{
    bench_t    *self = full (state, 1);
    bench_ask_t call = {.seq = 1, .depth = 1, .parent = 1, .parent_seq = 1};
    bench_ask (self, OTHER, call);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY); /* it may not wait for it */
    offer (self, WORKER, 1, 0, 1);
    bench_ask (self, OTHER, call);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_DEADLOCK);
    assert_true (bench_sent (self, OTHER, DN_MSG_REJECT, 0)->msg.u.reject.retry_after_ms > 0);

    join_another (self); /* a worker more is all that it needs */
    assert_true (granted (self, OTHER));
}

static void
caller_whose_other_call_runs_is_no_deadlock (void **state)
{
    bench_t *self = full (state, 1);
    join_another (self);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 1, .depth = 1, .parent = 1, .parent_seq = 1});
    offer (self, WORKER, 1, 0, 1);
    offer (self, WORKER2, 1, 0, 1);
    bench_ask (self, OTHER, (bench_ask_t){.seq = 2, .depth = 1, .parent = 1, .parent_seq = 1});
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
}

static void
one_of_two_callers_that_does_not_wait_is_no_deadlock (void **state)
{
    bench_t    *self = full (state, 2);
    bench_ask_t call = {.seq = 1, .depth = 1, .parent = 1, .parent_seq = 1};
    offer (self, WORKER, 2, 0, 1);
    bench_ask (self, OTHER, call);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    offer (self, WORKER, 2, 0, 2); /* the other one waits for something that is not here */
    bench_ask (self, OTHER, call);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 1, .parent = 1, .parent_seq = 2});
    bench_ask (self, OTHER, call);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_DEADLOCK);
}

/*  WORKER serves app, WORKER2 serves more; a task of each waits for one of the other. */
static void
circle_through_two_services_is_a_deadlock (void **state)
{
    uint8_t          bytes[64];
    dn_rows_t        rows = {bytes, sizeof bytes, 0, 0};
    dn_row_service_t more = {dn_str ("more")};
    dn_msg_t         msg = {.kind = DN_MSG_OFFER};
    bench_t         *self = full (state, 1);
    bench_ask_t there = {.seq = 1, .depth = 1, .service = "more", .parent = 1, .parent_seq = 1};
    bench_ask_t back = {.seq = 1, .depth = 1, .parent = 1, .parent_seq = 9};

    join_another (self);
    dn_rows_put (&rows, DN_ROW_SERVICE, &more);
    msg.u.offer.slots = 1;
    msg.u.offer.services = dn_rows_list (&rows);
    bench_feed (self, WORKER2, &msg);
    bench_ask (self, CLIENT, (bench_ask_t){.seq = 9, .service = "more"});
    assert_non_null (bench_sent (self, WORKER2, DN_MSG_RUN, 0));

    offer (self, WORKER, 1, 0, 1);
    offer (self, WORKER2, 1, 0, 1);
    bench_ask (self, OTHER, there);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_BUSY);
    bench_ask (self, THIRD, back);
    bench_ask (self, OTHER, there);
    assert_int_equal (bench_reason (self, OTHER), DENIM_REASON_DEADLOCK);
    bench_ask (self, THIRD, back);
    assert_int_equal (bench_reason (self, THIRD), DENIM_REASON_DEADLOCK);
}

static void
lent_places_are_no_deadlock_but_those_below_them_can_be (void **state)
{
    bench_t    *self = full (state, 1);
    bench_ask_t call = {.seq = 1, .depth = 1, .parent = 1, .parent_seq = 1};
    offer (self, WORKER, 2, 1, 0);
    bench_ask (self, OTHER, call);
    assert_non_null (bench_sent (self, WORKER, DN_MSG_RUN, 0));
    offer (self, WORKER, 2, 1, 1); /* that one waits as well, and its place is not lent */
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 2, .parent = 2, .parent_seq = 1});
    assert_int_equal (bench_reason (self, THIRD), DENIM_REASON_BUSY); /* not known to wait before */
    bench_ask (self, THIRD, (bench_ask_t){.seq = 1, .depth = 2, .parent = 2, .parent_seq = 1});
    assert_int_equal (bench_reason (self, THIRD), DENIM_REASON_DEADLOCK);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST (deeper_call_goes_before_those_of_its_priority_that_wait_longer),
        TEST (priority_goes_before_depth),
        TEST (depth_is_that_of_the_call_which_open_names),
        TEST (calls_of_each_level_have_their_own_turn),
        TEST (grant_for_one_level_is_none_for_another),
        TEST (call_that_is_nested_too_deep_is_not_allowed),
        TEST (lent_place_is_for_nested_calls_only),
        TEST (lent_place_goes_past_those_who_are_before_and_cannot_have_it),
        TEST (tasks_that_stand_by_take_no_lent_place),
        TEST (each_level_has_as_many_slots_as_the_worker_has_of_its_own),
        TEST (place_that_is_reserved_for_a_level_counts_there),
        TEST (task_that_a_worker_brings_along_counts_at_its_level),
        TEST (offer_that_names_no_services_leaves_them_as_they_are),
        TEST (call_whose_caller_holds_the_only_place_is_told_so_and_waits),
        TEST (caller_whose_other_call_runs_is_no_deadlock),
        TEST (one_of_two_callers_that_does_not_wait_is_no_deadlock),
        TEST (circle_through_two_services_is_a_deadlock),
        TEST (lent_places_are_no_deadlock_but_those_below_them_can_be),
    };
#undef TEST
    return cmocka_run_group_tests (tests, NULL, NULL);
}
