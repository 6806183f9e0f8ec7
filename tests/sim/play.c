/*  play.c - one history, from its seed to its end
 *
 *  First a time in which calls are made and things go wrong; then all is
 * healed, and every call has some beats, and the time that the work takes, to
 * end; then as long as it takes the manager to see that a client is gone, and
 * all tables must be empty.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

#define CALLING_BEATS 14   /* in which calls are made and things go wrong */
#define ENDING_BEATS  20   /* for the calls: a worker is gone after 10, and some to spare */
#define LASTING_BEATS 54   /* the same, so that clients can be forgotten */
#define QUIET_BEATS   3    /* until the manager knows that nobody waits any more */
#define EMPTY_BEATS   36   /* for the tables: a client is gone after 30 */
#define ENDING_MS     9000 /* besides: what does not go by beats, as a grace of 5 s */
#define ATTEMPTS      3    /* that a core makes of a call that may run twice */
#define SMALL_BYTES   1000 /* of answers that fill no outbox */
#define SHARED        16   /* in one of so many a client may have a part of the slots only */
#define MIXED         24   /* one of so many is a flood of short tasks with long ones among them, */
#define LONG          16   /* of which there is one among so many */
#define MIXED_CALLS   (SIM_CALLS - 10)
#define FATEFUL       24 /* of so many the manager dies in one when it matters */
#define FEW_CALLS     6  /* of each program there, at most */
#define FORGET_BEATS  30 /* after which a client is forgotten */
#define NESTED        4  /* one history of so many is one of nested calls, */
#define NESTED_CALLS  12 /* and has so many of each program, at most */
#define NESTED_BEATS  2  /* besides, for each call of a task: until its turn comes */

/*  ---- the beginning ---- */

static void
make_nodes (sim_t *sim)
{
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        sim_node_t *node = &sim->node[i];
        uint32_t    client = i - SIM_NODE_CLIENTS, worker = i - SIM_NODE_WORKERS;
        memset (node, 0, sizeof *node);
        node->turn_us = SIM_NEVER;
        node->role = i >= SIM_NODE_WORKERS   ? SIM_ROLE_WORKER
                     : i >= SIM_NODE_CLIENTS ? SIM_ROLE_CLIENT
                                             : SIM_ROLE_MANAGER;
        TAILQ_INIT (&node->socket.in);
        if (node->role == SIM_ROLE_WORKER)
            snprintf (node->name, sizeof node->name, "w%u", worker);
        else if (node->role == SIM_ROLE_CLIENT)
            snprintf (node->name, sizeof node->name, "c%u", client);
        else
            snprintf (node->name, sizeof node->name, "m");
    }
    TAILQ_INIT (&sim->manager.in[0]);
    TAILQ_INIT (&sim->manager.in[1]);
}

/*  Everything but what is kept from one history to the next. */
static void
reset (sim_t *sim, uint64_t seed)
{
    sim->seed = seed;
    sim->random.state = seed;
    sim->now_us = 0;
    sim->healed = false;
    sim->settled_services = 0;
    sim->nesting = 0;
    sim->tiny = sim->leaving = sim->mixed = sim->fateful = false;
    sim->ending = false;
    sim->callers = sim->clients = 0;
    sim_agenda_clear (&sim->agenda);
    sim_trace_clear (sim);
    sim->links = 0;
    sim->workers = sim->workers_ended = 0;
    sim->calls = 0;
    memset (&sim->turns, 0, sizeof sim->turns);
    sim->manager = (sim_manager_t){.fx = sim->manager.fx, .undo = sim->manager.undo};
    memset (sim->worker, 0, sizeof sim->worker);
    for (uint32_t i = 0; i < SIM_CLIENTS; i++) {
        dn_effects_t *fx = sim->client[i].fx;
        memset (&sim->client[i], 0, sizeof sim->client[i]);
        sim->client[i].fx = fx;
        if (fx)
            dn_effects_clear (fx);
    }
    make_nodes (sim);
}

/*  ---- calls ---- */

static void
ask (sim_t *sim, uint64_t client, uint64_t what_call)
{
    sim_client_ask (sim, (uint32_t) client, (sim_ask_t) (what_call >> 16), (uint16_t) what_call);
}

/*  Where clients are forgotten some tasks go on when theirs is. */
static int64_t
some_run_us (sim_t *sim)
{
    if (sim->tiny)
        return sim_between (sim, 5, 900);
    int64_t longest_us = SIM_MS (5 * sim->heartbeat_ms) * (sim->lasting ? 8 : 1);
    switch (sim_dice (sim, 8)) {
    case 0:
    case 1:
    case 2: return sim_between (sim, 5, 900);
    case 3: return sim_between (sim, SIM_MS (1), SIM_MS (9));
    case 4:
    case 5: return sim_between (sim, SIM_MS (20), SIM_MS (300));
    case 6: return sim_between (sim, 1, SIM_MS (2 * sim->heartbeat_ms));
    default: return sim_between (sim, 1, longest_us);
    }
}

/*  A fourth of all clients carry megabytes with each task. */
static uint64_t
some_bytes (sim_t *sim, uint32_t client)
{
    uint64_t heavy = (sim->seed + client) % 4 ? 0 : 1000000;
    switch (sim_dice (sim, 12)) {
    case 0: return heavy + (uint64_t) sim_between (sim, 5000, 70000);
    case 1: return heavy + (uint64_t) sim_between (sim, 100000, 900000);
    default: return heavy + (uint64_t) sim_between (sim, 1, 500);
    }
}

/*  Service `only`, or (SIM_SERVICES) any that has workers; rarely one that
 * nobody has. */
static uint8_t
some_service (sim_t *sim)
{
    if (sim_dice (sim, 60) == 0)
        return SIM_SERVICES;
    for (;;) {
        uint8_t service = (uint8_t) sim_dice (sim, SIM_SERVICES);
        if (sim->settled_services & 1 << service)
            return service;
    }
}

sim_call_t *
sim_plan_call (sim_t *sim, uint32_t client, int64_t at_us)
{
    if (sim->calls == SIM_CALLS)
        return NULL;
    uint16_t    row = (uint16_t) sim->calls++;
    sim_call_t *call = &sim->call[row];

    memset (call, 0, sizeof *call);
    call->client = client;
    call->service = some_service (sim);
    call->priority = (uint8_t) sim_dice (sim, 3);
    call->idempotent = sim_dice (sim, 5) < 2;
    call->finish = sim_dice (sim, 4) == 0;
    call->stubborn = sim_dice (sim, 3) == 0;
    call->run_us = some_run_us (sim);
    call->payload_bytes = some_bytes (sim, client);
    call->answer_bytes = some_bytes (sim, client);
    call->kind = sim_dice (sim, 8) == 0 ? SIM_TASK_RAISES : SIM_TASK_RETURNS;
    call->deadline_ms = -1;

    bool    dies = sim_dice (sim, 25) == 0, due = sim_dice (sim, 8) == 0;
    bool    limited = sim_dice (sim, 12) == 0, wished = sim_dice (sim, 8) == 0;
    int64_t due_ms = sim_between (sim, 1, 6 * sim->heartbeat_ms);
    int64_t wish_us = sim_between (sim, 0, SIM_MS (3 * sim->heartbeat_ms));
    if (dies && sim_faulty (sim, SIM_FAULT_CRASH))
        call->kind = SIM_TASK_DIES;
    if (due && sim_faulty (sim, SIM_FAULT_DEADLINE))
        call->deadline_ms = due_ms;
    if (limited && sim_faulty (sim, SIM_FAULT_LIMIT)) {
        call->soft_limit_ms = sim_dice (sim, 2) ? 0 : 1 + sim_dice (sim, 300);
        call->hard_limit_ms = 1 + sim_dice (sim, 600);
        if (sim_dice (sim, 3) == 0)
            call->answer_bytes = 3000000;
    }
    uint64_t what = sim_dice (sim, 2) ? SIM_ASK_CANCEL : SIM_ASK_KILL + sim_dice (sim, 2);
    sim_at (sim, at_us, ask, client, (uint64_t) SIM_ASK_SUBMIT << 16 | row);
    if (wished && sim_faulty (sim, SIM_FAULT_CANCEL))
        sim_at (sim, at_us + wish_us, ask, client, what << 16 | row);
    return call;
}

/*  As much as they may, all for the first service, and short. */
static void
plan_crowd (sim_t *sim, uint32_t client)
{
    for (int i = 0; i < SIM_PLANNED / SIM_CALLERS - 1; i++) {
        int64_t     at_us = sim_between (sim, 0, SIM_MS (2 * sim->heartbeat_ms));
        sim_call_t *call = sim_plan_call (sim, client, at_us);
        call->priority = client == 0 ? 2 : (uint8_t) sim_dice (sim, 2);
        call->run_us = sim_between (sim, SIM_MS (2), SIM_MS (20));
        for (call->service = 0; !(sim->settled_services & 1 << call->service);)
            call->service++;
    }
}

/*  Many short ones of the first service, and a few that take longer of the others. */
static void
plan_mixed (sim_t *sim, uint32_t client)
{
    uint32_t count = (sim->nesting ? SIM_PLANNED : MIXED_CALLS) / sim->callers;

    for (uint32_t i = 0; i < count; i++) {
        bool        late = sim_dice (sim, 2), is_long = sim_dice (sim, LONG) == 0;
        int64_t     at_us = sim_between (sim, 0, SIM_MS (50));
        sim_call_t *call =
            sim_plan_call (sim, client, at_us + (late ? SIM_MS (3 * sim->heartbeat_ms) : 0));
        call->run_us =
            is_long ? sim_between (sim, SIM_MS (5), SIM_MS (60)) : sim_between (sim, 100, 900);
        for (call->service = 0; !(sim->settled_services & 1 << call->service);)
            call->service++;
        for (uint8_t j = SIM_SERVICES; is_long && --j > call->service;)
            if (sim->settled_services & 1 << j)
                call->service = j;
    }
}

/*  Singly, and in bursts. */
static void
plan_calls (sim_t *sim, uint32_t client)
{
    uint32_t left = 1 + sim_dice (sim, sim->nesting ? NESTED_CALLS : SIM_PLANNED / SIM_CALLERS - 1);

    while (left) {
        int64_t  at_us = sim_between (sim, 0, sim->heal_us / (sim->lasting ? 3 : 1));
        uint32_t burst = sim_dice (sim, 4) ? 1 : 1 + sim_dice (sim, 16);
        for (; burst && left; burst--, left--)
            sim_plan_call (sim, client, at_us + (int64_t) burst);
    }
}

/*  Early, so that a worker has something to do when it comes; where clients are forgotten the last
 *  one ends when they have been, or nearly so. */
static void
plan_few (sim_t *sim, uint32_t client)
{
    int64_t     beat_us = SIM_MS (sim->heartbeat_ms);
    sim_call_t *call = NULL;

    for (uint32_t left = 1 + sim_dice (sim, FEW_CALLS); left; left--)
        call = sim_plan_call (sim, client, sim_between (sim, 0, sim->heal_us / 4));
    if (sim->lasting)
        call->run_us =
            sim_between (sim, FORGET_BEATS * beat_us / 2, FORGET_BEATS * beat_us * 3 / 2);
}

static void
start_client (sim_t *sim, uint64_t client, uint64_t unused)
{
    (void) unused;
    sim_client_start (sim, (uint32_t) client);
}

static void
start_worker (sim_t *sim, uint64_t services, uint64_t unused)
{
    (void) unused;
    sim_worker_start (sim, (uint8_t) services, SIM_WORKERS);
}

/*  Whether it is one of nested calls does not change what happens in those that are none. */
static void
draw_nesting (sim_t *sim)
{
    sim_random_t random = {~sim->seed};
    uint64_t     chance = sim_random_next (&random);

    if (chance % NESTED && !sim->options.nested)
        return;
    sim->nesting = 1 + (uint32_t) (chance >> 32) % SIM_NESTING;
    sim->tiny = sim_random_next (&random) & 1;
    sim->leaving = sim_random_next (&random) & 1 || sim->options.leaving;
}

/*  Likewise. */
static void
draw_share (sim_t *sim)
{
    sim_random_t random = {sim->seed ^ 0x7368617265};
    bool         shared = sim_random_next (&random) % SHARED == 0 || sim->options.shared;

    sim->share = shared ? 20 + (uint32_t) (sim_random_next (&random) % 60) : 0;
}

/*  Likewise. */
static void
draw_mixed (sim_t *sim)
{
    sim_random_t random = {sim->seed ^ 0x6d69786564};

    sim->mixed = sim_random_next (&random) % MIXED == 0 || sim->options.mixed;
}

/*  Likewise. */
static void
draw_fateful (sim_t *sim)
{
    sim_random_t random = {sim->seed ^ 0x66617465};

    sim->fateful = sim_random_next (&random) % FATEFUL == 0 || sim->options.fateful;
    sim->mixed = sim->mixed && !sim->fateful;
}

static void
begin (sim_t *sim)
{
    static const uint32_t heartbeats[] = {200, 500, 1000};

    sim->heartbeat_ms = heartbeats[sim_dice (sim, 3)];
    sim->lasting = sim_dice (sim, 12) == 0 || sim->options.lasting;
    sim->crowded = sim_dice (sim, 16) == 0;
    sim->heal_us = SIM_MS ((sim->lasting ? LASTING_BEATS : CALLING_BEATS) * sim->heartbeat_ms);
    draw_share (sim);
    draw_mixed (sim);
    draw_nesting (sim);
    draw_fateful (sim);
    sim_manager_start (sim);
    uint32_t workers = 1 + sim_dice (sim, 4);
    for (uint32_t i = 0; i < workers; i++) {
        uint8_t services = (uint8_t) (1 + sim_dice (sim, (1 << SIM_SERVICES) - 1));
        sim->settled_services |= services;
        sim_at (sim, sim_dice (sim, 4) ? 0 : sim_between (sim, 0, sim->heal_us / 2), start_worker,
                services, 0);
    }
    sim->clients = sim->callers = 1 + sim_dice (sim, SIM_CALLERS);
    for (uint32_t i = 0; i < sim->clients; i++) {
        sim_at (sim, 0, start_client, i, 0);
        if (sim->fateful)
            plan_few (sim, i);
        else if (sim->crowded)
            plan_crowd (sim, i);
        else if (sim->mixed)
            plan_mixed (sim, i);
        else
            plan_calls (sim, i);
    }
    sim_faults_plan (sim);
}

/*  ---- the end ---- */

/*  A worker whose outbox is full of answers for a client that died takes no tasks until that one is
 *  forgotten. */
static int64_t
forgetting_beats (const sim_t *sim)
{
    for (uint32_t i = 0; i < sim->clients; i++)
        if (!sim->node[SIM_NODE_CLIENTS + i].alive)
            return EMPTY_BEATS;
    return 0;
}

/*  Of one that had not ended when all was healed. */
static int
attempts_left (const sim_t *sim, const sim_call_t *call)
{
    if (call->ended && call->ended_ms <= sim->heal_us / 1000 + SIM_BASE_MS)
        return 0;
    return call->idempotent ? ATTEMPTS : 1;
}

/*  As long as one slot takes for all that is left, each attempt counted. */
static int64_t
work_left_us (const sim_t *sim)
{
    int64_t sum_us = 0;
    for (uint32_t i = 0; i < sim->calls; i++)
        sum_us += sim->call[i].run_us * attempts_left (sim, &sim->call[i]);
    return sum_us;
}

/*  Tasks after which a slot is replaced, of the worker where they are fewest; 0: never. */
static int64_t
least_recycle (const sim_t *sim)
{
    uint32_t least = 0;
    for (uint32_t i = 0; i < sim->workers; i++) {
        uint32_t tasks = sim->worker[i].config.recycle_tasks;
        if (sim->node[SIM_NODE_WORKERS + i].alive && tasks && (!least || tasks < least))
            least = tasks;
    }
    return least;
}

/*  As long as one slot stands still for that, at most. It is replaced after so many tasks: it may
 *  not end when it is asked to and is killed then, imports the app, and its OFFER waits for the one
 *  before. A task that ends its slot, or its limit does, costs as much, and the longest backoff. */
static int64_t
restarts_left_us (const sim_t *sim)
{
    int64_t start_ms = DN_LEAVE_MS + SIM_START_MS + DN_OFFER_MS;
    int64_t tasks = 0, deaths = 0, recycle = least_recycle (sim);
    for (uint32_t i = 0; i < sim->calls; i++) {
        const sim_call_t *call = &sim->call[i];
        tasks += attempts_left (sim, call);
        if (call->kind == SIM_TASK_DIES || call->hard_limit_ms)
            deaths += attempts_left (sim, call);
    }
    return SIM_MS ((recycle ? tasks / recycle + 1 : 0) * start_ms +
                   deaths * (start_ms + DN_BACKOFF_MAX_MS));
}

/*  Calls that tasks make wait for each other's places, and for processes that work in those that
 *  are lent. What a client of a slot leaves behind when it dies holds up others until it is
 *  forgotten. */
static int64_t
nested_us (const sim_t *sim)
{
    int64_t beat_us = SIM_MS (sim->heartbeat_ms), sum_us = 0;

    for (uint32_t i = 0; i < sim->calls; i++)
        if (sim->call[i].depth && attempts_left (sim, &sim->call[i]))
            sum_us += NESTED_BEATS * beat_us + SIM_MS (SIM_START_MS + DN_OFFER_MS) +
                      sim->call[i].run_us * ATTEMPTS;
    for (uint32_t i = sim->callers; i < sim->clients; i++)
        if (sim->client[i].ended_us > sim->heal_us)
            sum_us += EMPTY_BEATS * beat_us;
    return sum_us;
}

/*  An answer that fills the outbox of its worker makes that one take no tasks until it is settled,
 *  and refuse what was on its way: then it is given none until its next beat. */
static int64_t
outboxes_us (const sim_t *sim)
{
    int64_t answers = 0;

    for (uint32_t i = 0; i < sim->calls; i++)
        if (sim->call[i].answer_bytes > SMALL_BYTES)
            answers += attempts_left (sim, &sim->call[i]);
    return answers * SIM_MS (sim->heartbeat_ms);
}

/*  Does a task of anybody run, or stand by? Those of dead clients may call on. */
static bool
is_busy (const sim_t *sim)
{
    dn_fleet_health_t health;

    for (uint32_t i = 0; sim->nesting && i < sim->workers; i++) {
        if (!sim->node[SIM_NODE_WORKERS + i].alive)
            continue;
        dn_fleet_health (sim->worker[i].core, sim_now_ms (sim), &health);
        if (health.busy || health.standby)
            return true;
    }
    return false;
}

static bool
all_ended (const sim_t *sim)
{
    for (uint32_t i = 0; i < sim->calls; i++)
        if (!sim->call[i].ended && sim->node[SIM_NODE_CLIENTS + sim->call[i].client].alive)
            return false;
    return true;
}

/*  A client of a slot that has died is gone by then, too. */
static int64_t
empty_us (const sim_t *sim, int64_t last_us)
{
    for (uint32_t i = sim->callers; i < sim->clients; i++)
        if (sim->client[i].ended_us > last_us)
            last_us = sim->client[i].ended_us;
    return last_us + SIM_MS (EMPTY_BEATS * sim->heartbeat_ms);
}

static void
play (sim_t *sim)
{
    int64_t beat_us = SIM_MS (sim->heartbeat_ms);

    sim_run_until (sim, sim->heal_us);
    sim_faults_heal (sim);
    int64_t calls_us = sim->now_us + work_left_us (sim) + SIM_MS (ENDING_MS) +
                       (ENDING_BEATS + forgetting_beats (sim)) * beat_us;
    int64_t last_us = calls_us + restarts_left_us (sim) + outboxes_us (sim);
    sim_run_until (sim, calls_us);
    for (; calls_us < last_us + nested_us (sim) && (!all_ended (sim) || is_busy (sim));
         calls_us += beat_us)
        sim_run_until (sim, calls_us + beat_us);
    sim->ending = true;
    sim_ledger_close_calls (sim);
    sim_run_until (sim, calls_us + QUIET_BEATS * beat_us);
    sim_turns_close (sim);
    for (int64_t end_us = 0; end_us < empty_us (sim, calls_us);) {
        end_us = empty_us (sim, calls_us);
        sim_run_until (sim, end_us);
    }
    sim_ledger_close (sim);
}

static void
end (sim_t *sim)
{
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        sim_worker_free (sim, i);
    for (uint32_t i = 0; i < SIM_CLIENTS; i++)
        dn_session_destroy (&sim->client[i].core);
    dn_manager_destroy (&sim->manager.core);
    sim_words_clear (sim);
    sim_net_clear (sim);
}

bool
sim_play (sim_t *sim, uint64_t seed)
{
    if (!sim->link)
        sim->link = calloc (SIM_LINKS, sizeof *sim->link);
    dn_check (sim->link);
    reset (sim, seed);
    sim->reason[0] = 0;
    if (sigsetjmp (sim->end, 1) == 0) {
        begin (sim);
        play (sim);
    }
    end (sim);
    return !sim->reason[0];
}

void
sim_free (sim_t *sim)
{
    for (uint32_t i = 0; i < SIM_CLIENTS; i++)
        sim_client_free (sim, i);
    sim_manager_free (sim);
    sim_agenda_free (&sim->agenda);
    sim_trace_free (sim);
    free (sim->link);
    sim->link = NULL;
}
