/*  uplink.h - the socket to the manager, and whether it is connected
 *
 *  Owns: one DEALER at a time, and a monitor that tells when its connection breaks, so that a
 *  manager that was started again is greeted at once and not only when its silence is noticed. Must
 *  never know: what is sent. For the actor's thread only.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_UPLINK_H
#define DN_UPLINK_H

#include "io/link.h"

typedef struct {
    void *context;    /* owned */
    void *dealer;     /* owned; NULL: none */
    void *monitor;    /* owned; NULL: none, then silence must do */
    int   monitor_fd; /* meant while there is a monitor */
} dn_uplink_t;

/*  0, or -1 when memory or descriptors are short; then it holds nothing. */
int dn_uplink_init (dn_uplink_t *self);

/*  Close what is open and connect anew; the socket takes messages when the connection is made. 0,
 *  or -1 when the system says no: then there is no dealer, try later. */
int dn_uplink_open (dn_uplink_t *self, const char *endpoint, bool ipv6);

/*  What was sent last may linger so long. */
void dn_uplink_close (dn_uplink_t *self, int linger_ms);

/*  All of it; may take as long as what lingers. */
void dn_uplink_term (dn_uplink_t *self);

/*  Has the connection broken since this was asked last? Costs little; to be asked when monitor_fd
 *  is readable, and before a wait. */
bool dn_uplink_broken (dn_uplink_t *self);

#endif
