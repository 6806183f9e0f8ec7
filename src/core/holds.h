/*  holds.h - the records of the tasks that a worker holds
 *
 *  Owns: which tasks are here, in which state and in which line (the standby line, a slot's
 *  channel, the outbox, what is kept), how many of each, and the lists of them for HELLO and
 *  HELD. A task is found by its key (session, seq, attempt) or by a handle that goes stale when the
 *  task leaves.
 *  Must never know: processes, time, and when a task moves; a task changes its state in
 *  dn_holds_move only.
 *
 *  The payload of a task, and later its answer, are kept by the shell under the task's handle.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_HOLDS_H
#define DN_HOLDS_H

#include "denim.h"

#include "core/effects.h"

#include <sys/queue.h>

#define DN_HOLDS_MAX      8000 /* tasks of one worker: what an inventory has room for */
#define DN_HELD_ROWS_MAX  1000 /* of them in one HELD; the rest comes with the next ones */
#define DN_HELD_ROW_BYTES 28   /* of each in a list */

/*  X (NAME, state on the wire, what it means). */
#define DN_HOLD_STATE_MAP(X)                                                                       \
    X (NEW, 0, "just made, in no line")                                                            \
    X (STANDBY, 0, "waits for a slot")                                                             \
    X (CHANNEL, 1, "on its way to a slot, or runs there")                                          \
    X (OUTBOX, 2, "has ended; its answer is to be sent")                                           \
    X (KEPT, 2, "has ended; its answer was sent, or told of in a HELLO; kept until SETTLED")

typedef enum {
#define X(name, wire, text) DN_HOLD_##name,
    DN_HOLD_STATE_MAP (X)
#undef X
        DN_HOLD_STATES
} dn_hold_state_t;

#define DN_NO_EXIT_CODE 255 /* as in RESULT */

/*  A task that ended without an answer of its slot, and why; becomes its RESULT. */
typedef struct {
    uint8_t outcome;   /* denim_outcome_t */
    uint8_t reason;    /* denim_reason_t */
    bool    started;   /* it has run, or may have */
    bool    oom;       /* its slot was killed for its memory */
    uint8_t signal;    /* that ended the slot; 0: none */
    uint8_t exit_code; /* of the slot; 255 with a signal */
} dn_hold_end_t;

typedef struct dn_hold {
    dn_session_t    session; /* the key: client, */
    uint64_t        seq;     /* its number for the task, */
    uint16_t        attempt; /* and which attempt at it */
    dn_hold_state_t state;   /* changed by dn_holds_move only */

    uint32_t      service;       /* in the table of services; DN_SERVICE_NONE: not announced */
    uint64_t      payload_bytes; /* of its arguments */
    int64_t       arrived_ms;
    int64_t       deadline_ms;   /* DN_NEVER if the caller set none */
    int64_t       soft_limit_ms; /* lengths of the run; 0: none */
    int64_t       hard_limit_ms;
    uint8_t       depth;       /* of nested calls; set by dn_holds_add only */
    uint8_t       cancel;      /* 0 no, 1 wanted, 2 wanted with a kill */
    bool          finish;      /* it is started also when its client is gone */
    bool          forgotten;   /* nobody wants it: its answer is dropped */
    bool          vain;        /* CHANNEL, forgotten: its slot is to be told of the cancel */
    bool          interrupted; /* its soft limit was told to it */
    dn_hold_end_t doom;    /* what it ends as when its slot is killed now; outcome 0: not doomed */
    uint32_t      slot;    /* CHANNEL: which */
    uint32_t      number;  /* CHANNEL: of the task there */
    uint32_t      work_us; /* CHANNEL: measured work that it was counted as */
    int64_t       kill_ms; /* CHANNEL: when a cancel that was not obeyed becomes a kill */

    bool          kept;         /* the shell keeps something under its handle */
    bool          made;         /* ended: no answer of a slot: `end` tells what to send */
    bool          sending;      /* OUTBOX: handed to the shell, which has not said yet if it went */
    uint64_t      answer_bytes; /* ended: of the answer that is kept */
    int64_t       waited_ms;    /* ended, made: here, before the run */
    int64_t       ran_ms;       /* ended, made: length of the run */
    dn_hold_end_t end;          /* ended, made */

    struct dn_hold_line *line; /* in which it is; NULL: in none */
    TAILQ_ENTRY (dn_hold) of_line;
} dn_hold_t;

TAILQ_HEAD (dn_hold_line, dn_hold);
typedef struct dn_hold_line dn_hold_line_t;

typedef struct dn_holds dn_holds_t;

/*  Owned; NULL when memory is short. `seed` mixes the hash. */
dn_holds_t *dn_holds_new (uint64_t seed);
void        dn_holds_destroy (dn_holds_t **self_p);

/*  Borrowed, until the task is removed; NULL when there is none. */
dn_hold_t *dn_holds_find (const dn_holds_t *self, const dn_session_t *session, uint64_t seq,
                          uint16_t attempt);
dn_hold_t *dn_holds_get (const dn_holds_t *self, dn_handle_t handle);

dn_handle_t dn_holds_handle (const dn_holds_t *self, const dn_hold_t *hold);

/*  A new record with this key, which is not in yet; NULL when all rows are used. `depth`: levels of
 *  nested calls, up to DENIM_NESTING_MAX. */
dn_hold_t *dn_holds_add (dn_holds_t *self, const dn_session_t *session, uint64_t seq,
                         uint16_t attempt, uint8_t depth);

/*  Move a task into the state, at the end of that line, or at its front. The line of CHANNEL is the
 *  caller's: `channel`, NULL otherwise. */
void dn_holds_move (dn_holds_t *self, dn_hold_t *hold, dn_hold_state_t state,
                    dn_hold_line_t *channel, bool front);

/*  Take a task out; its handle is stale from here on. */
void dn_holds_remove (dn_holds_t *self, dn_hold_t *hold);

/*  Count an answer that the shell keeps. */
void dn_holds_keep_answer (dn_holds_t *self, dn_hold_t *hold, uint64_t answer_bytes);

/*  The lines that are not a slot's; for walks with TAILQ_FOREACH. */
dn_hold_line_t *dn_holds_standby (dn_holds_t *self);
dn_hold_line_t *dn_holds_outbox (dn_holds_t *self);

/*  Has it ended? Then it is in OUTBOX or KEPT. */
static inline bool
dn_hold_ended (const dn_hold_t *hold)
{
    return hold->state == DN_HOLD_OUTBOX || hold->state == DN_HOLD_KEPT;
}

/*  Has it ended because it was refused? Then nothing of it ran. */
static inline bool
dn_hold_refused (const dn_hold_t *hold)
{
    return dn_hold_ended (hold) && hold->made && hold->end.outcome == DENIM_REJECTED;
}

/*  The answers of this client: how many, and their bytes. Walks over all that have ended. */
uint32_t dn_holds_answers_of (const dn_holds_t *self, const dn_session_t *client, uint64_t *bytes);

/*  All answers that are to be sent count as told of: HELLO lists them, and the manager asks for
 *  those that are wanted. */
void dn_holds_told (dn_holds_t *self);

/*  Tasks in that state, all tasks, those that have ended, bytes of their answers. */
uint32_t dn_holds_count (const dn_holds_t *self, dn_hold_state_t state);
uint32_t dn_holds_all (const dn_holds_t *self);
uint32_t dn_holds_ended (const dn_holds_t *self);
uint64_t dn_holds_answer_bytes (const dn_holds_t *self);

/*  Tasks in that state that are nested so deep. */
uint32_t dn_holds_level (const dn_holds_t *self, dn_hold_state_t state, unsigned depth);

/*  The next task of any state at or after *row (which moves behind it), NULL at the end. */
dn_hold_t *dn_holds_next (const dn_holds_t *self, uint32_t *row);

/*  Write the rows of all tasks, for an inventory. A row has DN_HELD_ROW_BYTES; asserts that they
 *  find room. */
void dn_holds_inventory (const dn_holds_t *self, dn_rows_t *rows);

/*  Write the rows of up to DN_HELD_ROWS_MAX tasks, and the range of keys that they cover,
 *  completely, into `held`: the first after those that were written last, from the start again
 *  after the end. */
void dn_holds_held (dn_holds_t *self, dn_held_t *held, dn_rows_t *rows);

/*  Assert what must hold of the table and its lines. */
void dn_holds_check (const dn_holds_t *self);

#endif
