/*  link.c - ZeroMQ sockets as denim uses them
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/link.h"

#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LINK_MARK   0x100000000ULL /* upper half of every link */
#define ROUTE_BYTES 5              /* of an id that libzmq gave: zero, then 32 bits */

/*  ---- sockets ---- */

typedef struct {
    int option;
    int value;
} setting_t;

#define SETTINGS_END 0 /* no option that is set here has the number 0 */

/*  Heartbeats of ZMTP and TCP_MAXRT are not in these lists: under backpressure they cut the
 *  connection and lose accepted messages. Nor are routing ids: a duplicate goes silently deaf. */
static const setting_t both_settings[] = {
    {ZMQ_LINGER, 0},
    {ZMQ_TCP_KEEPALIVE, 1},
    {ZMQ_TCP_KEEPALIVE_IDLE, 1},
    {ZMQ_TCP_KEEPALIVE_INTVL, 1},
    {ZMQ_TCP_KEEPALIVE_CNT, 2},
    {SETTINGS_END, 0},
};

static const setting_t dealer_settings[] = {
    {ZMQ_IMMEDIATE, 1},
    {ZMQ_RECONNECT_IVL, DN_LINK_RECONNECT_MS},
    {ZMQ_RECONNECT_IVL_MAX, 0},
    {ZMQ_CONNECT_TIMEOUT, DN_LINK_CONNECT_MS},
    {ZMQ_HANDSHAKE_IVL, DN_LINK_HANDSHAKE_MS},
    {SETTINGS_END, 0},
};

static const setting_t router_settings[] = {
    {ZMQ_ROUTER_MANDATORY, 1},
    {ZMQ_BACKLOG, DN_LINK_BACKLOG},
    {ZMQ_HANDSHAKE_IVL, DN_LINK_GREETING_MS},
    {SETTINGS_END, 0},
};

/*  libzmq starts its threads with the first socket, and they inherit from the thread that asks for
 *  it: no signals, and SCHED_BATCH, so that a thread that is woken does not stop the one that feeds
 *  it. (ZMQ_THREAD_SCHED_POLICY says the same, and aborts where the system does not allow it.) */
static void
start_threads (void *context)
{
    const struct sched_param param = {0};
    sigset_t                 all, before;

    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    bool  usual = sched_getscheduler (0) == SCHED_OTHER;
    bool  batch = usual && sched_setscheduler (0, SCHED_BATCH, &param) == 0;
    void *socket = zmq_socket (context, ZMQ_PAIR);
    if (socket)
        zmq_close (socket);
    if (batch)
        sched_setscheduler (0, SCHED_OTHER, &param);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
}

void *
dn_link_context (int io_threads)
{
    void *context = zmq_ctx_new ();
    if (!context)
        return NULL;
    if (zmq_ctx_set (context, ZMQ_IO_THREADS, io_threads) < 0) {
        int kept = errno;
        zmq_ctx_term (context);
        errno = kept;
        return NULL;
    }
    start_threads (context);
    return context;
}

static int
set_int (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value);
}

static int
set_all (void *socket, const setting_t *settings)
{
    for (; settings->option != SETTINGS_END; settings++)
        if (set_int (socket, settings->option, settings->value) < 0)
            return -1;
    return 0;
}

static int
set_config (void *socket, const dn_link_config_t *config)
{
    int     buffer_bytes = config->buffer_bytes ? config->buffer_bytes : DN_LINK_BUFFER_BYTES;
    int64_t frame_max_bytes = config->frame_max_bytes ? config->frame_max_bytes : -1;

    if (set_int (socket, ZMQ_SNDHWM, config->send_max) < 0 ||
        set_int (socket, ZMQ_RCVHWM, config->receive_max) < 0 ||
        set_int (socket, ZMQ_SNDBUF, buffer_bytes) < 0 ||
        set_int (socket, ZMQ_RCVBUF, buffer_bytes) < 0 ||
        set_int (socket, ZMQ_IPV6, config->ipv6) < 0)
        return -1;
    if (zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &frame_max_bytes, sizeof frame_max_bytes) < 0)
        return -1;
    return zmq_setsockopt (socket, ZMQ_AFFINITY, &config->affinity, sizeof config->affinity);
}

static void *
socket_new (void *context, int type, const setting_t *settings, const dn_link_config_t *config,
            int (*join) (void *socket, const char *endpoint), const char *endpoint)
{
    dn_check (config->send_max > 0 && config->receive_max > 0);
    void *socket = zmq_socket (context, type);
    if (!socket)
        return NULL;
    if (set_all (socket, both_settings) < 0 || set_all (socket, settings) < 0 ||
        set_config (socket, config) < 0 || join (socket, endpoint) < 0) {
        int kept = errno;
        zmq_close (socket);
        errno = kept;
        return NULL;
    }
    return socket;
}

void *
dn_link_dealer (void *context, const char *endpoint, const dn_link_config_t *config)
{
    return socket_new (context, ZMQ_DEALER, dealer_settings, config, zmq_connect, endpoint);
}

void *
dn_link_router (void *context, const char *endpoint, const dn_link_config_t *config)
{
    return socket_new (context, ZMQ_ROUTER, router_settings, config, zmq_bind, endpoint);
}

/*  The name of the endpoint between the two is that of the DEALER, which is the only one at its
 *  place. */
void *
dn_link_monitor (void *context, void *dealer, int *fd)
{
    char   endpoint[64];
    size_t fd_bytes = sizeof *fd;

    snprintf (endpoint, sizeof endpoint, "inproc://monitor-%p", dealer);
    if (zmq_socket_monitor (dealer, endpoint, ZMQ_EVENT_DISCONNECTED) < 0)
        return NULL;
    void *monitor = zmq_socket (context, ZMQ_PAIR);
    if (monitor && set_int (monitor, ZMQ_LINGER, 0) == 0 && zmq_connect (monitor, endpoint) == 0 &&
        zmq_getsockopt (monitor, ZMQ_FD, fd, &fd_bytes) == 0) {
        dn_link_broken (
            monitor); /* the descriptor tells nothing before the first read that fails */
        return monitor;
    }
    int kept = errno;
    dn_link_unmonitor (dealer, monitor);
    errno = kept;
    return NULL;
}

void
dn_link_unmonitor (void *dealer, void *monitor)
{
    zmq_socket_monitor (dealer, NULL, 0);
    if (monitor)
        zmq_close (monitor);
}

void
dn_link_close (void *dealer, void *monitor, int linger_ms)
{
    dn_link_unmonitor (dealer, monitor);
    zmq_setsockopt (dealer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close (dealer);
}

bool
dn_link_broken (void *monitor)
{
    bool      broken = false;
    zmq_msg_t frame;

    zmq_msg_init (&frame);
    while (zmq_msg_recv (&frame, monitor, ZMQ_DONTWAIT) >= 0)
        broken = true;
    zmq_msg_close (&frame);
    return broken;
}

/*  ---- frames ---- */

void
dn_frames_clear (dn_frames_t *self)
{
    if (self->whole)
        zmq_msg_close (&self->header);
    for (unsigned i = 0; i < self->count; i++)
        zmq_msg_close (&self->payload[i]);
    self->from = 0;
    self->fault = NULL;
    self->whole = false;
    self->count = 0;
    self->payload_bytes = 0;
}

static void
frame_move (zmq_msg_t *to, zmq_msg_t *from)
{
    zmq_msg_init (to);
    zmq_msg_move (to, from);
    zmq_msg_close (from);
}

void
dn_frames_move (dn_frames_t *to, dn_frames_t *from)
{
    dn_frames_clear (to);
    memcpy (to, from, offsetof (dn_frames_t, header));
    if (from->whole)
        frame_move (&to->header, &from->header);
    for (unsigned i = 0; i < from->count; i++)
        frame_move (&to->payload[i], &from->payload[i]);
    memset (from, 0, offsetof (dn_frames_t, header));
}

/*  ---- receiving ---- */

/*  One frame into a message that is not live; it is only after a 0. */
static int
frame_recv (void *socket, zmq_msg_t *frame)
{
    zmq_msg_init (frame);
    while (zmq_msg_recv (frame, socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR) {
            int error = errno;
            zmq_msg_close (frame);
            return -error;
        }
    }
    return 0;
}

/*  The rest of a message that nobody wants: else its tail would be the next one's head. */
static int
skip_rest (void *socket, bool more)
{
    zmq_msg_t frame;
    while (more) {
        int rc = frame_recv (socket, &frame);
        if (rc < 0)
            return rc;
        more = zmq_msg_more (&frame);
        zmq_msg_close (&frame);
    }
    return 0;
}

/*  Header and payload, the first frame of them being there already or, on a ROUTER, sure to be. */
static int
recv_body (void *socket, dn_frames_t *frames)
{
    int rc = frame_recv (socket, &frames->header);
    if (rc < 0)
        return rc;
    frames->whole = true;
    bool more = zmq_msg_more (&frames->header);
    while (more && frames->count < DN_FRAMES_MAX) {
        zmq_msg_t *frame = &frames->payload[frames->count];
        rc = frame_recv (socket, frame);
        if (rc < 0)
            return rc;
        frames->count++;
        frames->payload_bytes += zmq_msg_size (frame);
        more = zmq_msg_more (frame);
    }
    if (more) {
        frames->fault = "it has more than 64 payload frames";
        rc = skip_rest (socket, more);
    }
    return rc < 0 ? rc : 1;
}

int
dn_link_recv (void *dealer, dn_frames_t *frames)
{
    dn_frames_clear (frames);
    int rc = recv_body (dealer, frames);
    return rc == -EAGAIN ? 0 : rc;
}

static dn_link_t
link_of_route (zmq_msg_t *route)
{
    const uint8_t *at = zmq_msg_data (route);
    if (zmq_msg_size (route) != ROUTE_BYTES || at[0] != 0)
        return 0;
    return LINK_MARK | (dn_link_t) at[1] << 24 | (dn_link_t) at[2] << 16 | (dn_link_t) at[3] << 8 |
           at[4];
}

int
dn_link_recv_from (void *router, dn_frames_t *frames)
{
    zmq_msg_t route;

    dn_frames_clear (frames);
    int rc = frame_recv (router, &route);
    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc;
    dn_link_t from = link_of_route (&route);
    bool      more = zmq_msg_more (&route);
    zmq_msg_close (&route);
    if (more) {
        rc = recv_body (router, frames);
        if (rc < 0)
            return rc;
    }
    frames->from = from;
    if (!from)
        frames->fault = "its sender has made up a routing id";
    else if (!more)
        frames->fault = "it has no header";
    return 1;
}

/*  ---- sending ---- */

static int
frame_send (void *socket, zmq_msg_t *frame, bool more)
{
    while (zmq_msg_send (frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/*  A frame behind the first. libzmq refuses one only when the connection has just gone, and then it
 *  swallows what follows up to the message's last frame: so all of them are sent, or it would
 *  swallow the head of the next message. The loss is that of any message on its way. */
static void
tail_send (void *socket, zmq_msg_t *frame, bool more, bool keep)
{
    zmq_msg_t  shared;
    zmq_msg_t *sent = frame;

    if (keep) {
        zmq_msg_init (&shared);
        zmq_msg_copy (&shared, frame);
        sent = &shared;
    }
    if (frame_send (socket, sent, more) < 0) {
        zmq_msg_close (sent);
        zmq_msg_init (sent);
        frame_send (socket, sent, more);
    }
    if (keep)
        zmq_msg_close (&shared);
}

static int
route_send (void *router, dn_link_t to)
{
    zmq_msg_t route;

    zmq_msg_init_size (&route, ROUTE_BYTES); /* so small that it needs no memory */
    uint8_t *at = zmq_msg_data (&route);
    at[0] = 0;
    at[1] = (uint8_t) (to >> 24);
    at[2] = (uint8_t) (to >> 16);
    at[3] = (uint8_t) (to >> 8);
    at[4] = (uint8_t) to;
    int rc = frame_send (router, &route, true);
    if (rc < 0)
        zmq_msg_close (&route);
    return rc;
}

/*  The first frame decides whether the message goes. `header` is taken after a 0. */
static int
send_all (void *socket, dn_link_t to, zmq_msg_t *header, zmq_msg_t *payload, unsigned count,
          bool keep)
{
    if (to) {
        int rc = route_send (socket, to);
        if (rc < 0)
            return rc;
        tail_send (socket, header, count > 0, false);
    } else {
        int rc = frame_send (socket, header, count > 0);
        if (rc < 0)
            return rc;
    }
    for (unsigned i = 0; i < count; i++)
        tail_send (socket, &payload[i], i + 1 < count, keep);
    return 0;
}

int
dn_link_send (void *socket, dn_link_t to, const void *header, size_t header_bytes,
              zmq_msg_t *payload, unsigned count, bool keep)
{
    zmq_msg_t frame;

    if (zmq_msg_init_size (&frame, header_bytes) < 0)
        return -ENOMEM;
    memcpy (zmq_msg_data (&frame), header, header_bytes);
    int rc = send_all (socket, to, &frame, payload, count, keep);
    if (rc < 0)
        zmq_msg_close (&frame);
    return rc;
}

int
dn_link_relay (void *socket, dn_link_t to, dn_frames_t *frames, bool keep)
{
    zmq_msg_t shared;

    dn_check (frames->whole);
    if (!keep)
        return send_all (socket, to, &frames->header, frames->payload, frames->count, false);
    zmq_msg_init (&shared);
    zmq_msg_copy (&shared, &frames->header);
    int rc = send_all (socket, to, &shared, frames->payload, frames->count, true);
    if (rc < 0)
        zmq_msg_close (&shared);
    return rc;
}

int
dn_link_send_msg (void *socket, dn_link_t to, const dn_msg_t *msg, zmq_msg_t *payload,
                  unsigned count, bool keep, void *room, size_t room_bytes)
{
    uint8_t     small[DN_HEADER_SMALL];
    const void *header = small;

    ptrdiff_t n = dn_msg_encode (msg, small, sizeof small);
    if (n == DN_WIRE_ROOM && room) {
        n = dn_msg_encode (msg, room, room_bytes);
        header = room;
    }
    if (n < 0)
        return -EMSGSIZE;
    return dn_link_send (socket, to, header, (size_t) n, payload, count, keep);
}
