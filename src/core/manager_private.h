/*  manager_private.h - what the files of the manager's machine share; nobody else includes it
 *
 *  manager.c dispatches and keeps time, members.c knows who comes and goes, admission.c answers
 *  SUBMIT, settle.c ends tasks and compares lists.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_MANAGER_PRIVATE_H
#define DN_MANAGER_PRIVATE_H

#include "core/manager.h"

#define DN_WHO_MAX    64  /* links that were asked WHO last: one WHO per link */
#define DN_SWEEP_ROWS 8   /* effects that one task of a peer that is gone can cause, and some */
#define DN_TEXT_ROOM  500 /* bytes of a sentence in REJECT or FAULT, with its end */

struct dn_manager {
    dn_manager_config_t   config;
    dn_manager_counters_t counters;
    dn_peers_t           *peers;
    dn_services_t        *services;
    dn_tasks_t           *tasks;
    int64_t               beat_ms;  /* when the next beat is due */
    uint32_t              beats;    /* since boot */
    uint32_t              beat_row; /* the beat under way has reached this row of peers */
    bool                  beating;
    bool                  sweeping; /* peers are gone whose tasks have not all been told */
    bool                  draining;
    uint32_t              term;   /* the last one given */
    uint32_t              places; /* in use: tasks that wait or run at workers */
    uint32_t              slots;  /* of all workers that are ready, by the last beat */
    uint64_t              sweep;  /* number of the last list that was compared with the records */
    int64_t   stranger_ms; /* a stranger's malformed frame was logged last; DN_NEVER: never */
    uint32_t  who_at;
    dn_link_t who[DN_WHO_MAX];
    char      text[DN_TEXT_ROOM]; /* of the REJECT or FAULT of this turn */
};

typedef void (dn_manager_handler_fn) (dn_manager_t *self, const dn_manager_event_t *in,
                                      dn_peer_t *from, dn_effects_t *fx);

/*  ---- manager.c ---- */

void dn_manager_fault (dn_link_t link, denim_reason_t reason, const char *text, dn_effects_t *fx);

/*  ---- members.c ---- */

dn_manager_handler_fn dn_manager_on_client_hello;
dn_manager_handler_fn dn_manager_on_worker_hello;
dn_manager_handler_fn dn_manager_on_offer;
dn_manager_handler_fn dn_manager_on_draining;
dn_manager_handler_fn dn_manager_on_bye;

/*  A peer is gone: its tasks are told of by dn_manager_sweep, in this tick or later ones. */
void dn_manager_go (dn_manager_t *self, dn_peer_t *peer, denim_reason_t reason, dn_effects_t *fx);
void dn_manager_sweep (dn_manager_t *self, dn_effects_t *fx);

/*  Slots of all workers that are ready. */
uint32_t dn_manager_count_slots (const dn_manager_t *self);

/*  ---- admission.c ---- */

dn_manager_handler_fn dn_manager_on_submit;

/*  Tell a client that its task was not taken. `client` may be NULL or without a link. */
void dn_manager_reject (dn_manager_t *self, dn_peer_t *client, const dn_task_t *task,
                        denim_reason_t reason, dn_effects_t *fx);

/*  ---- settle.c ---- */

dn_manager_handler_fn dn_manager_on_result;
dn_manager_handler_fn dn_manager_on_refuse;
dn_manager_handler_fn dn_manager_on_ack;
dn_manager_handler_fn dn_manager_on_open;
dn_manager_handler_fn dn_manager_on_held;

/*  The inventory of a worker's HELLO: such a list for all that was placed over older links. */
void dn_manager_inventory (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *worker,
                           dn_effects_t *fx);

/*  Nobody will ever know: tell the client, keep the record until it has heard. */
void dn_manager_lose (dn_manager_t *self, dn_task_t *task, denim_reason_t reason, dn_effects_t *fx);

/*  The client wants no more of it: a task that holds a place goes on without it. */
void dn_manager_settle (dn_manager_t *self, dn_task_t *task);

/*  Change the state of a task; every change of a place goes through here. */
void dn_manager_move (dn_manager_t *self, dn_task_t *task, dn_task_state_t state);

/*  Tell the client that its task has a record. */
void dn_manager_known (dn_manager_t *self, dn_task_t *task, uint32_t try_no, dn_effects_t *fx);

/*  Wish at its worker that a task ends. */
void dn_manager_cancel (dn_manager_t *self, const dn_task_t *task, uint8_t how, dn_effects_t *fx);

/*  Client of a task, NULL when it is not known here; worker, NULL when it is gone. */
dn_peer_t *dn_manager_client_of (const dn_manager_t *self, const dn_task_t *task);
dn_peer_t *dn_manager_worker_of (const dn_manager_t *self, const dn_task_t *task);

#endif
