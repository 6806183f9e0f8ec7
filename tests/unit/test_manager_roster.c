/*  test_manager_roster.c - who the workers are, and what that proves
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

#define PAST 76 /* an earlier epoch */

static dn_list_t
roster_of (const dn_effect_t *row)
{
    assert_non_null (row);
    return row->msg.kind == DN_MSG_BEAT ? row->msg.u.beat.roster : row->msg.u.welcome.roster;
}

/*  ---- who is told, and when ---- */

static void
welcome_names_all_workers_and_those_that_are_here_are_told_at_once (void **state)
{
    bench_t *self = *state;
    bench_worker (self, WORKER, 9, 1, 1);
    const dn_effect_t *row = bench_sent (self, WORKER, DN_MSG_WELCOME, 0);
    uint32_t           version = row->msg.u.welcome.roster_version;
    assert_true (version > 0);
    assert_int_equal (roster_of (row).count, 1);
    assert_true (bench_named (roster_of (row), 9));

    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (roster_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)).count, 2);
    row = bench_sent (self, WORKER, DN_MSG_BEAT, 0);
    assert_true (row->msg.u.beat.roster_version > version);
    assert_true (bench_named (roster_of (row), 8) && bench_named (roster_of (row), 9));
    assert_int_equal (row->msg.u.beat.epoch, BENCH_EPOCH);
    assert_int_equal (bench_count (self, WORKER2, DN_MSG_BEAT), 0);
}

static void
a_beat_brings_a_roster_only_if_it_is_news (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    bench_pass (self, BEAT_MS);
    const dn_effect_t *row = bench_sent (self, WORKER, DN_MSG_BEAT, 0);
    assert_int_equal (row->msg.u.beat.roster_version + row->msg.u.beat.roster.count, 0);
    row = bench_sent (self, CLIENT, DN_MSG_BEAT, 0);
    assert_int_equal (row->msg.u.beat.roster_version, 0);
}

static void
a_worker_that_is_here_and_says_hello_again_is_no_news (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    uint32_t version = bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)->msg.u.welcome.roster_version;
    bench_worker (self, WORKER2, 8, 2, 1);
    assert_int_equal (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)->msg.u.welcome.roster_version,
                      version);
    assert_int_equal (bench_count (self, WORKER, DN_MSG_BEAT), 0);
}

static void
a_roster_is_told_with_each_beat_until_one_of_them_is_answered (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    uint32_t version = bench_sent (self, WORKER, DN_MSG_BEAT, 0)->msg.u.beat.roster_version;
    uint64_t before = bench_mark (self, WORKER) - 1;
    bench_pass (self, BEAT_MS);
    bench_held (self, WORKER, before, NULL, 0); /* of before it was told */
    bench_pass (self, BEAT_MS);
    const dn_effect_t *row = bench_sent (self, WORKER, DN_MSG_BEAT, 0);
    assert_int_equal (row->msg.u.beat.roster_version, version);
    assert_true (bench_named (roster_of (row), 8));
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    bench_pass (self, BEAT_MS);
    assert_int_equal (bench_sent (self, WORKER, DN_MSG_BEAT, 0)->msg.u.beat.roster_version, 0);
}

static void
a_worker_that_is_gone_stays_in_the_roster_until_its_tasks_are_settled (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_true (bench_named (roster_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)), 9));
    bench_ack (self, CLIENT, 1);
    bench_pass (self, BEAT_MS);
    const dn_effect_t *row = bench_sent (self, WORKER2, DN_MSG_BEAT, 0);
    assert_int_equal (roster_of (row).count, 1);
    assert_false (bench_named (roster_of (row), 9));
}

static void
a_worker_that_is_gone_with_a_task_of_a_client_that_is_gone_stays_in_the_roster (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++)
        bench_pass (self, BEAT_MS);
    bench_pass (self, 0);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_WORKER), 0);
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    dn_list_t roster = roster_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0));
    assert_int_equal (roster.count, 2);
    assert_true (bench_named (roster, 9));
}

static void
a_worker_that_is_gone_is_not_named_for_a_client_that_said_goodbye (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    bench_bye (self, CLIENT);
    bench_pass (self, 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (roster_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)).count, 1);
}

static void
a_worker_that_made_room_stays_in_the_roster_and_is_named_once_when_it_is_back (void **state)
{
    bench_t *self = bench_up (state, 1);
    self->config.workers_max = 1;
    bench_restart (self);
    bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_bye (self, WORKER);
    bench_pass (self, 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (roster_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)).count, 2);
    assert_true (bench_named (roster_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)), 9));
    bench_bye (self, WORKER2);
    bench_pass (self, 0);
    bench_worker (self, WORKER, 9, 2, 1);
    dn_list_t roster = roster_of (bench_sent (self, WORKER, DN_MSG_WELCOME, 0));
    assert_int_equal (roster.count, 1);
    assert_true (bench_named (roster, 9));
}

static void
a_roster_that_cannot_name_all_who_are_gone_ends_with_nobody (void **state)
{
    bench_t *self = *state;
    self->config.workers_max = 1;
    self->config.tasks_max = 1000;
    bench_restart (self);
    bench_client (self, CLIENT, 1, 1);
    dn_list_t roster = {0};
    for (uint32_t i = 1; i <= 258; i++) { /* the first 257 are gone with a task each */
        dn_msg_t         msg = {.kind = DN_MSG_WORKER_HELLO};
        dn_rows_t        rows = {(uint8_t[64]){0}, 64, 0, 0};
        dn_row_service_t service = {dn_str ("app")};
        dn_rows_put (&rows, DN_ROW_SERVICE, &service);
        msg.u.worker_hello.major = DN_MAJOR;
        msg.u.worker_hello.session = (dn_session_t){{9, (uint8_t) (i >> 8), (uint8_t) i}};
        msg.u.worker_hello.link = 1;
        msg.u.worker_hello.slots = 1;
        msg.u.worker_hello.services = dn_rows_list (&rows);
        bench_feed (self, 1000 + i, &msg);
        roster = roster_of (bench_sent (self, 1000 + i, DN_MSG_WELCOME, 0));
        assert_int_equal (bench_named (roster, 0), i == 258);
        if (i == 258)
            break;
        bench_submit (self, CLIENT, i);
        bench_bye (self, 1000 + i);
        bench_pass (self, 0);
        bench_open (self, CLIENT, 0, NULL, 0, 0);
    }
}

/*  ---- who was forgotten ---- */

static dn_list_t
forgets_of (const dn_effect_t *row)
{
    assert_non_null (row);
    return row->msg.kind == DN_MSG_BEAT ? row->msg.u.beat.forgotten : row->msg.u.welcome.forgotten;
}

static void
answer_beat (bench_t *self, dn_link_t link)
{
    if (dn_peers_by_link (dn_manager_peers (self->core), link))
        bench_held (self, link, bench_mark (self, link), NULL, 0);
}

/*  Beats until the client of that session is gone, in which the workers answer. */
static void
lose_client (bench_t *self, dn_link_t link, uint8_t who)
{
    bench_client (self, link, who, 1);
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++) {
        answer_beat (self, WORKER);
        answer_beat (self, WORKER2);
        bench_pass (self, BEAT_MS);
    }
    bench_pass (self, 0);
}

static void
who_was_forgotten_is_told_with_each_beat_until_one_of_them_is_answered (void **state)
{
    bench_t *self = *state;
    bench_worker (self, WORKER, 9, 1, 1);
    lose_client (self, CLIENT, 1);
    uint64_t before = bench_mark (self, WORKER);
    bench_pass (self, BEAT_MS);
    dn_list_t list = forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0));
    assert_int_equal (list.count, 1);
    assert_true (bench_named (list, 1));
    bench_held (self, WORKER, before, NULL, 0); /* of before it was told */
    bench_pass (self, BEAT_MS);
    assert_int_equal (forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0)).count, 1);
    bench_held (self, WORKER, bench_mark (self, WORKER) - 1, NULL, 0); /* the first that told it */
    bench_pass (self, BEAT_MS);
    assert_int_equal (forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0)).count, 0);
    lose_client (self, OTHER, 2);
    bench_pass (self, BEAT_MS);
    list = forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0));
    assert_int_equal (list.count, 1);
    assert_true (bench_named (list, 2));
}

static void
a_worker_that_joins_is_told_of_all_who_were_forgotten (void **state)
{
    bench_t *self = *state;
    bench_worker (self, WORKER, 9, 1, 1);
    lose_client (self, CLIENT, 1);
    lose_client (self, OTHER, 2);
    bench_worker (self, WORKER2, 8, 1, 1);
    dn_list_t list = forgets_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0));
    assert_int_equal (list.count, 2);
    assert_true (bench_named (list, 1) && bench_named (list, 2));
}

/*  The lists of a turn are made once: the second worker gets the one that was made for the first,
 *  before the client was given up. */
static void
who_is_given_up_between_two_beats_of_a_turn_is_told_of_with_the_next (void **state)
{
    bench_t *self = *state;
    bench_worker (self, WORKER, 9, 1, 1);
    bench_client (self, OTHER, 2, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    for (int i = 0; i <= DN_CLIENT_GONE_BEATS; i++) {
        bench_held (self, WORKER, 0, NULL, 0); /* of before it was told a roster: that goes again */
        bench_held (self, WORKER2, 0, NULL, 0);
        bench_pass (self, BEAT_MS);
    }
    assert_int_equal (forgets_of (bench_sent (self, WORKER2, DN_MSG_BEAT, 0)).count, 0);
    bench_pass (self, 0);
    answer_beat (self, WORKER2); /* it has what was on that list, and no more */
    bench_pass (self, BEAT_MS);
    dn_list_t list = forgets_of (bench_sent (self, WORKER2, DN_MSG_BEAT, 0));
    assert_int_equal (list.count, 1);
    assert_true (bench_named (list, 2));
}

static void
a_roster_does_not_go_without_those_who_were_forgotten_before_it (void **state)
{
    bench_t *self = *state;
    bench_worker (self, WORKER, 9, 1, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    lose_client (self, CLIENT, 1);
    bench_bye (self, WORKER2);
    bench_pass (self, 0);
    bench_pass (self, BEAT_MS);
    const dn_effect_t *row = bench_sent (self, WORKER, DN_MSG_BEAT, 0);
    assert_int_equal (roster_of (row).count, 1);
    assert_true (bench_named (forgets_of (row), 1));
}

static void
a_client_that_said_goodbye_is_not_told_of (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_bye (self, CLIENT);
    bench_pass (self, 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (forgets_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)).count, 0);
}

static void
a_client_that_is_forgotten_once_more_is_told_of_once_more (void **state)
{
    bench_t *self = *state;
    bench_worker (self, WORKER, 9, 1, 1);
    lose_client (self, CLIENT, 1);
    lose_client (self, CLIENT, 1);
    bench_pass (self, BEAT_MS);
    assert_int_equal (forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0)).count, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (forgets_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)).count, 1);
}

static void
a_worker_is_told_that_there_were_more_than_are_known (void **state)
{
    bench_t *self = *state;
    self->config.clients_max = 1001;
    bench_restart (self);
    bench_worker (self, WORKER, 9, 1, 1);
    for (uint32_t i = 1; i <= 1001; i++) {
        dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
        msg.u.client_hello.major = DN_MAJOR;
        msg.u.client_hello.session = (dn_session_t){{1, (uint8_t) (i >> 8), (uint8_t) i}};
        msg.u.client_hello.link = 1;
        bench_feed (self, 1000 + i, &msg);
    }
    for (int i = 0; i < DN_CLIENT_GONE_BEATS + 10; i++) { /* in turns, as there is room */
        bench_held (self, WORKER, 0, NULL, 0);
        bench_pass (self, BEAT_MS);
    }
    assert_int_equal (dn_peers_count (dn_manager_peers (self->core), DN_ROLE_CLIENT), 0);
    dn_list_t list = forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0));
    assert_int_equal (list.count, 1000);
    assert_true (bench_named (list, 0));
    bench_held (self, WORKER, bench_mark (self, WORKER), NULL, 0);
    bench_pass (self, BEAT_MS);
    assert_int_equal (forgets_of (bench_sent (self, WORKER, DN_MSG_BEAT, 0)).count, 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (forgets_of (bench_sent (self, WORKER2, DN_MSG_WELCOME, 0)).count, 1000);
}

/*  ---- MISSING ---- */

/*  A call of an earlier boot. */
static const dn_row_open_t past_call = {
    .seq = 5, .attempt = 1, .try_no = 3, .epoch = PAST, .term = 1};

/*  Says what is wrong with the call: 1 it never ran, 0 nobody can know, -1 nothing is said. */
static int
missing (bench_t *self, dn_link_t client)
{
    bench_open (self, client, 0, &past_call, 1, 5);
    const dn_effect_t *row = bench_sent (self, client, DN_MSG_MISSING, 0);
    if (!row)
        return -1;
    assert_int_equal (row->msg.u.missing.seq, 5);
    assert_int_equal (row->msg.u.missing.try_no, 3);
    return row->msg.u.missing.never;
}

/*  Worker `who` says HELLO over `link` and names these in that version of the past roster. */
static void
names (bench_t *self, dn_link_t link, uint8_t who, uint32_t version, const char *sessions)
{
    dn_row_roster_t rows[8];
    bench_hello_t   hello = {.slots = 1, .roster = rows};
    for (const char *at = sessions; *at; at++)
        rows[hello.rosters++] =
            (dn_row_roster_t){PAST, version, bench_session ((uint8_t) (*at - '0'))};
    bench_hello (self, link, who, 1, &hello);
}

static void
never_is_said_as_soon_as_the_whole_roster_has_come_back (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    names (self, WORKER, 9, 1, "98");
    assert_int_equal (missing (self, CLIENT), -1);
    bench_worker (self, WORKER2, 8, 1, 1); /* it brings no roster, and is who was missing */
    assert_int_equal (missing (self, CLIENT), 1);
}

static void
unknown_is_said_after_settling_if_one_of_the_roster_has_not_come_back (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    names (self, WORKER, 9, 1, "98");
    bench_live (self, SETTLING - 1);
    assert_int_equal (missing (self, CLIENT), -1);
    bench_live (self, 1);
    assert_int_equal (missing (self, CLIENT), 0);
    bench_worker (self, WORKER2, 8, 1, 1);
    assert_int_equal (missing (self, CLIENT), 1); /* late, and true all the same */
}

static void
the_newest_version_of_a_roster_counts (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    names (self, WORKER, 9, 2, "9");
    assert_int_equal (missing (self, CLIENT), 1);
    names (self, WORKER2, 8, 3, "987");
    assert_int_equal (missing (self, CLIENT), -1);
}

static void
an_older_version_of_a_roster_does_not_count (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    names (self, WORKER, 9, 2, "98");
    names (self, WORKER2, 8, 1, "987");
    assert_int_equal (missing (self, CLIENT), 1);
}

static void
a_roster_with_nobody_in_it_proves_nothing (void **state)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    names (self, WORKER, 9, 1, "90");
    bench_live (self, SETTLING);
    assert_int_equal (missing (self, CLIENT), 0);
}

static void
settling_is_long_enough_to_connect_also_if_beats_are_short (void **state)
{
    bench_t *self = *state;
    self->config.heartbeat_ms = 200;
    bench_restart (self);
    bench_client (self, CLIENT, 1, 1);
    names (self, WORKER, 9, 1, "98");
    for (int i = 0; i < 3 + 3; i++) { /* 3 of silence, 3 for 500 ms */
        assert_int_equal (missing (self, CLIENT), -1);
        bench_pass (self, 200);
    }
    assert_int_equal (missing (self, CLIENT), 0);
}

static void
without_a_roster_of_that_epoch_nobody_can_know (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_live (self, SETTLING);
    assert_int_equal (missing (self, CLIENT), 0);
}

static void
a_client_that_some_worker_was_told_to_forget_is_told_unknown (void **state)
{
    bench_t        *self = *state;
    dn_row_roster_t row = {PAST, 1, bench_session (9)};
    bench_hello_t   hello = {
          .slots = 1, .roster = &row, .rosters = 1, .forgotten = (const uint8_t[]){4, 1, 0}};
    bench_client (self, CLIENT, 1, 1);
    bench_client (self, OTHER, 2, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    assert_int_equal (missing (self, OTHER), 1);
    assert_int_equal (missing (self, CLIENT), -1);
    bench_live (self, SETTLING);
    assert_int_equal (missing (self, CLIENT), 0);
}

static void
a_client_that_came_after_settling_is_told_unknown (void **state)
{
    bench_t *self = *state;
    names (self, WORKER, 9, 1, "9");
    bench_client (self, CLIENT, 1, 1);
    bench_live (self, SETTLING);
    bench_client (self, OTHER, 2, 1);
    assert_int_equal (missing (self, OTHER), 0);
    assert_int_equal (missing (self, CLIENT), 1);
}

static void
a_call_under_an_older_term_of_this_epoch_is_unknown_at_once (void **state)
{
    bench_t      *self = bench_up (state, 1);
    dn_row_open_t open = bench_call (5);
    bench_bye (self, CLIENT);
    bench_pass (self, 0);
    bench_client (self, OTHER, 1, 2);
    assert_int_equal (bench_sent (self, OTHER, DN_MSG_WELCOME, 0)->msg.u.welcome.term, 2);
    bench_open (self, OTHER, 0, &open, 1, 5);
    assert_int_equal (bench_sent (self, OTHER, DN_MSG_MISSING, 0)->msg.u.missing.never, 0);
    open.term = 2;
    bench_open (self, OTHER, 0, &open, 1, 5);
    assert_int_equal (bench_sent (self, OTHER, DN_MSG_MISSING, 0)->msg.u.missing.never, 1);
}

static void
a_call_that_a_worker_of_the_roster_brings_is_not_missing (void **state)
{
    bench_t        *self = *state;
    dn_row_roster_t row = {PAST, 1, bench_session (9)};
    dn_row_held_t   held = bench_row (1, 5, 0);
    bench_hello_t   hello = {.slots = 1, .roster = &row, .rosters = 1, .held = &held, .helds = 1};
    bench_client (self, CLIENT, 1, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    assert_int_equal (missing (self, CLIENT), -1);
    assert_non_null (bench_sent (self, CLIENT, DN_MSG_KNOWN, 0));
}

static void
nothing_is_called_missing_while_a_full_table_left_out_what_a_worker_has (void **state)
{
    bench_t        *self = *state;
    dn_row_held_t   held[9];
    dn_row_roster_t row = {PAST, 1, bench_session (9)};
    bench_hello_t   hello = {.slots = 9, .roster = &row, .rosters = 1, .held = held, .helds = 9};
    bench_client (self, CLIENT, 1, 1);
    for (uint64_t i = 0; i < 9; i++) /* one more than there are records */
        held[i] = bench_row (1, i == 8 ? 5 : i + 10, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    assert_int_equal (missing (self, CLIENT), -1);
}

static void
a_roster_of_this_epoch_is_not_learnt_from_workers (void **state)
{
    bench_t        *self = *state;
    dn_row_roster_t rows[] = {{BENCH_EPOCH, 9, bench_session (7)}, {PAST, 1, bench_session (9)}};
    bench_hello_t   hello = {.slots = 1, .roster = rows, .rosters = 2};
    bench_client (self, CLIENT, 1, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    dn_list_t roster = roster_of (bench_sent (self, WORKER, DN_MSG_WELCOME, 0));
    assert_int_equal (roster.count, 1);
    assert_int_equal (missing (self, CLIENT), 1);
}

static void
a_worker_that_joins_is_given_tasks_once_the_others_know_of_it (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1); /* the first one has no place left */
    bench_worker (self, WORKER2, 8, 1, 1);
    uint64_t mark = bench_mark (self, WORKER);
    bench_submit (self, CLIENT, 2);
    assert_int_equal (bench_reason (self, CLIENT), DENIM_REASON_BUSY);
    dn_row_held_t held = bench_row (1, 1, 1);
    bench_held (self, WORKER, mark, &held, 1);
    bench_submit (self, CLIENT, 2);
    assert_non_null (bench_sent (self, WORKER2, DN_MSG_RUN, 0));
}

static void
a_worker_that_joins_waits_two_beats_for_one_that_says_nothing (void **state)
{
    bench_t *self = bench_up (state, 1);
    bench_submit (self, CLIENT, 1);
    bench_worker (self, WORKER2, 8, 1, 1);
    bench_pass (self, BEAT_MS);
    bench_submit (self, CLIENT, 2);
    assert_null (bench_sent (self, WORKER2, DN_MSG_RUN, 0));
    bench_pass (self, BEAT_MS);
    bench_submit (self, CLIENT, 3);
    assert_non_null (bench_sent (self, WORKER2, DN_MSG_RUN, 0));
}

/*  What could not be recorded is remembered as that: when its worker is gone, and the table has
 *  room again, nobody is told that it never ran. */
static void
never_is_not_said_again_once_a_full_table_left_something_out (void **state)
{
    bench_t        *self = *state;
    dn_row_held_t   held[9];
    dn_row_roster_t row = {PAST, 1, bench_session (9)};
    bench_hello_t   hello = {.slots = 9, .roster = &row, .rosters = 1, .held = held, .helds = 9};
    bench_client (self, CLIENT, 1, 1);
    for (uint64_t i = 0; i < 9; i++)
        held[i] = bench_row (1, i == 8 ? 5 : i + 10, 1);
    bench_hello (self, WORKER, 9, 1, &hello);
    bench_bye (self, WORKER);
    for (int i = 0; i < 12; i++) {
        bench_client (self, CLIENT, 1, (uint32_t) i + 2);
        bench_pass (self, BEAT_MS);
    }
    assert_int_equal (missing (self, CLIENT), 0);
}

int
main (void)
{
#define T(name) cmocka_unit_test_setup_teardown (name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        T (welcome_names_all_workers_and_those_that_are_here_are_told_at_once),
        T (a_beat_brings_a_roster_only_if_it_is_news),
        T (a_worker_that_is_here_and_says_hello_again_is_no_news),
        T (a_roster_is_told_with_each_beat_until_one_of_them_is_answered),
        T (a_worker_that_is_gone_stays_in_the_roster_until_its_tasks_are_settled),
        T (a_worker_that_is_gone_with_a_task_of_a_client_that_is_gone_stays_in_the_roster),
        T (a_worker_that_is_gone_is_not_named_for_a_client_that_said_goodbye),
        T (a_worker_that_made_room_stays_in_the_roster_and_is_named_once_when_it_is_back),
        T (a_roster_that_cannot_name_all_who_are_gone_ends_with_nobody),
        T (who_was_forgotten_is_told_with_each_beat_until_one_of_them_is_answered),
        T (a_worker_that_joins_is_told_of_all_who_were_forgotten),
        T (who_is_given_up_between_two_beats_of_a_turn_is_told_of_with_the_next),
        T (a_roster_does_not_go_without_those_who_were_forgotten_before_it),
        T (a_client_that_said_goodbye_is_not_told_of),
        T (a_client_that_is_forgotten_once_more_is_told_of_once_more),
        T (a_worker_is_told_that_there_were_more_than_are_known),
        T (never_is_said_as_soon_as_the_whole_roster_has_come_back),
        T (unknown_is_said_after_settling_if_one_of_the_roster_has_not_come_back),
        T (the_newest_version_of_a_roster_counts),
        T (an_older_version_of_a_roster_does_not_count),
        T (a_roster_with_nobody_in_it_proves_nothing),
        T (settling_is_long_enough_to_connect_also_if_beats_are_short),
        T (without_a_roster_of_that_epoch_nobody_can_know),
        T (a_client_that_some_worker_was_told_to_forget_is_told_unknown),
        T (a_client_that_came_after_settling_is_told_unknown),
        T (a_call_under_an_older_term_of_this_epoch_is_unknown_at_once),
        T (a_call_that_a_worker_of_the_roster_brings_is_not_missing),
        T (nothing_is_called_missing_while_a_full_table_left_out_what_a_worker_has),
        T (a_roster_of_this_epoch_is_not_learnt_from_workers),
        T (a_worker_that_joins_is_given_tasks_once_the_others_know_of_it),
        T (a_worker_that_joins_waits_two_beats_for_one_that_says_nothing),
        T (never_is_not_said_again_once_a_full_table_left_something_out),
    };
    return cmocka_run_group_tests_name ("manager_roster", tests, NULL, NULL);
}
