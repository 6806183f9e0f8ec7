/*  process.c - limits, the parent, signals, random bytes, the clock
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/process.h"

#include "base/check.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

void
dn_process_raise_files (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
}

int
dn_process_follow_parent (void)
{
    const char *parent = getenv (DN_PROCESS_PARENT);
    if (!parent)
        return 0;
    pid_t pid = (pid_t) strtol (parent, NULL, 10);
    unsetenv (DN_PROCESS_PARENT);
    prctl (PR_SET_PDEATHSIG, SIGTERM);
    return getppid () == pid ? 0 : -1; /* it may have ended before prctl was called */
}

int
dn_process_signals (void)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    signal (SIGPIPE, SIG_IGN);
    int fd = signalfd (-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void
dn_process_random (void *bytes, size_t n)
{
    uint8_t *at = bytes;
    while (n) {
        ssize_t got = getrandom (at, n, 0);
        dn_check (got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            n -= (size_t) got;
        }
    }
}

uint32_t
dn_process_cpus (void)
{
    cpu_set_t cpus;
    long      count;

    if (sched_getaffinity (0, sizeof cpus, &cpus) == 0)
        count = CPU_COUNT (&cpus);
    else
        count = sysconf (_SC_NPROCESSORS_ONLN); /* more CPUs than a cpu_set_t has room for */
    return count > 0 ? (uint32_t) count : 1;
}

int64_t
dn_process_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
dn_process_now_ms (void)
{
    return dn_process_now_us () / 1000;
}
