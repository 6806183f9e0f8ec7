/*  fleet_life.c - slots live and die
 *
 *  What the table of states (slots.h) says is to be done is done here, and what a slot or the
 *  zygote says is heard here. One process that ends quickly with nothing done is bad luck, many in
 *  a row are a fault that only time or a person mends: they are started again after longer and
 *  longer waits.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

#include <inttypes.h>
#include <sys/wait.h>

#define EXIT_BUG    70
#define EXIT_CONFIG 78

static bool
is_zygote (const dn_fleet_t *self, const dn_slot_t *slot)
{
    return slot == dn_slots_get (self->slots, DN_SLOT_ZYGOTE);
}

static dn_effect_t *
slot_effect (const dn_fleet_t *self, const dn_slot_t *slot, dn_fx_kind_t kind, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_add (fx, kind);
    row->slot = dn_slots_number (self->slots, slot);
    return row;
}

static dn_effect_t *
slot_log (const dn_fleet_t *self, const dn_slot_t *slot, int level, const char *event,
          dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_log (fx, level, event, is_zygote (self, slot) ? "zygote" : "slot");
    row->slot = dn_slots_number (self->slots, slot);
    return row;
}

static void
leave_with (dn_fleet_t *self, uint64_t exit_code, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_add (fx, DN_FX_EXIT);
    row->number = exit_code;
    self->stay = DN_STAY_LEFT;
}

/*  ---- what is to be done ---- */

typedef void (act_fn) (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx);

static void
do_nothing (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    (void) self, (void) now_ms, (void) slot, (void) fx;
}

static void
do_begin (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    dn_fx_kind_t kind = is_zygote (self, slot) ? DN_FX_START_ZYGOTE
                        : self->by_exec        ? DN_FX_EXEC
                                               : DN_FX_FORK;

    slot->sent = 0;
    slot->taken_upto = 0;
    slot->taking_back = false;
    slot->wait_ms = DN_NEVER;
    slot->blocked = false;
    slot->begun_ms = now_ms;
    slot->ready_ms = DN_NEVER;
    slot->answered = 0;
    slot->rss_bytes = 0;
    slot->due_ms = now_ms + DN_START_MAX_MS;
    dn_fleet_alarm (self, slot->due_ms);
    if (slot->had_process && !is_zygote (self, slot))
        self->restarts++;
    slot->had_process = true;
    dn_fleet_offer (self);
    slot_effect (self, slot, kind, fx);
}

/*  The first process that is ready says what can be called; then slots can be started, and as soon
 *  as one of them will be there in a moment there is something to offer. */
static void
do_join (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    slot->ready_ms = now_ms;
    slot->due_ms = DN_NEVER;
    if (!self->known || is_zygote (self, slot)) {
        self->known = true;
        self->starting = true;
        dn_fleet_alarm (self, now_ms);
    }
    dn_fleet_offer (self);
    if (!self->by_exec || !is_zygote (self, slot))
        dn_fleet_open (self, now_ms, fx);
    dn_fleet_dispatch (self, now_ms, fx);
}

/*  A slot whose time has come is replaced, one slot at a time. */
static void
do_rest (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    bool done = dn_fleet_wants_rest (self, slot, 0);
    bool alone = !dn_slots_in (self->slots, DN_SLOT_STOPPING) &&
                 !dn_slots_in (self->slots, DN_SLOT_STARTING);

    if (self->stay == DN_STAY_LEAVING || (done && alone))
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_STOP, fx);
}

static void
do_tell (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    (void) now_ms;
    dn_effect_t *row = slot_effect (self, slot, DN_FX_INTERRUPT, fx);
    row->number = slot->tell_number;
    row->how = slot->tell_cancel;
}

static void
do_ask (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    slot->due_ms = now_ms + DN_LEAVE_MS;
    dn_fleet_alarm (self, slot->due_ms);
    slot_effect (self, slot, DN_FX_STOP, fx);
}

static void
do_slay (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    (void) now_ms;
    slot->due_ms = DN_NEVER;
    slot_effect (self, slot, DN_FX_KILL, fx);
}

/*  ---- the end of a process ---- */

/*  Tasks that had started and were not answered: they end as they were doomed to, or are lost. */
static void
lose_started (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    const dn_slot_exit_t *exited = &self->exited;
    bool                  signalled = exited->status != -1 && WIFSIGNALED (exited->status);
    bool                  coded = exited->status != -1 && WIFEXITED (exited->status);
    dn_hold_t            *hold;

    dn_fleet_end_wait (self, now_ms, slot, fx);
    while ((hold = TAILQ_FIRST (&slot->channel))) {
        dn_hold_end_t end = hold->doom;
        if (!end.outcome) {
            end.outcome = DENIM_LOST;
            end.reason = exited->oom ? DENIM_REASON_OUT_OF_MEMORY : DENIM_REASON_CRASH;
            end.oom = exited->oom;
            end.started = true;
        }
        end.signal = signalled ? (uint8_t) WTERMSIG (exited->status) : 0;
        end.exit_code = coded ? (uint8_t) WEXITSTATUS (exited->status) : DN_NO_EXIT_CODE;
        dn_fleet_leave_channel (slot, hold, now_ms);
        dn_fleet_end (self, hold, &end, fx);
    }
}

/*  Was it killed for what its caller wished, and not for what it did? */
static bool
was_spent (const dn_slot_t *slot)
{
    const dn_hold_t *head = TAILQ_FIRST (&slot->channel);
    return head && (head->doom.outcome == DENIM_DEADLINE || head->doom.outcome == DENIM_CANCELLED ||
                    head->doom.outcome == DENIM_TIME_LIMIT);
}

/*  How long until its successor is started. */
static int64_t
backoff_ms (dn_slot_t *slot, int64_t now_ms)
{
    int64_t since_ms = slot->ready_ms == DN_NEVER ? now_ms : slot->ready_ms;
    bool    barren = !was_spent (slot) && slot->answered == 0 && now_ms - since_ms < DN_BARREN_MS;
    int64_t wait_ms = DN_BACKOFF_MS;

    slot->barren = barren ? slot->barren + 1 : 0;
    if (slot->barren <= DN_BARREN_FREE)
        return 0;
    for (uint32_t i = DN_BARREN_FREE + 1; i < slot->barren && wait_ms < DN_BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    return wait_ms < DN_BACKOFF_MAX_MS ? wait_ms : DN_BACKOFF_MAX_MS;
}

/*  Is there someone to start a process of it, and is it wanted? One of those that worked in lent
 *  places may be one too many. */
static bool
can_begin (const dn_fleet_t *self, const dn_slot_t *slot)
{
    if (is_zygote (self, slot))
        return self->stay == DN_STAY_WORKING && !self->by_exec;
    return dn_fleet_can_start (self) && dn_slots_manned (self->slots) <= self->config.slots;
}

/*  Before the first READY nobody knows whether the app can be run at all. */
static bool
give_up (dn_fleet_t *self, dn_effects_t *fx)
{
    int  status = self->exited.status;
    bool config = status != -1 && WIFEXITED (status) && WEXITSTATUS (status) == EXIT_CONFIG;

    if (self->known || self->stay != DN_STAY_WORKING)
        return false;
    if (!config && ++self->failures < DN_START_TRIES)
        return false;
    dn_effect_t *row = dn_fx_log (fx, DN_FX_ERROR, "start_failed", NULL);
    row->number = self->failures;
    row->text = dn_fleet_text (fx, "importing %s ended the process each time it was tried",
                               self->config.apps);
    leave_with (self, config ? EXIT_CONFIG : EXIT_BUG, fx);
    return true;
}

static void
do_bury (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx)
{
    int64_t wait_ms = backoff_ms (slot, now_ms);

    dn_fleet_return_unstarted (self, now_ms, slot, self->exited.started, fx);
    lose_started (self, now_ms, slot, fx);
    slot->taking_back = false;
    slot->rss_bytes = 0;
    slot->due_ms = now_ms + wait_ms;
    if (give_up (self, fx))
        return;
    if (!can_begin (self, slot)) {
        slot->due_ms = DN_NEVER;
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_PARK, fx);
    } else if (wait_ms == 0)
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_DUE, fx);
    else {
        dn_fleet_alarm (self, slot->due_ms);
        dn_effect_t *row = slot_log (self, slot, DN_FX_WARN, "slot_backoff", fx);
        row->number = slot->barren;
        row->ms = wait_ms;
    }
    dn_fleet_offer (self);
    dn_fleet_alarm (self, now_ms); /* one that leaves may wait for this */
}

void
dn_fleet_slot_event (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_slot_event_t event,
                     dn_effects_t *fx)
{
    static act_fn *const acts[DN_SLOT_ACTS] = {
        [DN_SLOT_DO_IGNORED] = do_nothing, [DN_SLOT_DO_MOVED] = do_nothing,
        [DN_SLOT_DO_BEGIN] = do_begin,     [DN_SLOT_DO_JOIN] = do_join,
        [DN_SLOT_DO_REST] = do_rest,       [DN_SLOT_DO_TELL] = do_tell,
        [DN_SLOT_DO_ASK] = do_ask,         [DN_SLOT_DO_SLAY] = do_slay,
        [DN_SLOT_DO_BURY] = do_bury,       [DN_SLOT_DO_SPARE] = dn_fleet_do_spare,
    };
    uint32_t lent = dn_slots_in (self->slots, DN_SLOT_LENT);
    acts[dn_slot_step (self->slots, slot, event)](self, now_ms, slot, fx);
    if (dn_slots_in (self->slots, DN_SLOT_LENT) != lent)
        dn_fleet_note_lent (self, now_ms);
}

void
dn_fleet_exited (dn_fleet_t *self, int64_t now_ms, uint32_t number, const dn_slot_exit_t *exited,
                 dn_effects_t *fx)
{
    dn_slot_t *slot = dn_slots_get (self->slots, number);

    dn_check (slot);
    self->exited = *exited;
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_EXIT, fx);
    dn_fleet_dispatch (self, now_ms, fx);
}

void
dn_fleet_start_failed (dn_fleet_t *self, int64_t now_ms, uint32_t number, dn_effects_t *fx)
{
    dn_slot_t *slot = dn_slots_get (self->slots, number);

    dn_check (slot);
    self->exited = (dn_slot_exit_t){.status = -1};
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_FAIL, fx);
}

/*  ---- what a slot says ---- */

typedef void (message_fn) (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg,
                           dn_effects_t *fx);

static void
on_ready (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_ready_t *ready = &msg->u.ready;
    dn_list_t         list = ready->services;
    dn_row_service_t  service;
    uint32_t          count = dn_services_count (self->services);

    while (dn_list_next (&list, DN_ROW_SERVICE, &service))
        dn_services_offer (self->services, service.name, 0);
    if (dn_services_count (self->services) != count) {
        self->services_changed = true;
        dn_fleet_offer (self);
    }
    if (is_zygote (self, slot) && ready->threads > 1) {
        dn_effect_t *row = slot_log (self, slot, DN_FX_WARN, "preload_off", fx);
        row->number = ready->threads;
        row->text =
            dn_fleet_text (fx,
                           "importing %s starts threads, which a fork would lose: slots are "
                           "started one by one",
                           self->config.apps);
        self->by_exec = true;
    }
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_READY, fx);
    if (is_zygote (self, slot) && self->by_exec)
        dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_STOP, fx);
}

static void
on_failed (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_failed_t *failed = &msg->u.failed;

    (void) now_ms;
    dn_effect_t *row = slot_log (self, slot, DN_FX_ERROR, "import_failed", fx);
    row->name = dn_fleet_text (fx, "%.*s", failed->module.len, failed->module.ptr);
    row->text = dn_fleet_text (fx, "%.*s", failed->text.len, failed->text.ptr);
    if (!self->known)
        leave_with (self, EXIT_CONFIG, fx);
}

/*  Whatever else its process says: it cannot be believed any more. */
static void
distrust (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const char *text, dn_effects_t *fx)
{
    dn_effect_t *row = slot_log (self, slot, DN_FX_ERROR, "slot_garbled", fx);
    row->text = text;
    dn_fleet_slot_event (self, now_ms, slot, DN_SLOT_ON_KILL, fx);
}

static void
on_result (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg, dn_effects_t *fx)
{
    static const dn_hold_end_t late = {
        .outcome = DENIM_DEADLINE, .started = true, .exit_code = DN_NO_EXIT_CODE};
    const dn_result_t *result = &msg->u.result;
    dn_hold_t         *hold = TAILQ_FIRST (&slot->channel);

    if (!hold || hold->seq != result->seq || hold->attempt != result->attempt ||
        !dn_session_eq (&hold->session, &result->session)) {
        distrust (self, now_ms, slot, "it answers what it was not asked", fx);
        return;
    }
    if (result->outcome <= DENIM_EXCEPTION && hold->service != DN_SERVICE_NONE)
        dn_services_ran (self->services, hold->service, result->run_us);
    slot->answered++;
    dn_fleet_end_wait (self, now_ms, slot, fx); /* it may have said no BACK */
    dn_fleet_leave_channel (slot, hold, now_ms);
    if (result->outcome == DENIM_CANCELLED && hold->deadline_ms <= now_ms)
        dn_fleet_end (self, hold, &late, fx); /* to the slot it was a cancel like any other */
    else
        dn_fleet_answer (self, hold, fx);
    dn_fleet_follow_channel (self, now_ms, slot, fx);
    dn_fleet_dispatch (self, now_ms, fx);
}

/*  Progress and items of a stream go through as they are; what cannot be sent is not missed. */
static void
on_passing (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg,
            dn_effects_t *fx)
{
    (void) now_ms, (void) msg;
    const dn_hold_t *hold = TAILQ_FIRST (&slot->channel);
    if (dn_fleet_may_send (self) && hold && !hold->forgotten)
        dn_fx_add (fx, DN_FX_RELAY);
}

static message_fn *const messages[DN_MSGS] = {
    [DN_MSG_READY] = on_ready,        [DN_MSG_FAILED] = on_failed, [DN_MSG_RESULT] = on_result,
    [DN_MSG_PROGRESS] = on_passing,   [DN_MSG_PART] = on_passing,  [DN_MSG_LEND] = dn_fleet_on_lend,
    [DN_MSG_BACK] = dn_fleet_on_back,
};

void
dn_fleet_from_slot (dn_fleet_t *self, int64_t now_ms, uint32_t number, const dn_msg_t *msg,
                    uint64_t payload_bytes, dn_effects_t *fx)
{
    dn_slot_t *slot = dn_slots_get (self->slots, number);

    dn_check (slot);
    self->in_hand = payload_bytes;
    if (messages[msg->kind] && self->stay != DN_STAY_LEFT)
        messages[msg->kind](self, now_ms, slot, msg, fx);
}

void
dn_fleet_slot_garbled (dn_fleet_t *self, int64_t now_ms, uint32_t number, dn_effects_t *fx)
{
    dn_slot_t *slot = dn_slots_get (self->slots, number);

    dn_check (slot);
    if (self->stay != DN_STAY_LEFT)
        distrust (self, now_ms, slot, "its messages cannot be read", fx);
}
