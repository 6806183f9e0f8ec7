/*  manager.c - the loop of denimd
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/manager.h"

#include "base/check.h"
#include "base/log.h"
#include "core/manager.h"
#include "io/link.h"
#include "io/manager_log.h"
#include "io/manager_status.h"
#include "io/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WORKER_BATCH       64 /* messages of workers, then … */
#define CLIENT_BATCH       64 /* … so many of clients: a flood of these delays none of those */
#define ROUNDS_MAX         16 /* of both, between two looks at clock and signals */
#define TICKS_MAX          64 /* in one turn, while the core says that it is due at once */
#define BIND_TRIES         20 /* for two free neighbours */
#define MANY_CPUS          4 /* on 2 a second I/O thread cost 9 % of the throughput of tiny tasks */
#define LINGER_MS          500 /* at the end, for answers that are on their way out */
#define SEND_MAX_CLIENT    (2 * DN_CLIENT_TASKS_MAX) /* messages waiting for one client */
#define SEND_MAX_WORKER    20000                     /* and for one worker: above all its places */
#define RECEIVE_MAX_CLIENT 64 /* read ahead of one client: bounds what a flood of them can store */
#define RECEIVE_MAX_WORKER 1024

#define WORKERS_BIT (1ull << 33) /* in a link: it is of the workers' door */

enum { DOOR_CLIENTS, DOOR_WORKERS, DOORS };

typedef struct {
    dn_manager_t *core;
    dn_effects_t *fx;
    dn_effects_t *undo; /* of what a socket refused */
    dn_frames_t   in;   /* the message in hand */
    void         *context;
    void         *door[DOORS];
    int           signals; /* descriptor */
    int           lock;    /* of an ipc path; -1: none */
    int64_t       boot_ms;
    int64_t       now_ms; /* read once a turn */
    bool          draining;
    bool          stop;
    uint8_t       room[DN_HEADER_MAX];
} dn_shell_t;

/*  ---- effects ---- */

static void
answer (dn_shell_t *self, const dn_effect_t *effect)
{
    const dn_ask_t *ask = &effect->msg.u.ask;
    dn_msg_t        msg = {.kind = DN_MSG_ANSWER};
    msg.u.answer.question = ask->question;
    bool  status = dn_str_eq (ask->verb, dn_str ("status"));
    char *text = status ? dn_manager_status (self->core, self->now_ms - self->boot_ms) : NULL;
    if (!text)
        msg.u.answer.reason = DENIM_REASON_NOT_ALLOWED;
    size_t    n = text ? strlen (text) : 0;
    zmq_msg_t payload;
    if (zmq_msg_init_size (&payload, n) == 0) {
        if (n)
            memcpy (zmq_msg_data (&payload), text, n);
        dn_link_send_msg (self->door[DOOR_CLIENTS], effect->to, &msg, &payload, 1, false, NULL, 0);
        zmq_msg_close (&payload);
    }
    free (text);
}

/*  Send what an effect says: 0 or -errno. */
static int
send_effect (dn_shell_t *self, const dn_effect_t *effect)
{
    void     *door = self->door[effect->to & WORKERS_BIT ? DOOR_WORKERS : DOOR_CLIENTS];
    dn_link_t to = effect->to & ~WORKERS_BIT;
    if (effect->kind == DN_FX_RELAY)
        return dn_link_relay (door, to, &self->in, false);
    bool payload = effect->kind == DN_FX_FORWARD;
    return dn_link_send_msg (door, to, &effect->msg, payload ? self->in.payload : NULL,
                             payload ? self->in.count : 0, false, self->room, sizeof self->room);
}

static void
perform (dn_shell_t *self, dn_effects_t *fx, dn_effects_t *undo)
{
    for (uint32_t i = 0; i < fx->count; i++) {
        const dn_effect_t *effect = &fx->row[i];
        if (effect->kind == DN_FX_LOG)
            dn_manager_log (effect);
        else if (effect->kind == DN_FX_ASKED)
            answer (self, effect);
        else {
            int rc = send_effect (self, effect);
            if (rc < 0 && undo)
                dn_manager_refused (self->core, self->now_ms, effect, rc == -EHOSTUNREACH, undo);
            if (undo && undo->count) {
                perform (self, undo, NULL);
                dn_effects_clear (undo);
            }
        }
    }
}

/*  ---- input ---- */

static void
feed (dn_shell_t *self, int door)
{
    dn_link_t link = self->in.from | (door == DOOR_WORKERS ? WORKERS_BIT : 0);
    unsigned  directions = door == DOOR_WORKERS ? W2M : C2M;
    dn_msg_t  msg;
    int       error = DN_WIRE_SHORT;
    if (!self->in.fault && self->in.whole) {
        dn_manager_event_t event = {self->now_ms, link, &msg, {0}, self->in.payload_bytes};
        event.header.ptr = zmq_msg_data (&self->in.header);
        size_t header_bytes = zmq_msg_size (&self->in.header);
        error = dn_msg_decode (&msg, directions, event.header.ptr, header_bytes);
        if (error == 0) {
            event.payload_bytes += dn_msg_small_bytes (&msg);
            event.header.len = (uint16_t) (header_bytes <= UINT16_MAX ? header_bytes : 0);
            dn_manager_input (self->core, &event, self->fx);
        }
    }
    if (error)
        dn_manager_malformed (self->core, self->now_ms, link, error, self->fx);
    perform (self, self->fx, self->undo);
    dn_effects_clear (self->fx);
}

static int
drain (dn_shell_t *self, int door, int batch)
{
    int n = 0;
    while (n < batch && dn_link_recv_from (self->door[door], &self->in) == 1) {
        feed (self, door);
        n++;
    }
    return n;
}

static void
tick (dn_shell_t *self)
{
    for (int i = 0; i < TICKS_MAX && dn_manager_deadline_ms (self->core) <= self->now_ms; i++) {
        dn_manager_tick (self->core, self->now_ms, self->fx);
        perform (self, self->fx, self->undo);
        dn_effects_clear (self->fx);
    }
}

/*  SIGTERM or SIGINT: no new tasks; a second one: now. */
static void
take_signals (dn_shell_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof info) == (ssize_t) sizeof info) {
        if (self->draining)
            self->stop = true;
        self->draining = true;
        dn_manager_drain (self->core, self->fx);
        perform (self, self->fx, self->undo);
        dn_effects_clear (self->fx);
    }
}

static void
loop (dn_shell_t *self)
{
    zmq_pollitem_t items[] = {
        {self->door[DOOR_WORKERS], 0, ZMQ_POLLIN, 0},
        {self->door[DOOR_CLIENTS], 0, ZMQ_POLLIN, 0},
        {NULL, self->signals, ZMQ_POLLIN, 0},
    };
    while (!self->stop && !(self->draining && dn_manager_placed (self->core) == 0)) {
        self->now_ms = dn_process_now_ms ();
        int64_t wait_ms = dn_manager_deadline_ms (self->core) - self->now_ms;
        if (zmq_poll (items, 3, wait_ms > 0 ? wait_ms : 0) < 0 && errno != EINTR)
            break;
        self->now_ms = dn_process_now_ms ();
        for (int round = 0; round < ROUNDS_MAX; round++)
            if (drain (self, DOOR_WORKERS, WORKER_BATCH) +
                    drain (self, DOOR_CLIENTS, CLIENT_BATCH) ==
                0)
                break;
        take_signals (self);
        tick (self);
    }
}

/*  ---- start and end ---- */

static int
cannot_bind (const char *address, int error)
{
    fprintf (stderr, "denimd: cannot bind %s: %s\n", address,
             error == EADDRINUSE ? "Address already in use (is another denimd running?)"
                                 : zmq_strerror (error));
    return 71;
}

/*  One for each door where there are processors for it. */
static int
io_threads (void)
{
    return dn_process_cpus () < MANY_CPUS ? 1 : DOORS;
}

/*  Both doors, or neither: 0 or errno. */
static int
bind_doors (dn_shell_t *self, const dn_address_t *address, const dn_manager_settings_t *settings)
{
    uint64_t               last_thread = 1ull << (io_threads () - 1);
    const dn_link_config_t config[DOORS] = {
        [DOOR_CLIENTS] = {SEND_MAX_CLIENT, RECEIVE_MAX_CLIENT, 0,
                          (int64_t) settings->payload_max + DN_HEADER_MAX, 1, address->ipv6},
        [DOOR_WORKERS] = {SEND_MAX_WORKER, RECEIVE_MAX_WORKER, 0,
                          (int64_t) settings->payload_max + DN_HEADER_MAX, last_thread,
                          address->ipv6},
    };
    static const dn_door_t doors[DOORS] = {DN_DOOR_CLIENTS, DN_DOOR_WORKERS};
    char                   endpoint[DN_ENDPOINT_MAX];
    for (int i = 0; i < DOORS; i++) {
        dn_address_endpoint (address, doors[i], endpoint);
        self->door[i] = dn_link_router (self->context, endpoint, &config[i]);
        if (self->door[i])
            continue;
        int error = errno;
        if (i == DOOR_WORKERS)
            zmq_close (self->door[DOOR_CLIENTS]);
        self->door[DOOR_CLIENTS] = NULL;
        return error;
    }
    return 0;
}

/*  From the address that the user wrote to two open doors; 0 or an exit code, and it has been
 *  said. */
static int
open_doors (dn_shell_t *self, const dn_manager_settings_t *settings)
{
    dn_address_t address;
    char         why[DN_WHY_MAX], text[DN_ENDPOINT_MAX];
    int          error = 0;
    if (dn_address_parse (&address, settings->listen, DN_TO_BIND, why, sizeof why) < 0) {
        fprintf (stderr, "denimd: %s\n", why);
        return 78;
    }
    if (dn_address_resolve (&address, why, sizeof why) < 0) {
        fprintf (stderr, "denimd: cannot bind %s: %s\n", settings->listen, why);
        return 71;
    }
    if (!settings->insecure && !dn_address_is_loopback (&address)) {
        fprintf (stderr,
                 "denimd: %s can be reached from other hosts, and anyone there could run tasks: "
                 "say --insecure if that network is trusted\n",
                 settings->listen);
        return 78;
    }
    if (dn_address_lock (&address, &self->lock, why, sizeof why) < 0) {
        fprintf (stderr, "denimd: cannot bind %s: %s\n", settings->listen, why);
        return 71;
    }
    bool chosen = address.transport == DN_TRANSPORT_IPC || address.port != 0;
    for (int i = 0; i < BIND_TRIES; i++) {
        if (!chosen)
            address.port = 0;
        if (dn_address_propose (&address, why, sizeof why) < 0) {
            fprintf (stderr, "denimd: cannot bind %s: %s\n", settings->listen, why);
            return 71;
        }
        error = bind_doors (self, &address, settings);
        if (error != EADDRINUSE || chosen)
            break;
    }
    if (error)
        return cannot_bind (settings->listen, error);
    dn_log (DN_LOG_INFO, "ready", DN_STR ("address", dn_address_text (&address, text)),
            DN_STR ("version", DENIM_VERSION), DN_INT ("pid", getpid ()));
    return 0;
}

static int
make_core (dn_shell_t *self, const dn_manager_settings_t *settings)
{
    dn_manager_config_t config = {
        .clients_max = settings->clients_max,
        .workers_max = settings->workers_max,
        .tasks_max = settings->tasks_max,
        .services_max = settings->services_max,
        .client_share = settings->client_share,
        .heartbeat_ms = (uint32_t) settings->heartbeat_ms,
        .liveness = (uint8_t) settings->liveness,
        .payload_max = settings->payload_max,
        .lease_ms = (uint32_t) settings->lease_ms,
        .standby_ms = (uint32_t) settings->standby_ms,
        .retry_max_ms = (uint32_t) settings->retry_max_ms,
        .client_bytes = DN_CLIENT_BYTES,
    };
    dn_process_random (&config.epoch, sizeof config.epoch);
    dn_process_random (&config.seed, sizeof config.seed);
    config.epoch = config.epoch >> 1 | 1; /* not 0, and JSON's integers are signed */
    self->boot_ms = self->now_ms = dn_process_now_ms ();
    self->core = dn_manager_new (&config, self->now_ms);
    self->fx = dn_effects_new ();
    self->undo = dn_effects_new ();
    self->context = dn_link_context (io_threads ());
    self->signals = dn_process_signals ();
    if (self->core && self->fx && self->undo && self->context && self->signals >= 0)
        return 0;
    fprintf (stderr, "denimd: cannot start: %s\n", strerror (errno));
    return 71;
}

static void
end (dn_shell_t *self)
{
    int linger_ms = LINGER_MS;
    dn_frames_clear (&self->in);
    for (int i = 0; i < DOORS; i++)
        if (self->door[i]) {
            zmq_setsockopt (self->door[i], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
            zmq_close (self->door[i]);
        }
    if (self->context)
        zmq_ctx_term (self->context);
    if (self->lock >= 0)
        close (self->lock);
    if (self->signals >= 0)
        close (self->signals);
    dn_effects_destroy (&self->fx);
    dn_effects_destroy (&self->undo);
    dn_manager_destroy (&self->core);
    free (self);
}

int
dn_io_manager_run (const dn_manager_settings_t *settings)
{
    dn_shell_t *self = calloc (1, sizeof *self);
    if (!self) {
        fprintf (stderr, "denimd: cannot start: out of memory\n");
        return 71;
    }
    self->lock = self->signals = -1;
    dn_process_raise_files ();
    int code = make_core (self, settings);
    if (code == 0)
        code = open_doors (self, settings);
    if (code == 0) {
        loop (self);
        dn_log (DN_LOG_INFO, "stopped", DN_UINT ("tasks", dn_manager_placed (self->core)));
    }
    end (self);
    return code;
}
