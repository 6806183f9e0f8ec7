/*  fleet_slots.c - tasks go to slots, and are watched there
 *
 *  A task that is handed to a slot may start at any moment, so whatever concerns one in a channel
 *  (a cancel, a limit, a deadline)
 *  begins with taking back what has not started; only then is it known which task runs.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

static bool
is_zygote (const dn_fleet_t *self, const dn_slot_t *slot)
{
    return slot == dn_slots_get (self->slots, DN_SLOT_ZYGOTE);
}

/*  The last one of a channel; after a take-back the one that runs: those before it have ended, and
 *  their answers are under way. */
static dn_hold_t *
last_task (const dn_slot_t *slot)
{
    return TAILQ_LAST (&slot->channel, dn_hold_line);
}

/*  ---- channels ---- */

/*  What a task counts for in a channel: one that is large, or whose like were not measured, fills
 *  it. */
static uint32_t
work_of (const dn_fleet_t *self, const dn_hold_t *hold)
{
    if (hold->payload_bytes > DN_FRAME_SMALL || hold->service == DN_SERVICE_NONE)
        return DN_CHANNEL_WORK_US;
    double mean_us = dn_services_mean_us (self->services, hold->service);
    if (mean_us <= 0 || mean_us > DN_CHANNEL_WORK_US)
        return DN_CHANNEL_WORK_US;
    return mean_us < 1 ? 1 : (uint32_t) mean_us;
}

bool
dn_fleet_wants_rest (const dn_fleet_t *self, const dn_slot_t *slot, uint32_t more)
{
    return (self->config.recycle_tasks && slot->answered + more >= self->config.recycle_tasks) ||
           slot->sent >= DN_CHANNEL_NUMBER_MAX;
}

/*  A task runs when the one before it has ended: it must be of the same level, else there could be
 *  more of its level by then than fleet_lend.c allows. */
static bool
has_room (const dn_fleet_t *self, int64_t now_ms, const dn_slot_t *slot, const dn_hold_t *hold,
          uint32_t work_us)
{
    return slot->state == DN_SLOT_BUSY && slot->count < DN_CHANNEL_TASKS &&
           slot->work_us + work_us <= DN_CHANNEL_WORK_US && !slot->taking_back &&
           now_ms - slot->head_ms <= DN_TAKE_BACK_MS && last_task (slot)->depth == hold->depth &&
           !dn_fleet_wants_rest (self, slot, slot->count);
}

/*  Is there an idle slot, and do fewer tasks run than may at a time? */
static bool
has_idle (const dn_fleet_t *self)
{
    return dn_slots_in (self->slots, DN_SLOT_IDLE) > 0 &&
           dn_slots_in (self->slots, DN_SLOT_BUSY) < self->config.slots;
}

/*  An idle slot, else the one with the fewest tasks that has room for this one; NULL. */
static dn_slot_t *
choose_slot (dn_fleet_t *self, int64_t now_ms, const dn_hold_t *hold, uint32_t work_us)
{
    uint32_t   rows = dn_slots_used (self->slots);
    bool       idle = has_idle (self) && dn_fleet_may_begin (self, hold->depth);
    dn_slot_t *best = NULL;

    if (work_us >= DN_CHANNEL_WORK_US && !idle)
        return NULL;
    for (uint32_t i = 0, at = self->turn; i < rows; i++, at++) {
        if (at >= rows)
            at = 0;
        dn_slot_t *slot = dn_slots_get (self->slots, at);
        if (slot->state == DN_SLOT_IDLE && idle) {
            best = slot;
            break;
        }
        if (has_room (self, now_ms, slot, hold, work_us) && (!best || slot->count < best->count))
            best = slot;
    }
    if (best)
        self->turn = dn_slots_number (self->slots, best) + 1;
    return best;
}

/*  The same, within one dispatch. `full_us`: of each level the least work for which it has found no
 *  slot; 0: none. From then on it finds none for as much or more: no idle slot is for that level,
 *  and a task that goes behind others takes room there. So there is no need to search again. */
static dn_slot_t *
choose_once (dn_fleet_t *self, int64_t now_ms, const dn_hold_t *hold, uint32_t *full_us)
{
    uint32_t work_us = work_of (self, hold);
    uint32_t least_us = full_us[hold->depth];

    if (least_us && work_us >= least_us)
        return NULL;
    dn_slot_t *slot = choose_slot (self, now_ms, hold, work_us);
    if (!slot)
        full_us[hold->depth] = work_us;
    return slot;
}

/*  Are there tasks behind the first that were not asked for since? */
static bool
is_blocking (const dn_slot_t *slot)
{
    return slot->count > 1 && slot->sent > slot->taken_upto;
}

/*  See to it that the limits of what runs in this slot are looked at in time. */
static void
alarm_head (dn_fleet_t *self, const dn_slot_t *slot)
{
    const dn_hold_t *head = TAILQ_FIRST (&slot->channel);

    if (!head)
        return;
    if (is_blocking (slot))
        dn_fleet_alarm (self, slot->head_ms + DN_TAKE_BACK_MS + 1);
    if (head->soft_limit_ms && !head->interrupted)
        dn_fleet_alarm (self, slot->head_ms + head->soft_limit_ms);
    if (head->hard_limit_ms)
        dn_fleet_alarm (self, slot->head_ms + head->hard_limit_ms);
    dn_fleet_alarm (self, head->kill_ms);
}

static void
hand_task (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_hold_t *hold, dn_effects_t *fx)
{
    hold->slot = dn_slots_number (self->slots, slot);
    hold->number = ++slot->sent;
    hold->work_us = work_of (self, hold);
    dn_holds_move (self->holds, hold, DN_HOLD_CHANNEL, &slot->channel, false);
    slot->work_us += hold->work_us;
    if (++slot->count == 1)
        slot->head_ms = now_ms;

    dn_effect_t *row = dn_fx_add (fx, DN_FX_HAND);
    row->slot = hold->slot;
    row->handle = dn_holds_handle (self->holds, hold);
    row->number = hold->number;
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_HAND, fx);
    alarm_head (self, slot);
}

/*  Might a task further back in the standby line start though the first one may not? Nested calls
 *  take places that others may not. */
static bool
may_pass (const dn_fleet_t *self)
{
    uint32_t standing = dn_holds_count (self->holds, DN_HOLD_STANDBY);
    return has_idle (self) && dn_holds_level (self->holds, DN_HOLD_STANDBY, 0) < standing;
}

/*  A worker that was cut off starts nothing before the manager has seen what it holds. */
void
dn_fleet_dispatch (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    uint32_t   full_us[DENIM_NESTING_MAX + 1] = {0};
    dn_hold_t *hold, *next;

    if (self->link != DN_LINK_WELCOMED || self->stay != DN_STAY_WORKING)
        return;
    for (hold = TAILQ_FIRST (dn_holds_standby (self->holds)); hold; hold = next) {
        next = TAILQ_NEXT (hold, of_line);
        dn_slot_t *slot = choose_once (self, now_ms, hold, full_us);
        if (!slot && !may_pass (self))
            return;
        if (!slot)
            continue;
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms);
            return;
        }
        hand_task (self, now_ms, slot, hold, fx);
    }
}

void
dn_fleet_leave_channel (dn_slot_t *slot, dn_hold_t *hold, int64_t now_ms)
{
    bool first = hold == TAILQ_FIRST (&slot->channel);

    slot->work_us -= hold->work_us;
    slot->count--;
    hold->ran_ms = first ? now_ms - slot->head_ms : 0;
    hold->waited_ms = now_ms - hold->ran_ms - hold->arrived_ms;
    if (!first)
        return;
    slot->head_ms = now_ms;
    slot->wait_ms = DN_NEVER;
    slot->blocked = false;
}

void
dn_fleet_follow_channel (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    dn_fleet_slot_event (self, now_ms, slot, slot->count ? DN_SLOT_ON_NEXT : DN_SLOT_ON_EMPTY, fx);
    alarm_head (self, slot);
}

/*  ---- taking back ---- */

void
dn_fleet_take_back (dn_slot_t *slot, uint32_t number, dn_effects_t *fx)
{
    if (slot->taking_back || (slot->state != DN_SLOT_BUSY && slot->state != DN_SLOT_LENT))
        return; /* a killed slot tells with its end what had started */
    dn_effect_t *row = dn_fx_add (fx, DN_FX_TAKE_BACK);
    row->slot = number;
    row->number = slot->sent;
    slot->taken_upto = slot->sent;
    slot->taking_back = true;
}

void
dn_fleet_doom (dn_fleet_t *self, dn_hold_t *hold, denim_outcome_t outcome, denim_reason_t reason,
               dn_effects_t *fx)
{
    if (hold->doom.outcome)
        return;
    hold->doom = (dn_hold_end_t){.outcome = (uint8_t) outcome,
                                 .reason = (uint8_t) reason,
                                 .started = true,
                                 .oom = reason == DENIM_REASON_OUT_OF_MEMORY,
                                 .exit_code = DN_NO_EXIT_CODE};
    dn_fleet_take_back (dn_slots_get (self->slots, hold->slot), hold->slot, fx);
}

/*  The last one leaves first, so that they stand by in their order. */
void
dn_fleet_return_unstarted (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, uint32_t started,
                           dn_effects_t *fx)
{
    dn_hold_t *hold;

    while ((hold = last_task (slot)) && hold->number > started) {
        dn_fleet_leave_channel (slot, hold, now_ms);
        dn_fleet_requeue (self, now_ms, hold, fx);
    }
}

static void
tell_task (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_hold_t *hold, bool cancel,
           dn_effects_t *fx)
{
    slot->tell_number = hold->number;
    slot->tell_cancel = cancel;
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_INTERRUPT, fx);
}

/*  Now that it is known which task runs: what is wished of it? */
static void
see_to_running (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    dn_hold_t *running = last_task (slot);

    if (running->doom.outcome)
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_KILL, fx);
    else if (running->cancel && running->kill_ms == DN_NEVER) {
        bool late = running->deadline_ms <= now_ms && self->config.grace_ms > DN_EXPIRED_GRACE_MS;
        running->kill_ms = now_ms + (late ? DN_EXPIRED_GRACE_MS : self->config.grace_ms);
        dn_fleet_alarm (self, running->kill_ms);
        tell_task (self, now_ms, slot, running, true, fx);
    }
}

void
dn_fleet_taken_back (dn_fleet_t *self, int64_t now_ms, uint32_t number, uint32_t started,
                     dn_effects_t *fx)
{
    dn_slot_t *slot = dn_slots_get (self->slots, number);

    dn_check (slot && slot->taking_back);
    slot->taking_back = false;
    if (started > slot->sent) { /* the page is the slot's to write */
        started = slot->sent;
        dn_fleet_slot_garbled (self, now_ms, number, fx);
    }
    uint32_t before = slot->count;
    dn_fleet_return_unstarted (self, now_ms, slot, started, fx);
    if (slot->count)
        see_to_running (self, now_ms, slot, fx);
    if (slot->count < before)
        dn_fleet_follow_channel (self, now_ms, slot, fx);
    dn_fleet_alarm (self, now_ms); /* to hand them out, behind what is being handed out now */
}

/*  ---- limits ---- */

/*  Its caller has given it up: it is told so like a cancel, and killed if it does not obey soon. A
 *  kill at once would cost a slot for each call that is late, just when there are too many. */
void
dn_fleet_expire_running (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx)
{
    int64_t kill_ms = now_ms + DN_EXPIRED_GRACE_MS;

    if (hold->kill_ms == DN_NEVER) { /* else it was told already */
        hold->cancel = hold->cancel ? hold->cancel : 1;
        dn_fleet_take_back (dn_slots_get (self->slots, hold->slot), hold->slot, fx);
    } else if (hold->kill_ms > kill_ms) {
        hold->kill_ms = kill_ms;
        dn_fleet_alarm (self, kill_ms);
    }
}

/*  The soft limit is told to the first task of a channel, the hard one ends it. Both count from
 *  when it came to be the first. */
static void
watch_head (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    dn_hold_t *head = TAILQ_FIRST (&slot->channel);
    int64_t    ran_ms = now_ms - slot->head_ms;

    if (is_blocking (slot) && ran_ms > DN_TAKE_BACK_MS)
        dn_fleet_take_back (slot, head->slot, fx);
    if (head->soft_limit_ms && ran_ms >= head->soft_limit_ms && !head->interrupted) {
        head->interrupted = true;
        tell_task (self, now_ms, slot, head, false, fx);
    }
    if (head->hard_limit_ms && ran_ms >= head->hard_limit_ms)
        dn_fleet_doom (self, head, DENIM_TIME_LIMIT, DENIM_REASON_NONE, fx);
    if (head->kill_ms <= now_ms)
        dn_fleet_doom (self, head, head->deadline_ms <= now_ms ? DENIM_DEADLINE : DENIM_CANCELLED,
                       DENIM_REASON_NONE, fx);
}

static void
watch_slot (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    if (slot->due_ms <= now_ms) {
        slot->due_ms = DN_NEVER;
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_DUE, fx);
    }
    dn_fleet_alarm (self, slot->due_ms);
    if (slot->state == DN_SLOT_BUSY)
        dn_fleet_watch_wait (self, now_ms, slot, fx);
    if (slot->state != DN_SLOT_BUSY && slot->state != DN_SLOT_LENT)
        return;
    watch_head (self, now_ms, slot, fx);
    if (!TAILQ_FIRST (&slot->channel)->doom.outcome)
        alarm_head (self, slot);
}

/*  As many of the slots that are OFF as are to work: those that nobody could start, or one for a
 *  place that is lent. */
static void
start_slots (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    self->starting = false;
    for (uint32_t i = 0;
         i < dn_slots_count (self->slots) && dn_slots_manned (self->slots) < self->config.slots;
         i++) {
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            self->starting = true;
            dn_fleet_alarm (self, now_ms);
            return;
        }
        dn_slot_t *slot = dn_slots_get (self->slots, i);
        if (slot->state == DN_SLOT_OFF)
            dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_START, fx);
    }
}

void
dn_fleet_tick_slots (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->starting)
        start_slots (self, now_ms, fx);
    watch_slot (self, now_ms, dn_slots_get (self->slots, DN_SLOT_ZYGOTE), fx);
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++) {
        if (!dn_effects_room (fx, DN_ROWS_SPARE)) {
            dn_fleet_alarm (self, now_ms);
            return;
        }
        watch_slot (self, now_ms, dn_slots_get (self->slots, i), fx);
    }
    dn_fleet_end_spare (self, now_ms, fx);
}

void
dn_fleet_rss (dn_fleet_t *self, int64_t now_ms, uint32_t number, uint64_t rss_bytes,
              dn_effects_t *fx)
{
    dn_slot_t *slot = dn_slots_get (self->slots, number);

    if (!slot) {
        self->rss_bytes = rss_bytes;
        return;
    }
    slot->rss_bytes = rss_bytes;
    if (!self->config.rss_max || rss_bytes <= self->config.rss_max || is_zygote (self, slot))
        return;
    dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "slot_over_memory", NULL);
    row->slot = number;
    row->number = rss_bytes;
    if (slot->count)
        dn_fleet_doom (self, TAILQ_FIRST (&slot->channel), DENIM_LOST, DENIM_REASON_OUT_OF_MEMORY,
                       fx);
    else
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_KILL, fx);
}
