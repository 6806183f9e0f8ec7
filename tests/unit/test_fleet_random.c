/*  test_fleet_random.c - whatever happens in whatever order, every task ends once
 *
 *  A false manager and false slots do what a random number says: tasks come, start, wait in nested
 *  calls, are answered, cancelled; slots die; the socket fills up, breaks, comes back; what the
 *  fleet sends gets lost. The manager settles what it has heard of, soon or late, and asks again
 *  for what a list says has ended and it has not heard of; at times it settles what nobody wants,
 *  forgets a client, gives a task that was refused once more. After each step the fleet asserts
 *  what must hold of it, and nothing was sent that was not asked for. In the end all is let run
 *  out: every task that was taken has had exactly one answer or refusal, and nothing is held any
 *  more. A seed that fails is printed: put it into `seeds`.
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

/*  What the false manager knows of a task. */
typedef struct {
    bool     taken;    /* the fleet has it, or has said that it takes it not */
    bool     heard;    /* its end has arrived, */
    bool     refused;  /* and that was the REFUSE of a task that was held */
    bool     unwanted; /* settled or forgotten before its end arrived */
    bool     settled;  /* SETTLED was sent */
    bool     let_go;   /* and has arrived: nothing may be sent for it any more */
    uint32_t sends;    /* of its end, lost or not */
    uint32_t asked;    /* RESENDs */
} fate_t;

typedef struct {
    uint64_t seed;
    world_t *world;
    uint64_t random;
    uint32_t rows;      /* of slots, with those that work in lent places */
    uint64_t tasks;     /* numbers given so far */
    bool     connected; /* the fleet is welcomed, as far as the manager knows */
    bool     lossless;  /* all that is sent arrives, from here on */
    fate_t   fate[TASKS_MAX];
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
is_lost (play_t *play)
{
    return !play->lossless && dice (play, 4) == 0;
}

static void
demand (const play_t *play, bool holds, uint64_t seq, const char *text)
{
    if (!holds)
        fail_msg ("seed %llu: task %llu %s", (unsigned long long) play->seed,
                  (unsigned long long) seq, text);
}

/*  ---- what the manager hears ---- */

static bool
is_end (const note_t *note)
{
    if (note->kind == DN_FX_RELAY_KEPT)
        return true;
    return note->kind == DN_FX_SEND && (note->msg == DN_MSG_RESULT || note->msg == DN_MSG_REFUSE);
}

/*  An end is sent once, and once more each time that it is asked for. */
static void
take_end (play_t *play, const note_t *note)
{
    fate_t *fate = &play->fate[note->seq];
    bool    refused = note->kind == DN_FX_SEND && note->msg == DN_MSG_REFUSE;

    demand (play, !fate->let_go, note->seq, "is sent although it was let go of");
    demand (play, fate->sends <= fate->asked, note->seq, "is sent without being asked for");
    fate->sends++;
    if (refused && !note->held) { /* there is nothing to settle, and lists say as much */
        fate->heard = fate->let_go = true;
        return;
    }
    if (is_lost (play))
        return;
    demand (play, !fate->heard || fate->refused == refused, note->seq, "has ended in two ways");
    fate->heard = true;
    fate->refused = refused;
}

static void
ask_again (play_t *play, uint64_t seq)
{
    if (is_lost (play))
        return;
    play->fate[seq].asked++;
    world_about (play->world, DN_MSG_RESEND, seq, 0);
}

static void
settle (play_t *play, uint64_t seq)
{
    fate_t *fate = &play->fate[seq];
    fate->settled = true;
    if (is_lost (play))
        return;
    fate->let_go |= play->connected;
    world_settle (play->world, seq);
}

/*  What a HELLO or a HELD lists, and what not. */
static void
take_list (play_t *play)
{
    static uint8_t listed[WORLD_SEQS];

    memcpy (listed, play->world->listed, sizeof listed);
    for (uint64_t seq = 1; seq <= play->tasks; seq++) {
        fate_t *fate = &play->fate[seq];
        bool    refused = listed[seq] == 4 + 1;
        bool    finished = listed[seq] == 2 + 1 || refused;
        demand (play, listed[seq] || !fate->taken || fate->heard || fate->unwanted, seq,
                "is not held any more and has not ended");
        demand (play, !finished || !fate->let_go, seq, "is kept although it was let go of");
        demand (play, !refused || !fate->heard || fate->refused, seq, "has ended in two ways");
        if (refused) /* which says as much as its REFUSE */
            fate->heard = fate->refused = true;
        if (finished && fate->settled)
            settle (play, seq);
        else if (finished && !fate->heard)
            ask_again (play, seq);
    }
}

/*  Read the notes of the last step. */
static void
take_notes (play_t *play)
{
    bool list = false;

    for (uint32_t i = 0; i < play->world->notes; i++) {
        const note_t *note = &play->world->note[i];
        if (is_end (note))
            take_end (play, note);
        if (note->kind == DN_FX_FRESH)
            play->connected = false;
        if (note->kind == DN_FX_SEND &&
            (note->msg == DN_MSG_HELD || note->msg == DN_MSG_WORKER_HELLO)) {
            assert_true (note->rows < DN_HELD_ROWS_MAX);
            list = !is_lost (play);
        }
    }
    world_forget_notes (play->world);
    if (!list)
        return;
    take_list (play);
    take_notes (play);
}

static bool
is_starting (const play_t *play, uint32_t slot)
{
    const world_slot_t *row = &play->world->slot[slot];
    return row->alive && !row->ready;
}

/*  ---- what may happen ---- */

static const dn_session_t *
client_of (uint64_t seq)
{
    return seq % 4 ? &world_client : &world_other;
}

/*  Number 0 if there is none. */
static uint64_t
any_task (play_t *play)
{
    return play->tasks ? 1 + dice (play, (uint32_t) play->tasks) : 0;
}

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
    if (dice (play, 2))
        fields.flags = 2;
    if (dice (play, 2))
        fields.depth = (uint8_t) dice (play, DENIM_NESTING_MAX + 2);
    uint32_t kept = kept_count (play->world);
    world_run_of (play->world, client_of (seq), seq, &fields, large ? 10000 : 10);
    play->fate[seq].taken = kept_count (play->world) > kept || sends_of (play->world, seq);
    take_notes (play);
}

/*  Nothing of it ran, so it is given once more, whether SETTLED has arrived or not. */
static void
play_run_again (play_t *play)
{
    uint64_t seq = any_task (play);
    fate_t  *fate = &play->fate[seq];

    world_pass (play->world, 0);
    take_notes (play);
    if (!play->connected || play->world->full || dn_fleet_wants_writable (play->world->fleet) ||
        !fate->heard || !fate->refused)
        return;
    *fate = (fate_t){.taken = true};
    world_run_of (play->world, client_of (seq), seq, &(dn_submit_t){0}, 10);
}

/*  The manager knows of some ends that their clients have them. */
static void
play_settle (play_t *play)
{
    for (uint64_t seq = 1; seq <= play->tasks; seq++)
        if (play->fate[seq].heard && !play->fate[seq].settled && dice (play, 2))
            settle (play, seq);
}

/*  Nobody wants it any more, whatever it is at. */
static void
play_unwanted (play_t *play)
{
    uint64_t seq = any_task (play);
    if (!seq || dice (play, 4) || !play->fate[seq].taken)
        return;
    play->fate[seq].unwanted = true;
    settle (play, seq);
}

static void
play_forget (play_t *play)
{
    if (dice (play, 20) || !play->connected)
        return;
    for (uint64_t seq = 4; seq <= play->tasks; seq += 4)
        play->fate[seq].unwanted = play->fate[seq].let_go = true;
    world_forget (play->world, &world_other);
}

static void
play_start (play_t *play)
{
    uint32_t      number = dice (play, play->rows);
    world_slot_t *slot = &play->world->slot[number];
    if (slot->count && slot->task[slot->first + slot->count - 1].number > slot->started)
        world_start (play->world, number);
}

/*  Mostly it has started; else the fleet is not to believe it. */
static void
play_wait (play_t *play)
{
    uint32_t            number = dice (play, play->rows);
    const world_slot_t *slot = &play->world->slot[number];
    uint64_t            seq = in_channel (play->world, number) ? slot->task[slot->first].seq : 1;
    if (slot->ready)
        world_waits (play->world, number, dice (play, 3) ? DN_MSG_LEND : DN_MSG_BACK, seq);
}

static void
play_answer (play_t *play)
{
    uint32_t number = dice (play, play->rows);
    if (in_channel (play->world, number))
        world_answer (play->world, number, dice (play, 4) ? dice (play, 100) : dice (play, 5000));
}

static void
play_ready (play_t *play)
{
    uint32_t number = dice (play, play->rows);
    if (is_starting (play, number))
        world_ready (play->world, number);
}

static void
play_exit (play_t *play)
{
    uint32_t number = dice (play, play->rows);
    if (dice (play, 4) == 0 && play->world->slot[number].alive)
        world_exit (play->world, number, dice (play, 2) ? SIGNALLED (9) : EXITED (1));
}

/*  Those that were killed or asked to end do, as a rule. */
static void
play_obey (play_t *play)
{
    for (uint32_t number = 0; number < play->rows; number++)
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
play_disconnected (play_t *play)
{
    if (dice (play, 10) == 0)
        world_disconnected (play->world);
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
    uint32_t number = dice (play, play->rows);
    if (play->world->slot[number].alive)
        world_rss (play->world, number, dice (play, 20) ? 10 : 2000);
}

typedef void (play_fn) (play_t *play);

static play_fn *const plays[] = {
    play_run,    play_run,     play_run,      play_run,    play_start,        play_start,
    play_answer, play_answer,  play_answer,   play_exit,   play_ready,        play_obey,
    play_cancel, play_pass,    play_pass,     play_full,   play_writable,     play_beat,
    play_who,    play_welcome, play_welcome,  play_rss,    play_disconnected, play_settle,
    play_settle, play_beat,    play_unwanted, play_forget, play_run_again,    play_wait,
    play_wait,
};

/*  ---- one game ---- */

/*  Everything good happens until nothing is held any more. */
static void
run_out (play_t *play)
{
    play->lossless = true;
    for (int i = 0; i < 2000; i++) {
        play_welcome (play);
        play_writable (play);
        play_obey (play);
        for (uint32_t number = 0; number < play->rows; number++) {
            if (is_starting (play, number))
                world_ready (play->world, number);
            while (in_channel (play->world, number))
                world_answer (play->world, number, 10);
        }
        world_pass (play->world, 50);
        take_notes (play);
        play_beat (play);
        take_notes (play);
        play_settle (play);
        take_notes (play);
        if (play->connected && !held_count (play->world, 1))
            return;
    }
    fail_msg ("seed %llu: something is held for ever", (unsigned long long) play->seed);
}

static void
game (uint64_t seed)
{
    static play_t     play;
    dn_fleet_config_t config = world_config ();

    memset (&play, 0, sizeof play);
    play.seed = seed;
    play.random = seed * 0x9e3779b97f4a7c15ull + 1;
    config.slots = 3;
    config.seed = seed;
    config.standby = 40;
    config.grace_ms = 20;
    config.rss_max = 1000;
    config.outbox_bytes = dice (&play, 2) ? 300 : 3000;
    config.recycle_tasks = dice (&play, 2) ? 30 : 0;
    config.nesting = dice (&play, 2);
    play.rows = dn_fleet_rows (&config);
    play.world = world_up (&config);
    play.connected = true;
    for (int step = 0; step < STEPS; step++) {
        plays[dice (&play, sizeof plays / sizeof plays[0])](&play);
        take_notes (&play);
    }
    run_out (&play);
    assert_int_equal (kept_count (play.world), 0);
    for (uint64_t seq = 1; seq <= play.tasks; seq++) {
        const fate_t *fate = &play.fate[seq];
        demand (&play, !fate->taken || fate->heard || fate->unwanted, seq, "has not ended");
        demand (&play, fate->taken || !fate->sends, seq, "was not taken and has ended");
    }
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
