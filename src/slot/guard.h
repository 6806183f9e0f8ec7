/*  guard.h - soft limits and soft cancels: a signal that reaches one task and no other
 *
 *  The supervisor sends SIGUSR1 with sigqueue. Its value says which task it means (the low 31 bits
 *  of its number in the channel) and what is wished (DN_SOFT_CANCEL set: a cancel; else the soft
 *  limit). The handler compares the number with the task in hand and does nothing if it is another;
 *  else it makes Python call the handler that Python knows (signal.signal), in the main thread, at
 *  the next place where Python looks. That one asks dn_guard_take again: between the two the task's
 *  function may have returned. What comes while the task's arguments are still being read waits for
 *  its function. SIGUSR1 without such a value does nothing.
 *
 *  A signal that arrives after Python has looked and before the system call in which the task then
 *  waits would end neither: so it is repeated by a timer until it is taken or the function has
 *  returned. Whoever asks too early, where raising it would do harm, leaves it to the timer, too.
 *
 *  Owns: the disposition of SIGUSR1, from dn_guard_install on; the number of the task in hand.
 *  Must never know: which exception is raised.
 *
 *  Threads: the signal may arrive in any of them. All functions are the main thread's. One guard
 *  for a process: a signal handler has no other way to find it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_GUARD_H
#define DN_SLOT_GUARD_H

#include "wire/heritage.h"

#define DN_GUARD_AGAIN_MS 10 /* between two repetitions */

/*  What is wished of a task. */
typedef enum {
    DN_WISH_NONE = 0,
    DN_WISH_LIMIT, /* its soft limit has passed */
    DN_WISH_CANCEL /* its caller wants it to end */
} dn_wish_t;

/*  Until the guard is installed, and after it has been removed: SIGUSR1 does nothing. */
void dn_guard_ignore (void);

/*  Take over SIGUSR1; Python's own handler for it must be set before (signal.signal), else it is
 *  never called. `call_python` makes Python call it: async-signal-safe. 0, or -1 with errno. */
int dn_guard_install (void (*call_python) (int signo));

/*  The task `number` is in hand from here: what is meant for another is void. Its function runs
 *  between arm and disarm, and only there is anything taken; after disarm all that comes for it is
 *  void. */
void dn_guard_expect (uint32_t number);
void dn_guard_arm (void);
void dn_guard_disarm (void);

/*  What is wished of the task whose function runs, once: DN_WISH_NONE when nothing is, or none
 *  runs. */
dn_wish_t dn_guard_take (void);

#endif
