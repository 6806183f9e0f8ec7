/*  uplink.c - the socket to the manager
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/uplink.h"

#include <string.h>

#define SEND_MAX    1000 /* messages; then the session is told to hold calls back */
#define RECEIVE_MAX 1000 /* messages read ahead */
#define IO_THREADS  1

int
dn_uplink_init (dn_uplink_t *self)
{
    memset (self, 0, sizeof *self);
    self->context = dn_link_context (IO_THREADS);
    return self->context ? 0 : -1;
}

int
dn_uplink_open (dn_uplink_t *self, const char *endpoint, bool ipv6)
{
    dn_link_config_t config = {.send_max = SEND_MAX, .receive_max = RECEIVE_MAX, .ipv6 = ipv6};

    dn_uplink_close (self, 0);
    self->dealer = dn_link_dealer (self->context, endpoint, &config);
    if (!self->dealer)
        return -1;
    self->monitor = dn_link_monitor (self->context, self->dealer, &self->monitor_fd);
    return 0;
}

void
dn_uplink_close (dn_uplink_t *self, int linger_ms)
{
    if (self->dealer)
        dn_link_close (self->dealer, self->monitor, linger_ms);
    self->dealer = self->monitor = NULL;
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
    return self->monitor && dn_link_broken (self->monitor);
}
