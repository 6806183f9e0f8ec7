/*  slot_process.c - one slot's process, or the zygote's
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/slot_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>


static void
clear (dn_slot_process_t *self)
{
    dn_output_t output = self->output; /* its buffer is used again */
    memset (self, 0, sizeof *self);
    self->output = output;
    self->pidfd = -1;
    self->ended_ms = DN_NEVER;
}

/*  Our ends become the process's; the child has its own by now. */
static int
take_ends (dn_slot_process_t *self, dn_ends_t *ends)
{
    self->channel = dn_channel_new (ends->channel, DN_SLOT_PAYLOAD_MAX + DN_CHANNEL_HEADER_MAX);
    if (!self->channel)
        return -ENOMEM;
    dn_output_open (&self->output, ends->output);
    self->page = ends->page;
    self->alive = true;
    dn_ends_give (ends);
    return 0;
}

int
dn_slot_process_exec (dn_slot_process_t *self, dn_launcher_t *launcher, dn_role_t role)
{
    dn_ends_t ends;

    clear (self);
    int rc = dn_ends_make (&ends, role);
    if (rc < 0)
        return rc;
    pid_t pid = dn_launcher_exec (launcher, role, &ends);
    rc = pid < 0 ? pid : take_ends (self, &ends);
    if (rc < 0) {
        if (pid > 0)
            kill (pid, SIGKILL);
        dn_ends_close (&ends);
        return rc;
    }
    self->pid = pid;
    self->pidfd = pidfd_open (pid, 0);
    return 0;
}

int
dn_slot_process_fork (dn_slot_process_t *self, dn_channel_t *zygote, uint32_t number)
{
    dn_ends_t ends;
    dn_msg_t  msg = {.kind = DN_MSG_FORK};

    clear (self);
    int rc = dn_ends_make (&ends, DN_ROLE_SLOT);
    if (rc < 0)
        return rc;
    msg.u.fork.slot = number;
    int fds[] = {ends.its_channel, ends.its_page, ends.its_output};
    rc = dn_channel_send_fds (zygote, &msg, fds, sizeof fds / sizeof fds[0]);
    if (rc == 0)
        rc = take_ends (self, &ends);
    if (rc < 0)
        dn_ends_close (&ends);
    self->by_zygote = true;
    return rc;
}

void
dn_slot_process_forked (dn_slot_process_t *self, pid_t pid)
{
    self->pid = pid;
    self->pidfd = pidfd_open (pid, 0); /* none when it has ended already: EXITED comes next */
    if (self->kill_wanted)
        dn_slot_process_kill (self);
}

void
dn_slot_process_close (dn_slot_process_t *self)
{
    if (self->alive && !self->status_known && self->ended_ms == DN_NEVER)
        dn_slot_process_kill (self);
    dn_channel_destroy (&self->channel);
    dn_output_close (&self->output);
    if (self->page)
        munmap (self->page, sizeof *self->page);
    if (self->pidfd >= 0)
        close (self->pidfd);
    clear (self);
}

/*  By its pidfd, so that nobody else is hit who got its number. */
static void
send_signal (dn_slot_process_t *self, int number, siginfo_t *info)
{
    if (self->pidfd >= 0)
        pidfd_send_signal (self->pidfd, number, info, 0);
}

void
dn_slot_process_kill (dn_slot_process_t *self)
{
    self->kill_wanted = self->pid == 0;
    send_signal (self, SIGKILL, NULL);
}

void
dn_slot_process_interrupt (dn_slot_process_t *self, uint32_t number, bool cancel)
{
    siginfo_t info;

    memset (&info, 0, sizeof info);
    info.si_signo = SIGUSR1;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid ();
    info.si_uid = getuid ();
    info.si_value.sival_int = (int) ((number & DN_NUMBER_MAX) | (cancel ? DN_SOFT_CANCEL : 0));
    send_signal (self, SIGUSR1, &info);
}

uint64_t
dn_slot_process_rss (pid_t pid)
{
    char               path[64];
    char               text[128];
    unsigned long long pages = 0;

    snprintf (path, sizeof path, "/proc/%d/statm", (int) pid);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read (fd, text, sizeof text - 1);
    close (fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    if (sscanf (text, "%*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t) sysconf (_SC_PAGESIZE);
}
