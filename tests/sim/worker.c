/*  worker.c - the shell of a worker's core
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MANAGER_BATCH 256
#define TICKS_MAX     64
#define NODE(worker)  (SIM_NODE_WORKERS + (worker))

/*  ---- calls into the core ---- */

static dn_effects_t *
begin (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];

    dn_check (self->level < SIM_LEVELS);
    dn_effects_t *fx = self->fx[self->level++];
    dn_effects_clear (fx);
    return fx;
}

static void perform (sim_t *sim, uint32_t number);

/*  ---- effects: to the manager ---- */

static sim_frame_t **
kept_under (sim_t *sim, uint32_t number, dn_handle_t handle)
{
    dn_check ((uint32_t) handle < DN_HOLDS_MAX);
    return &sim->worker[number].kept[(uint32_t) handle];
}

/*  What a worker says that it holds; and it names all of whom it was told that they are
 *  forgotten. */
static void
note_held (sim_t *sim, uint32_t number, const dn_msg_t *msg)
{
    sim_worker_t *self = &sim->worker[number];

    if (msg->kind == DN_MSG_HELD)
        self->held = msg->u.held.tasks.count;
    else if (msg->kind == DN_MSG_WORKER_HELLO) {
        self->held = msg->u.worker_hello.inventory.count;
        self->greeting = msg->u.worker_hello.link;
        uint32_t unnamed = self->told & ~sim_clients_in (msg->u.worker_hello.forgotten);
        if (unnamed)
            sim_fail (sim, "forgotten: w%u was told that c%d is, and does not say so", number,
                      __builtin_ctz (unnamed));
    }
}

static int
send_effect (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_worker_t *self = &sim->worker[number];
    sim_frame_t  *frame = NULL;

    if (effect->kind == DN_FX_RELAY) {
        dn_check (self->hand);
        frame = sim_frame_dup (sim, self->hand);
    } else if (effect->kind == DN_FX_RELAY_KEPT) {
        sim_frame_t *kept = *kept_under (sim, number, effect->handle);
        if (!kept)
            sim_fail (sim, "kept: w%u sends what it did not keep", number);
        frame = sim_frame_dup (sim, kept);
    } else {
        note_held (sim, number, &effect->msg);
        frame = sim_frame_msg (sim, &effect->msg, NULL);
    }
    if (!sim->node[NODE (number)].socket.open) {
        sim_frame_free (&frame);
        return -EAGAIN;
    }
    return sim_send_up (sim, NODE (number), frame);
}

static void
do_send (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    int rc = send_effect (sim, number, effect);
    if (rc == 0 && !effect->handle)
        return;
    dn_effects_t *fx = begin (sim, number);
    if (rc == 0)
        dn_fleet_sent (sim->worker[number].core, effect->handle, fx);
    else
        dn_fleet_refused (sim->worker[number].core, effect, fx);
    perform (sim, number);
}

/*  What is in hand moves away; it cannot be sent after that. */
static void
do_keep (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_worker_t *self = &sim->worker[number];
    sim_frame_t **kept = kept_under (sim, number, effect->handle);

    if (!self->hand || self->moved)
        sim_fail (sim, "kept: w%u keeps what is not in hand", number);
    self->kept_count += *kept == NULL;
    sim_frame_free (kept);
    *kept = sim_frame_dup (sim, self->hand);
    self->moved = true;
    if (self->hand->payload.body == SIM_ARGUMENTS)
        sim_ledger_receive (sim, number, self->hand);
}

static void
do_drop (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_frame_t **kept = kept_under (sim, number, effect->handle);
    if (!*kept)
        sim_fail (sim, "kept: w%u drops what it did not keep", number);
    sim_frame_free (kept);
    sim->worker[number].kept_count--;
}

static void
do_fresh (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    (void) effect;
    sim_note (sim, NODE (number), "fresh", 0, 0, NULL, 0);
    sim_socket_fresh (sim, NODE (number));
}

/*  ---- effects: to the slots ---- */

static uint32_t
row_of (const dn_effect_t *effect)
{
    return effect->slot == DN_SLOT_ZYGOTE ? SIM_ZYGOTE : effect->slot;
}

static void
do_start (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    uint32_t row = effect->kind == DN_FX_START_ZYGOTE ? SIM_ZYGOTE : effect->slot;
    sim_process_start (sim, number, row, effect->kind);
}

static void
do_hand (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_frame_t *kept = *kept_under (sim, number, effect->handle);
    if (!kept)
        sim_fail (sim, "kept: w%u hands over what it did not keep", number);
    sim_process_hand (sim, number, row_of (effect), kept, (uint32_t) effect->number);
}

static void
do_take_back (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    uint32_t started =
        sim_process_take_back (sim, number, row_of (effect), (uint32_t) effect->number);
    dn_effects_t *fx = begin (sim, number);
    dn_fleet_taken_back (sim->worker[number].core, sim_now_ms (sim), effect->slot, started, fx);
    perform (sim, number);
}

static void
do_interrupt (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_process_interrupt (sim, number, row_of (effect), (uint32_t) effect->number, effect->how);
}

static void
do_kill (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_process_kill (sim, number, row_of (effect));
}

static void
do_stop (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_process_stop (sim, number, row_of (effect));
}

static void
do_log (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_note (sim, NODE (number), effect->event, effect->number, effect->reason, NULL, 0);
}

static void
do_exit (sim_t *sim, uint32_t number, const dn_effect_t *effect)
{
    sim_note (sim, NODE (number), "exits", effect->number, 0, NULL, 0);
    sim->worker[number].exits = true;
}

/*  ---- effects: all of them ---- */

typedef void (effect_fn) (sim_t *sim, uint32_t number, const dn_effect_t *effect);

static effect_fn *const effects[] = {
    [DN_FX_SEND] = do_send,
    [DN_FX_RELAY] = do_send,
    [DN_FX_RELAY_KEPT] = do_send,
    [DN_FX_KEEP] = do_keep,
    [DN_FX_DROP] = do_drop,
    [DN_FX_FRESH] = do_fresh,
    [DN_FX_START_ZYGOTE] = do_start,
    [DN_FX_FORK] = do_start,
    [DN_FX_EXEC] = do_start,
    [DN_FX_HAND] = do_hand,
    [DN_FX_TAKE_BACK] = do_take_back,
    [DN_FX_INTERRUPT] = do_interrupt,
    [DN_FX_KILL] = do_kill,
    [DN_FX_STOP] = do_stop,
    [DN_FX_LOG] = do_log,
    [DN_FX_EXIT] = do_exit,
};

static void
perform (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];
    dn_effects_t *fx = self->fx[self->level - 1];

    if (fx->count > sim->counts.effects_max)
        sim->counts.effects_max = fx->count;
    if (fx->count > SIM_EFFECTS)
        sim_fail (sim, "effects: %u of one event of a worker", fx->count);
    if (fx->count)
        sim->node[NODE (number)].idle = 0;
    for (uint32_t i = 0; i < fx->count; i++) {
        const dn_effect_t *effect = &fx->row[i];
        if ((size_t) effect->kind >= sizeof effects / sizeof effects[0] || !effects[effect->kind])
            sim_fail (sim, "effects: a worker wants an effect %d", (int) effect->kind);
        effects[effect->kind](sim, number, effect);
    }
    if (--self->level == 0)
        dn_fleet_check (self->core);
}

/*  ---- turns ---- */

/*  Who the workers are, as a manager tells it. */
static void
hear_roster (sim_t *sim, uint32_t number, uint64_t epoch, dn_list_t roster)
{
    uint32_t         boot = sim_manager_boot_of (sim, epoch);
    dn_row_session_t row;

    while (dn_list_next (&roster, DN_ROW_SESSION, &row)) {
        uint32_t other = row.session.bytes[0] - 0xa0u;
        if (other < SIM_WORKERS)
            sim->worker[number].heard_of[boot % 64] |= 1u << other;
    }
}

static void
note_heard (sim_t *sim, uint32_t number, uint32_t link, const dn_msg_t *msg)
{
    if (msg->kind == DN_MSG_BEAT)
        hear_roster (sim, number, msg->u.beat.epoch, msg->u.beat.roster);
    if (msg->kind == DN_MSG_DRAIN)
        sim->worker[number].drained = true;
    if (msg->kind != DN_MSG_WELCOME)
        return;
    sim->node[NODE (number)].heard_boots |= 1ull << sim->link[link].boot % 64;
    hear_roster (sim, number, msg->u.welcome.epoch, msg->u.welcome.roster);
}

/*  Who is forgotten, as a message says that counts: WELCOME answers the last HELLO, a BEAT is
 *  answered with HELD. */
static void
note_told (sim_worker_t *self, const dn_msg_t *msg, const dn_effects_t *fx)
{
    uint32_t client;

    if (msg->kind == DN_MSG_FORGET) {
        client = sim_client_of (&msg->u.forget.session);
        if (client < SIM_CLIENTS)
            self->told |= 1u << client;
    } else if (msg->kind == DN_MSG_WELCOME && msg->u.welcome.link == self->greeting)
        self->told |= sim_clients_in (msg->u.welcome.forgotten);
    else if (msg->kind == DN_MSG_BEAT && fx->count &&
             fx->row[fx->count - 1].msg.kind == DN_MSG_HELD)
        self->told |= sim_clients_in (msg->u.beat.forgotten);
}

static void
feed (sim_t *sim, uint32_t number, sim_frame_t *frame)
{
    sim_worker_t *self = &sim->worker[number];
    dn_msg_t      msg;

    sim_note (sim, NODE (number), "hears", frame->link, 0, frame->header, frame->header_bytes);
    int rc = dn_msg_decode (&msg, M2W, frame->header, frame->header_bytes);
    if (rc < 0)
        sim_fail (sim, "decode: at a worker: %s", dn_wire_strerror (rc));
    note_heard (sim, number, frame->link, &msg);
    self->hand = frame;
    self->moved = false;
    sim->node[NODE (number)].idle = 0;
    dn_effects_t *fx = begin (sim, number);
    dn_fleet_input (self->core, sim_now_ms (sim), &msg, frame->payload.bytes, fx);
    note_told (self, &msg, fx);
    perform (sim, number);
    self->hand = NULL;
}

static void
read_manager (sim_t *sim, uint32_t number)
{
    sim_socket_t *socket = &sim->node[NODE (number)].socket;
    sim_frame_t  *frame;

    for (int i = 0;
         i < MANAGER_BATCH && !sim->worker[number].exits && (frame = TAILQ_FIRST (&socket->in));
         i++) {
        TAILQ_REMOVE (&socket->in, frame, of_queue);
        feed (sim, number, frame);
        sim_frame_free (&frame);
    }
}

static void
hear_link (sim_t *sim, uint32_t number)
{
    sim_socket_t *socket = &sim->node[NODE (number)].socket;

    if (!socket->broken)
        return;
    socket->broken = false;
    read_manager (sim, number);
    dn_effects_t *fx = begin (sim, number);
    dn_fleet_disconnected (sim->worker[number].core, sim_now_ms (sim), fx);
    perform (sim, number);
}

static void
hear_slot (sim_t *sim, uint32_t number, sim_word_t *word)
{
    sim_worker_t *self = &sim->worker[number];
    uint32_t      slot = word->row == SIM_ZYGOTE ? DN_SLOT_ZYGOTE : word->row;
    dn_msg_t      msg;

    if (word->kind == SIM_SAYS) {
        sim_note (sim, NODE (number), "slot says", word->row, 0, word->frame->header,
                  word->frame->header_bytes);
        int rc = dn_msg_decode (&msg, S2W, word->frame->header, word->frame->header_bytes);
        if (rc < 0)
            sim_fail (sim, "decode: of a slot: %s", dn_wire_strerror (rc));
        self->hand = word->frame;
        self->moved = false;
    } else
        sim_note (sim, NODE (number), word->kind == SIM_EXITS ? "slot ended" : "no slot", word->row,
                  (uint64_t) word->exited.status, NULL, 0);
    dn_effects_t *fx = begin (sim, number);
    if (word->kind == SIM_SAYS)
        dn_fleet_from_slot (self->core, sim_now_ms (sim), slot, &msg, word->frame->payload.bytes,
                            fx);
    else if (word->kind == SIM_EXITS)
        dn_fleet_exited (self->core, sim_now_ms (sim), slot, &word->exited, fx);
    else
        dn_fleet_start_failed (self->core, sim_now_ms (sim), slot, fx);
    perform (sim, number);
    self->hand = NULL;
}

static void
hear_slots (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];
    sim_word_t   *word;

    while (!self->exits && (word = sim_word_take (self))) {
        sim->node[NODE (number)].idle = 0;
        hear_slot (sim, number, word);
        sim_word_free (&word);
    }
}

static void
take_signals (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];

    for (; self->signals; self->signals--) {
        dn_effects_t *fx = begin (sim, number);
        dn_fleet_signal (self->core, sim_now_ms (sim), fx);
        perform (sim, number);
    }
}

static void
tick (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];
    int64_t       now_ms = sim_now_ms (sim);

    for (int i = 0; i < TICKS_MAX && dn_fleet_deadline_ms (self->core) <= now_ms; i++) {
        dn_effects_t *fx = begin (sim, number);
        dn_fleet_tick (self->core, now_ms, fx);
        perform (sim, number);
    }
}

static void
end (sim_t *sim, uint32_t number, bool linger)
{
    sim->node[NODE (number)].alive = false;
    sim->workers_ended++;
    sim_processes_end (sim, number);
    sim_socket_close (sim, NODE (number), linger);
    sim_worker_free (sim, number);
}

void
sim_worker_turn (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];
    sim_node_t   *node = &sim->node[NODE (number)];
    bool          writable = sim_socket_takes (sim, &node->socket);

    read_manager (sim, number);
    hear_slots (sim, number);
    take_signals (sim, number);
    hear_link (sim, number);
    if (writable && sim_socket_takes (sim, &node->socket) && dn_fleet_wants_writable (self->core)) {
        dn_effects_t *fx = begin (sim, number);
        dn_fleet_writable (self->core, sim_now_ms (sim), fx);
        perform (sim, number);
    }
    if (!self->exits)
        tick (sim, number);
    if (self->exits) {
        end (sim, number, sim_dice (sim, 4) != 0);
        return;
    }
    if (TAILQ_FIRST (&node->socket.in))
        sim_turn_by (sim, NODE (number), sim->now_us + 1);
    if (node->socket.link && dn_fleet_wants_writable (self->core))
        sim_turn_by (sim, NODE (number),
                     node->socket.full_us > sim->now_us ? node->socket.full_us : sim->now_us + 1);
    sim_turn_due (sim, NODE (number), dn_fleet_deadline_ms (self->core));
}

/*  ---- life ---- */

static void
configure (sim_t *sim, sim_worker_t *self, uint32_t number)
{
    dn_fleet_config_t *config = &self->config;

    *config = (dn_fleet_config_t){.host = "host", .apps = "app", .pid = 100 + number};
    snprintf (config->name, sizeof config->name, "%s", sim->node[NODE (number)].name);
    config->session.bytes[0] = (uint8_t) (0xa0 + number);
    for (int i = 1; i < 16; i++)
        config->session.bytes[i] = (uint8_t) sim_dice (sim, 256);
    if (sim_dice (sim, 2)) {
        config->instance.bytes[0] = 0x10;
        config->instance.bytes[1] = (uint8_t) self->instance;
    }
    config->seed = sim_random_next (&sim->random);
    config->slots = 1 + sim_dice (sim, sim->nesting ? 2 : SIM_SLOTS);
    config->standby = sim_dice (sim, 3) ? sim_dice (sim, 6) : 70;
    config->preload = sim_dice (sim, 2);
    config->grace_ms = sim_between (sim, 50, 3000);
    config->recycle_tasks = sim_dice (sim, 4) ? 0 : 3 + sim_dice (sim, 10);
    uint32_t outbox = sim_dice (sim, 4);
    config->outbox_bytes = outbox == 0 ? 2000 : outbox == 1 ? 64u << 20 : 1u << 20;
    if (sim->nesting)
        config->nesting = sim->nesting + sim_dice (sim, 2);
    dn_check (dn_fleet_rows (config) <= SIM_ROWS);
}

void
sim_worker_start (sim_t *sim, uint8_t services, uint32_t like)
{
    if (sim->workers == SIM_WORKERS)
        return;
    uint32_t      number = sim->workers++;
    sim_worker_t *self = &sim->worker[number];
    sim_node_t   *node = &sim->node[NODE (number)];

    self->instance = like < SIM_WORKERS ? sim->worker[like].instance : number;
    self->services = services;
    configure (sim, self, number);
    TAILQ_INIT (&self->words);
    for (int i = 0; i < SIM_LEVELS; i++)
        self->fx[i] = dn_effects_new ();
    for (int i = 0; i <= SIM_ROWS; i++)
        self->process[i].client = SIM_CLIENTS;
    self->kept = calloc (DN_HOLDS_MAX, sizeof (sim_frame_t *));
    self->core = dn_fleet_new (&self->config);
    dn_check (self->fx[SIM_LEVELS - 1] && self->kept && self->core);
    node->alive = true;
    sim_note (sim, NODE (number), "starts", self->config.slots, self->config.preload, NULL, 0);
    dn_effects_t *fx = begin (sim, number);
    dn_fleet_start (self->core, sim_now_ms (sim), fx);
    perform (sim, number);
    sim_turn_by (sim, NODE (number), sim->now_us);
}

void
sim_worker_kill (sim_t *sim, uint32_t number)
{
    if (!sim->node[NODE (number)].alive)
        return;
    sim_note (sim, NODE (number), "killed", 0, 0, NULL, 0);
    end (sim, number, false);
}

void
sim_worker_free (sim_t *sim, uint32_t number)
{
    sim_worker_t *self = &sim->worker[number];

    for (sim_word_t *word; self->core && (word = sim_word_take (self));)
        sim_word_free (&word);
    for (uint32_t i = 0; self->kept && i < DN_HOLDS_MAX && self->kept_count; i++) {
        self->kept_count -= self->kept[i] != NULL;
        sim_frame_free (&self->kept[i]);
    }
    free (self->kept);
    self->kept = NULL;
    for (int i = 0; i < SIM_LEVELS; i++)
        dn_effects_destroy (&self->fx[i]);
    dn_fleet_destroy (&self->core);
}
