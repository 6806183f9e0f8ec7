/*  guard.c - the handler of SIGUSR1
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NUMBER_BITS 0x7fffffffu
#define SAID        (1ull << 32) /* beside a value: there is one */

static struct {
    _Atomic uint32_t current; /* number of the task in hand; 0: none */
    _Atomic uint64_t wanted;  /* SAID and the signal's value, if it was meant for that task; or 0 */
    atomic_bool      armed;   /* its function runs */
    atomic_bool      again;   /* the timer runs */
    timer_t          timer;
    pid_t            main_thread;
    void (*trip) (int signo);
} guard;

static bool
means_current (uint64_t wanted)
{
    uint32_t current = atomic_load (&guard.current);
    return wanted & SAID && current && (wanted & NUMBER_BITS) == (current & NUMBER_BITS);
}

static void
set_timer (bool again)
{
    struct timespec   every = {.tv_nsec = again ? DN_GUARD_AGAIN_MS * 1000000L : 0};
    struct itimerspec times = {every, every};
    atomic_store (&guard.again, again);
    timer_settime (guard.timer, 0, &times, NULL);
}

/*  Make Python call its handler. In the main thread only. */
static void
trip (void)
{
    if (!atomic_load (&guard.again))
        set_timer (true);
    guard.trip (SIGUSR1);
}

/*  Python looks for signals in the main thread, and only there does a signal end a system call that
 *  the task waits in: one that arrived elsewhere is passed on (SI_TKILL, with nothing to add). */
static void
on_soft (int signo, siginfo_t *info, void *context)
{
    (void) context;
    int      saved = errno;
    uint64_t wanted = SAID | (uint32_t) info->si_value.sival_int;
    if (info->si_code == SI_QUEUE && means_current (wanted))
        atomic_store (&guard.wanted, wanted);

    if (atomic_load (&guard.armed) && means_current (atomic_load (&guard.wanted))) {
        pid_t self = (pid_t) syscall (SYS_gettid);
        if (self == guard.main_thread)
            trip ();
        else
            syscall (SYS_tgkill, getpid (), guard.main_thread, signo);
    } else if (info->si_code == SI_TIMER) {
        set_timer (false); /* there is nothing to repeat any more */
    }
    errno = saved;
}

void
dn_guard_ignore (void)
{
    signal (SIGUSR1, SIG_IGN);
}

int
dn_guard_install (void (*call_python) (int signo))
{
    guard.trip = call_python;
    guard.main_thread = (pid_t) syscall (SYS_gettid);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event._sigev_un._tid = guard.main_thread;
    if (timer_create (CLOCK_MONOTONIC, &event, &guard.timer) < 0)
        return -1;

    struct sigaction action = {.sa_sigaction = on_soft, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset (&action.sa_mask);
    return sigaction (SIGUSR1, &action, NULL); /* no SA_RESTART: a sleep is to end */
}

void
dn_guard_expect (uint32_t number)
{
    atomic_store (&guard.armed, false);
    atomic_store (&guard.wanted, 0);
    atomic_store (&guard.current, number);
}

void
dn_guard_arm (void)
{
    atomic_store (&guard.armed, true);
    if (means_current (atomic_load (&guard.wanted)))
        trip (); /* it came before; the handler may do so too: once is enough */
}

void
dn_guard_disarm (void)
{
    atomic_store (&guard.armed, false);
    atomic_store (&guard.current, 0);
    if (atomic_load (&guard.again))
        set_timer (false);
}

dn_wish_t
dn_guard_take (void)
{
    if (!atomic_load (&guard.armed))
        return DN_WISH_NONE;
    if (atomic_load (&guard.again))
        set_timer (false);
    uint64_t wanted = atomic_exchange (&guard.wanted, 0);
    if (!means_current (wanted))
        return DN_WISH_NONE;
    return wanted & DN_SOFT_CANCEL ? DN_WISH_CANCEL : DN_WISH_LIMIT;
}
