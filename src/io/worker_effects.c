/*  worker_effects.c - what the fleet wants done is done
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/worker_private.h"

#include "base/check.h"
#include "base/log.h"
#include "denim.h"
#include "io/process.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define SEND_MAX    20000 /* messages waiting for the manager: more than a worker has tasks */
#define RECEIVE_MAX 1024  /* read ahead: more than it can take is refused all the same */

/*  ---- to the manager ---- */

static dn_frames_t *
kept_under (dn_worker_t *self, dn_handle_t handle)
{
    uint32_t row = (uint32_t) handle;
    dn_check (row < DN_HOLDS_MAX);
    return &self->kept[row];
}

static int
send_effect (dn_worker_t *self, const dn_effect_t *effect)
{
    if (!self->dealer)
        return -EAGAIN;
    if (effect->kind == DN_FX_RELAY)
        return dn_link_relay (self->dealer, 0, &self->in, false);
    if (effect->kind == DN_FX_RELAY_KEPT)
        return dn_link_relay (self->dealer, 0, kept_under (self, effect->handle), true);
    int rc = dn_link_send_msg (self->dealer, 0, &effect->msg, NULL, 0, false, self->room,
                               sizeof self->room);
    dn_check (rc != -EMSGSIZE); /* the fleet makes no message that does not encode */
    return rc;
}

static void
do_send (dn_worker_t *self, const dn_effect_t *effect)
{
    int rc = send_effect (self, effect);
    if (rc == 0 && !effect->handle)
        return;
    dn_effects_t *fx = dn_worker_begin (self);
    if (rc == 0)
        dn_fleet_sent (self->fleet, effect->handle, fx);
    else
        dn_fleet_refused (self->fleet, effect, fx);
    dn_worker_perform (self);
}

static void
do_keep (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_frames_move (kept_under (self, effect->handle), &self->in);
    self->kept_us[(uint32_t) effect->handle] = dn_process_now_us ();
}

static void
do_drop (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_frames_clear (kept_under (self, effect->handle));
}

void
dn_worker_close_link (dn_worker_t *self, int linger_ms)
{
    if (self->monitor)
        dn_worker_unwatch (self, self->monitor_fd);
    if (self->dealer)
        dn_link_close (self->dealer, self->monitor, linger_ms);
    self->dealer = self->monitor = NULL;
}

static void
do_fresh (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_link_config_t config = {
        .send_max = SEND_MAX, .receive_max = RECEIVE_MAX, .ipv6 = self->ipv6};
    (void) effect;

    dn_worker_close_link (self, 0);
    self->dealer = dn_link_dealer (self->context, self->endpoint, &config);
    if (!self->dealer) {
        dn_log (DN_LOG_ERROR, "no_socket", DN_STR ("text", zmq_strerror (errno)));
        return; /* the fleet asks again when nothing is heard of the manager */
    }
    self->monitor = dn_link_monitor (self->context, self->dealer, &self->monitor_fd);
    if (self->monitor)
        dn_worker_watch (self, self->monitor_fd, DN_WATCH_LINK, 0, EPOLLIN);
}

/*  ---- to a slot ---- */

static dn_slot_process_t *
process_of (dn_worker_t *self, const dn_effect_t *effect)
{
    return &self->process[dn_worker_row (self, effect->slot)];
}

static void
watch_process (dn_worker_t *self, uint32_t row)
{
    dn_slot_process_t *process = &self->process[row];

    dn_worker_watch (self, dn_channel_fd (process->channel), DN_WATCH_CHANNEL, row, EPOLLIN);
    dn_worker_watch (self, process->output.fd, DN_WATCH_OUTPUT, row, EPOLLIN);
    if (process->pidfd >= 0)
        dn_worker_watch (self, process->pidfd, DN_WATCH_PID, row, EPOLLIN);
}

/*  The fleet is told that it failed when it has finished what it does now. */
static void
note_start (dn_worker_t *self, uint32_t row, int rc)
{
    dn_slot_process_t *process = &self->process[row];

    if (rc == 0) {
        watch_process (self, row);
        return;
    }
    dn_log (DN_LOG_ERROR, "no_process", DN_INT ("slot", row), DN_STR ("text", strerror (-rc)));
    process->failed = true;
    self->failed++;
}

static void
do_start_zygote (dn_worker_t *self, const dn_effect_t *effect)
{
    (void) effect;
    uint32_t row = dn_worker_row (self, DN_SLOT_ZYGOTE);
    note_start (self, row,
                dn_slot_process_exec (&self->process[row], self->launcher, DN_ROLE_ZYGOTE));
}

static void
do_exec (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_t *process = process_of (self, effect);
    note_start (self, effect->slot, dn_slot_process_exec (process, self->launcher, DN_ROLE_SLOT));
}

static void
do_fork (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_t *zygote = &self->process[dn_worker_row (self, DN_SLOT_ZYGOTE)];
    dn_slot_process_t *process = process_of (self, effect);
    int                rc = zygote->channel && !dn_channel_waiting (zygote->channel)
                                ? dn_slot_process_fork (process, zygote->channel, effect->slot)
                                : -EPIPE;
    note_start (self, effect->slot, rc);
}

/*  A channel that takes no more of our bytes, by its own limits, is of no use. */
static void
note_put (dn_worker_t *self, uint32_t row, int rc)
{
    if (rc < 0) {
        dn_log (DN_LOG_ERROR, "no_room", DN_INT ("slot", row), DN_STR ("text", strerror (-rc)));
        dn_slot_process_kill (&self->process[row]);
    } else
        dn_worker_flush_later (self, row);
}

static void
do_hand (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_t *process = process_of (self, effect);
    dn_frames_t       *kept = kept_under (self, effect->handle);

    dn_check (kept->whole && process->channel);
    note_put (self, effect->slot,
              dn_channel_put (process->channel, (uint32_t) effect->number,
                              self->kept_us[(uint32_t) effect->handle],
                              zmq_msg_data (&kept->header), zmq_msg_size (&kept->header),
                              kept->payload, kept->count));
}

static void
do_stop (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_t *process = process_of (self, effect);
    dn_msg_t           msg = {.kind = DN_MSG_STOP};

    if (!process->channel)
        return;
    msg.u.stop.reason = effect->reason;
    note_put (self, dn_worker_row (self, effect->slot),
              dn_channel_put_msg (process->channel, &msg));
}

static void
do_take_back (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_t *process = process_of (self, effect);
    uint32_t           started =
        process->page ? dn_page_take_back (process->page, (uint32_t) effect->number) : 0;

    dn_effects_t *fx = dn_worker_begin (self);
    dn_fleet_taken_back (self->fleet, self->now_ms, effect->slot, started, fx);
    dn_worker_perform (self);
}

static void
do_interrupt (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_interrupt (process_of (self, effect), (uint32_t) effect->number, effect->how);
}

static void
do_kill (dn_worker_t *self, const dn_effect_t *effect)
{
    dn_slot_process_t *process = process_of (self, effect);
    process->killed = true;
    dn_slot_process_kill (process);
}

/*  ---- all of them ---- */

typedef void (effect_fn) (dn_worker_t *self, const dn_effect_t *effect);

void
dn_worker_effect (dn_worker_t *self, const dn_effect_t *effect)
{
    static effect_fn *const effects[] = {
        [DN_FX_SEND] = do_send,
        [DN_FX_RELAY] = do_send,
        [DN_FX_RELAY_KEPT] = do_send,
        [DN_FX_KEEP] = do_keep,
        [DN_FX_DROP] = do_drop,
        [DN_FX_FRESH] = do_fresh,
        [DN_FX_START_ZYGOTE] = do_start_zygote,
        [DN_FX_FORK] = do_fork,
        [DN_FX_EXEC] = do_exec,
        [DN_FX_HAND] = do_hand,
        [DN_FX_TAKE_BACK] = do_take_back,
        [DN_FX_INTERRUPT] = do_interrupt,
        [DN_FX_KILL] = do_kill,
        [DN_FX_STOP] = do_stop,
    };
    dn_check ((size_t) effect->kind < sizeof effects / sizeof effects[0] && effects[effect->kind]);
    effects[effect->kind](self, effect);
}
