/*  slots.h - the records of a worker's slots, and the table of what may happen to one
 *
 *  Owns: the state of each slot and of the zygote, which is the last row and goes through the same
 *  states; the table of states and events, with every cell filled. There are more rows than slots
 *  when places are lent: a task that waits in a nested call keeps its process, and another row
 *  works in its place. Must never know: tasks beyond the line of them that a slot has, what an act
 *  causes, time.
 *
 *  A state is changed by dn_slot_step only. It returns what is to be done; slots.c has the table,
 *  and a test walks each cell of it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOTS_H
#define DN_SLOTS_H

#include "core/holds.h"

#define DN_SLOTS_MAX     1024       /* tasks that one worker runs at a time */
#define DN_SLOT_ROWS_MAX 2048       /* its processes, with those that work in lent places */
#define DN_SLOT_ZYGOTE   UINT32_MAX /* in effects and events: the zygote instead of a slot */

/*  X (NAME, what it means). */
#define DN_SLOT_STATE_MAP(X)                                                                       \
    X (OFF, "no process, and nobody to start one: no zygote, or the worker leaves")                \
    X (STARTING, "a process that has not said READY")                                              \
    X (IDLE, "nothing in its channel")                                                             \
    X (BUSY, "tasks in its channel")                                                               \
    X (LENT, "the task that runs waits in a nested call; another row works in its place")          \
    X (STOPPING, "was asked to end, with nothing in its channel")                                  \
    X (KILLED, "has been sent a SIGKILL")                                                          \
    X (BACKOFF, "no process; one is started at due_ms")

typedef enum {
#define X(name, text) DN_SLOT_##name,
    DN_SLOT_STATE_MAP (X)
#undef X
        DN_SLOT_STATES
} dn_slot_state_t;

/*  X (NAME, what happened). */
#define DN_SLOT_EVENT_MAP(X)                                                                       \
    X (START, "it can be started: the zygote is ready, or none is needed")                         \
    X (READY, "its process has imported the app")                                                  \
    X (HAND, "a task goes into its channel")                                                       \
    X (NEXT, "a task left its channel, others remain")                                             \
    X (EMPTY, "the last task left its channel")                                                    \
    X (INTERRUPT, "the task that runs is to be told of its soft limit or cancel")                  \
    X (STOP, "it is to end when it has nothing to do")                                             \
    X (KILL, "it is to end now")                                                                   \
    X (EXIT, "its process has ended")                                                              \
    X (FAIL, "its process could not be made")                                                      \
    X (DUE, "due_ms has come: the end of backoff, of a start or of a stop that takes too long")    \
    X (PARK, "there is nobody to start it, or it is not wanted any more")                          \
    X (LEND, "the task that runs waits in a nested call, and has for a while")                     \
    X (BACK, "that call has ended")

typedef enum {
#define X(name, text) DN_SLOT_ON_##name,
    DN_SLOT_EVENT_MAP (X)
#undef X
        DN_SLOT_EVENTS
} dn_slot_event_t;

/*  X (NAME, what is to be done). */
#define DN_SLOT_ACT_MAP(X)                                                                         \
    X (BUG, "cannot be: the caller is wrong")                                                      \
    X (IGNORED, "nothing, on purpose")                                                             \
    X (MOVED, "nothing but the change of state")                                                   \
    X (BEGIN, "start a process")                                                                   \
    X (JOIN, "it can work: give it tasks")                                                         \
    X (REST, "it has nothing to do: give it tasks, or let it end if its time has come")            \
    X (TELL, "interrupt the task that runs")                                                       \
    X (SPARE, "see to a process that works in its place")                                          \
    X (ASK, "ask it to end")                                                                       \
    X (SLAY, "kill it")                                                                            \
    X (BURY, "settle its tasks, see to a successor")

typedef enum {
#define X(name, text) DN_SLOT_DO_##name,
    DN_SLOT_ACT_MAP (X)
#undef X
        DN_SLOT_ACTS
} dn_slot_act_t;

typedef struct {
    dn_slot_state_t state;  /* changed by dn_slot_step only */
    int64_t         due_ms; /* of the state; DN_NEVER: none */

    /* of the process that it has now */
    uint32_t       sent;    /* number of the task that was sent last; 0: none */
    uint32_t       count;   /* tasks in its channel */
    dn_hold_line_t channel; /* in the order of their numbers */
    uint64_t       work_us; /* measured work in the channel */
    int64_t        head_ms; /* when the first task of the channel came to be the first */
    int64_t        wait_ms; /* since when that one waits in a nested call; DN_NEVER: it does not */
    bool           blocked; /* it does, and its place is not lent */
    bool           taking_back; /* the shell was asked to, and has not said what had started */
    uint32_t       taken_upto;  /* tasks up to this number either had started by then or left */
    uint32_t       tell_number; /* TELL: the task that is meant, */
    bool           tell_cancel; /* and whether a cancel is, or the soft limit */
    int64_t        begun_ms;    /* when it was started */
    int64_t        ready_ms;    /* when it was READY; DN_NEVER: not yet */
    uint64_t       answered;    /* tasks */
    uint64_t       rss_bytes;   /* as sampled last */

    /* of its life */
    uint32_t barren;      /* processes in a row that ended early, with nothing answered */
    bool     had_process; /* the next one is a restart */
} dn_slot_t;

typedef struct dn_slots dn_slots_t;

/*  Owned; NULL when memory is short. `rows` of 1 to DN_SLOT_ROWS_MAX, all OFF, and a zygote. */
dn_slots_t *dn_slots_new (uint32_t rows);
void        dn_slots_destroy (dn_slots_t **self_p);

/*  Row 0 to rows - 1, or DN_SLOT_ZYGOTE. Borrowed; NULL when there is none of that number. */
dn_slot_t *dn_slots_get (const dn_slots_t *self, uint32_t number);
uint32_t   dn_slots_number (const dn_slots_t *self, const dn_slot_t *slot);

/*  Rows; and those of them up to the last that is not OFF, which is as far as walks need to go. */
uint32_t dn_slots_count (const dn_slots_t *self);
uint32_t dn_slots_used (const dn_slots_t *self);

/*  Slots (without the zygote) in that state. */
uint32_t dn_slots_in (const dn_slots_t *self, dn_slot_state_t state);

/*  Slots that have a process, or will have one by themselves, and work: all but OFF and LENT. */
uint32_t dn_slots_manned (const dn_slots_t *self);

/*  Let the event happen: changes the state and returns what is to be done. */
dn_slot_act_t dn_slot_step (dn_slots_t *self, dn_slot_t *slot, dn_slot_event_t event);

/*  A cell of the table, for whoever wants to see it. */
dn_slot_act_t dn_slot_cell (dn_slot_state_t state, dn_slot_event_t event, dn_slot_state_t *next);

const char *dn_slot_state_name (dn_slot_state_t state);
const char *dn_slot_event_name (dn_slot_event_t event);
const char *dn_slot_act_name (dn_slot_act_t act);

/*  Assert what must hold of each slot. */
void dn_slots_check (const dn_slots_t *self);

#endif
