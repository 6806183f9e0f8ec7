/*  fleet_leave.c - how a worker leaves
 *
 *  Draining: nothing new is taken, what stands by is refused, what runs may end; after the time
 *  allowed it is killed and lost. Leaving: the manager has been told goodbye, processes are asked
 *  to end, the zygote last. A second signal hurries: all is lost at once.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

static const dn_hold_end_t shut_down = {.outcome = DENIM_LOST,
                                        .reason = DENIM_REASON_SHUTDOWN,
                                        .started = true,
                                        .exit_code = DN_NO_EXIT_CODE};

static void
begin_drain (dn_fleet_t *self, int64_t now_ms, int64_t timeout_ms, dn_effects_t *fx)
{
    if (self->stay == DN_STAY_WORKING) {
        self->stay = DN_STAY_DRAINING;
        dn_effect_t *row = dn_fx_log (fx, DN_FX_INFO, "draining", self->config.name);
        row->ms = timeout_ms;
        row->number = dn_holds_all (self->holds);
        if (dn_fleet_may_send (self)) {
            row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_DRAINING);
            row->msg.u.draining.reason = DENIM_REASON_SHUTDOWN;
        }
    }
    if (now_ms + timeout_ms < self->drain_ms)
        self->drain_ms = now_ms + timeout_ms;
    dn_fleet_alarm (self, now_ms);
}

void
dn_fleet_on_drain (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    begin_drain (self, now_ms, msg->u.drain.timeout_ms, fx);
}

void
dn_fleet_signal (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->stay != DN_STAY_WORKING)
        self->hurry = true;
    begin_drain (self, now_ms, self->config.grace_ms, fx);
}

/*  ---- draining ---- */

/*  What has not started is refused: in standby at once, in a channel when it has come back. */
static void
give_back (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    dn_hold_t *hold;

    while ((hold = TAILQ_FIRST (dn_holds_standby (self->holds))) &&
           dn_effects_room (fx, DN_ROWS_SPARE))
        dn_fleet_refuse (self, hold, DENIM_REASON_DRAINING, fx);
    for (uint32_t i = 0; i < dn_slots_used (self->slots) && dn_effects_room (fx, DN_ROWS_SPARE);
         i++) {
        dn_slot_t *slot = dn_slots_get (self->slots, i);
        if (slot->count > 1)
            dn_fleet_take_back (slot, i, fx);
    }
    if (!dn_effects_room (fx, DN_ROWS_SPARE))
        dn_fleet_alarm (self, now_ms);
}

static void
doom_running (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++) {
        dn_slot_t *slot = dn_slots_get (self->slots, i);
        dn_hold_t *hold = TAILQ_FIRST (&slot->channel);
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms);
            return;
        }
        if (hold)
            dn_fleet_doom (self, hold, DENIM_LOST, DENIM_REASON_SHUTDOWN, fx);
    }
}

/*  Nobody waits for the processes: what runs in them is lost now. */
static void
lose_running (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++) {
        dn_slot_t *slot = dn_slots_get (self->slots, i);
        dn_hold_t *hold;
        if (slot->count)
            dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_KILL, fx);
        while ((hold = TAILQ_FIRST (&slot->channel))) {
            if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
                dn_fleet_alarm (self, now_ms);
                return;
            }
            dn_fleet_leave_channel (slot, hold, now_ms);
            dn_fleet_end (self, hold, &shut_down, fx);
        }
    }
}

/*  ---- leaving ---- */

static void
begin_leaving (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t dropped = dn_holds_ended (self->holds);

    if (dropped) {
        dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "answers_dropped", NULL);
        row->number = dropped;
        row->text = "nobody has acknowledged them in time";
    }
    if (dn_fleet_may_send (self)) {
        dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_BYE);
        row->msg.u.bye.reason = DENIM_REASON_SHUTDOWN;
    }
    self->link = DN_LINK_CLOSED; /* another word, and the manager would greet us anew */
    self->stay = DN_STAY_LEAVING;
    self->leave_ms = now_ms + DN_LEAVE_MS;
    dn_fleet_alarm (self, self->leave_ms);
}

/*  The zygote goes last: it is who tells how the slots ended. True when all are gone. */
static bool
end_processes (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    dn_slot_t *zygote = dn_slots_get (self->slots, DN_SLOT_ZYGOTE);

    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++) {
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms);
            return false;
        }
        dn_fleet_slot_event (self, now_ms, dn_slots_get (self->slots, i), DN_SLOT_ON_STOP, fx);
    }
    if (dn_slots_used (self->slots) > 0)
        return false;
    dn_fleet_slot_event (self, now_ms, zygote, DN_SLOT_ON_STOP, fx);
    return zygote->state == DN_SLOT_OFF;
}

static void
leave (dn_fleet_t *self, dn_effects_t *fx)
{
    dn_fx_add (fx, DN_FX_EXIT);
    self->stay = DN_STAY_LEFT;
}

/*  What was lost just now is on its way out of the shell: look again before saying goodbye. */
static void
drain (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t held = dn_holds_all (self->holds) - dn_holds_ended (self->holds);

    give_back (self, now_ms, fx);
    if (self->hurry)
        lose_running (self, now_ms, fx);
    else if (now_ms >= self->drain_ms)
        doom_running (self, now_ms, fx);
    if (held) {
        if (self->hurry || now_ms < self->drain_ms)
            dn_fleet_alarm (self, self->hurry ? now_ms : self->drain_ms);
        return;
    }
    bool answers = dn_holds_ended (self->holds) > 0;
    if (answers && !self->hurry && now_ms < self->drain_ms + DN_LEAVE_MS)
        dn_fleet_alarm (self, self->drain_ms + DN_LEAVE_MS);
    else
        begin_leaving (self, now_ms, fx);
}

void
dn_fleet_tick_leave (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->stay == DN_STAY_DRAINING)
        drain (self, now_ms, fx);
    if (self->stay == DN_STAY_LEAVING) {
        bool gone = end_processes (self, now_ms, fx);
        if (gone || self->hurry || now_ms >= self->leave_ms)
            leave (self, fx);
    }
}
