/*  worker.c - the loop of denim-worker
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/worker.h"

#include "base/check.h"
#include "base/log.h"
#include "denim.h"
#include "io/instance.h"
#include "io/process.h"
#include "io/worker_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#define MANAGER_BATCH 256 /* messages of the manager before slots have their turn */
#define EVENTS_MAX    128 /* of the epoll descriptor in one turn */
#define TICKS_MAX     64  /* in one turn, while the fleet says that it is due at once */
#define LINGER_MS     500 /* at the end, for answers that are on their way out */
#define IO_THREADS    1

/*  ---- calls to the fleet ---- */

dn_effects_t *
dn_worker_begin (dn_worker_t *self)
{
    dn_check (self->level < DN_LEVELS);
    dn_effects_t *fx = self->fx[self->level++];
    dn_effects_clear (fx);
    return fx;
}

void
dn_worker_perform (dn_worker_t *self)
{
    dn_effects_t *fx = self->fx[self->level - 1];

    for (uint32_t i = 0; i < fx->count; i++) {
        const dn_effect_t *effect = &fx->row[i];
        if (effect->kind == DN_FX_LOG)
            dn_worker_log (self, effect);
        else if (effect->kind == DN_FX_EXIT) {
            self->stop = true;
            self->exit_code = (int) effect->number;
        } else
            dn_worker_effect (self, effect);
    }
    self->level--;
}

/*  ---- watching ---- */

int
dn_worker_watch (dn_worker_t *self, int fd, dn_watch_t kind, uint32_t row, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t) kind << 32 | row};

    if (epoll_ctl (self->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void
dn_worker_unwatch (dn_worker_t *self, int fd)
{
    epoll_ctl (self->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/*  ---- inputs ---- */

/*  A message of the manager is in hand. What is none is dropped: the lists of the next heartbeat
 *  make it good. */
static void
feed (dn_worker_t *self)
{
    dn_msg_t msg;
    int      rc = DN_WIRE_SHORT;

    if (!self->in.fault)
        rc = dn_msg_decode (&msg, M2W, zmq_msg_data (&self->in.header),
                            zmq_msg_size (&self->in.header));
    if (rc < 0) {
        dn_log (DN_LOG_WARN, "malformed",
                DN_STR ("text", self->in.fault ? self->in.fault : dn_wire_strerror (rc)));
        return;
    }
    dn_effects_t *fx = dn_worker_begin (self);
    dn_fleet_input (self->fleet, self->now_ms, &msg, self->in.payload_bytes, fx);
    dn_worker_perform (self);
}

static void
read_manager (dn_worker_t *self)
{
    for (int i = 0; i < MANAGER_BATCH && self->dealer && !self->stop; i++) {
        if (dn_link_recv (self->dealer, &self->in) != 1)
            return;
        feed (self);
    }
}

/*  What had come before is read first. */
static void
hear_link (dn_worker_t *self)
{
    if (!self->monitor || !dn_link_broken (self->monitor))
        return;
    read_manager (self);
    dn_effects_t *fx = dn_worker_begin (self);
    dn_fleet_disconnected (self->fleet, self->now_ms, fx);
    dn_worker_perform (self);
}

static void
take_signals (dn_worker_t *self)
{
    struct signalfd_siginfo info;

    while (read (self->signals, &info, sizeof info) == (ssize_t) sizeof info) {
        dn_effects_t *fx = dn_worker_begin (self);
        dn_fleet_signal (self->fleet, self->now_ms, fx);
        dn_worker_perform (self);
    }
}

static void
take_event (dn_worker_t *self, const struct epoll_event *event)
{
    uint32_t row = (uint32_t) event->data.u64;

    switch ((dn_watch_t) (event->data.u64 >> 32)) {
    case DN_WATCH_CHANNEL: dn_worker_hear (self, row, event->events); break;
    case DN_WATCH_OUTPUT: dn_worker_drain_output (self, row); break;
    case DN_WATCH_PID: dn_worker_see_end (self, row); break;
    case DN_WATCH_SIGNALS: take_signals (self); break;
    case DN_WATCH_LINK: hear_link (self); break;
    case DN_WATCH_HEALTH: dn_worker_hear_health (self); break;
    }
}

static void
take_events (dn_worker_t *self)
{
    struct epoll_event events[EVENTS_MAX];
    int                count = epoll_wait (self->epoll, events, EVENTS_MAX, 0);

    for (int i = 0; i < count && !self->stop; i++)
        take_event (self, &events[i]);
}

static void
tick (dn_worker_t *self)
{
    for (int i = 0; i < TICKS_MAX && dn_fleet_deadline_ms (self->fleet) <= self->now_ms; i++) {
        dn_effects_t *fx = dn_worker_begin (self);
        dn_fleet_tick (self->fleet, self->now_ms, fx);
        dn_worker_perform (self);
    }
}

/*  ---- the loop ---- */

static long
wait_ms (const dn_worker_t *self)
{
    int64_t until_ms = dn_fleet_deadline_ms (self->fleet);

    if (self->failed)
        return 0;
    if (self->look_ms < until_ms)
        until_ms = self->look_ms;
    int64_t tell_ms = dn_worker_tell_ms (self);
    if (tell_ms < until_ms)
        until_ms = tell_ms;
    return until_ms > self->now_ms ? (long) (until_ms - self->now_ms) : 0;
}

/*  Wait until something is there: true if the socket to the manager takes a message. */
static bool
wait_for_input (dn_worker_t *self, bool *from_slots)
{
    bool           out = self->dealer && dn_fleet_wants_writable (self->fleet);
    zmq_pollitem_t items[] = {
        {NULL, self->epoll, ZMQ_POLLIN, 0},
        {self->dealer, 0, (short) (ZMQ_POLLIN | (out ? ZMQ_POLLOUT : 0)), 0},
    };
    int rc = zmq_poll (items, self->dealer ? 2 : 1, wait_ms (self));
    dn_check (rc >= 0 || errno == EINTR);
    *from_slots = items[0].revents & ZMQ_POLLIN;
    return rc > 0 && (items[1].revents & ZMQ_POLLOUT);
}

static void
turn (dn_worker_t *self)
{
    bool from_slots = false;
    bool writable = wait_for_input (self, &from_slots);

    self->now_ms = dn_process_now_ms ();
    read_manager (self);
    dn_worker_flush (self); /* what came starts while the rest of the turn goes on */
    if (from_slots)
        take_events (self);
    dn_worker_tell_failed (self);
    dn_worker_tell_ended (self);
    if (writable && dn_fleet_wants_writable (self->fleet)) {
        dn_effects_t *fx = dn_worker_begin (self);
        dn_fleet_writable (self->fleet, self->now_ms, fx);
        dn_worker_perform (self);
    }
    dn_worker_look (self);
    tick (self);
    dn_worker_flush (self);
}

/*  ---- start ---- */

static int
complain (int code, const char *why)
{
    fprintf (stderr, "denim-worker: %s\n", why);
    return code;
}

static int
find_python (dn_worker_t *self)
{
    char path[PATH_MAX];
    char why[2 * PATH_MAX];

    if (dn_worker_settings_python (self->settings, path, why, sizeof why) < 0 ||
        dn_interpreter_ask (&self->interpreter, path, why, sizeof why) < 0)
        return complain (EX_CONFIG, why);
    self->launcher = dn_launcher_new (self->settings, &self->interpreter, why, sizeof why);
    if (!self->launcher)
        return complain (EX_OSERR, why);
    dn_log (DN_LOG_INFO, "python", DN_STR ("executable", self->interpreter.executable),
            DN_STR ("version", self->interpreter.version),
            DN_STR ("library", self->interpreter.library));
    return 0;
}

static int
find_manager (dn_worker_t *self)
{
    dn_address_t address;
    char         why[DN_WHY_MAX];

    if (dn_address_parse (&address, self->settings->manager, DN_TO_CONNECT, why, sizeof why) < 0)
        return complain (EX_CONFIG, why);
    dn_address_learn (&address);
    dn_address_endpoint (&address, DN_DOOR_WORKERS, self->endpoint);
    self->ipv6 = address.ipv6;
    return 0;
}

static void
write_apps (const dn_worker_settings_t *settings, char *text, size_t text_bytes)
{
    size_t used = 0;

    snprintf (text, text_bytes, "%s", settings->apps.count ? "" : "denim");
    for (uint32_t i = 0; i < settings->apps.count && used < text_bytes; i++)
        used += (size_t) snprintf (text + used, text_bytes - used, "%s%s", i ? ", " : "",
                                   settings->apps.name[i]);
}

static dn_fleet_t *
make_fleet (dn_worker_t *self)
{
    const dn_worker_settings_t *settings = self->settings;
    uint32_t                    slots = dn_worker_settings_slots (settings);
    dn_fleet_config_t           config = {
                  .pid = (uint32_t) getpid (),
                  .slots = slots,
                  .standby = slots * settings->standby_max,
                  .nesting = settings->nesting,
                  .preload = settings->preload,
                  .allow_pickle = settings->allow_pickle,
                  .soft_limit_ms = settings->soft_limit_ms,
                  .hard_limit_ms = settings->hard_limit_ms,
                  .grace_ms = settings->grace_ms,
                  .rss_max = settings->rss_max,
                  .recycle_tasks = settings->recycle_tasks,
                  .outbox_bytes = settings->outbox_bytes,
    };

    snprintf (config.name, sizeof config.name, "%s", self->name);
    gethostname (config.host, sizeof config.host - 1);
    write_apps (settings, config.apps, sizeof config.apps);
    self->instance = dn_instance_claim (settings->manager, &config.instance);
    dn_process_random (&config.session, sizeof config.session);
    dn_process_random (&config.seed, sizeof config.seed);
    self->rows = dn_fleet_rows (&config);
    return dn_fleet_new (&config);
}

static int
make_parts (dn_worker_t *self)
{
    dn_worker_settings_name (self->settings, getpid (), self->name);
    self->fleet = make_fleet (self);
    self->process = calloc (self->rows + 1, sizeof *self->process);
    self->flush = calloc (self->rows + 1, sizeof *self->flush);
    self->kept = calloc (DN_HOLDS_MAX, sizeof *self->kept);
    for (int i = 0; i < DN_LEVELS; i++)
        self->fx[i] = dn_effects_new ();
    self->context = dn_link_context (IO_THREADS);
    self->epoll = epoll_create1 (EPOLL_CLOEXEC);
    if (!self->process || !self->flush || !self->kept || !self->fleet || !self->fx[DN_LEVELS - 1] ||
        !self->context || self->epoll < 0)
        return complain (EX_OSERR, "cannot start: out of memory or of descriptors");
    for (uint32_t row = 0; row <= self->rows; row++)
        self->process[row] =
            (dn_slot_process_t){.pidfd = -1, .ended_ms = DN_NEVER, .output = {.fd = -1}};
    return 0;
}

static int
start (dn_worker_t *self)
{
    int code = find_manager (self);
    if (code == 0)
        code = find_python (self);
    if (code == 0)
        code = make_parts (self);
    if (code)
        return code;
    self->signals = dn_process_signals ();
    if (self->signals < 0)
        return complain (EX_OSERR, "cannot watch for signals");
    dn_worker_watch (self, self->signals, DN_WATCH_SIGNALS, 0, EPOLLIN);
    dn_worker_open_health (self);
    prctl (PR_SET_CHILD_SUBREAPER, 1); /* children of a zygote that dies become ours */
    self->oom_kills = dn_worker_count_oom ();
    return 0;
}

/*  ---- end ---- */

static void
end (dn_worker_t *self)
{
    if (self->dealer)
        dn_worker_close_link (self, LINGER_MS);
    for (uint32_t row = 0; self->process && row <= self->rows; row++)
        dn_slot_process_close (&self->process[row]);
    dn_frames_clear (&self->in);
    for (uint32_t row = 0; self->kept && row < DN_HOLDS_MAX; row++)
        dn_frames_clear (&self->kept[row]);
    if (self->context)
        zmq_ctx_term (self->context);
    if (self->epoll >= 0)
        close (self->epoll);
    if (self->signals >= 0)
        close (self->signals);
    if (self->health >= 0)
        close (self->health);
    if (self->instance >= 0)
        close (self->instance);
    for (int i = 0; i < DN_LEVELS; i++)
        dn_effects_destroy (&self->fx[i]);
    dn_fleet_destroy (&self->fleet);
    dn_launcher_destroy (&self->launcher);
    free (self->process);
    free (self->flush);
    free (self->kept);
    free (self);
}

int
dn_io_worker_run (const dn_worker_settings_t *settings)
{
    dn_worker_t *self = calloc (1, sizeof *self);
    if (!self)
        return complain (EX_OSERR, "cannot start: out of memory");
    self->settings = settings;
    self->epoll = self->signals = self->health = self->instance = -1;
    dn_process_raise_files ();
    int code = start (self);
    if (code == 0) {
        self->now_ms = dn_process_now_ms ();
        dn_effects_t *fx = dn_worker_begin (self);
        dn_fleet_start (self->fleet, self->now_ms, fx);
        dn_worker_perform (self);
        while (!self->stop)
            turn (self);
        code = self->exit_code;
        dn_log (DN_LOG_INFO, "stopped", DN_STR ("name", self->name), DN_INT ("exit_code", code));
    }
    end (self);
    return code;
}
