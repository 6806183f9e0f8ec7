/*  faults.c - what goes wrong, and when; and how all is well again
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#define FAULTS_MAX   6  /* in one history */
#define FORGET_BEATS 32 /* after which a client is forgotten */
#define FELT_BEATS   5  /* after a fault */
#define CALM_BEATS   4  /* after the last one, until nobody feels it */

const char *const sim_fault_option[SIM_FAULTS] = {
#define X(name, option, text) option,
    SIM_FAULT_MAP (X)
#undef X
};

bool
sim_faulty (const sim_t *sim, sim_fault_t fault)
{
    return !sim->healed && !(sim->options.off & 1u << fault);
}

bool
sim_faults_unsure (const sim_t *sim)
{
    return sim->lose > 0 || sim->refuse > 0 || sim->flaky > 0 || sim->slow;
}

bool
sim_faults_calm (const sim_t *sim)
{
    if (sim->healed)
        return sim->now_us > sim->heal_us + SIM_MS (CALM_BEATS * sim->heartbeat_ms);
    return !sim->faults && !sim_faults_unsure (sim);
}

/*  ---- who ---- */

/*  A living worker or client; SIM_NODES when there is none. */
static uint32_t
any_of (sim_t *sim, uint32_t first, uint32_t count)
{
    uint32_t living = 0;
    for (uint32_t i = 0; i < count; i++)
        living += sim->node[first + i].alive;
    if (!living)
        return SIM_NODES;
    uint32_t chosen = sim_dice (sim, living);
    for (uint32_t i = 0; i < count; i++)
        if (sim->node[first + i].alive && chosen-- == 0)
            return first + i;
    return SIM_NODES;
}

static uint32_t
any_worker (sim_t *sim)
{
    return any_of (sim, SIM_NODE_WORKERS, sim->workers);
}

static uint32_t
any_client (sim_t *sim)
{
    return any_of (sim, SIM_NODE_CLIENTS, sim->clients);
}

static uint32_t
any_peer (sim_t *sim)
{
    uint32_t worker = any_worker (sim), client = any_client (sim);
    if (worker == SIM_NODES || (client != SIM_NODES && sim_dice (sim, 2)))
        return client;
    return worker;
}

/*  Those of slots end with them, and not by themselves. */
static uint32_t
any_caller (sim_t *sim)
{
    return any_of (sim, SIM_NODE_CLIENTS, sim->callers);
}

/*  A length in beats, as likely short as long. */
static int64_t
some_beats_us (sim_t *sim)
{
    static const double beats[] = {0.3, 0.8, 2, 3.5, 5, 8, 12};
    double              length = beats[sim_dice (sim, sizeof beats / sizeof beats[0])];
    if (sim->lasting && sim_dice (sim, 4) == 0)
        length = FORGET_BEATS + sim_dice (sim, 6);
    return (int64_t) (length * sim->heartbeat_ms * 1000) + sim_between (sim, 0, SIM_MS (300));
}

/*  ---- faults ---- */

/*  What goes wrong until then is felt for some beats more: silence has to be noticed. */
static void
hurt (sim_t *sim, uint32_t node, int64_t until_us)
{
    until_us += SIM_MS (FELT_BEATS * sim->heartbeat_ms);
    if (sim->node[node].hurt_us < until_us)
        sim->node[node].hurt_us = until_us;
}

static void
start_manager (sim_t *sim, uint64_t a, uint64_t b)
{
    (void) a, (void) b;
    sim_manager_start (sim);
}

static void
restart_manager (sim_t *sim)
{
    sim_manager_kill (sim);
    sim_at (sim,
            sim->now_us +
                (sim_dice (sim, 3) ? sim_between (sim, 1000, SIM_MS (700)) : some_beats_us (sim)),
            start_manager, 0, 0);
}

static void
kill_manager_again (sim_t *sim, uint64_t a, uint64_t b)
{
    (void) a, (void) b;
    if (sim_faulty (sim, SIM_FAULT_FLAP_MANAGER))
        restart_manager (sim);
}

static void
kill_drained_manager (sim_t *sim, uint64_t a, uint64_t b)
{
    (void) a, (void) b;
    if (sim->node[SIM_NODE_MANAGER].alive && dn_manager_draining (sim->manager.core))
        restart_manager (sim);
}

static void
start_worker (sim_t *sim, uint64_t services, uint64_t like)
{
    sim_worker_start (sim, (uint8_t) services, (uint32_t) like);
}

/*  Its successor is of the same instance, if the history has instances at all.
 */
static void
kill_worker (sim_t *sim)
{
    uint32_t node = any_worker (sim);
    if (node == SIM_NODES)
        return;
    uint32_t number = node - SIM_NODE_WORKERS;
    sim_worker_kill (sim, number);
    if (sim_dice (sim, 4))
        sim_at (sim,
                sim->now_us + (sim_dice (sim, 3) ? some_beats_us (sim)
                                                 : sim_between (sim, 1000, SIM_MS (30))),
                start_worker, sim->worker[number].services, number);
}

static void
freeze (sim_t *sim, uint32_t node)
{
    if (node == SIM_NODES || !sim->node[node].alive || sim->node[node].frozen_us > sim->now_us)
        return;
    int64_t length_us = some_beats_us (sim);
    sim->node[node].frozen_us = sim->now_us + length_us;
    sim->node[node].was_frozen = true;
    hurt (sim, node, sim->node[node].frozen_us);
    sim_note (sim, node, "frozen", (uint64_t) length_us, 0, NULL, 0);
    sim->node[node].turn_us = SIM_NEVER;
    sim_turn_by (sim, node, sim->node[node].frozen_us);
}

/*  As the manager does when somebody asks it to. */
static void
ask_to_drain (sim_t *sim, uint32_t node)
{
    const dn_session_t *id = &sim->worker[node - SIM_NODE_WORKERS].config.session;
    const dn_peer_t    *peer = NULL;
    dn_msg_t            msg = {.kind = DN_MSG_DRAIN};

    if (sim->node[SIM_NODE_MANAGER].alive)
        peer = dn_peers_by_session (dn_manager_peers (sim->manager.core), id);
    if (!peer || !peer->link)
        return;
    sim->worker[node - SIM_NODE_WORKERS].asked = true;
    msg.u.drain.timeout_ms = (uint32_t) sim_between (sim, 0, 3000);
    (void) sim_send_down (sim, (uint32_t) peer->link, sim_frame_msg (sim, &msg, NULL));
}

static void
drain_worker (sim_t *sim)
{
    uint32_t node = any_worker (sim);
    if (node == SIM_NODES)
        return;
    sim_worker_t *worker = &sim->worker[node - SIM_NODE_WORKERS];
    if (sim_dice (sim, 2))
        ask_to_drain (sim, node);
    else {
        worker->signals += sim_dice (sim, 5) ? 1 : 2;
        worker->drained = true;
        sim_note (sim, node, "drains", worker->signals, 0, NULL, 0);
        sim_turn_by (sim, node, sim->now_us);
    }
    if (sim_dice (sim, 3))
        sim_at (sim, sim->now_us + some_beats_us (sim), start_worker, worker->services,
                SIM_WORKERS);
}

static void
leave_client (sim_t *sim)
{
    uint32_t node = any_caller (sim);
    if (node == SIM_NODES)
        return;
    sim->client[node - SIM_NODE_CLIENTS].leaves = true;
    sim_turn_by (sim, node, sim->now_us);
}

static void
block_until (sim_t *sim, uint32_t node, uint32_t ways, int64_t until_us)
{
    if (node == SIM_NODES)
        return;
    for (int way = 0; way < SIM_WAYS; way++)
        if (ways & 1u << way && sim->node[node].blocked_us[way] < until_us)
            sim->node[node].blocked_us[way] = until_us;
    hurt (sim, node, until_us);
    sim_note (sim, node, "blocked", (uint64_t) until_us, ways, NULL, 0);
}

static void
block (sim_t *sim)
{
    uint32_t node = any_peer (sim), ways = 1 + sim_dice (sim, 3);
    block_until (sim, node, ways, sim->now_us + some_beats_us (sim));
}

/*  The next manager calls lost what that worker still has, and brings along later. */
static void
restart_without (sim_t *sim)
{
    int64_t beat_us = SIM_MS (sim->heartbeat_ms);
    block_until (sim, any_worker (sim), 3,
                 sim->now_us + sim_between (sim, 4 * beat_us, 8 * beat_us));
    sim_manager_kill (sim);
    sim_at (sim, sim->now_us + sim_between (sim, 1000, beat_us), start_manager, 0, 0);
}

/*  It comes to the next manager with calls that workers have let go of. */
static void
forget_client (sim_t *sim)
{
    int64_t beat_us = SIM_MS (sim->heartbeat_ms);
    int64_t end_us =
        sim->now_us + sim_between (sim, (FORGET_BEATS - 1) * beat_us, (FORGET_BEATS + 5) * beat_us);
    block_until (sim, any_client (sim), 3, end_us);
    if (sim_dice (sim, 4))
        sim_at (sim, end_us - sim_between (sim, 0, beat_us), kill_manager_again, 0, 0);
}

static void
drain_manager (sim_t *sim)
{
    sim_manager_drain (sim);
    sim_at (sim, sim->now_us + some_beats_us (sim), kill_drained_manager, 0, 0);
}

static void
half (sim_t *sim)
{
    uint32_t node = any_peer (sim), ways = 1 + sim_dice (sim, 3);
    if (node == SIM_NODES)
        return;
    sim_note (sim, node, "half dead", ways, 0, NULL, 0);
    hurt (sim, node, sim->heal_us); /* nobody may notice before that */
    sim_net_half (sim, node, ways & 1, ways & 2);
}

static void
strike (sim_t *sim, uint64_t fault_, uint64_t unused)
{
    sim_fault_t fault = (sim_fault_t) fault_;
    uint32_t    node;

    (void) unused;
    if (!sim_faulty (sim, fault))
        return;
    switch (fault) {
    case SIM_FAULT_KILL_MANAGER: restart_manager (sim); break;
    case SIM_FAULT_FLAP_MANAGER:
        restart_manager (sim);
        sim_at (sim, sim->now_us + some_beats_us (sim), kill_manager_again, 0, 0);
        break;
    case SIM_FAULT_DRAIN_MANAGER: drain_manager (sim); break;
    case SIM_FAULT_FORGET: forget_client (sim); break;
    case SIM_FAULT_ABSENT: restart_without (sim); break;
    case SIM_FAULT_FREEZE_MANAGER: freeze (sim, SIM_NODE_MANAGER); break;
    case SIM_FAULT_KILL_WORKER: kill_worker (sim); break;
    case SIM_FAULT_FREEZE_WORKER: freeze (sim, any_worker (sim)); break;
    case SIM_FAULT_DRAIN_WORKER: drain_worker (sim); break;
    case SIM_FAULT_KILL_CLIENT:
        if ((node = any_caller (sim)) != SIM_NODES)
            sim_client_kill (sim, node - SIM_NODE_CLIENTS);
        break;
    case SIM_FAULT_FREEZE_CLIENT: freeze (sim, any_client (sim)); break;
    case SIM_FAULT_BYE_CLIENT: leave_client (sim); break;
    case SIM_FAULT_RESET:
        if ((node = any_peer (sim)) != SIM_NODES)
            sim_net_reset (sim, node);
        break;
    case SIM_FAULT_HALF: half (sim); break;
    case SIM_FAULT_BLOCK: block (sim); break;
    case SIM_FAULT_BOTH:
        restart_manager (sim);
        kill_worker (sim);
        break;
    case SIM_FAULT_LOSE:
    case SIM_FAULT_REFUSE:
    case SIM_FAULT_UNSEEN:
    case SIM_FAULT_FLAKY:
    case SIM_FAULT_SLOW:
    case SIM_FAULT_FULL:
    case SIM_FAULT_CRASH:
    case SIM_FAULT_CANCEL:
    case SIM_FAULT_DEADLINE:
    case SIM_FAULT_LIMIT:
    case SIM_FAULTS: break;
    }
}

/*  ---- at a moment that matters ---- */

static void
strike_then (sim_t *sim, uint64_t moment, uint64_t worker)
{
    if (!sim_faulty (sim, SIM_FAULT_KILL_MANAGER))
        return;
    restart_manager (sim);
    if (moment == SIM_MOMENT_GIVES && sim_faulty (sim, SIM_FAULT_BOTH) && sim_dice (sim, 2))
        sim_worker_kill (sim, (uint32_t) worker);
}

/*  Then what it has just said has come to some, and not to others. */
void
sim_faults_moment (sim_t *sim, sim_moment_t moment, uint32_t worker)
{
    if (!sim->fateful || !sim_faulty (sim, SIM_FAULT_KILL_MANAGER) || sim_dice (sim, 2))
        return;
    sim_at (sim, sim->now_us + sim_between (sim, 0, SIM_MS (sim_dice (sim, 2) ? 2 : 40)),
            strike_then, moment, worker);
}

/*  ---- the plan ---- */

/*  Some peers are far away. */
static void
plan_distances (sim_t *sim)
{
    sim->slow = sim_dice (sim, 4) == 0 && !(sim->options.off & 1u << SIM_FAULT_SLOW);
    for (uint32_t i = SIM_NODE_CLIENTS; sim->slow && i < SIM_NODES; i++)
        for (int way = 0; way < SIM_WAYS; way++)
            sim->node[i].slow_us[way] =
                sim_dice (sim, 3) ? 0 : sim_between (sim, 0, SIM_MS (sim->heartbeat_ms));
}

/*  One that strikes at a moment, of those that are on; SIM_FAULTS: none is. */
static sim_fault_t
some_fault (sim_t *sim)
{
    uint32_t on[SIM_FAULT_LOSE], count = 0;
    for (uint32_t i = 0; i < SIM_FAULT_LOSE; i++)
        if (!(sim->options.off & 1u << i))
            on[count++] = i;
    return count ? (sim_fault_t) on[sim_dice (sim, count)] : SIM_FAULTS;
}

void
sim_faults_plan (sim_t *sim)
{
    static const double shares[] = {0, 0, 0, 0.01, 0.05};
    uint32_t            count = sim_dice (sim, FAULTS_MAX + 1);

    sim->faults = count + sim->fateful;
    sim->slow = false;
    sim->flaky = sim->lose = sim->refuse = 0;
    if (sim->mixed && sim_dice (sim, 2)) {
        sim->faults = 0; /* what is looked for there needs no fault, and is looked for without */
        return;
    }
    plan_distances (sim);
    sim->flaky = sim_dice (sim, 4) ? 0 : 0.4;
    if (sim->options.off & 1u << SIM_FAULT_FLAKY)
        sim->flaky = 0;

    sim->lose = shares[sim_dice (sim, 5)];
    sim->refuse = shares[sim_dice (sim, 5)];
    if (sim->options.off & 1u << SIM_FAULT_LOSE)
        sim->lose = 0;
    if (sim->options.off & 1u << SIM_FAULT_REFUSE)
        sim->refuse = 0;
    for (uint32_t i = 0; i < count; i++) {
        sim_fault_t fault = some_fault (sim);
        sim_at (sim, sim_between (sim, SIM_MS (sim->heartbeat_ms) / 2, sim->heal_us - 1), strike,
                fault, 0);
    }
    if (sim->lasting)
        sim_at (sim, sim_between (sim, 0, sim->heal_us / 4), strike, SIM_FAULT_FORGET, 0);
}

/*  ---- healing ---- */

/*  Every service that had a worker has one again. */
static void
staff (sim_t *sim)
{
    uint8_t served = 0;
    for (uint32_t i = 0; i < sim->workers; i++)
        if (sim->node[SIM_NODE_WORKERS + i].alive && !sim->worker[i].drained &&
            !sim->worker[i].asked)
            served |= sim->worker[i].services;
    if (sim->settled_services & ~served)
        sim_worker_start (sim, sim->settled_services, SIM_WORKERS);
}

void
sim_faults_heal (sim_t *sim)
{
    sim->healed = true;
    sim_note (sim, SIM_NODE_MANAGER, "all is healed", 0, 0, NULL, 0);
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        sim_node_t *node = &sim->node[i];
        if (node->frozen_us > sim->now_us) {
            node->frozen_us = sim->now_us;
            if (node->alive)
                sim_turn_by (sim, i, sim->now_us);
        }
    }
    sim_net_unblock (sim);
    if (sim->node[SIM_NODE_MANAGER].alive && dn_manager_draining (sim->manager.core))
        sim_manager_kill (sim);
    sim_manager_start (sim);
    staff (sim);
}
