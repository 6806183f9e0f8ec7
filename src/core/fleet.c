/*  fleet.c - the fleet's face: what comes in is dispatched, what is due is done
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVICES_MAX 256                /* a READY cannot name more */
#define TEXT_MAX     1000               /* bytes of a sentence: what a RESULT has room for */
#define PAYLOAD_MAX  (64 * 1024 * 1024) /* until WELCOME says otherwise */

uint32_t
dn_fleet_rows (const dn_fleet_config_t *config)
{
    uint32_t nesting = config->nesting;
    if (nesting > DENIM_NESTING_MAX)
        nesting = DENIM_NESTING_MAX;
    if (nesting > DN_SLOT_ROWS_MAX / config->slots - 1)
        nesting = DN_SLOT_ROWS_MAX / config->slots - 1;
    return config->slots * (nesting + 1);
}

dn_fleet_t *
dn_fleet_new (const dn_fleet_config_t *config)
{
    dn_check (config->slots >= 1 && config->slots <= DN_SLOTS_MAX);
    dn_fleet_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->config = *config;
    uint32_t rows = dn_fleet_rows (config);
    self->config.nesting = rows / config->slots - 1;
    if (self->config.standby > DN_PLACES_MAX - rows)
        self->config.standby = DN_PLACES_MAX - rows;
    self->holds = dn_holds_new (config->seed);
    self->slots = dn_slots_new (rows);
    self->services = dn_services_new (SERVICES_MAX, 1, config->seed);
    self->rosters = dn_rosters_new (DN_ROSTERS_TOLD);
    self->forgotten = dn_crowd_new (DN_FORGOTTEN_MAX, config->seed);
    self->random = config->seed;
    self->due_ms = DN_NEVER;
    self->deadline_ms = DN_NEVER;
    self->heartbeat_ms = DN_HEARTBEAT_MS;
    self->standby_ms = DN_STANDBY_MS;
    self->payload_max = PAYLOAD_MAX;
    self->alone_ms = DN_NEVER;
    self->told_ms = INT64_MIN;
    self->drain_ms = DN_NEVER;
    self->leave_ms = DN_NEVER;
    self->by_exec = !config->preload;
    if (!self->holds || !self->slots || !self->services || !self->rosters || !self->forgotten)
        dn_fleet_destroy (&self);
    return self;
}

void
dn_fleet_destroy (dn_fleet_t **self_p)
{
    dn_fleet_t *self = *self_p;
    if (!self)
        return;
    dn_holds_destroy (&self->holds);
    dn_slots_destroy (&self->slots);
    dn_services_destroy (&self->services);
    dn_rosters_destroy (&self->rosters);
    dn_crowd_destroy (&self->forgotten);
    free (self);
    *self_p = NULL;
}

void
dn_fleet_start (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t first = self->by_exec ? 0 : DN_SLOT_ZYGOTE;

    self->tick_ms = now_ms;
    dn_fleet_slot_event (self, now_ms, dn_slots_get (self->slots, first), DN_SLOT_ON_START, fx);
}

/*  ---- the manager ---- */

typedef void (handler_fn) (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);

/*  What is to be heard before WELCOME, too: a RUN is not, as the HELLO on its way does not list it
 *  and the manager then gives its place up. */
static const struct {
    handler_fn *handle;
    bool        early;
} handlers[DN_MSGS] = {
    [DN_MSG_WELCOME] = {dn_fleet_on_welcome, true},
    [DN_MSG_WHO] = {dn_fleet_on_who, true},
    [DN_MSG_BEAT] = {dn_fleet_on_beat, true},
    [DN_MSG_FAULT] = {dn_fleet_on_fault, true},
    [DN_MSG_CANCEL] = {dn_fleet_on_cancel, true},
    [DN_MSG_SETTLED] = {dn_fleet_on_settled, true},
    [DN_MSG_FORGET] = {dn_fleet_on_forget, true},
    [DN_MSG_DRAIN] = {dn_fleet_on_drain, true},
    [DN_MSG_RESEND] = {dn_fleet_on_resend, true},
    [DN_MSG_ASK] = {dn_fleet_on_ask, false},
    [DN_MSG_RUN] = {dn_fleet_on_run, false},
    [DN_MSG_MORE] = {NULL, false}, /* streamed results: no task makes any yet */
};

void
dn_fleet_input (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, uint64_t payload_bytes,
                dn_effects_t *fx)
{
    if (self->link < DN_LINK_GREETING || self->stay == DN_STAY_LEFT)
        return; /* of a socket that is closed, or to one that leaves */
    self->heard_ms = now_ms;
    self->in_hand = payload_bytes;
    if (!handlers[msg->kind].handle)
        return;
    if (self->link == DN_LINK_WELCOMED || handlers[msg->kind].early)
        handlers[msg->kind].handle (self, now_ms, msg, fx);
}

/*  ---- time ---- */

void
dn_fleet_alarm_deadline (dn_fleet_t *self, int64_t at_ms)
{
    if (at_ms < self->deadline_ms)
        self->deadline_ms = at_ms;
    dn_fleet_alarm (self, at_ms);
}

void
dn_fleet_tick (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (now_ms < self->due_ms || self->stay == DN_STAY_LEFT)
        return;
    self->due_ms = now_ms + self->heartbeat_ms;
    dn_fleet_tick_link (self, now_ms, fx);
    dn_fleet_tick_slots (self, now_ms, fx);
    dn_fleet_tick_tasks (self, now_ms, fx);
    dn_fleet_dispatch (self, now_ms, fx);
    dn_fleet_tick_leave (self, now_ms, fx);
    self->tick_ms = now_ms;
}

int64_t
dn_fleet_deadline_ms (const dn_fleet_t *self)
{
    return self->stay == DN_STAY_LEFT ? DN_NEVER : self->due_ms;
}

/*  ---- looking ---- */

const dn_hold_t *
dn_fleet_task_in (const dn_fleet_t *self, uint32_t slot)
{
    const dn_slot_t *row = dn_slots_get (self->slots, slot);
    return row ? TAILQ_FIRST (&row->channel) : NULL;
}

const char *
dn_fleet_service (const dn_fleet_t *self, uint32_t row)
{
    return row < dn_services_count (self->services) ? dn_services_get (self->services, row)->name
                                                    : NULL;
}

void
dn_fleet_health (const dn_fleet_t *self, int64_t now_ms, dn_fleet_health_t *health)
{
    bool alone = self->alone_ms != DN_NEVER;

    *health = (dn_fleet_health_t){
        .connected = self->link != DN_LINK_CLOSED && !alone,
        .draining = self->stay != DN_STAY_WORKING,
        .alone_ms = alone ? now_ms - self->alone_ms : -1,
        .slots = self->config.slots,
        .answers = dn_holds_ended (self->holds),
        .answer_bytes = dn_holds_answer_bytes (self->holds),
    };
    health->lent = dn_slots_in (self->slots, DN_SLOT_LENT);
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++)
        health->busy += dn_slots_get (self->slots, i)->count > 0;
    health->busy -= health->lent;
    health->standby = dn_holds_all (self->holds) - health->answers - health->busy - health->lent;
}

const char *
dn_fleet_text (dn_effects_t *fx, const char *format, ...)
{
    dn_rows_t rows = dn_fx_rows (fx, TEXT_MAX);
    va_list   args;

    if (rows.bytes_max == 0)
        return "";
    va_start (args, format);
    int n = vsnprintf ((char *) rows.bytes, rows.bytes_max, format, args);
    va_end (args);
    size_t used = n < 0 ? 0 : (size_t) n;
    rows.used_bytes = used + 1 < rows.bytes_max ? used + 1 : rows.bytes_max;
    dn_fx_list (fx, &rows);
    return (const char *) rows.bytes;
}

/*  Of each level no more tasks run or wait than there are slots. */
static void
check_levels (const dn_fleet_t *self)
{
    uint32_t at_depth[DENIM_NESTING_MAX + 1] = {0};

    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++) {
        const dn_slot_t *slot = dn_slots_get (self->slots, i);
        if (slot->state != DN_SLOT_BUSY && slot->state != DN_SLOT_LENT)
            continue;
        uint32_t *level = &at_depth[TAILQ_FIRST (&slot->channel)->depth];
        dn_check (++*level <= self->config.slots);
    }
}

void
dn_fleet_check (const dn_fleet_t *self)
{
    uint32_t in_channels = 0;

    dn_holds_check (self->holds);
    dn_slots_check (self->slots);
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++)
        in_channels += dn_slots_get (self->slots, i)->count;
    dn_check (dn_slots_in (self->slots, DN_SLOT_LENT) <=
              dn_slots_count (self->slots) - self->config.slots);
    check_levels (self);
    dn_check (in_channels == dn_holds_count (self->holds, DN_HOLD_CHANNEL));
    dn_check (self->deadline_ms >= self->due_ms || self->deadline_ms == DN_NEVER ||
              self->stay == DN_STAY_LEFT);
    dn_check (self->drain_ms != DN_NEVER ||
              (self->stay != DN_STAY_DRAINING && self->stay != DN_STAY_LEAVING));
}
