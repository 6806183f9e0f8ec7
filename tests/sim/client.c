/*  client.c - the shell of a client's core, and the program that calls
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#define MESSAGES_TURN 256
#define AGAIN_US      SIM_MS (20) /* a program whose window is full tries again */

static const char *const services[SIM_SERVICES + 1] = {"alpha", "beta", "gamma", "nobody"};

/*  ---- effects ---- */

static sim_call_t *
call_of (sim_t *sim, sim_client_t *self, dn_handle_t handle)
{
    uint16_t row = self->out[(uint32_t) handle];
    if (!row || sim->call[row - 1].handle != handle)
        sim_fail (sim, "handle: a client is told of a call that it does not have");
    return &sim->call[row - 1];
}

static void
do_send (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_client_t *self = &sim->client[number];
    sim_payload_t payload = {SIM_NOTHING, 0, 0, 0};

    if (effect->kind == DN_FX_SEND_KEPT) {
        sim_call_t *call = call_of (sim, self, effect->handle);
        payload = (sim_payload_t){SIM_ARGUMENTS, (uint16_t) (call - sim->call),
                                  effect->msg.u.submit.attempt, call->payload_bytes};
        sim_ledger_submit (sim, call, &effect->msg.u.submit);
        call->boot_sent = sim_manager_boot_of (sim, dn_session_facts (self->core).epoch);
    }
    sim_frame_t *frame = sim_frame_msg (sim, &effect->msg, &payload);
    if (self->deaf)
        sim_frame_free (&frame);
    else if (sim_send_up (sim, SIM_NODE_CLIENTS + number, frame) == 0)
        return;
    self->deaf = true;
    dn_session_refused (self->core, sim_now_ms (sim), effect, self->fx);
}

static void
do_complete (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_client_t *self = &sim->client[number];
    sim_call_t   *call = call_of (sim, self, effect->handle);

    self->out[(uint32_t) effect->handle] = 0;
    sim_note (sim, SIM_NODE_CLIENTS + number, "ends", (uint64_t) (call - sim->call),
              effect->msg.u.result.outcome, NULL, 0);
    sim_ledger_end (sim, call, &effect->msg.u.result, self->hand);
    sim_nest_ended (sim, call);
}

static void
perform (sim_t *sim, uint32_t number)
{
    sim_client_t *self = &sim->client[number];

    for (uint32_t i = 0; i < self->fx->count; i++) {
        const dn_effect_t *effect = &self->fx->row[i];
        if (effect->kind == DN_FX_SEND || effect->kind == DN_FX_SEND_KEPT)
            do_send (sim, number, effect);
        else if (effect->kind == DN_FX_COMPLETE)
            do_complete (sim, number, effect);
        else if (effect->kind == DN_FX_FRESH) {
            sim_note (sim, SIM_NODE_CLIENTS + number, "fresh", 0, 0, NULL, 0);
            sim_socket_fresh (sim, SIM_NODE_CLIENTS + number);
            self->deaf = true;
        } else if (effect->kind == DN_FX_PLACED || effect->kind == DN_FX_PROGRESS)
            call_of (sim, self, effect->handle);
        else if (effect->kind != DN_FX_LOG && effect->kind != DN_FX_ANSWER)
            sim_fail (sim, "effects: a client wants an effect %d", (int) effect->kind);
    }
    if (self->fx->count > sim->counts.effects_max)
        sim->counts.effects_max = self->fx->count;
    if (self->fx->count > SIM_EFFECTS)
        sim_fail (sim, "effects: %u of one event of a client", self->fx->count);
    if (self->fx->count)
        sim->node[SIM_NODE_CLIENTS + number].idle = 0;
    dn_effects_clear (self->fx);
    dn_session_check (self->core);
}

/*  ---- the program ---- */

static void
ask_again (sim_t *sim, uint64_t client, uint64_t call)
{
    sim_client_ask (sim, (uint32_t) client, SIM_ASK_SUBMIT, (uint16_t) call);
}

static void
submit (sim_t *sim, uint32_t number, uint16_t row)
{
    sim_client_t *self = &sim->client[number];
    sim_call_t   *call = &sim->call[row];
    dn_request_t  request = {
         .service = dn_str (services[call->service]),
         .task = dn_str ("m:f"),
         .parent = {call->parent, call->depth ? DENIM_PARENT_BYTES : 0},
         .codec = DENIM_CODEC_JSON,
         .priority = call->priority,
         .depth = call->depth,
         .idempotent = call->idempotent,
         .finish = call->finish,
         .deadline_ms = call->deadline_ms < 0 ? DN_NEVER : sim_now_ms (sim) + call->deadline_ms,
         .soft_limit_ms = call->soft_limit_ms,
         .hard_limit_ms = call->hard_limit_ms,
         .payload_bytes = call->payload_bytes,
    };
    dn_handle_t handle;

    if (dn_session_submit (self->core, sim_now_ms (sim), &request, &handle, self->fx) < 0) {
        sim_at (sim, sim->now_us + AGAIN_US, ask_again, number, row);
        return;
    }
    dn_check ((uint32_t) handle < self->window && self->out[(uint32_t) handle] == 0);
    self->out[(uint32_t) handle] = (uint16_t) (row + 1);
    call->handle = handle;
    call->asked = true;
    call->asked_ms = sim_now_ms (sim);
    call->deadline_ms = request.deadline_ms;
    sim_note (sim, SIM_NODE_CLIENTS + number, "calls", row, call->service, NULL, 0);
}

static void
wish (sim_t *sim, uint32_t number, const sim_request_t *request)
{
    sim_client_t *self = &sim->client[number];
    sim_call_t   *call = &sim->call[request->call];

    if (!call->asked || call->ended)
        return;
    call->cancelled = true;
    sim_note (sim, SIM_NODE_CLIENTS + number, "wishes", request->call, request->what, NULL, 0);
    if (request->what == SIM_ASK_ABANDON)
        dn_session_abandon (self->core, call->handle, self->fx);
    else if (dn_session_cancel (self->core, call->handle, request->what == SIM_ASK_KILL, self->fx) <
             0)
        sim_fail (sim, "handle: a client does not have a call that has not ended");
}

static void
take_requests (sim_t *sim, uint32_t number)
{
    sim_client_t *self = &sim->client[number];

    for (uint32_t i = 0; i < self->requests; i++) {
        if (self->request[i].what == SIM_ASK_SUBMIT)
            submit (sim, number, self->request[i].call);
        else
            wish (sim, number, &self->request[i]);
        perform (sim, number);
        sim->node[SIM_NODE_CLIENTS + number].idle = 0;
    }
    self->requests = 0;
}

void
sim_client_ask (sim_t *sim, uint32_t number, sim_ask_t what, uint16_t call)
{
    sim_client_t *self = &sim->client[number];

    if (!sim->node[SIM_NODE_CLIENTS + number].alive || self->leaves)
        return;
    dn_check (self->requests < sizeof self->request / sizeof self->request[0]);
    self->request[self->requests++] = (sim_request_t){what, call};
    sim_turn_by (sim, SIM_NODE_CLIENTS + number, sim->now_us);
}

/*  ---- turns ---- */

static void
feed (sim_t *sim, uint32_t number, sim_frame_t *frame)
{
    sim_client_t *self = &sim->client[number];
    dn_msg_t      msg;

    sim_note (sim, SIM_NODE_CLIENTS + number, "hears", frame->link, 0, frame->header,
              frame->header_bytes);
    int rc = dn_msg_decode (&msg, M2C, frame->header, frame->header_bytes);
    if (rc < 0)
        sim_fail (sim, "decode: at a client: %s", dn_wire_strerror (rc));
    sim_ledger_told (sim, number, &msg);
    self->hand = frame;
    sim->node[SIM_NODE_CLIENTS + number].idle = 0;
    dn_session_input (self->core, sim_now_ms (sim), &msg, frame->payload.bytes, self->fx);
    perform (sim, number);
    self->hand = NULL;
}

/*  Until the call in hand makes a fresh socket: what the old one had is gone
 * with it. */
static void
read_messages (sim_t *sim, uint32_t number)
{
    sim_socket_t *socket = &sim->node[SIM_NODE_CLIENTS + number].socket;
    sim_frame_t  *frame;

    for (int i = 0; i < MESSAGES_TURN && (frame = TAILQ_FIRST (&socket->in)); i++) {
        TAILQ_REMOVE (&socket->in, frame, of_queue);
        feed (sim, number, frame);
        sim_frame_free (&frame);
    }
}

static void
say_goodbye (sim_t *sim, uint32_t number)
{
    sim_client_t *self = &sim->client[number];

    dn_session_close (self->core, self->fx);
    perform (sim, number);
    for (int i = 0; i < 100 && dn_session_facts (self->core).in_flight; i++) {
        dn_session_tick (self->core, sim_now_ms (sim), self->fx);
        perform (sim, number);
    }
    if (dn_session_facts (self->core).in_flight)
        sim_fail (sim, "goodbye: a client that leaves has calls left");
    self->left = true;
    sim_note (sim, SIM_NODE_CLIENTS + number, "left", 0, 0, NULL, 0);
    sim->node[SIM_NODE_CLIENTS + number].alive = false;
    self->ended_us = sim->now_us;
    sim_socket_close (sim, SIM_NODE_CLIENTS + number, sim_dice (sim, 4) != 0);
    dn_session_destroy (&self->core);
}

void
sim_client_turn (sim_t *sim, uint32_t number)
{
    sim_client_t *self = &sim->client[number];
    sim_node_t   *node = &sim->node[SIM_NODE_CLIENTS + number];

    if (self->deaf && sim_socket_takes (sim, &node->socket)) {
        self->deaf = false;
        dn_session_opened (self->core, sim_now_ms (sim), self->fx);
        perform (sim, number);
    }
    if (node->socket.broken) {
        node->socket.broken = false;
        dn_session_broken (self->core);
    }
    read_messages (sim, number);
    take_requests (sim, number);
    dn_session_tick (self->core, sim_now_ms (sim), self->fx);
    perform (sim, number);
    if (self->leaves) {
        say_goodbye (sim, number);
        return;
    }
    if (TAILQ_FIRST (&node->socket.in))
        sim_turn_by (sim, SIM_NODE_CLIENTS + number, sim->now_us + 1);
    if (self->deaf && node->socket.link)
        sim_turn_by (sim, SIM_NODE_CLIENTS + number, node->socket.full_us);
    sim_turn_due (sim, SIM_NODE_CLIENTS + number, dn_session_deadline_ms (self->core));
}

/*  ---- sessions ---- */

uint32_t
sim_clients_in (dn_list_t list)
{
    uint32_t         clients = 0;
    dn_row_session_t row;

    while (dn_list_next (&list, DN_ROW_SESSION, &row))
        if (sim_client_of (&row.session) < SIM_CLIENTS)
            clients |= 1u << sim_client_of (&row.session);
    return clients;
}

/*  ---- life ---- */

void
sim_client_start (sim_t *sim, uint32_t number)
{
    sim_client_t       *self = &sim->client[number];
    sim_node_t         *node = &sim->node[SIM_NODE_CLIENTS + number];
    dn_session_config_t config = {
        .seed = sim_random_next (&sim->random),
        .name = node->name,
        .address = "sim",
        .connect_timeout_ms = -1,
        .unknown_grace_ms = 5000,
    };

    self->window = sim_dice (sim, 4) ? SIM_PLANNED : 4 + sim_dice (sim, 12);
    if (self->inner && sim->leaving)
        self->window = SIM_PLANNED; /* else what is left behind could keep all later calls out */
    self->id.bytes[0] = (uint8_t) (SIM_CLIENT_BYTE + number);
    for (int i = 1; i < 16; i++)
        self->id.bytes[i] = (uint8_t) (sim_dice (sim, 8) ? 0 : sim_dice (sim, 256));
    config.id = self->id;
    config.window = self->window;
    if (!self->fx)
        self->fx = dn_effects_new ();
    self->core = dn_session_new (&config, sim_now_ms (sim));
    dn_check (self->fx && self->core);
    self->deaf = true;
    node->alive = true;
}

void
sim_client_kill (sim_t *sim, uint32_t number)
{
    sim_client_t *self = &sim->client[number];
    sim_node_t   *node = &sim->node[SIM_NODE_CLIENTS + number];

    if (!node->alive)
        return;
    sim_note (sim, SIM_NODE_CLIENTS + number, "killed", 0, 0, NULL, 0);
    node->alive = false;
    self->ended_us = sim->now_us;
    sim_socket_close (sim, SIM_NODE_CLIENTS + number, false);
    dn_session_destroy (&self->core);
}

void
sim_client_free (sim_t *sim, uint32_t number)
{
    dn_session_destroy (&sim->client[number].core);
    dn_effects_destroy (&sim->client[number].fx);
}
