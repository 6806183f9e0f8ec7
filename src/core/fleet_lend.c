/*  fleet_lend.c - a task that waits in a nested call lends its place
 *
 *  Its process stays, with all that the task has on its stack, and another one works in its place,
 *  so that as many tasks run as there are slots. Of each level of nesting no more tasks than that
 *  run or wait: a lent place is for other levels. So whoever waits takes no slot of the levels
 *  below it, the deepest calls run, and all get on: nested calls cannot block each other. Only
 *  tasks nested less deep than the setting `nesting` lend their places, so there are no more
 *  processes than slots * (nesting + 1).
 *
 *  When the call has ended the task goes on at once, and for a moment more tasks run than there are
 *  slots: nothing begins until that is over. Processes beyond the slots are kept for a while, as a
 *  place that was lent once is soon lent again.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

bool
dn_fleet_can_start (const dn_fleet_t *self)
{
    return self->stay == DN_STAY_WORKING &&
           (self->by_exec || dn_slots_get (self->slots, DN_SLOT_ZYGOTE)->state == DN_SLOT_IDLE);
}

/*  ---- what slots say ---- */

/*  Does it say so of the task that runs there? What came before that one has been answered, so it
 *  is the first; a thread of an earlier task may speak too late. */
static bool
is_of_running (const dn_slot_t *slot, const dn_session_t *session, uint64_t seq, uint16_t attempt)
{
    const dn_hold_t *head = TAILQ_FIRST (&slot->channel);
    return head && dn_session_eq (&head->session, session) && head->seq == seq &&
           head->attempt == attempt;
}

void
dn_fleet_on_lend (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg,
                  dn_effects_t *fx)
{
    const dn_lend_t *lend = &msg->u.lend;

    (void) fx;
    if (slot->state != DN_SLOT_BUSY ||
        !is_of_running (slot, &lend->session, lend->seq, lend->attempt))
        return;
    slot->wait_ms = now_ms;
    dn_fleet_alarm (self, now_ms + DN_LEND_MS);
}

void
dn_fleet_on_back (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg,
                  dn_effects_t *fx)
{
    const dn_back_t *back = &msg->u.back;

    if (is_of_running (slot, &back->session, back->seq, back->attempt))
        dn_fleet_end_wait (self, now_ms, slot, fx);
}

void
dn_fleet_end_wait (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_BACK, fx);
    if (slot->blocked)
        dn_fleet_offer_soon (self, now_ms);
    slot->wait_ms = DN_NEVER;
    slot->blocked = false;
}

/*  ---- lending ---- */

void
dn_fleet_watch_wait (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    const dn_hold_t *head = TAILQ_FIRST (&slot->channel);

    if (slot->wait_ms == DN_NEVER || slot->blocked)
        return;
    if (now_ms < slot->wait_ms + DN_LEND_MS)
        dn_fleet_alarm (self, slot->wait_ms + DN_LEND_MS);
    else if (head->depth < self->config.nesting)
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_LEND, fx);
    else {
        slot->blocked = true;
        dn_fleet_offer_soon (self, now_ms);
    }
}

/*  Tasks of a level in slots: those that wait only, or all. */
static uint32_t
count_level (const dn_fleet_t *self, unsigned depth, bool lent)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++) {
        const dn_slot_t *slot = dn_slots_get (self->slots, i);
        const dn_hold_t *head = TAILQ_FIRST (&slot->channel);
        count += head && head->depth == depth && (!lent || slot->state == DN_SLOT_LENT);
    }
    return count;
}

bool
dn_fleet_is_shut (const dn_fleet_t *self, unsigned depth)
{
    return dn_slots_in (self->slots, DN_SLOT_LENT) > 0 &&
           count_level (self, depth, true) >= self->config.slots;
}

/*  A place of this level was lent: those of it who stand by may find out that all slots for them
 *  are. */
static void
refuse_shut (dn_fleet_t *self, int64_t now_ms, unsigned depth, dn_effects_t *fx)
{
    dn_hold_t *hold, *next;

    if (!dn_fleet_is_shut (self, depth))
        return;
    for (hold = TAILQ_FIRST (dn_holds_standby (self->holds)); hold; hold = next) {
        next = TAILQ_NEXT (hold, of_line);
        if (hold->depth != depth || hold->forgotten)
            continue;
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms); /* the others stand by for too long */
            return;
        }
        dn_fleet_refuse (self, hold, DENIM_REASON_STANDBY, fx);
    }
}

/*  What is in its channel behind the task that waits is not to wait with it. */
void
dn_fleet_do_spare (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    if (slot->count > 1)
        dn_fleet_take_back (slot, dn_slots_number (self->slots, slot), fx);
    refuse_shut (self, now_ms, TAILQ_FIRST (&slot->channel)->depth, fx);
    if (!dn_fleet_can_start (self))
        return; /* when the zygote is back it is seen to */
    self->starting = true;
    dn_fleet_alarm (self, now_ms);
}

void
dn_fleet_note_lent (dn_fleet_t *self, int64_t now_ms)
{
    self->lent_ms = now_ms;
    dn_fleet_offer_soon (self, now_ms);
}

uint32_t
dn_fleet_blocked (const dn_fleet_t *self)
{
    uint32_t blocked = 0;
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++)
        blocked += dn_slots_get (self->slots, i)->blocked;
    return blocked;
}

/*  ---- who may have a place ---- */

/*  While no place is lent every idle slot is for anyone. */
bool
dn_fleet_may_begin (const dn_fleet_t *self, unsigned depth)
{
    return dn_slots_in (self->slots, DN_SLOT_LENT) == 0 ||
           count_level (self, depth, false) < self->config.slots;
}

bool
dn_fleet_may_take (const dn_fleet_t *self, unsigned depth)
{
    uint32_t count = dn_holds_level (self->holds, DN_HOLD_STANDBY, depth) +
                     dn_holds_level (self->holds, DN_HOLD_CHANNEL, depth);
    return count < self->config.slots + self->config.standby;
}

/*  ---- processes that are not needed any more ---- */

/*  One at a time, the last row first. */
void
dn_fleet_end_spare (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t working = dn_slots_in (self->slots, DN_SLOT_STARTING) +
                       dn_slots_in (self->slots, DN_SLOT_IDLE) +
                       dn_slots_in (self->slots, DN_SLOT_BUSY);

    if (working <= self->config.slots || self->stay != DN_STAY_WORKING)
        return;
    if (now_ms < self->lent_ms + DN_SPARE_MS) {
        dn_fleet_alarm (self, self->lent_ms + DN_SPARE_MS);
        return;
    }
    for (uint32_t i = dn_slots_used (self->slots); i-- > 0;) {
        dn_slot_t *slot = dn_slots_get (self->slots, i);
        if (slot->state != DN_SLOT_IDLE || !dn_effects_room (fx, DN_ROWS_SPARE))
            continue;
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_STOP, fx);
        dn_fleet_alarm (self, now_ms + 1);
        return;
    }
}
