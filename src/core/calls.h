/*  calls.h - the session's records of calls: what was asked for, how far it is
 *
 *  Owns: one row for each call that has not ended, found by handle or by sequence number, in the
 *  order of their deadlines and in the order of their numbers; and the table that says what each
 *  event does to a call in each state. Must never know: messages, links, why a call may be sent.
 *
 *  A call gets its sequence number with its first SUBMIT and keeps it over all retries, so numbers
 *  rise in the order in which calls were first sent.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_CALLS_H
#define DN_CALLS_H

#include "core/effects.h"

#include <sys/queue.h>

#define DN_CALL_ATTEMPTS 3 /* of an idempotent call, at most */
#define DN_SEQ_NONE      ((uint64_t) 0)

/*  X (NAME, may the manager have it, what it means) */
#define DN_CALL_STATE_MAP(X)                                                                       \
    X (HELD, false, "waits here, and no try of it is on its way")                                  \
    X (SENT, true, "submitted, no answer yet")                                                     \
    X (KNOWN, true, "submitted, and the manager says that a worker has it")                        \
    X (CANCELLING, true, "submitted, and its caller wishes that it ends")

typedef enum {
#define X(name, out, text) DN_CALL_##name,
    DN_CALL_STATE_MAP (X)
#undef X
        DN_CALL_STATES
} dn_call_state_t;

/*  X (NAME, what has happened) */
#define DN_CALL_EVENT_MAP(X)                                                                       \
    X (SUBMIT, "it may be sent")                                                                   \
    X (UNSENT, "the socket did not take its SUBMIT")                                               \
    X (PLACED, "KNOWN: a worker has it")                                                           \
    X (AGAIN, "REJECT for a reason that passes, or MISSING never: it did not run")                 \
    X (REFUSED, "REJECT for a reason that stays")                                                  \
    X (RESULT, "it ended, and how is known")                                                       \
    X (LOST, "RESULT lost, or MISSING unknown: it may have run")                                   \
    X (CANCEL, "its caller wishes that it ends")                                                   \
    X (GIVE_UP, "its deadline passed, or its caller left")

typedef enum {
#define X(name, text) DN_CALL_ON_##name,
    DN_CALL_EVENT_MAP (X)
#undef X
        DN_CALL_EVENTS
} dn_call_event_t;

/*  X (NAME, what is done) */
#define DN_CALL_ACTION_MAP(X)                                                                      \
    X (IGNORE, "nothing: it is late, or a repetition")                                             \
    X (BUG, "cannot be: we would have asked for it ourselves")                                     \
    X (SEND, "goes to SENT, SUBMIT is sent")                                                       \
    X (HOLD, "goes to HELD, before those that were never sent")                                    \
    X (MARK, "goes to KNOWN, or stays CANCELLING, under a new stamp")                              \
    X (RETRY, "another attempt if it may run twice, else it ends as LOST")                         \
    X (WISH, "goes to CANCELLING, the wish is sent")                                               \
    X (END, "ends as the event says")                                                              \
    X (END_CANCELLED, "ends as CANCELLED: it did not run and is not wanted any more")              \
    X (LEAVE, "ends as the event says; a kill is sent after it")

typedef enum {
#define X(name, text) DN_CALL_DO_##name,
    DN_CALL_ACTION_MAP (X)
#undef X
        DN_CALL_ACTIONS
} dn_call_action_t;

/*  What is done on an event in a state. */
dn_call_action_t dn_call_action (dn_call_state_t state, dn_call_event_t event);

typedef struct dn_call {
    dn_handle_t self;
    uint64_t    seq;      /* DN_SEQ_NONE until it was first sent */
    uint8_t     state;    /* dn_call_state_t */
    uint8_t     priority; /* as on the wire: 0 high, 1 normal, 2 low */
    uint8_t     codec;
    bool        idempotent;
    bool        finish;   /* it goes on when its client dies */
    uint8_t     depth;    /* of nested calls */
    uint8_t     cancel;   /* 0 no, 1 wanted, 2 wanted with a kill */
    uint8_t     reason;   /* of its last REJECT; 0: was never refused */
    uint8_t     crashes;  /* attempts that ended their slot */
    bool        placed;   /* the pace has been told that this try has a place */
    bool        probe;    /* this try is a probe of the pace */
    bool        in_bytes; /* its payload counts as on its way and not placed */
    uint16_t    attempt;  /* from 1 */
    uint32_t    try_no;   /* SUBMITs so far */
    uint32_t    line;     /* of its service */
    uint32_t    soft_limit_ms;
    uint32_t    hard_limit_ms;
    uint64_t    payload_bytes;
    uint64_t    epoch;                 /* stamp: of its last SUBMIT or KNOWN */
    uint32_t    term;                  /* likewise */
    uint32_t    heap_at;               /* its place among the deadlines */
    int64_t     submitted_ms;          /* when its caller asked for it */
    int64_t     sent_ms;               /* when its last SUBMIT went */
    int64_t     deadline_ms;           /* DN_NEVER if the caller set none */
    dn_str_t    task;                  /* borrowed from the shell until it has ended */
    dn_str_t    parent;                /* likewise; of the task that calls, or empty */
    TAILQ_ENTRY (dn_call) of_line;     /* on it while HELD */
    TAILQ_ENTRY (dn_call) of_numbered; /* on it while it has a number */
} dn_call_t;

TAILQ_HEAD (dn_call_list, dn_call);

typedef struct dn_calls dn_calls_t;

/*  Owned; NULL when memory is short. */
dn_calls_t *dn_calls_new (uint32_t calls_max);
void        dn_calls_destroy (dn_calls_t **self_p);

/*  A new row, zeroed but for its handle and attempt, HELD, with that deadline (DN_NEVER: none).
 *  NULL when all are in use. Borrowed until dn_calls_remove, which the caller precedes by taking it
 *  off its line. */
dn_call_t *dn_calls_add (dn_calls_t *self, int64_t deadline_ms);
void       dn_calls_remove (dn_calls_t *self, dn_call_t *call);

/*  NULL when there is none (any more). */
dn_call_t *dn_calls_get (const dn_calls_t *self, dn_handle_t handle);
dn_call_t *dn_calls_find (const dn_calls_t *self, uint64_t seq);

/*  Give it the next number, if it has none. */
void dn_calls_number (dn_calls_t *self, dn_call_t *call);

/*  The highest number given so far. */
uint64_t dn_calls_last_seq (const dn_calls_t *self);

/*  The call with a number that was given one first, or next after `call`; NULL at the end. */
dn_call_t *dn_calls_first (const dn_calls_t *self);
dn_call_t *dn_calls_next (const dn_call_t *call);

/*  The call whose deadline comes first, NULL when none has one. */
dn_call_t *dn_calls_urgent (const dn_calls_t *self);

/*  Any call at all, the walk over all of them: row *row or the next in use, *row moves behind it;
 *  NULL at the end. Calls may be removed between steps. */
dn_call_t *dn_calls_walk (const dn_calls_t *self, uint32_t *row);

uint32_t dn_calls_count (const dn_calls_t *self);
uint32_t dn_calls_max (const dn_calls_t *self);

/*  Assert what must hold of the table. */
void dn_calls_check (const dn_calls_t *self);

#endif
