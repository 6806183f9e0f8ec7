/*  heritage.h - everything that a slot or a zygote inherits from its supervisor, and the page they
 *  share
 *
 *  A slot is a process of denim-slot (or of the interpreter itself, when that has no shared
 *  library) that runs `denim._slot`. It gets the descriptors and variables named here and nothing
 *  else; all other descriptors are closed. A zygote is the same program with
 *  DENIM_SLOT_ROLE=zygote: it imports the app, then forks slots when it is told to, and gives each
 *  child the descriptors that came along with the FORK message (in the order channel, page,
 *  output).
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_HERITAGE_H
#define DN_HERITAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*  Descriptors at known numbers. stdin is /dev/null; stdout and stderr of a slot are its output
 *  pipe, those of a zygote the supervisor's stderr pipe for the app's start. */
enum {
    DN_FD_CHANNEL = 3, /* stream socketpair to the supervisor: packets of stream.h */
    DN_FD_PAGE = 4     /* slots only: memfd of one dn_page_t, shared with the supervisor */
};

/*  Environment of a slot or zygote, beside what the user's own environment was. The slot takes them
 *  out of os.environ before user code runs, so a task's children never see them. */
#define DN_ENV_ROLE "DENIM_SLOT_ROLE" /* "slot" or "zygote" */
#define DN_ENV_APPS "DENIM_SLOT_APPS" /* module names, blanks between */
#define DN_ENV_FLAGS                                                                               \
    "DENIM_SLOT_FLAGS" /* blanks between: only_decorated allow_pickle service=NAME */
#define DN_ENV_NAME        "DENIM_SLOT_NAME"   /* the worker's: RESULTs but VALUE tell it */
#define DN_ENV_PARENT      "DENIM_SLOT_PARENT" /* pid that getppid must return, PDEATHSIG set */
#define DN_ENV_HOME        "DENIM_SLOT_HOME"   /* folder of the package `denim`: end of sys.path */
#define DN_ENV_PAYLOAD_MAX "DENIM_SLOT_PAYLOAD_MAX" /* bytes of all payload frames of one message */
#define DN_ENV_MANAGER     "DENIM_MANAGER"  /* the worker's; it stays, for clients in tasks */
#define DN_ENV_APP_PATH    "DENIM_APP_PATH" /* optional: folders, ':' between, for sys.path */

/*  argv of denim-slot: denim-slot LIBRARY EXECUTABLE, both as the interpreter reports them. It then
 *  runs `EXECUTABLE -c DN_SLOT_BOOTSTRAP` inside itself; an interpreter without a shared library is
 *  exec'd with these arguments as it is. Not `-m denim._slot`: that would need PYTHONPATH, which a
 *  task's children would see. */
#define DN_SLOT_BOOTSTRAP                                                                          \
    "import os, sys\n"                                                                             \
    "sys.path.append(os.environ['" DN_ENV_HOME "'])\n"                                             \
    "from denim import _slot\n"                                                                    \
    "_slot.main()\n"

/*  Tasks in a channel are numbered from 1. A slot is replaced before its numbers reach this: the
 *  value of SIGUSR1 (sigqueue) is the number of the task that it means, and DN_SOFT_CANCEL if it is
 *  a cancel and not the soft limit. */
#define DN_NUMBER_MAX  0x7fffffffu
#define DN_SOFT_CANCEL 0x80000000u

/*  The shared page: one word that says which tasks of the channel have started, and which never
 *  may. Tasks in a channel are numbered from 1 in the order sent (dn_packet_t.number).
 *
 *      high 32 bits   started: the number of the task that was started last; 0: none
 *      low 32 bits    void_upto: no task with a number up to this one may start any more
 *
 *  The slot claims a task before it runs it; the supervisor takes back all that have not started.
 *  Whoever loses the race looks again, so a task is either started or taken back and never both. */
typedef struct {
    _Atomic uint64_t word;
} dn_page_t;

/*  Slot: may task `number` start? Claims it. False: it was taken back, skip it without an
 *  answer. */
static inline bool
dn_page_claim (dn_page_t *page, uint32_t number)
{
    uint64_t word = atomic_load_explicit (&page->word, memory_order_acquire);
    do {
        if (number <= (uint32_t) word)
            return false;
    } while (!atomic_compare_exchange_weak_explicit (&page->word, &word,
                                                     (uint64_t) number << 32 | (uint32_t) word,
                                                     memory_order_acq_rel, memory_order_acquire));
    return true;
}

/*  Supervisor: take back all tasks up to `sent` (the number sent last) that have not started.
 *  Returns the number of the task that was started last: those above it are yours again. */
static inline uint32_t
dn_page_take_back (dn_page_t *page, uint32_t sent)
{
    uint64_t word = atomic_load_explicit (&page->word, memory_order_acquire);
    while (!atomic_compare_exchange_weak_explicit (&page->word, &word,
                                                   (word & 0xffffffff00000000u) | sent,
                                                   memory_order_acq_rel, memory_order_acquire))
        ;
    return (uint32_t) (word >> 32);
}

/*  Anyone: the number of the task that was started last. */
static inline uint32_t
dn_page_started (const dn_page_t *page)
{
    return (uint32_t) (atomic_load_explicit (&((dn_page_t *) (uintptr_t) page)->word,
                                             memory_order_acquire) >>
                       32);
}

#endif
