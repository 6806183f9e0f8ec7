/*  manager.c - the shell of the manager's core
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <errno.h>

#define BATCH      64 /* messages of workers, then of clients */
#define ROUNDS_MAX 16
#define TICKS_MAX  64
#define MANY_TASKS 400
#define FEW_TASKS  6
#define LEASE_MS   20
#define NOW        SIM_NODE_MANAGER

enum { CLIENTS, WORKERS };

static void
count_effects (sim_t *sim, const dn_effects_t *fx)
{
    if (fx->count > sim->counts.effects_max)
        sim->counts.effects_max = fx->count;
    if (fx->count > SIM_EFFECTS)
        sim_fail (sim, "effects: %u of one event of the manager", fx->count);
    if (fx->count)
        sim->node[NOW].idle = 0;
}

/*  ---- effects ---- */

static sim_frame_t *
make_frame (sim_t *sim, const dn_effect_t *effect)
{
    const sim_frame_t *hand = sim->manager.hand;
    if (effect->kind == DN_FX_SEND)
        return sim_frame_msg (sim, &effect->msg, NULL);
    if (effect->kind != DN_FX_FORWARD && effect->kind != DN_FX_RELAY)
        sim_fail (sim, "effects: the manager wants an effect %d", (int) effect->kind);
    dn_check (hand);
    return effect->kind == DN_FX_RELAY ? sim_frame_dup (sim, hand)
                                       : sim_frame_msg (sim, &effect->msg, &hand->payload);
}

static void
note_welcome (sim_t *sim, const dn_effect_t *effect)
{
    sim_node_t *node = &sim->node[sim->link[effect->to].node];

    if (effect->msg.kind != DN_MSG_WELCOME || node->greeted_boot == sim->manager.boot)
        return;
    node->greeted_boot = sim->manager.boot;
    node->greeted_us = sim->now_us;
}

/*  Workers and clients that the manager gives up may lose what nobody else may.
 */
static void
hear_log (sim_t *sim, const dn_effect_t *effect)
{
    sim_note (sim, NOW, effect->event, effect->number, effect->reason, NULL, 0);
    bool worker = strcmp (effect->event, "worker_gone") == 0;
    if (!worker && strcmp (effect->event, "client_gone") != 0)
        return;
    sim->workers_ended += worker;
    if (!worker && effect->reason != DENIM_REASON_SHUTDOWN)
        sim_faults_moment (sim, SIM_MOMENT_FORGETS, SIM_WORKERS);
    for (uint32_t i = 0; i < SIM_NODES; i++)
        if (effect->name && strcmp (sim->node[i].name, effect->name) == 0)
            sim->node[i].was_gone = true;
}

/*  A client that did not come in time is forgotten, though it has never said HELLO. */
static void
note_forgotten (sim_t *sim, const dn_session_t *session)
{
    uint32_t client = sim_client_of (session);

    if (client < SIM_CLIENTS && sim_ledger_came_late (sim, SIM_NODE_CLIENTS + client))
        sim->node[SIM_NODE_CLIENTS + client].was_gone = true;
}

static void
note_forget (sim_t *sim, const dn_effect_t *effect)
{
    dn_list_t        list = {0};
    dn_row_session_t row;

    if (effect->msg.kind == DN_MSG_FORGET)
        note_forgotten (sim, &effect->msg.u.forget.session);
    else if (effect->msg.kind == DN_MSG_BEAT)
        list = effect->msg.u.beat.forgotten;
    else if (effect->msg.kind == DN_MSG_WELCOME)
        list = effect->msg.u.welcome.forgotten;
    sim->manager.forgot |= sim_clients_in (list);
    while (dn_list_next (&list, DN_ROW_SESSION, &row))
        note_forgotten (sim, &row.session);
}

static void
check_told (sim_t *sim, const dn_effect_t *effect)
{
    const dn_msg_t *msg = &effect->msg;
    uint32_t        node = sim->link[effect->to].node;

    if (effect->kind == DN_FX_FORWARD)
        sim_ledger_give (sim, node - SIM_NODE_WORKERS);
    else if (msg->kind == DN_MSG_BEAT && node >= SIM_NODE_WORKERS)
        sim_ledger_beat (sim, node - SIM_NODE_WORKERS, &msg->u.beat);
    else if (msg->kind == DN_MSG_CANCEL)
        sim_ledger_cancel (sim, &msg->u.cancel);
    else if (msg->kind == DN_MSG_SETTLED)
        sim_ledger_settle (sim, node - SIM_NODE_WORKERS, &msg->u.settled);
}

static void
perform (sim_t *sim, dn_effects_t *fx, dn_effects_t *undo)
{
    sim_manager_t *self = &sim->manager;

    count_effects (sim, fx);
    for (uint32_t i = 0; i < fx->count; i++) {
        const dn_effect_t *effect = &fx->row[i];
        if (effect->kind == DN_FX_LOG) {
            hear_log (sim, effect);
            continue;
        }
        if (effect->kind == DN_FX_ASKED)
            continue;
        note_welcome (sim, effect);
        note_forget (sim, effect);
        check_told (sim, effect);
        sim_turns_tell (sim, effect);
        sim_frame_t *frame = make_frame (sim, effect);
        int          rc = sim_send_down (sim, (uint32_t) effect->to, frame);
        if (rc < 0) {
            sim->turns.assured = false;
            sim->turns.refused = true;
        }
        if (rc < 0 && undo) {
            dn_effects_clear (undo);
            dn_manager_refused (self->core, sim_now_ms (sim), effect, rc == -EHOSTUNREACH, undo);
            perform (sim, undo, NULL);
        }
    }
}

/*  ---- turns ---- */

static void
feed (sim_t *sim, int door, sim_frame_t *frame)
{
    sim_manager_t     *self = &sim->manager;
    dn_msg_t           msg;
    dn_manager_event_t in = {sim_now_ms (sim),
                             frame->link,
                             &msg,
                             {(const char *) frame->header, (uint16_t) frame->header_bytes},
                             frame->payload.bytes};

    sim_note (sim, NOW, sim->node[sim->link[frame->link].node].name, frame->link, 0, frame->header,
              frame->header_bytes);
    if (frame->header_bytes > UINT16_MAX)
        in.header.len = 0;
    int rc = dn_msg_decode (&msg, door == WORKERS ? W2M : C2M, frame->header, frame->header_bytes);
    if (rc < 0)
        sim_fail (sim, "decode: at the manager: %s", dn_wire_strerror (rc));
    self->hand = frame;
    sim->node[NOW].idle = 0;
    dn_effects_clear (self->fx);
    sim_turns_before (sim, frame->link, &msg);
    sim_starve_before (sim, frame->link, &msg);
    dn_manager_input (self->core, &in, self->fx);
    perform (sim, self->fx, self->undo);
    sim_turns_after (sim, frame->link, &msg);
    if (msg.kind == DN_MSG_SUBMIT)
        sim_starve_after (sim);
    if (msg.kind == DN_MSG_HELD || msg.kind == DN_MSG_WORKER_HELLO)
        sim_ledger_depths (sim);
    self->hand = NULL;
    dn_manager_check (self->core);
}

static int
drain (sim_t *sim, int door)
{
    sim_frame_queue_t *queue = &sim->manager.in[door];
    sim_frame_t       *frame;
    int                count = 0;

    while (count < BATCH && (frame = TAILQ_FIRST (queue))) {
        TAILQ_REMOVE (queue, frame, of_queue);
        feed (sim, door, frame);
        sim_frame_free (&frame);
        count++;
    }
    return count;
}

void
sim_manager_turn (sim_t *sim)
{
    sim_manager_t *self = &sim->manager;
    int64_t        now_ms = sim_now_ms (sim);

    for (int round = 0; round < ROUNDS_MAX; round++)
        if (drain (sim, WORKERS) + drain (sim, CLIENTS) == 0)
            break;
    for (int i = 0; i < TICKS_MAX && dn_manager_deadline_ms (self->core) <= now_ms; i++) {
        dn_effects_clear (self->fx);
        sim_turns_before (sim, 0, NULL);
        sim_starve_before (sim, 0, NULL);
        dn_manager_tick (self->core, now_ms, self->fx);
        perform (sim, self->fx, self->undo);
        sim_turns_after (sim, 0, NULL);
        sim_starve_after (sim);
        dn_manager_check (self->core);
    }
    sim_turns_look (sim);
    if (TAILQ_FIRST (&self->in[WORKERS]) || TAILQ_FIRST (&self->in[CLIENTS]))
        sim_turn_by (sim, NOW, sim->now_us + 1);
    sim_turn_due (sim, NOW, dn_manager_deadline_ms (self->core));
}

void
sim_manager_drain (sim_t *sim)
{
    if (!sim->node[NOW].alive)
        return;
    dn_effects_clear (sim->manager.fx);
    dn_manager_drain (sim->manager.core, sim->manager.fx);
    perform (sim, sim->manager.fx, sim->manager.undo);
    sim_turn_by (sim, NOW, sim->now_us);
}

/*  ---- life ---- */

void
sim_manager_start (sim_t *sim)
{
    sim_manager_t *self = &sim->manager;

    if (sim->node[NOW].alive)
        return;
    bool few = sim_dice (sim, 6) == 0 && !(sim->options.off & 1u << SIM_FAULT_FULL);
    few = few && !sim->nesting; /* tasks that wait would hold all records, for ever */
    uint64_t            epoch = sim_random_next (&sim->random) >> 1 | 1;
    dn_manager_config_t config = {
        .epoch = epoch,
        .seed = sim_random_next (&sim->random),
        .clients_max = SIM_CLIENTS + 1,
        .workers_max = SIM_WORKERS,
        .tasks_max = few ? FEW_TASKS : MANY_TASKS,
        .services_max = 8,
        .heartbeat_ms = sim->heartbeat_ms,
        .liveness = SIM_LIVENESS,
        .payload_max = 2000000,
        .client_bytes = 2500000,
        .standby_ms = 100,
        .lease_ms = sim_dice (sim, 4) ? LEASE_MS : (uint32_t) sim_between (sim, 0, LEASE_MS / 4),
        .retry_max_ms = 2000,
        .client_share = sim->share,
    };
    self->few = few;
    if (!self->fx) {
        self->fx = dn_effects_new ();
        self->undo = dn_effects_new ();
    }
    self->core = dn_manager_new (&config, sim_now_ms (sim));
    dn_check (self->fx && self->undo && self->core);
    self->boot++;
    self->epoch[self->boot % 64] = epoch;
    self->up_us = sim->now_us;
    self->forgot = 0;
    sim_turns_start (sim);
    sim_starve_start (sim);
    sim->node[NOW].alive = true;
    sim->node[NOW].turn_us = SIM_NEVER;
    sim->node[NOW].frozen_us = 0;
    sim->node[NOW].idle = 0;
    sim_note (sim, NOW, "starts", self->boot, config.tasks_max, NULL, 0);
    sim_turn_due (sim, NOW, dn_manager_deadline_ms (self->core));
}

uint32_t
sim_manager_boot_of (const sim_t *sim, uint64_t epoch)
{
    uint32_t boot = sim->manager.boot;
    while (boot && sim->manager.epoch[boot % 64] != epoch)
        boot--;
    return boot;
}

void
sim_manager_kill (sim_t *sim)
{
    if (!sim->node[NOW].alive)
        return;
    sim_note (sim, NOW, "killed", sim->manager.boot, 0, NULL, 0);
    sim->node[NOW].alive = false;
    dn_manager_destroy (&sim->manager.core);
    sim_net_manager_gone (sim);
}

void
sim_manager_free (sim_t *sim)
{
    dn_manager_destroy (&sim->manager.core);
    dn_effects_destroy (&sim->manager.fx);
    dn_effects_destroy (&sim->manager.undo);
}
