/*  outbox.c - gathers packets, sends them, and sends them in time
 *
 *  The timer's handler and the threads exclude each other by `busy`: a thread that finds it set
 *  waits for the handler (a few microseconds), a handler that finds it set leaves the work to that
 *  thread, which either sends everything or defers, and deferring starts the timer again.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/outbox.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LATE_SIGNAL SIGRTMAX /* restarts system calls: a task in C is not disturbed */

#define RETRY_MS 2 /* when the other side had no room */

/*  The one that is watched. A signal handler gets no argument that would outlive a careless
 *  owner. */
static _Atomic (dn_outbox_t *) watched;

int
dn_outbox_init (dn_outbox_t *self, int fd)
{
    *self = (dn_outbox_t){.fd = fd};
    pthread_mutex_init (&self->mutex, NULL);
    self->bytes = malloc (DN_OUTBOX_FULL + DN_OUTBOX_SMALL);
    return self->bytes ? 0 : -1;
}

void
dn_outbox_close (dn_outbox_t *self)
{
    dn_outbox_unwatch (self);
    pthread_mutex_destroy (&self->mutex);
    free (self->bytes);
    self->bytes = NULL;
    self->fd = -1;
}

/*  ---- in time ---- */

static void
start_timer (dn_outbox_t *self, int late_ms)
{
    struct itimerspec late = {.it_value.tv_nsec = late_ms * 1000000L};
    atomic_store (&self->late_ms, late_ms);
    timer_settime (self->late_timer, 0, &late, NULL);
}

static void
on_late (int signo)
{
    (void) signo;
    int          saved = errno;
    dn_outbox_t *self = atomic_load (&watched);
    if (self) {
        atomic_store (&self->late_ms, 0);
        if (!atomic_exchange_explicit (&self->busy, true, memory_order_acquire)) {
            int rc = dn_outbox_send (self, MSG_DONTWAIT);
            atomic_store_explicit (&self->busy, false, memory_order_release);
            if (rc < 0 && errno == EAGAIN)
                start_timer (self, RETRY_MS);
        }
    }
    errno = saved;
}

int
dn_outbox_watch (dn_outbox_t *self)
{
    struct sigaction action = {.sa_handler = on_late, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset (&action.sa_mask);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = LATE_SIGNAL};
    event._sigev_un._tid = (pid_t) syscall (SYS_gettid);
    if (sigaction (LATE_SIGNAL, &action, NULL) < 0 ||
        timer_create (CLOCK_MONOTONIC, &event, &self->late_timer) < 0)
        return -1;
    self->watched = true;
    atomic_store (&watched, self);
    return 0;
}

void
dn_outbox_unwatch (dn_outbox_t *self)
{
    if (!self->watched)
        return;
    atomic_store (&watched, NULL);
    timer_delete (self->late_timer);
    self->watched = false;
}

void
dn_outbox_defer (dn_outbox_t *self, int late_ms)
{
    int running_ms = atomic_load (&self->late_ms);
    if (self->watched && (running_ms == 0 || running_ms > late_ms))
        start_timer (self, late_ms);
}

/*  ---- one at a time ---- */

static void
wait_for_handler (dn_outbox_t *self)
{
    while (atomic_exchange_explicit (&self->busy, true, memory_order_acquire))
        sched_yield ();
}

bool
dn_outbox_try_enter (dn_outbox_t *self)
{
    if (pthread_mutex_trylock (&self->mutex) != 0)
        return false;
    wait_for_handler (self);
    return true;
}

void
dn_outbox_enter (dn_outbox_t *self)
{
    pthread_mutex_lock (&self->mutex);
    wait_for_handler (self);
}

void
dn_outbox_leave (dn_outbox_t *self)
{
    atomic_store_explicit (&self->busy, false, memory_order_release);
    pthread_mutex_unlock (&self->mutex);
}

/*  ---- packets ---- */

bool
dn_outbox_put (dn_outbox_t *self, dn_packet_t *packet, const void *header,
               const struct iovec *frames)
{
    uint64_t packet_bytes = DN_LEAD_MAX + (uint64_t) packet->header_bytes;
    for (unsigned i = 0; i < packet->frames; i++) {
        packet->frame_bytes[i] = frames[i].iov_len;
        packet_bytes += frames[i].iov_len;
    }
    if (packet_bytes > DN_OUTBOX_SMALL ||
        packet_bytes > DN_OUTBOX_FULL + DN_OUTBOX_SMALL - self->end)
        return false;

    uint8_t *at = self->bytes + self->end;
    at += dn_packet_lead (packet, at);
    memcpy (at, header, packet->header_bytes);
    at += packet->header_bytes;
    for (unsigned i = 0; i < packet->frames; i++) {
        if (frames[i].iov_len)
            memcpy (at, frames[i].iov_base, frames[i].iov_len);
        at += frames[i].iov_len;
    }
    self->end = (size_t) (at - self->bytes);
    return true;
}

void
dn_outbox_put_loose (dn_outbox_t *self, dn_packet_t *packet, const void *header)
{
    if (self->loose_end && self->loose_end == self->end && self->begin <= self->loose)
        self->end = self->loose;
    size_t loose = self->end;
    if (dn_outbox_put (self, packet, header, NULL)) {
        self->loose = loose;
        self->loose_end = self->end;
    }
}

/*  Send all of it; -1 with errno, and *sent_bytes says how far it came. */
static int
send_all (int fd, const uint8_t *bytes, size_t bytes_max, int flags, size_t *sent_bytes)
{
    for (*sent_bytes = 0; *sent_bytes < bytes_max;) {
        ssize_t n = send (fd, bytes + *sent_bytes, bytes_max - *sent_bytes, flags | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        *sent_bytes += (size_t) n;
    }
    return 0;
}

int
dn_outbox_send (dn_outbox_t *self, int flags)
{
    size_t sent_bytes;
    int    rc =
        send_all (self->fd, self->bytes + self->begin, self->end - self->begin, flags, &sent_bytes);
    self->begin += sent_bytes;
    if (rc == 0)
        self->begin = self->end = self->loose_end = 0;
    return rc;
}

int
dn_outbox_send_large (dn_outbox_t *self, dn_packet_t *packet, const void *header,
                      const struct iovec *frames)
{
    uint8_t lead[DN_LEAD_MAX];
    for (unsigned i = 0; i < packet->frames; i++)
        packet->frame_bytes[i] = frames[i].iov_len;
    size_t sent_bytes;
    size_t lead_bytes = dn_packet_lead (packet, lead);
    if (send_all (self->fd, lead, lead_bytes, 0, &sent_bytes) < 0 ||
        send_all (self->fd, header, packet->header_bytes, 0, &sent_bytes) < 0)
        return -1;
    for (unsigned i = 0; i < packet->frames; i++)
        if (send_all (self->fd, frames[i].iov_base, frames[i].iov_len, 0, &sent_bytes) < 0)
            return -1;
    return 0;
}
