/*  lane.h - the slot's end of its channel: what Python calls, and the loop that calls Python
 *
 *  Owns: the record of a channel, which is the Python object `denim._channel.Channel`; how packets
 *  get onto it while other threads of the process run. Must never know: what a payload holds, which
 *  names there are, what an exception looks like on the wire: `denim._slot` is asked.
 *
 *  All functions are called with Python's lock and release it where they wait. Functions that
 *  return int give 0, or -1 with a Python exception set.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_LANE_H
#define DN_SLOT_LANE_H

#include "slot/names.h"

#include "slot/guard.h"
#include "slot/inbox.h"
#include "slot/outbox.h"
#include "wire/heritage.h"

#define DN_PLACE_MAX    64   /* a worker's name, or its host's; the wire takes 63 bytes */
#define DN_WAITED_US    1000 /* results that have waited so long are sent before the next task */
#define DN_LATE_MS      2    /* and after so long the timer sends them while it runs */
#define DN_PROGRESS_MS  50   /* between two PROGRESS of a slot; what was said last counts */
#define DN_PUT_OFF_MAX  100  /* times that a wish is put off, a second in all; then it is raised */
#define DN_STACK_LOOKED 1000 /* innermost frames that are looked at for that */

/*  Exit codes of a slot. */
enum {
    DN_EXIT_EOF = 0,   /* the supervisor is gone: nobody is there to be told */
    DN_EXIT_STRAY = 70 /* what came is no packet, or a child of a task came back to the loop */
};

/*  The task in hand. */
typedef struct {
    bool         open;    /* there is one */
    bool         started; /* its function was called */
    dn_session_t session;
    uint64_t     seq;
    uint16_t     attempt;
    uint8_t      depth;
    uint8_t      priority;
    int64_t      arrived_us; /* when it came to the worker; monotonic */
    uint32_t     wait_us;    /* from then until its function was called */
    uint32_t     run_us;     /* of its function */
    dn_wish_t    wish;       /* that was raised in it */
    uint32_t     put_off;    /* times in a row that raising one was put off */
    uint32_t     number;     /* in the channel, from 1 */
    uint32_t     waits;      /* threads that wait for calls which the task has made */
    bool         lent;       /* the supervisor has been told so */
} dn_hand_t;

typedef struct {
    PyObject_HEAD dn_inbox_t inbox;
    dn_outbox_t              outbox;
    dn_names_t               names;
    dn_page_t               *page; /* borrowed from the process; NULL: every task may start */
    uint64_t                 payload_max;          /* bytes of all payload frames of one message */
    char                     worker[DN_PLACE_MAX]; /* the worker's name; "": not told */
    char                     host[DN_PLACE_MAX];
    dn_hand_t                hand;
    int64_t                  oldest_us;   /* when the oldest result that waits was put; monotonic */
    int64_t                  progress_us; /* when PROGRESS was sent last */
    PyObject                *run;         /* owned: denim._slot's run, while serving */
    PyObject *interrupt; /* owned, while serving: gives what to raise for a wish, or None */
    PyObject *critical;  /* owned, while serving: a tuple of denim.critical.Place */
    bool      serving;
    bool      asking;       /* `interrupt` is being called */
    bool      lost_by_fork; /* this is a child that a task forked: the channel is not its own */
} dn_lane_t;

/*  Monotonic. */
int64_t dn_now_us (void);

/*  Leave the process at once, as os._exit does, after flushing what was printed. */
void dn_lane_leave (int exit_code) __attribute__ ((noreturn));

/*  Send a message without payload, and all that waits before it. A lost connection ends the
 *  process. */
int dn_lane_say (dn_lane_t *self, const dn_msg_t *msg, const struct iovec *payload);

/*  Is a task in hand, of this very process? */
static inline bool
dn_lane_has_task (const dn_lane_t *self)
{
    return self->hand.open && !self->lost_by_fork;
}

/*  Tell the supervisor whether the task in hand waits, if it was told otherwise. Between threads
 *  the last word is the true one. */
void dn_lane_tell_wait (dn_lane_t *self);

/*  Flush what was printed and send all that waits. A lost connection ends the process. */
void dn_lane_flush (dn_lane_t *self);

/*  Put the answer to the task in hand: what `run` returned, (outcome, codec, frames, text); or
 *  NULL, when it failed with the exception that is set. Clears exceptions, never fails. */
void dn_lane_answer (dn_lane_t *self, PyObject *returned);

/*  Put an answer without payload to the task in hand. */
void dn_lane_answer_text (dn_lane_t *self, uint8_t outcome, const char *text);

/*  Channel.serve (run): the loop. Returns None after STOP. */
PyObject *dn_lane_serve (dn_lane_t *self, PyObject *run);

/*  Channel.call (function, args, kwargs): call the function of the task in hand, guarded and
 *  measured. */
PyObject *dn_lane_call (dn_lane_t *self, PyObject *const *args, Py_ssize_t args_count);

/*  What Python calls for SIGUSR1, by way of signal.signal. */
PyObject *dn_lane_on_signal (dn_lane_t *self, PyObject *args);

/*  Make the type; new reference. */
PyObject *dn_lane_type (PyObject *module);

#endif
