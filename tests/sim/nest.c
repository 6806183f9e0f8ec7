/*  nest.c - calls that tasks make
 *
 *  A task in a slot may call others and wait for them, as deep as the history allows, which is not
 *  deeper than any worker lends places for: so whatever waits must get on. In some histories it
 *  does not wait for all of them, and some go on when it has ended. The client is that of the
 *  process: it comes with the first call, serves all tasks that run there, and dies with it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#define CALLS_MAX     3   /* of one task, at the same time, */
#define LEFT_MAX      5   /* or if it waits for none of them */
#define WAKE_MAX_US   300 /* from the end of a call to its caller */
#define SHORTER       4   /* than those that programs make */
#define SESSION_BYTES 16

uint32_t
sim_nest_rounds (sim_t *sim, const sim_process_t *process)
{
    const sim_call_t *call = &sim->call[process->call];

    if (!sim->nesting)
        return 0;
    sim->counts.nested[call->depth]++;
    if (call->depth >= sim->nesting || sim->ending || sim_dice (sim, 2))
        return 0;
    return 1 + (sim_dice (sim, 4) == 0);
}

static bool
has_client (sim_t *sim, sim_process_t *process)
{
    if (process->client < SIM_CLIENTS)
        return true;
    if (sim->clients == SIM_CLIENTS)
        return false;
    process->client = sim->clients++;
    sim->client[process->client].inner = true;
    sim_client_start (sim, process->client);
    return true;
}

static void
name_parent (const sim_t *sim, const sim_call_t *parent, sim_call_t *call)
{
    memcpy (call->parent, sim->client[parent->client].id.bytes, SESSION_BYTES);
    for (int i = 0; i < DENIM_PARENT_BYTES - SESSION_BYTES; i++)
        call->parent[DENIM_PARENT_BYTES - 1 - i] = (char) (parent->seq >> 8 * i);
    call->depth = (uint8_t) (parent->depth + 1);
}

/*  A call more of the task that runs there. Where some are left behind, they and those of tasks
 *  that run there later are often of the same service. */
static sim_call_t *
plan (sim_t *sim, const sim_process_t *process)
{
    const sim_call_t *parent = &sim->call[process->call];
    sim_call_t       *call = sim_plan_call (sim, process->client, sim->now_us);

    if (!call)
        return NULL;
    name_parent (sim, parent, call);
    call->run_us /= SHORTER;
    if (sim->leaving && sim_dice (sim, 2)) {
        call->service = parent->service;
        call->priority = parent->priority;
    }
    return call;
}

uint32_t
sim_nest_call (sim_t *sim, sim_process_t *process, uint64_t packed)
{
    bool        leaves_all = sim->leaving && sim_dice (sim, 3) == 0;
    uint32_t    wanted = 1 + sim_dice (sim, leaves_all ? LEFT_MAX : CALLS_MAX), waits = 0;
    sim_call_t *call;

    if (!has_client (sim, process))
        return 0;
    for (uint32_t i = 0; i < wanted && (call = plan (sim, process)); i++) {
        bool left = leaves_all || (sim->leaving && sim_dice (sim, 4) == 0);
        call->process = packed;
        call->run = left ? 0 : process->run;
        waits += !left;
        sim->counts.left += left;
    }
    sim->counts.waits += waits > 0;
    return waits;
}

void
sim_nest_leave (sim_t *sim, const sim_process_t *process, uint64_t packed)
{
    sim_ask_t how = sim_dice (sim, 2) ? SIM_ASK_ABANDON : SIM_ASK_CANCEL;

    if (sim->leaving && sim_dice (sim, 3) == 0)
        return;
    for (uint32_t i = 0; i < sim->calls; i++) {
        const sim_call_t *call = &sim->call[i];
        if (call->depth && !call->ended && call->process == packed && call->run == process->run)
            sim_client_ask (sim, call->client, how, (uint16_t) i);
    }
}

void
sim_nest_ended (sim_t *sim, const sim_call_t *call)
{
    if (call->run)
        sim_at (sim, sim->now_us + sim_between (sim, 1, WAKE_MAX_US), sim_process_wake,
                call->process, call->run);
}

void
sim_nest_end (sim_t *sim, sim_process_t *process, bool bye)
{
    uint32_t client = process->client;

    process->client = SIM_CLIENTS;
    if (client == SIM_CLIENTS)
        return;
    if (!bye) {
        sim_client_kill (sim, client);
        return;
    }
    sim->client[client].leaves = true;
    sim_turn_by (sim, SIM_NODE_CLIENTS + client, sim->now_us);
}
