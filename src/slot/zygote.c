/*  zygote.c - waits for FORK and for the ends of children
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/zygote.h"

#include "slot/birth.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOT_FDS 3               /* channel, page, output */
#define FDS_MAX  (16 * SLOT_FDS) /* that have come and wait for their FORK */

typedef struct {
    dn_inbox_t      *inbox;  /* borrowed */
    dn_outbox_t     *outbox; /* borrowed */
    struct pollfd   *polled; /* owned; [0] the channel, [1 + i] the pidfd of child i */
    pid_t           *pids;   /* owned; of child i */
    nfds_t           children;
    int              fds[FDS_MAX]; /* in the order in which they came */
    unsigned         fds_count;
    pid_t            self_pid;
    struct sigaction child_action; /* what the app made of SIGCHLD; slots have it back */
} zygote_t;

/*  ---- saying ---- */

static int
say (zygote_t *self, const dn_msg_t *msg)
{
    uint8_t     header[DN_HEADER_SMALL];
    dn_packet_t packet = {0};
    packet.header_bytes = (uint32_t) dn_msg_encode (msg, header, sizeof header);
    dn_outbox_enter (self->outbox);
    dn_outbox_put (self->outbox, &packet, header, NULL);
    int rc = dn_outbox_send (self->outbox, 0);
    dn_outbox_leave (self->outbox);
    return rc;
}

static int
say_forked (zygote_t *self, uint32_t slot, pid_t pid, int error)
{
    dn_msg_t msg = {.kind = DN_MSG_FORKED};
    msg.u.forked.slot = slot;
    msg.u.forked.pid = (uint32_t) pid;
    msg.u.forked.error = (uint32_t) error;
    return say (self, &msg);
}

static uint64_t
us_of (struct timeval time)
{
    return (uint64_t) time.tv_sec * 1000000u + (uint64_t) time.tv_usec;
}

/*  ---- children ---- */

/*  Child `i` has ended: reap it, say so, close the gap that it leaves. */
static int
reap (zygote_t *self, nfds_t i)
{
    int           status = 0;
    struct rusage usage = {0};
    while (wait4 (self->pids[i], &status, 0, &usage) < 0 && errno == EINTR)
        ;
    dn_msg_t msg = {.kind = DN_MSG_EXITED};
    msg.u.exited.pid = (uint32_t) self->pids[i];
    msg.u.exited.status = (uint32_t) status;
    msg.u.exited.rss_bytes = (uint64_t) usage.ru_maxrss * 1024;
    msg.u.exited.cpu_us = us_of (usage.ru_utime) + us_of (usage.ru_stime);

    close (self->polled[1 + i].fd);
    nfds_t last = --self->children;
    self->pids[i] = self->pids[last];
    self->polled[1 + i] = self->polled[1 + last];
    return say (self, &msg);
}

static int
reap_all (zygote_t *self)
{
    for (nfds_t i = self->children; i-- > 0;) /* downwards: reap moves the last one to `i` */
        if (self->polled[1 + i].revents && reap (self, i) < 0)
            return -1;
    return 0;
}

static void
drop_fds (zygote_t *self, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close (self->fds[i]);
    self->fds_count -= count;
    memmove (self->fds, self->fds + count, self->fds_count * sizeof *self->fds);
}

/*  In the new slot: it is nobody's sibling any more, and has what a slot has. */
static void
become_slot (zygote_t *self, const int given[SLOT_FDS])
{
    if (!dn_birth_follow (self->self_pid) || dn_birth_adopt (given) < 0)
        _exit (71);
    for (nfds_t i = 0; i < self->children; i++)
        close (self->polled[1 + i].fd);
    drop_fds (self, self->fds_count);
    dn_birth_settle ("denim-slot");
    dn_birth_offer_to_oom ();
    sigaction (SIGCHLD, &self->child_action, NULL);
}

/*  1 in the child, 0 in the zygote (also when there is no child: then that has been said), -1 when
 *  the supervisor is gone. */
static int
fork_slot (zygote_t *self, uint32_t slot)
{
    if (self->fds_count < SLOT_FDS)
        return say_forked (self, slot, 0, EMFILE); /* the kernel could not hand them over */
    if (self->children == DN_CHILDREN_MAX) {
        drop_fds (self, SLOT_FDS);
        return say_forked (self, slot, 0, EAGAIN);
    }
    int given[SLOT_FDS];
    memcpy (given, self->fds, sizeof given);

    PyOS_BeforeFork ();
    pid_t pid = fork ();
    int   error = errno;
    if (pid == 0) {
        memmove (self->fds, self->fds + SLOT_FDS, sizeof self->fds - sizeof given);
        self->fds_count -= SLOT_FDS;
        become_slot (self, given);
        PyOS_AfterFork_Child ();
        return 1;
    }
    PyOS_AfterFork_Parent ();
    drop_fds (self, SLOT_FDS);
    if (pid < 0)
        return say_forked (self, slot, 0, error);

    int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
    if (pidfd < 0) { /* without one its end would be missed */
        error = errno;
        kill (pid, SIGKILL);
        while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return say_forked (self, slot, 0, error);
    }
    self->pids[self->children] = pid;
    self->polled[1 + self->children++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
    return say_forked (self, slot, pid, 0);
}

/*  ---- the channel ---- */

static void
keep_fds (zygote_t *self, struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR (message); at; at = CMSG_NXTHDR (message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN (0)) / sizeof (int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy (&fd, CMSG_DATA (at) + i * sizeof fd, sizeof fd);
            if (self->fds_count < FDS_MAX)
                self->fds[self->fds_count++] = fd;
            else
                close (fd);
        }
    }
}

/*  Read once. A read ends at descriptors: they belong to the bytes that it brought. 0, or -1 at the
 *  end of file or of the connection. */
static int
receive (zygote_t *self)
{
    union {
        struct cmsghdr align;
        char           bytes[CMSG_SPACE (FDS_MAX * sizeof (int))];
    } control;
    size_t        room_bytes;
    uint8_t      *room = dn_inbox_room (self->inbox, &room_bytes);
    struct iovec  part = {room, room_bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};

    ssize_t n = recvmsg (self->inbox->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    keep_fds (self, &message);
    dn_inbox_filled (self->inbox, (size_t) n);
    return n ? 0 : -1;
}

/*  Do what the packets that have come ask for: 1 in a child, 0 to go on, 2 to stop, -1 when the
 *  supervisor is gone or what it sent is no packet. */
static int
obey (zygote_t *self, uint32_t *slot)
{
    dn_packet_t    packet;
    const uint8_t *header;
    dn_msg_t       msg;
    int            rc;
    while ((rc = dn_inbox_next (self->inbox, &packet, &header)) > 0) {
        if (dn_msg_decode (&msg, W2S, header, packet.header_bytes) < 0)
            return -1;
        dn_inbox_begin (self->inbox, &packet);
        if (dn_inbox_take (self->inbox, NULL, packet.body_bytes - packet.header_bytes) < 0)
            return -1;
        if (msg.kind == DN_MSG_STOP)
            return 2;
        if (msg.kind != DN_MSG_FORK)
            continue;
        *slot = msg.u.fork.slot;
        rc = fork_slot (self, *slot);
        if (rc != 0)
            return rc;
    }
    return rc;
}

/*  ---- running ---- */

static int
open_tables (zygote_t *self)
{
    self->pids = calloc (DN_CHILDREN_MAX, sizeof *self->pids);
    self->polled = calloc (1 + DN_CHILDREN_MAX, sizeof *self->polled);
    if (!self->pids || !self->polled)
        return -1;
    self->polled[0] = (struct pollfd){.fd = self->inbox->fd, .events = POLLIN};
    self->self_pid = getpid ();

    struct sigaction plain = {.sa_handler = SIG_DFL}; /* ignored, children would reap themselves */
    sigemptyset (&plain.sa_mask);
    sigaction (SIGCHLD, &plain, &self->child_action);
    return 0;
}

dn_zygote_end_t
dn_zygote_run (dn_inbox_t *inbox, dn_outbox_t *outbox, uint32_t *slot)
{
    zygote_t self = {.inbox = inbox, .outbox = outbox};
    if (open_tables (&self) < 0) {
        PyErr_NoMemory ();
        free (self.pids);
        free (self.polled);
        return DN_ZYGOTE_ERROR;
    }
    int rc = 0;
    while (rc == 0) {
        int                    ready;
        Py_BEGIN_ALLOW_THREADS ready = poll (self.polled, 1 + self.children, -1);
        Py_END_ALLOW_THREADS if (
            ready < 0) continue; /* a signal: Python looks at it in the children, or never */
        rc = reap_all (&self);
        if (rc == 0 && self.polled[0].revents)
            rc = receive (&self) < 0 ? -1 : obey (&self, slot);
    }
    free (self.pids);
    free (self.polled);
    return rc == 1 ? DN_ZYGOTE_CHILD : DN_ZYGOTE_END;
}
