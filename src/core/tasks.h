/*  tasks.h - the manager's records of tasks: who asked, who has it, how far it is
 *
 *  Owns: one record for each task that was placed and is not yet settled, found by its key
 *  (client's session, sequence number, attempt), and the lists of them in peers. Two tables in one:
 *  *places* belong to workers (a task that waits or runs there),
 *  *records* to clients (an outcome that the client has not acknowledged). Never a payload.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_TASKS_H
#define DN_TASKS_H

#include "core/effects.h"
#include "core/peers.h"

/*  X (NAME, holds a place, what it means) */
#define DN_TASK_STATE_MAP(X)                                                                       \
    X (FREE, false, "no record")                                                                   \
    X (PLACED, true, "sent to its worker, or known to be there")                                   \
    X (FINISHED, false, "its worker keeps the outcome until the client has acknowledged it")       \
    X (LOST, false, "its worker is gone; the client was told and has not acknowledged")

typedef enum {
#define X(name, place, text) DN_TASK_##name,
    DN_TASK_STATE_MAP (X)
#undef X
        DN_TASK_STATES
} dn_task_state_t;

typedef struct dn_task {
    dn_handle_t     self;
    dn_task_state_t state; /* changed by dn_tasks_move only */
    uint16_t        attempt;
    uint8_t         priority;
    uint8_t         depth;   /* of nested calls; up to DENIM_NESTING_MAX */
    bool            finish;  /* it goes on when its client dies */
    bool            settled; /* no client wants it any more; the place is still in use */
    bool            fresh;   /* on the list of those that KNOWN has not been sent for */
    bool            seen;    /* its worker has listed it in HELD or HELLO */
    uint8_t         reason;  /* LOST: denim_reason_t */
    dn_session_t    session; /* its client's; with seq and attempt the key */
    uint64_t        seq;
    uint32_t        try_no;       /* of the SUBMIT that made it; 0: adopted from a worker's list */
    uint32_t        service;      /* DN_SERVICE_NONE: adopted, so not known */
    dn_handle_t     client;       /* DN_NONE: settled */
    dn_handle_t     worker;       /* that it was placed at; may be gone */
    uint64_t        mark;         /* of the last BEAT to that worker when it was placed */
    uint64_t        listed_sweep; /* number of the last list, of worker or client, that named it */
    uint64_t        told_mark;    /* of the last BEAT to the client when its outcome was sent, or
                                     asked for; 0: never */
    uint64_t        asked_mark; /* RESEND was sent before this BEAT to the worker; 0: it was not */
    uint64_t        payload_bytes; /* of its SUBMIT; 0: adopted */
    uint64_t        answer_bytes;  /* FINISHED: of the outcome's payload, as far as it is known */
    int64_t         placed_ms;
    uint64_t        ticket; /* of its client's turn, kept if the worker refuses it */
    TAILQ_ENTRY (dn_task) of_client;
    TAILQ_ENTRY (dn_task) of_worker; /* on it while its worker has a row */
    TAILQ_ENTRY (dn_task) of_fresh;
} dn_task_t;

typedef struct dn_tasks dn_tasks_t;

/*  Owned; NULL when memory is short. `peers` is borrowed: their lists of tasks are kept here. */
dn_tasks_t *dn_tasks_new (uint32_t tasks_max, dn_peers_t *peers, uint64_t seed);
void        dn_tasks_destroy (dn_tasks_t **self_p);

/*  Borrowed, until it is settled; NULL when there is none. */
dn_task_t *dn_tasks_find (const dn_tasks_t *self, const dn_session_t *session, uint64_t seq,
                          uint16_t attempt);
dn_task_t *dn_tasks_get (const dn_tasks_t *self, dn_handle_t task);

/*  A new record, PLACED at `worker`, of `client` (NULL: settled), nested `depth` levels. NULL when
 *  the table is full. */
dn_task_t *dn_tasks_place (dn_tasks_t *self, dn_peer_t *client, dn_peer_t *worker,
                           const dn_row_key_t *key, unsigned depth, int64_t now_ms);

/*  The one place where a state changes. `worker`: it is with that one from now on; NULL: with the
 *  same as before. FREE is the end of the record. */
void dn_tasks_move (dn_tasks_t *self, dn_task_t *task, dn_task_state_t state, dn_peer_t *worker);

/*  How long the payload of its outcome is. The task is FINISHED. */
void dn_tasks_set_answer (dn_tasks_t *self, dn_task_t *task, uint64_t bytes);

/*  Its worker is not to be known any more. Asserts that it holds no place. */
void dn_tasks_orphan (dn_tasks_t *self, dn_task_t *task);

/*  Put the record on the list of `client`, or (NULL) take it off its client's. */
void dn_tasks_attach (dn_tasks_t *self, dn_task_t *task, dn_peer_t *client);

/*  The task placed longest ago for which KNOWN was not sent; NULL if none. dn_tasks_told takes it
 *  off. */
dn_task_t *dn_tasks_fresh (const dn_tasks_t *self);
void       dn_tasks_told (dn_tasks_t *self, dn_task_t *task);

uint32_t dn_tasks_count (const dn_tasks_t *self);
uint32_t dn_tasks_max (const dn_tasks_t *self);

void dn_tasks_check (const dn_tasks_t *self);

#endif
