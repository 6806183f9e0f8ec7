/*  test_pace.c - hold and retry: the policy against a toy manager with a number of places
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define CALLS_MAX 4096

/*  A manager with `places`; a call in one ends after `run_ms`. Calls are held without end. */
typedef struct {
    dn_pace_t pace;
    int64_t   now_ms;
    uint32_t  places;
    int64_t   run_ms;
    uint32_t  known; /* calls get a KNOWN in the turn after they were placed */
    uint32_t  running;
    struct {
        int64_t ends_ms;
        bool    probe;
        bool    told; /* the pace knows that it is placed */
    } call[CALLS_MAX];
    uint64_t submits;
    uint64_t rejects;
    uint64_t results;
} toy_t;

static void
toy_init (toy_t *toy, uint32_t places, int64_t run_ms)
{
    memset (toy, 0, sizeof *toy);
    toy->places = places;
    toy->run_ms = run_ms;
    dn_pace_init (&toy->pace, 42);
}

static void
toy_end (toy_t *toy, uint32_t i)
{
    if (!toy->call[i].told)
        dn_pace_placed (&toy->pace, toy->call[i].probe, false);
    dn_pace_ended (&toy->pace, toy->call[i].told);
    toy->call[i] = toy->call[--toy->running];
    toy->results++;
}

/*  One millisecond: answers come in, then the client sends what it may. */
static void
toy_turn (toy_t *toy)
{
    toy->now_ms++;
    for (uint32_t i = 0; i < toy->running;) {
        if (toy->call[i].ends_ms <= toy->now_ms) {
            toy_end (toy, i);
            continue;
        }
        if (toy->known && !toy->call[i].told) {
            toy->call[i].told = true;
            dn_pace_placed (&toy->pace, toy->call[i].probe, true);
        }
        i++;
    }
    dn_pace_tick (&toy->pace, toy->now_ms);
    uint32_t refused = 0;
    while (dn_pace_room (&toy->pace)) {
        bool probe = dn_pace_sent (&toy->pace, false, toy->now_ms);
        toy->submits++;
        if (toy->running == toy->places) {
            refused++;
            continue;
        }
        toy->call[toy->running].ends_ms = toy->now_ms + toy->run_ms;
        toy->call[toy->running].told = false;
        toy->call[toy->running++].probe = probe;
    }
    dn_pace_settle (&toy->pace);
    for (; refused; refused--, toy->rejects++)
        dn_pace_refused (&toy->pace, false, false, 20, toy->now_ms);
    dn_pace_check (&toy->pace);
    assert_true (toy->pace.in_flight == toy->running);
}

static void
toy_run (toy_t *toy, int turns)
{
    while (turns--)
        toy_turn (toy);
}

static void
starts_with_eight_and_grows_with_each_answer (void **state)
{
    static toy_t toy;
    (void) state;

    toy_init (&toy, 1000, 10);
    assert_int_equal (dn_pace_room (&toy.pace), 8);
    toy_turn (&toy);
    assert_int_equal (toy.running, 8);
    toy_run (&toy, 10);
    assert_int_equal (toy.running, 16);
    toy_run (&toy, 50);
    assert_int_equal (toy.running, 512);
    assert_int_equal (toy.rejects, 0);
}

static void
caller_with_one_call_at_a_time_gets_no_burst_to_use_later (void **state)
{
    dn_pace_t pace;
    (void) state;

    dn_pace_init (&pace, 1);
    for (int i = 0; i < 1000; i++) {
        dn_pace_sent (&pace, false, 0);
        dn_pace_settle (&pace);
        dn_pace_placed (&pace, false, false);
        dn_pace_ended (&pace, false);
    }
    assert_int_equal (dn_pace_room (&pace), 8);
}

static void
calls_that_are_known_to_run_do_not_hold_others_back (void **state)
{
    dn_pace_t pace;
    (void) state;

    dn_pace_init (&pace, 1);
    for (int i = 0; i < 8; i++) { /* one by one, each known before the next is wanted */
        dn_pace_sent (&pace, false, 0);
        dn_pace_placed (&pace, false, true);
        dn_pace_settle (&pace);
    }
    assert_int_equal (dn_pace_room (&pace), 8);
    for (int i = 0; i < 8; i++)
        dn_pace_sent (&pace, false, 0);
    assert_int_equal (dn_pace_room (&pace), 0);
    dn_pace_refused (&pace, false, false, 20, 0);
    assert_int_equal (pace.allowed, 15);
}

static void
long_tasks_fill_many_places_as_fast_as_known_comes (void **state)
{
    static toy_t toy;
    (void) state;

    toy_init (&toy, 500, 100000);
    toy.known = 1;
    toy_run (&toy, 20);
    assert_int_equal (toy.running, 500);
}

static void
reject_lowers_it_to_what_really_runs (void **state)
{
    static toy_t toy;
    (void) state;

    toy_init (&toy, 3, 1000);
    toy_turn (&toy);
    assert_int_equal (toy.running, 3);
    assert_int_equal (toy.rejects, 5);
    assert_int_equal (dn_pace_room (&toy.pace), 0);
}

static void
one_submit_follows_each_result (void **state)
{
    dn_pace_t pace;
    (void) state;

    dn_pace_init (&pace, 1);
    for (int i = 0; i < 8; i++)
        dn_pace_sent (&pace, false, 0);
    for (int i = 0; i < 5; i++)
        dn_pace_refused (&pace, false, false, 20, 0);
    for (int i = 0; i < 2; i++) {
        dn_pace_placed (&pace, false, false);
        dn_pace_ended (&pace, false);
    }
    assert_int_equal (dn_pace_room (&pace), 2);
}

static void
places_that_came_free_in_the_same_turn_are_not_lost_to_a_reject (void **state)
{
    dn_pace_t pace;
    (void) state;

    dn_pace_init (&pace, 1);
    for (int i = 0; i < 8; i++)
        dn_pace_sent (&pace, false, 0);
    for (int i = 0; i < 4; i++) {
        dn_pace_placed (&pace, false, false);
        dn_pace_ended (&pace, false);
    }
    dn_pace_refused (&pace, false, false, 20, 0);
    assert_int_equal (dn_pace_room (&pace), 4);
}

static void
steady_overload_is_refused_less_than_twice_in_a_hundred (void **state)
{
    static toy_t          toy;
    static const uint32_t places[] = {1, 2, 8, 130, 1000};
    (void) state;

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        toy_init (&toy, places[i], 2);
        toy_run (&toy, 10000); /* ten seconds of short tasks */
        toy.submits = toy.rejects = toy.results = 0;
        toy_run (&toy, 20000);
        assert_true (toy.rejects * 50 < toy.submits);
        assert_true (toy.results * 100 >= 99 * (places[i] * 20000ULL / 2)); /* and none idles */
    }
}

static void
new_places_are_found_within_seconds (void **state)
{
    static toy_t toy;
    (void) state;

    toy_init (&toy, 2, 5);
    toy_run (&toy, 5000);
    toy.places = 200;
    toy_run (&toy, 3000);
    assert_int_equal (toy.running, 200);

    toy_init (&toy, 2, 1000); /* long tasks: by the timer, then by KNOWN */
    toy.known = 1;
    toy_run (&toy, 5000);
    toy.places = 200;
    toy_run (&toy, 4000);
    assert_int_equal (toy.running, 200);
}

static void
without_any_place_it_asks_ever_more_rarely_but_every_two_seconds (void **state)
{
    static toy_t toy;
    (void) state;

    toy_init (&toy, 0, 1);
    toy_run (&toy, 10000);
    assert_in_range (toy.submits, 8 + 5, 8 + 30);
    for (int i = 0; i < 20; i++) {
        uint64_t before = toy.submits;
        toy_run (&toy, 2001);
        assert_true (toy.submits > before);
    }
    toy.places = 4; /* and then it is all there at once */
    toy_run (&toy, 2100);
    assert_true (toy.results > 0);
}

/*  Its first calls have all been refused. */
static dn_pace_t
refused (bool turn)
{
    dn_pace_t pace;
    dn_pace_init (&pace, 1);
    for (int i = 0; i < DN_PACE_START; i++)
        dn_pace_sent (&pace, false, 0);
    for (int i = 0; i < DN_PACE_START; i++)
        dn_pace_refused (&pace, false, turn, 2000, 0);
    assert_int_equal (dn_pace_room (&pace), 0);
    return pace;
}

static void
granted_calls_are_never_held_back (void **state)
{
    dn_pace_t pace = refused (false);
    (void) state;

    for (int i = 0; i < 5; i++)
        assert_false (dn_pace_sent (&pace, true, 0));
    assert_int_equal (pace.in_flight, 5);
    dn_pace_ended (&pace, false);
    assert_int_equal (dn_pace_room (&pace), 0);
    dn_pace_check (&pace);
}

/*  So that clients which were refused together do not come back together. */
static void
timers_of_many_clients_are_spread_over_all_of_the_wait (void **state)
{
    enum { CLIENTS = 1000, PARTS = 10, WAIT_MS = 500 };
    uint32_t count[PARTS] = {0};
    (void) state;

    for (uint64_t seed = 1; seed <= CLIENTS; seed++) {
        dn_pace_t pace;
        dn_pace_init (&pace, seed);
        dn_pace_sent (&pace, false, 0);
        dn_pace_refused (&pace, false, false, WAIT_MS, 0);
        int64_t due_ms = dn_pace_deadline_ms (&pace);
        assert_in_range (due_ms, 1, WAIT_MS);
        count[(due_ms - 1) * PARTS / WAIT_MS]++;
    }
    for (int i = 0; i < PARTS; i++)
        assert_in_range (count[i], CLIENTS / PARTS / 2, CLIENTS / PARTS * 3 / 2);
}

static void
two_timers_of_one_client_are_not_the_same (void **state)
{
    (void) state;
    dn_pace_t pace = refused (false);
    int64_t   first_ms = dn_pace_deadline_ms (&pace);
    dn_pace_tick (&pace, first_ms);
    dn_pace_sent (&pace, false, first_ms);
    int64_t second_ms = dn_pace_deadline_ms (&pace) - first_ms;
    assert_in_range (first_ms, 1, DN_PACE_WAIT_MAX_MS);
    assert_in_range (second_ms, 1, DN_PACE_WAIT_MAX_MS);
    assert_true (first_ms != second_ms);
}

/*  A client that waited for its turn, and whose last held call was granted a place, holds the next
 *  one back for no reason that it knows of: it has no ticket. */
static void
who_is_alone_again_has_the_places_that_it_had (void **state)
{
    (void) state;
    dn_pace_t pace;
    dn_pace_init (&pace, 42);
    for (int i = 0; i < 9; i++)
        dn_pace_sent (&pace, false, 0);
    dn_pace_refused (&pace, false, true, 10, 0);
    for (int i = 0; i < 6; i++)
        dn_pace_ended (&pace, false);
    assert_int_equal (dn_pace_room (&pace), 0);
    dn_pace_alone (&pace, 1);
    assert_int_equal (dn_pace_room (&pace), 6); /* eight had places, two still have */

    for (int i = 0; i < 6; i++)
        dn_pace_sent (&pace, false, 0);
    for (int i = 0; i < 4; i++) { /* others have come and taken four */
        dn_pace_refused (&pace, false, true, 10, 0);
        dn_pace_check (&pace);
    }
    dn_pace_ended (&pace, false);
    dn_pace_alone (&pace, 1);
    assert_int_equal (dn_pace_room (&pace), 1);
}

/*  Who is served in turn has a timer that is far away; it does not hold back what comes later. */
static void
who_is_alone_again_and_refused_then_waits_no_longer_than_it_is_told (void **state)
{
    (void) state;
    dn_pace_t pace;
    dn_pace_init (&pace, 42);
    dn_pace_sent (&pace, false, 0);
    dn_pace_refused (&pace, false, true, DN_PACE_WAIT_MAX_MS, 0);
    dn_pace_sent (&pace, true, 0);
    dn_pace_alone (&pace, 1);
    dn_pace_ended (&pace, false);
    dn_pace_sent (&pace, false, 0);
    while (dn_pace_room (&pace))
        dn_pace_sent (&pace, false, 0);
    while (pace.in_flight) {
        dn_pace_refused (&pace, false, false, 50, 0);
        dn_pace_check (&pace);
    }
    assert_int_equal (dn_pace_room (&pace), 0);
    assert_in_range (dn_pace_deadline_ms (&pace), 1, 50);
}

static void
who_holds_nothing_tries_the_next_call_at_once (void **state)
{
    dn_pace_t pace = refused (true);
    (void) state;

    dn_pace_idle (&pace);
    dn_pace_sent (&pace, true, 10);
    dn_pace_settle (&pace);
    assert_int_equal (dn_pace_room (&pace), 1);
    assert_true (dn_pace_sent (&pace, false, 20));
    assert_int_equal (dn_pace_room (&pace), 0);
    dn_pace_placed (&pace, true, true); /* places are free again: it finds them fast */
    assert_int_equal (dn_pace_room (&pace), 2);
    dn_pace_check (&pace);
}

static void
another_manager_voids_what_was_learned (void **state)
{
    dn_pace_t pace;
    (void) state;

    dn_pace_init (&pace, 1);
    for (int i = 0; i < 8; i++)
        dn_pace_sent (&pace, false, 0);
    for (int i = 0; i < 6; i++)
        dn_pace_refused (&pace, false, false, 2000, 0);
    dn_pace_reset (&pace);
    assert_int_equal (pace.in_flight, 2);
    assert_int_equal (dn_pace_room (&pace), 8);
    assert_true (dn_pace_deadline_ms (&pace) == INT64_MAX);
}

/*  It has filled the places that it was granted, and knows of each that it is filled. */
static dn_pace_t
alone (uint32_t granted)
{
    dn_pace_t pace = refused (true);
    dn_pace_alone (&pace, granted);
    for (uint32_t i = 0; i < granted; i++)
        dn_pace_sent (&pace, true, 10);
    for (uint32_t i = 0; i < granted; i++)
        dn_pace_placed (&pace, false, true);
    dn_pace_settle (&pace);
    return pace;
}

static void
who_was_alone_asks_for_more_places_while_its_tasks_run (void **state)
{
    dn_pace_t pace = alone (3);
    (void) state;

    assert_int_equal (dn_pace_room (&pace), 0);
    int64_t due_ms = dn_pace_deadline_ms (&pace);
    assert_in_range (due_ms, 10 + 1, 10 + DN_PACE_WAIT_MAX_MS);
    dn_pace_tick (&pace, due_ms);
    assert_int_equal (dn_pace_room (&pace), 1);
    bool probe = dn_pace_sent (&pace, false, due_ms);
    assert_true (probe);
    assert_in_range (dn_pace_deadline_ms (&pace), due_ms + DN_PACE_WAIT_MAX_MS / 2,
                     due_ms + DN_PACE_WAIT_MAX_MS); /* one, and time for its answer */
    dn_pace_placed (&pace, probe, true);
    assert_int_equal (dn_pace_room (&pace), 2); /* there are places: it finds them fast */
    dn_pace_check (&pace);
}

/*  The timer has run while nothing was held. */
static void
who_was_alone_tries_at_once_what_comes_long_after (void **state)
{
    dn_pace_t pace = alone (1);
    (void) state;

    dn_pace_idle (&pace);
    assert_int_equal (dn_pace_room (&pace), 0);
    dn_pace_tick (&pace, 10 + DN_PACE_WAIT_MAX_MS);
    assert_int_equal (dn_pace_room (&pace), 1);
}

static void
probe_goes_beyond_what_was_granted (void **state)
{
    dn_pace_t pace = refused (false);
    (void) state;

    dn_pace_tick (&pace, DN_PACE_WAIT_MAX_MS);
    bool probe = dn_pace_sent (&pace, false, DN_PACE_WAIT_MAX_MS);
    for (int i = 0; i < 5; i++) /* as the answer to a GRANT of before */
        dn_pace_sent (&pace, true, DN_PACE_WAIT_MAX_MS);
    dn_pace_placed (&pace, probe, true);
    assert_true (dn_pace_room (&pace) > 0);
    dn_pace_check (&pace);
}

/*  ---- whatever happens ---- */

#define GAMES      3000
#define STEPS      400
#define GAME_CALLS 40

/*  A session with one line, and a manager that does what a random number says. */
typedef struct {
    dn_pace_t pace;
    uint64_t  random;
    int64_t   now_ms;
    uint32_t  held;
    uint32_t  out;
    struct {
        bool probe;
        bool known;
    } call[GAME_CALLS];
    uint32_t turns; /* calls granted, to be sent with the next pump */
} game_t;

static uint32_t
roll (game_t *game, uint32_t sides)
{
    game->random ^= game->random << 13;
    game->random ^= game->random >> 7;
    game->random ^= game->random << 17;
    return (uint32_t) (game->random >> 33) % sides;
}

static uint32_t
unanswered (const game_t *game)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < game->out; i++)
        count += !game->call[i].known;
    return count;
}

static void
game_unhold (game_t *game)
{
    if (--game->held)
        return;
    dn_pace_idle (&game->pace);
    dn_pace_settle (&game->pace);
}

static void
game_send (game_t *game, bool granted)
{
    game_unhold (game);
    bool probe = dn_pace_sent (&game->pace, granted, game->now_ms);
    if (game->held == 0)
        dn_pace_settle (&game->pace);
    game->call[game->out].probe = probe;
    game->call[game->out++].known = false;
}

/*  As the session does after each batch of messages. What goes without a grant is room that there
 *  was, or the timer's one. */
static void
game_pump (game_t *game)
{
    for (; game->turns && game->held; game->turns--)
        game_send (game, true);
    game->turns = 0;
    if (game->held) {
        uint32_t room = dn_pace_room (&game->pace);
        dn_pace_tick (&game->pace, game->now_ms);
        assert_true (dn_pace_room (&game->pace) == room ||
                     (room == 0 && dn_pace_room (&game->pace) == 1));
    }
    while (game->held && dn_pace_room (&game->pace))
        game_send (game, false);
    if (game->held)
        dn_pace_settle (&game->pace);
}

/*  The answer of `kind` to one of the calls on their way. */
static void
game_answer (game_t *game, uint32_t kind)
{
    uint32_t i = roll (game, game->out);
    bool     known = game->call[i].known;
    if (kind == 0) { /* KNOWN */
        if (!known)
            dn_pace_placed (&game->pace, game->call[i].probe, true);
        game->call[i].known = true;
        return;
    }
    if (kind == 1 && !known) /* RESULT */
        dn_pace_placed (&game->pace, game->call[i].probe, false);
    if (kind == 1 && game->held)
        dn_pace_ended (&game->pace, known);
    else if (kind == 2) /* REJECT */
        dn_pace_refused (&game->pace, known, roll (game, 2), roll (game, 3000), game->now_ms);
    else
        dn_pace_left (&game->pace, known);
    game->call[i] = game->call[--game->out];
    if (kind == 2)
        game->held++;
}

static void
game_step (game_t *game)
{
    uint32_t kind = roll (game, 16);
    if (kind < 4 && game->held + game->out < GAME_CALLS)
        game->held++;
    else if (kind < 13 && game->out)
        game_answer (game, kind < 7 ? 0 : kind < 9 ? 1 : kind < 12 ? 2 : 3);
    else if (kind == 13 && game->held) /* ended while it was held */
        game_unhold (game);
    else if (kind == 14) { /* GRANT */
        game->turns = 1 + roll (game, 4);
        if (roll (game, 2))
            dn_pace_alone (&game->pace, game->turns);
    } else if (kind == 15 && roll (game, 20) == 0)
        dn_pace_reset (&game->pace);
}

/*  Calls are held and none may go: it is over within the longest wait, whatever the answers that
 *  come, or there are answers to come which make room. */
static void
game_check (game_t *game)
{
    dn_pace_check (&game->pace);
    assert_int_equal (game->pace.in_flight, game->out);
    if (game->held == 0 || dn_pace_room (&game->pace))
        return;
    if (dn_pace_deadline_ms (&game->pace) == INT64_MAX)
        assert_true (!game->pace.refused && unanswered (game) >= DN_PACE_START);
    else
        assert_true (dn_pace_deadline_ms (&game->pace) <= game->now_ms + DN_PACE_WAIT_MAX_MS);
}

static void
while_calls_are_held_and_none_may_go_a_timer_runs (void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= GAMES; seed++) {
        game_t game = {.random = seed * 0x9e3779b97f4a7c15ULL + 1};
        dn_pace_init (&game.pace, seed);
        for (int step = 0; step < STEPS; step++) {
            game.now_ms += roll (&game, 4) ? roll (&game, 3) : roll (&game, 3000);
            for (uint32_t events = roll (&game, 4); events; events--) {
                game_step (&game);
                dn_pace_check (&game.pace);
            }
            game_pump (&game);
            game_check (&game);
        }
    }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (starts_with_eight_and_grows_with_each_answer),
        cmocka_unit_test (caller_with_one_call_at_a_time_gets_no_burst_to_use_later),
        cmocka_unit_test (calls_that_are_known_to_run_do_not_hold_others_back),
        cmocka_unit_test (long_tasks_fill_many_places_as_fast_as_known_comes),
        cmocka_unit_test (reject_lowers_it_to_what_really_runs),
        cmocka_unit_test (one_submit_follows_each_result),
        cmocka_unit_test (places_that_came_free_in_the_same_turn_are_not_lost_to_a_reject),
        cmocka_unit_test (steady_overload_is_refused_less_than_twice_in_a_hundred),
        cmocka_unit_test (new_places_are_found_within_seconds),
        cmocka_unit_test (without_any_place_it_asks_ever_more_rarely_but_every_two_seconds),
        cmocka_unit_test (granted_calls_are_never_held_back),
        cmocka_unit_test (timers_of_many_clients_are_spread_over_all_of_the_wait),
        cmocka_unit_test (two_timers_of_one_client_are_not_the_same),
        cmocka_unit_test (who_is_alone_again_has_the_places_that_it_had),
        cmocka_unit_test (who_is_alone_again_and_refused_then_waits_no_longer_than_it_is_told),
        cmocka_unit_test (who_holds_nothing_tries_the_next_call_at_once),
        cmocka_unit_test (another_manager_voids_what_was_learned),
        cmocka_unit_test (who_was_alone_asks_for_more_places_while_its_tasks_run),
        cmocka_unit_test (who_was_alone_tries_at_once_what_comes_long_after),
        cmocka_unit_test (probe_goes_beyond_what_was_granted),
        cmocka_unit_test (while_calls_are_held_and_none_may_go_a_timer_runs),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
