/*  fleet_world.c - a fleet with a false clock, a false manager and false slots
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t
slot_row (uint32_t slot)
{
    return slot == DN_SLOT_ZYGOTE ? WORLD_SLOTS : slot;
}

/*  ---- performing ---- */

static uint64_t *
kept_under (world_t *self, dn_handle_t handle)
{
    return &self->kept[(uint32_t) handle % DN_HOLDS_MAX];
}

static bool *
answer_under (world_t *self, dn_handle_t handle)
{
    return &self->answer[(uint32_t) handle % DN_HOLDS_MAX];
}

static uint64_t
seq_in_hand (const world_t *self)
{
    dn_msg_t inner;
    if (!self->in_hand)
        return 0;
    if (self->in_hand->kind == DN_MSG_RESULT)
        return self->in_hand->u.result.seq;
    if (self->in_hand->kind != DN_MSG_RUN)
        return 0;
    dn_str_t submit = self->in_hand->u.run.submit;
    dn_check (dn_msg_decode (&inner, M2W, submit.ptr, submit.len) == 0);
    return inner.u.submit.seq;
}

static void
call_sent (world_t *self, const void *arg, dn_effects_t *fx)
{
    dn_fleet_sent (self->fleet, *(const dn_handle_t *) arg, fx);
}

static void
call_refused (world_t *self, const void *arg, dn_effects_t *fx)
{
    dn_fleet_refused (self->fleet, arg, fx);
}

/*  What is sent must be a message that encodes. */
static void
perform_send (world_t *self, const dn_effect_t *row)
{
    static uint8_t bytes[DN_HEADER_MAX];

    if (row->kind == DN_FX_SEND)
        dn_check (dn_msg_encode (&row->msg, bytes, sizeof bytes) > 0);
    if (self->full) {
        self->notes--; /* it did not happen */
        world_call (self, call_refused, row);
    } else if (row->handle)
        world_call (self, call_sent, &row->handle);
}

static void
perform_hand (world_t *self, const dn_effect_t *row)
{
    world_slot_t *slot = &self->slot[slot_row (row->slot)];
    uint64_t      kept = *kept_under (self, row->handle);

    dn_check (slot->alive && kept && slot->first + slot->count < WORLD_TASKS);
    dn_check (!*answer_under (self, row->handle));
    slot->task[slot->first + slot->count++] =
        (world_task_t){row->handle, kept - 1, (uint32_t) row->number};
}

static void
call_taken_back (world_t *self, const void *arg, dn_effects_t *fx)
{
    const dn_effect_t *row = arg;
    dn_fleet_taken_back (self->fleet, self->now_ms, row->slot, self->slot[row->slot].started, fx);
}

/*  The tasks that may not start any more are skipped by the slot when it comes to them. */
static void
perform_take_back (world_t *self, const dn_effect_t *row)
{
    world_slot_t *slot = &self->slot[slot_row (row->slot)];
    uint32_t      stay = 0;

    slot->void_upto = (uint32_t) row->number;
    for (uint32_t i = 0; i < slot->count; i++)
        stay += slot->task[slot->first + i].number <= slot->started;
    slot->count = stay;
    world_call (self, call_taken_back, row);
}

static void
perform_start (world_t *self, const dn_effect_t *row)
{
    world_slot_t *slot = &self->slot[row->kind == DN_FX_START_ZYGOTE ? WORLD_SLOTS : row->slot];
    dn_check (!slot->alive);
    memset (slot, 0, sizeof *slot);
    slot->alive = true;
}

/*  An answer is kept before it is sent; PROGRESS and PART are not passed on yet. */
static void
perform_relay (world_t *self, const dn_effect_t *row)
{
    (void) self, (void) row;
    dn_check (!"an answer that is not kept");
}

static void
perform_relay_kept (world_t *self, const dn_effect_t *row)
{
    dn_check (*kept_under (self, row->handle) && *answer_under (self, row->handle));
    self->note[self->notes - 1].seq = *kept_under (self, row->handle) - 1;
    perform_send (self, row);
}

static void
perform_keep (world_t *self, const dn_effect_t *row)
{
    *kept_under (self, row->handle) = seq_in_hand (self) + 1;
    *answer_under (self, row->handle) = self->in_hand->kind == DN_MSG_RESULT;
}

static void
perform_drop (world_t *self, const dn_effect_t *row)
{
    dn_check (*kept_under (self, row->handle));
    *kept_under (self, row->handle) = 0;
}

static void
perform_fresh (world_t *self, const dn_effect_t *row)
{
    (void) row;
    self->fresh++;
}

static void
perform_exit (world_t *self, const dn_effect_t *row)
{
    self->exited = true;
    self->exit_code = (int) row->number;
}

static void
perform_doom (world_t *self, const dn_effect_t *row)
{
    self->slot[slot_row (row->slot)].doomed = true;
}

static void
perform_note (world_t *self, const dn_effect_t *row)
{
    (void) self, (void) row;
}

typedef void (perform_fn) (world_t *self, const dn_effect_t *row);

static perform_fn *const performers[] = {
    [DN_FX_SEND] = perform_send,
    [DN_FX_RELAY] = perform_relay,
    [DN_FX_RELAY_KEPT] = perform_relay_kept,
    [DN_FX_KEEP] = perform_keep,
    [DN_FX_DROP] = perform_drop,
    [DN_FX_FRESH] = perform_fresh,
    [DN_FX_START_ZYGOTE] = perform_start,
    [DN_FX_FORK] = perform_start,
    [DN_FX_EXEC] = perform_start,
    [DN_FX_HAND] = perform_hand,
    [DN_FX_TAKE_BACK] = perform_take_back,
    [DN_FX_EXIT] = perform_exit,
    [DN_FX_INTERRUPT] = perform_note,
    [DN_FX_KILL] = perform_doom,
    [DN_FX_STOP] = perform_doom,
    [DN_FX_LOG] = perform_note,
};

static void
perform (world_t *self, const dn_effect_t *row)
{
    dn_check ((size_t) row->kind < sizeof performers / sizeof performers[0]);
    dn_check (performers[row->kind]);
    world_note (self, row);
    performers[row->kind](self, row);
}

void
world_call (world_t *self, world_call_fn *fn, const void *arg)
{
    dn_check (self->level < WORLD_LEVELS);
    dn_effects_t *fx = self->fx[self->level++];
    dn_effects_clear (fx);
    fn (self, arg, fx);
    for (uint32_t i = 0; i < fx->count; i++)
        perform (self, &fx->row[i]);
    self->level--;
    if (self->level == 0)
        dn_fleet_check (self->fleet);
}

/*  ---- feeding ---- */

static void
call_input (world_t *self, const void *arg, dn_effects_t *fx)
{
    const uint64_t *payload_bytes = arg;
    dn_fleet_input (self->fleet, self->now_ms, self->in_hand, *payload_bytes, fx);
}

void
world_feed (world_t *self, const dn_msg_t *msg, uint64_t payload_bytes)
{
    self->in_hand = msg;
    world_call (self, call_input, &payload_bytes);
    self->in_hand = NULL;
}

typedef struct {
    uint32_t slot;
    uint64_t bytes;
    int      status;
    bool     oom;
} slot_call_t;

static void
call_from_slot (world_t *self, const void *arg, dn_effects_t *fx)
{
    const slot_call_t *args = arg;
    dn_fleet_from_slot (self->fleet, self->now_ms, args->slot, self->in_hand, args->bytes, fx);
}

static void
feed_slot (world_t *self, uint32_t slot, const dn_msg_t *msg, uint64_t bytes)
{
    slot_call_t args = {.slot = slot, .bytes = bytes};
    self->in_hand = msg;
    world_call (self, call_from_slot, &args);
    self->in_hand = NULL;
}

void
world_waits_of (world_t *self, uint32_t slot, dn_kind_t kind, const dn_session_t *client,
                uint64_t seq)
{
    dn_msg_t msg = {.kind = kind};
    if (kind == DN_MSG_LEND)
        msg.u.lend = (dn_lend_t){*client, seq, 1};
    else
        msg.u.back = (dn_back_t){*client, seq, 1};
    feed_slot (self, slot, &msg, 0);
}

void
world_waits (world_t *self, uint32_t slot, dn_kind_t kind, uint64_t seq)
{
    world_waits_of (self, slot, kind, &self->client[seq], seq);
}

void
world_ready_with (world_t *self, uint32_t slot, uint32_t threads)
{
    uint8_t          bytes[64];
    dn_rows_t        rows = {bytes, sizeof bytes, 0, 0};
    dn_row_service_t app = {dn_str ("app")};
    dn_msg_t         msg = {.kind = DN_MSG_READY};

    dn_check (dn_rows_put (&rows, DN_ROW_SERVICE, &app) == 0);
    msg.u.ready.pid = 100;
    msg.u.ready.threads = threads;
    msg.u.ready.services = dn_rows_list (&rows);
    self->slot[slot_row (slot)].ready = true;
    feed_slot (self, slot, &msg, 0);
}

void
world_ready (world_t *self, uint32_t slot)
{
    world_ready_with (self, slot, 1);
}

void
world_failed (world_t *self, uint32_t slot)
{
    dn_msg_t msg = {.kind = DN_MSG_FAILED};
    msg.u.failed.module = dn_str ("app");
    msg.u.failed.text = dn_str ("ImportError: no");
    feed_slot (self, slot, &msg, 0);
}

void
world_result_of (world_t *self, uint32_t slot, uint64_t seq)
{
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = world_client;
    msg.u.result.seq = seq;
    msg.u.result.attempt = 1;
    feed_slot (self, slot, &msg, 10);
}

/*  A slot claims a task. */
static void
claim (world_t *self, world_slot_t *slot, const world_task_t *task)
{
    dn_check (task->number > slot->void_upto && task->number > slot->started);
    dn_check (task->seq < WORLD_SEQS && !self->ran[task->seq]);
    self->ran[task->seq] = true;
    slot->started = task->number;
}

void
world_start (world_t *self, uint32_t number)
{
    world_slot_t *slot = &self->slot[number];
    for (uint32_t i = 0; i < slot->count; i++) {
        if (slot->task[slot->first + i].number > slot->started) {
            claim (self, slot, &slot->task[slot->first + i]);
            return;
        }
    }
    dn_check (!"a slot without a task to start");
}

static void
answer (world_t *self, uint32_t number, denim_outcome_t outcome, uint32_t run_us, uint64_t bytes)
{
    world_slot_t *slot = &self->slot[number];
    dn_check (slot->count);
    world_task_t task = slot->task[slot->first];
    dn_msg_t     msg = {.kind = DN_MSG_RESULT};

    if (slot->started < task.number)
        claim (self, slot, &task);
    slot->first++;
    slot->count--;
    msg.u.result.session = self->client[task.seq];
    msg.u.result.seq = task.seq;
    msg.u.result.attempt = 1;
    msg.u.result.outcome = (uint8_t) outcome;
    msg.u.result.run_us = run_us;
    feed_slot (self, number, &msg, bytes);
}

void
world_answer (world_t *self, uint32_t slot, uint32_t run_us)
{
    answer (self, slot, DENIM_VALUE, run_us, 10);
}

void
world_obey (world_t *self, uint32_t slot)
{
    answer (self, slot, DENIM_CANCELLED, 1, 0);
}

void
world_answer_large (world_t *self, uint32_t slot, uint64_t payload_bytes)
{
    answer (self, slot, DENIM_VALUE, 1, payload_bytes);
}

static void
call_exit (world_t *self, const void *arg, dn_effects_t *fx)
{
    const slot_call_t *args = arg;
    dn_slot_exit_t exited = {args->status, self->slot[slot_row (args->slot)].started, args->oom};
    dn_fleet_exited (self->fleet, self->now_ms, args->slot, &exited, fx);
}

static void
end_slot (world_t *self, uint32_t slot, int status, bool oom)
{
    slot_call_t args = {.slot = slot, .status = status, .oom = oom};
    dn_check (self->slot[slot_row (slot)].alive);
    self->slot[slot_row (slot)].alive = false;
    self->slot[slot_row (slot)].count = 0;
    world_call (self, call_exit, &args);
}

void
world_exit (world_t *self, uint32_t slot, int status)
{
    end_slot (self, slot, status, false);
}

void
world_exit_oom (world_t *self, uint32_t slot)
{
    end_slot (self, slot, SIGNALLED (9), true);
}

static void
call_rss (world_t *self, const void *arg, dn_effects_t *fx)
{
    const slot_call_t *args = arg;
    dn_fleet_rss (self->fleet, self->now_ms, args->slot, args->bytes, fx);
}

void
world_rss (world_t *self, uint32_t slot, uint64_t rss_bytes)
{
    slot_call_t args = {.slot = slot, .bytes = rss_bytes};
    world_call (self, call_rss, &args);
}

static void
call_writable (world_t *self, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_writable (self->fleet, self->now_ms, fx);
}

void
world_writable (world_t *self)
{
    dn_check (dn_fleet_wants_writable (self->fleet));
    self->full = false;
    world_call (self, call_writable, NULL);
}

static void
call_tick (world_t *self, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_tick (self->fleet, self->now_ms, fx);
}

/*  A tick that asks for another at the same time gets it, a bounded number of times. */
void
world_pass (world_t *self, int64_t ms)
{
    int64_t end_ms = self->now_ms + ms;
    int     at_once = 0;

    for (;;) {
        int64_t due_ms = dn_fleet_deadline_ms (self->fleet);
        if (due_ms > end_ms)
            break;
        at_once = due_ms <= self->now_ms ? at_once + 1 : 0;
        dn_check (at_once < 1000);
        if (due_ms > self->now_ms)
            self->now_ms = due_ms;
        world_call (self, call_tick, NULL);
    }
    self->now_ms = end_ms;
}

/*  ---- the beginning ---- */

dn_fleet_config_t
world_config (void)
{
    return (dn_fleet_config_t){.name = "w1",
                               .host = "h1",
                               .apps = "app",
                               .pid = 42,
                               .session = {{7}},
                               .seed = 1,
                               .slots = 2,
                               .standby = 8,
                               .grace_ms = 500,
                               .outbox_bytes = 1000};
}

static void
call_start (world_t *self, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_start (self->fleet, self->now_ms, fx);
}

world_t *
world_new (const dn_fleet_config_t *config)
{
    world_t *self = calloc (1, sizeof *self);
    dn_check (self);
    self->fleet = dn_fleet_new (config);
    dn_check (self->fleet);
    for (int i = 0; i < WORLD_LEVELS; i++)
        self->fx[i] = dn_effects_new ();
    self->now_ms = 1000;
    world_call (self, call_start, NULL);
    return self;
}

void
world_free (world_t *self)
{
    for (int i = 0; i < WORLD_LEVELS; i++)
        dn_effects_destroy (&self->fx[i]);
    dn_fleet_destroy (&self->fleet);
    free (self);
}

world_t *
world_up (const dn_fleet_config_t *config)
{
    world_t *self = world_new (config);

    if (config->preload)
        world_ready (self, DN_SLOT_ZYGOTE);
    else
        world_ready (self, 0);
    world_pass (self, 0);
    for (uint32_t i = config->preload ? 0 : 1; i < config->slots; i++)
        world_ready (self, i);
    world_writable (self);
    world_welcome (self, 1);
    world_pass (self, 200); /* an OFFER of the slots that came later */
    world_forget_notes (self);
    return self;
}

world_t *
world_up_plain (void)
{
    dn_fleet_config_t config = world_config ();
    return world_up (&config);
}
