/*  uplink.c - the socket to the manager
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/uplink.h"

#include <stdio.h>
#include <string.h>

#define SEND_MAX    1000 /* messages; then the session is told to hold calls back */
#define RECEIVE_MAX 1000 /* messages read ahead */
#define IO_THREADS  1

int
dn_uplink_init (dn_uplink_t *self)
{
    memset (self, 0, sizeof *self);
    self->monitor_fd = -1;
    self->context = dn_link_context (IO_THREADS);
    return self->context ? 0 : -1;
}

/*  A monitor is a PAIR in the same context; only that something came matters, and its descriptor
 *  tells that, once: so it is read empty each time, and for the first time before it is waited
 *  for. */
static void
watch (dn_uplink_t *self)
{
    char   endpoint[64];
    size_t fd_bytes = sizeof self->monitor_fd;
    int    linger_ms = 0;

    snprintf (endpoint, sizeof endpoint, "inproc://monitor-%u", self->opened);
    if (zmq_socket_monitor (self->dealer, endpoint, ZMQ_EVENT_DISCONNECTED) < 0)
        return;
    self->monitor = zmq_socket (self->context, ZMQ_PAIR);
    if (!self->monitor)
        return;
    zmq_setsockopt (self->monitor, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (zmq_connect (self->monitor, endpoint) == 0 &&
        zmq_getsockopt (self->monitor, ZMQ_FD, &self->monitor_fd, &fd_bytes) == 0)
        return;
    zmq_close (self->monitor);
    self->monitor = NULL;
    self->monitor_fd = -1;
}

int
dn_uplink_open (dn_uplink_t *self, const char *endpoint, bool ipv6)
{
    dn_link_config_t config = {.send_max = SEND_MAX, .receive_max = RECEIVE_MAX, .ipv6 = ipv6};

    dn_uplink_close (self, 0);
    self->opened++;
    self->dealer = dn_link_dealer (self->context, endpoint, &config);
    if (!self->dealer)
        return -1;
    watch (self);
    dn_uplink_broken (self); /* a descriptor tells only whoever has found nothing to read */
    return 0;
}

void
dn_uplink_close (dn_uplink_t *self, int linger_ms)
{
    if (self->dealer) {
        zmq_setsockopt (self->dealer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close (self->dealer);
    }
    if (self->monitor)
        zmq_close (self->monitor);
    self->dealer = self->monitor = NULL;
    self->monitor_fd = -1;
}

void
dn_uplink_term (dn_uplink_t *self)
{
    dn_uplink_close (self, 0);
    if (self->context)
        zmq_ctx_term (self->context);
    self->context = NULL;
}

bool
dn_uplink_broken (dn_uplink_t *self)
{
    bool      broken = false;
    zmq_msg_t frame;

    if (!self->monitor)
        return false;
    zmq_msg_init (&frame);
    while (zmq_msg_recv (&frame, self->monitor, ZMQ_DONTWAIT) >= 0)
        broken = true;
    zmq_msg_close (&frame);
    return broken;
}
