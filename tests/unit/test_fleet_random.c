/*  test_fleet_random.c - whatever happens in whatever order, every task ends once
 *
 *  A false manager and false slots do what a random number says: tasks come, start, are answered,
 *  cancelled; slots die; the socket fills up, breaks, comes back. After each step the fleet asserts
 *  what must hold of it. In the end all is let run out, and every task that was taken has had
 *  exactly one answer or refusal. A seed that fails is printed: put it into `seeds`.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS     300
#define STEPS     400
#define TASKS_MAX 2000

static const uint64_t seeds[] = {0}; /* of failures that were found */

typedef struct {
    world_t *world;
    uint64_t random;
    uint64_t tasks;            /* numbers given so far */
    bool     connected;        /* the fleet is welcomed, as far as the manager knows */
    bool     taken[TASKS_MAX]; /* or refused at once; else the next list does not have it */
    uint32_t ends[TASKS_MAX];
} play_t;

static uint32_t
dice (play_t *play, uint32_t sides)
{
    play->random ^= play->random << 13;
    play->random ^= play->random >> 7;
    play->random ^= play->random << 17;
    return (uint32_t) (play->random >> 33) % sides;
}

static bool
is_end (const note_t *note)
{
    if (note->kind == DN_FX_RELAY || note->kind == DN_FX_RELAY_KEPT)
        return true;
    return note->kind == DN_FX_SEND && (note->msg == DN_MSG_RESULT || note->msg == DN_MSG_REFUSE);
}

/*  Read the notes of the last step: ends are counted, new processes are ready at some time. */
static void
take_notes (play_t *play)
{
    for (uint32_t i = 0; i < play->world->notes; i++) {
        const note_t *note = &play->world->note[i];
        if (is_end (note))
            play->ends[note->seq]++;
        if (note->kind == DN_FX_FRESH)
            play->connected = false;
    }
    world_forget_notes (play->world);
}

static bool
is_starting (const play_t *play, uint32_t slot)
{
    const world_slot_t *row = &play->world->slot[slot];
    return row->alive && !row->ready;
}

/*  ---- what may happen ---- */

static void
play_run (play_t *play)
{
    dn_submit_t fields = {0};
    bool        large = dice (play, 10) == 0;

    if (play->tasks + 1 >= TASKS_MAX)
        return;
    uint64_t seq = ++play->tasks;
    if (dice (play, 8) == 0)
        fields.deadline_ms = 1 + dice (play, 200);
    if (dice (play, 8) == 0)
        fields.hard_limit_ms = 1 + dice (play, 100);
    if (dice (play, 8) == 0)
        fields.soft_limit_ms = 1 + dice (play, 50);
    uint32_t kept = kept_count (play->world);
    world_run_with (play->world, seq, &fields, large ? 10000 : 10);
    take_notes (play);
    play->taken[seq] = play->ends[seq] || kept_count (play->world) > kept;
}

static void
play_start (play_t *play)
{
    uint32_t      number = dice (play, 3);
    world_slot_t *slot = &play->world->slot[number];
    if (slot->count && slot->task[slot->first + slot->count - 1].number > slot->started)
        world_start (play->world, number);
}

static void
play_answer (play_t *play)
{
    uint32_t number = dice (play, 3);
    if (in_channel (play->world, number))
        world_answer (play->world, number, dice (play, 4) ? dice (play, 100) : dice (play, 5000));
}

static void
play_ready (play_t *play)
{
    uint32_t number = dice (play, 3);
    if (is_starting (play, number))
        world_ready (play->world, number);
}

static void
play_exit (play_t *play)
{
    uint32_t number = dice (play, 3);
    if (dice (play, 4) == 0 && play->world->slot[number].alive)
        world_exit (play->world, number, dice (play, 2) ? SIGNALLED (9) : EXITED (1));
}

/*  Those that were killed or asked to end do, as a rule. */
static void
play_obey (play_t *play)
{
    for (uint32_t number = 0; number < 3; number++)
        if (play->world->slot[number].alive && play->world->slot[number].doomed)
            world_exit (play->world, number, SIGNALLED (9));
}

static void
play_cancel (play_t *play)
{
    if (play->tasks)
        world_about (play->world, DN_MSG_CANCEL, 1 + dice (play, (uint32_t) play->tasks),
                     (uint8_t) (1 + dice (play, 2)));
}

static void
play_pass (play_t *play)
{
    world_pass (play->world, dice (play, 20) ? dice (play, 8) : dice (play, 400));
}

static void
play_full (play_t *play)
{
    if (dice (play, 3) == 0)
        play->world->full = true;
}

static void
play_writable (play_t *play)
{
    play->world->full = false;
    if (dn_fleet_wants_writable (play->world->fleet))
        world_writable (play->world);
}

static void
play_welcome (play_t *play)
{
    if (play->connected)
        return;
    play_writable (play);
    world_welcome (play->world, 1);
    play->connected = true;
}

static void
play_beat (play_t *play)
{
    world_beat (play->world, 1, ++play->world->beats);
}

static void
call_disconnected (world_t *world, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_disconnected (world->fleet, world->now_ms, fx);
}

static void
play_disconnected (play_t *play)
{
    if (dice (play, 10) == 0)
        world_call (play->world, call_disconnected, NULL);
}

static void
play_who (play_t *play)
{
    if (dice (play, 10))
        return;
    world_say (play->world, DN_MSG_WHO);
    play->connected = false;
}

static void
play_rss (play_t *play)
{
    uint32_t number = dice (play, 3);
    if (play->world->slot[number].alive)
        world_rss (play->world, number, dice (play, 20) ? 10 : 2000);
}

typedef void (play_fn) (play_t *play);

static play_fn *const plays[] = {
    play_run,    play_run,     play_run,     play_run,  play_start,        play_start,
    play_answer, play_answer,  play_answer,  play_exit, play_ready,        play_obey,
    play_cancel, play_pass,    play_pass,    play_full, play_writable,     play_beat,
    play_who,    play_welcome, play_welcome, play_rss,  play_disconnected,
};

/*  ---- one game ---- */

/*  Everything good happens until nothing is held any more. */
static void
run_out (play_t *play)
{
    for (int i = 0; i < 2000 && kept_count (play->world); i++) {
        play_welcome (play);
        play_writable (play);
        play_obey (play);
        for (uint32_t number = 0; number < 3; number++) {
            if (is_starting (play, number))
                world_ready (play->world, number);
            while (in_channel (play->world, number))
                world_answer (play->world, number, 10);
        }
        world_pass (play->world, 50);
        play_beat (play);
        take_notes (play);
    }
    play_welcome (play);
    play_writable (play);
    world_pass (play->world, 50);
    take_notes (play);
}

static void
game (uint64_t seed)
{
    static play_t     play;
    dn_fleet_config_t config = world_config ();

    memset (&play, 0, sizeof play);
    play.random = seed * 0x9e3779b97f4a7c15ull + 1;
    config.slots = 3;
    config.seed = seed;
    config.standby = 40;
    config.grace_ms = 20;
    config.rss_max = 1000;
    config.outbox_bytes = 300;
    config.recycle_tasks = dice (&play, 2) ? 30 : 0;
    play.world = world_up (&config);
    play.connected = true;
    for (int step = 0; step < STEPS; step++) {
        plays[dice (&play, sizeof plays / sizeof plays[0])](&play);
        take_notes (&play);
    }
    run_out (&play);
    for (uint64_t seq = 1; seq <= play.tasks; seq++)
        if (play.ends[seq] != (play.taken[seq] ? 1 : 0))
            fail_msg ("seed %llu: task %llu has ended %u times", (unsigned long long) seed,
                      (unsigned long long) seq, play.ends[seq]);
    world_free (play.world);
}

static void
every_task_ends_once (void **state)
{
    const char *one = getenv ("DENIM_SEED");
    (void) state;

    if (one) {
        game (strtoull (one, NULL, 10));
        return;
    }
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        game (seeds[i]);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        game (seed);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test (every_task_ends_once)};
    return cmocka_run_group_tests (tests, NULL, NULL);
}
