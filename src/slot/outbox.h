/*  outbox.h - the bytes that go out on a channel: gathered, never kept waiting
 *
 *  Owns: one buffer of small packets that are sent together, and the promise that none of them
 *  waits behind a long task. Whoever defers a send says so and for how long (dn_outbox_defer); if
 *  the buffer has not been sent by then, a timer's signal handler sends it from wherever the thread
 *  is, be it in C code that keeps Python's lock for an hour. Must never know: what a packet means,
 *  Python.
 *
 *  Threads: any, between dn_outbox_enter and dn_outbox_leave only. The timer belongs to the thread
 *  that called dn_outbox_watch. The descriptor is borrowed.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_OUTBOX_H
#define DN_SLOT_OUTBOX_H

#include "wire/stream.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <time.h>

#define DN_OUTBOX_FULL (64 * 1024) /* bytes after which the owner sends */
#define DN_OUTBOX_SMALL                                                                            \
    (32 * 1024) /* a packet up to this is gathered, a larger one sent by itself */

typedef struct {
    int             fd;
    uint8_t        *bytes;
    size_t          begin;     /* bytes before this one are sent */
    size_t          end;       /* bytes from here on are free; begin == end: nothing waits */
    size_t          loose;     /* where the last packet begins, when a later one may replace it */
    size_t          loose_end; /* and where it ends; 0: there is none */
    pthread_mutex_t mutex;     /* between threads */
    atomic_bool     busy;      /* between threads and the timer's handler */
    atomic_int      late_ms;   /* the timer runs, and was set to this; 0: it does not */
    bool            watched;   /* there is a timer */
    timer_t         late_timer;
} dn_outbox_t;

/*  0, or -1 without memory. */
int  dn_outbox_init (dn_outbox_t *self, int fd);
void dn_outbox_close (dn_outbox_t *self);

/*  Make the timer, whose signal comes to the calling thread. One outbox of a process is watched at
 *  a time. 0, or -1 with errno. */
int  dn_outbox_watch (dn_outbox_t *self);
void dn_outbox_unwatch (dn_outbox_t *self);

/*  All below this line only between these two. `try` returns false where `enter` would wait. */
bool dn_outbox_try_enter (dn_outbox_t *self);
void dn_outbox_enter (dn_outbox_t *self);
void dn_outbox_leave (dn_outbox_t *self);

static inline size_t
dn_outbox_waiting (const dn_outbox_t *self)
{
    return self->end - self->begin;
}

/*  Gather a packet: its header and `frames` (packet->frames of them). Sets the sizes in `packet`.
 *  True, or false when it is not small or finds no room: send what is there, then
 *  dn_outbox_send_large. */
bool dn_outbox_put (dn_outbox_t *self, dn_packet_t *packet, const void *header,
                    const struct iovec *frames);

/*  The same for a small packet that the next such packet may replace while it waits, if it is the
 *  last. */
void dn_outbox_put_loose (dn_outbox_t *self, dn_packet_t *packet, const void *header);

/*  Send what was gathered; `flags` are send's. 0 when nothing is left, -1 with errno: EAGAIN with
 *  MSG_DONTWAIT when the rest has to wait, else the other side is gone. Goes on after a signal. */
int dn_outbox_send (dn_outbox_t *self, int flags);

/*  Send a packet past the buffer, which must be empty. Waits. 0, or -1 with errno. */
int dn_outbox_send_large (dn_outbox_t *self, dn_packet_t *packet, const void *header,
                          const struct iovec *frames);

/*  What was gathered is not sent now, because more of it is to come soon: the timer sends it in
 *  `late_ms`, if nobody has by then. Without a timer it waits for the next send. Also outside of
 *  enter and leave. */
void dn_outbox_defer (dn_outbox_t *self, int late_ms);

#endif
