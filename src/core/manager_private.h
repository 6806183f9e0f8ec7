/*  manager_private.h - what the files of the manager's machine share; nobody else includes it
 *
 *  manager.c dispatches and keeps time, members.c knows who comes and goes, admission.c answers
 *  SUBMIT, grants.c gives refused clients their turns, deadlock.c sees when there will be none,
 *  settle.c ends tasks, lists.c compares the lists of peers with the records.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_MANAGER_PRIVATE_H
#define DN_MANAGER_PRIVATE_H

#include "core/crowd.h"
#include "core/manager.h"
#include "core/place.h"
#include "core/rosters.h"
#include "core/waiters.h"

#define DN_WHO_MAX    64  /* links that were asked WHO last: one WHO per link */
#define DN_SWEEP_ROWS 8   /* effects that one task of a peer that is gone can cause, and some */
#define DN_TEXT_ROOM  500 /* bytes of a sentence in REJECT or FAULT, with its end */

#define DN_SETTLED_MAX      64     /* tasks in one SETTLED; then it is sent */
#define DN_SETTLED_BYTES    262144 /* or when their outcomes are so long together */
#define DN_SETTLED_MS       10     /* or after this time */
#define DN_EPOCHS_MAX       8      /* earlier boots whose workers are known */
#define DN_GONE_CLIENTS_MAX 4096   /* clients that earlier boots have forgotten */
#define DN_FORGETS_MAX      999  /* of this boot, told to workers, and one row if there were more */
#define DN_LEFT_MAX         4096 /* workers that have come and gone */
#define DN_STRAYS_MAX       256  /* workers that are gone with tasks that nobody settled */

/*  What one worker may let go of, until it is told. */
typedef struct {
    uint32_t     count;
    uint64_t     bytes;
    dn_row_key_t task[DN_SETTLED_MAX];
} dn_settled_batch_t;

struct dn_manager {
    dn_manager_config_t   config;
    dn_manager_counters_t counters;
    dn_peers_t           *peers;
    dn_services_t        *services;
    dn_tasks_t           *tasks;
    dn_rosters_t         *rosters;    /* of earlier boots */
    dn_crowd_t           *forgotten;  /* clients that some worker was told to forget before */
    dn_crowd_t           *forgets;    /* clients that this boot has forgotten, in order */
    dn_crowd_t           *left;       /* workers that said HELLO to this boot and have no row */
    dn_crowd_t           *strays;     /* workers on the roster that have no row any more */
    dn_settled_batch_t   *batch;      /* by number of the worker */
    uint32_t              batches;    /* that are not empty */
    bool                 *held_up;    /* for deadlock.c, by number of the worker, */
    uint32_t             *held_by;    /* likewise */
    int64_t               settled_ms; /* when they are sent */
    bool          overlooked; /* a worker had something that got no record, as a table was full; */
    uint32_t      unheard;    /* beats for which it may be so still */
    uint32_t      roster;     /* its version: rises when a worker comes or is forgotten */
    int64_t       now_ms;     /* of the event under way */
    int64_t       beat_ms;    /* when the next beat is due */
    uint32_t      beats;      /* since boot */
    uint32_t      beat_row;   /* the beat under way has reached this row of peers */
    bool          beating;
    bool          sweeping; /* peers are gone whose tasks have not all been told */
    bool          draining;
    bool          naming;    /* workers have joined of which not all others know */
    bool          granting;  /* somebody waits, or a place came free: look whose turn it is */
    int64_t       expire_ms; /* the first lease that ends */
    dn_waiters_t *waiters;
    uint32_t      term;        /* the last one given */
    uint32_t      places;      /* in use: tasks that wait or run at workers */
    uint32_t      slots;       /* of all workers that are ready, by the last beat */
    uint64_t      sweep;       /* number of the last list that was compared with the records */
    int64_t       stranger_ms; /* a stranger's malformed frame was logged last; DN_NEVER: never */
    uint32_t      faulted_at;
    dn_link_t faulted[DN_WHO_MAX]; /* strangers that were told last that a frame was malformed */
    uint32_t  who_at;
    dn_link_t who[DN_WHO_MAX];
    char      text[DN_TEXT_ROOM]; /* of the REJECT or FAULT of this turn */
};

typedef void (dn_manager_handler_fn) (dn_manager_t *self, const dn_manager_event_t *in,
                                      dn_peer_t *from, dn_effects_t *fx);

/*  ---- manager.c ---- */

void dn_manager_fault (dn_link_t link, denim_reason_t reason, const char *text, dn_effects_t *fx);

/*  For the first beats nobody is forgotten and nothing is called unknown. */
bool dn_manager_settling (const dn_manager_t *self);

/*  ---- members.c ---- */

dn_manager_handler_fn dn_manager_on_client_hello;
dn_manager_handler_fn dn_manager_on_worker_hello;
dn_manager_handler_fn dn_manager_on_offer;
dn_manager_handler_fn dn_manager_on_draining;
dn_manager_handler_fn dn_manager_on_bye;

/*  A peer is gone: its tasks are told of by dn_manager_sweep, in this tick or later ones. */
void dn_manager_go (dn_manager_t *self, dn_peer_t *peer, denim_reason_t reason, dn_effects_t *fx);
void dn_manager_sweep (dn_manager_t *self, dn_effects_t *fx);

/*  What workers must know of: who all the workers are, and who of the clients was forgotten after
 *  number `since`. Lists in a turn's scratch, made on first use. */
typedef struct {
    bool      roster_made;
    bool      forgets_made;
    uint32_t  since;
    uint32_t  upto; /* the newest when they were listed: others may follow in the same turn */
    dn_list_t roster;
    dn_list_t forgets;
} dn_news_t;

/*  The news for this worker; false when there is no room for them in this turn. They are sent with
 *  the BEAT of that mark, or before it. */
bool dn_manager_make_news (const dn_manager_t *self, const dn_peer_t *worker, dn_news_t *news,
                           dn_effects_t *fx);
void dn_manager_note_news (const dn_manager_t *self, dn_peer_t *worker, const dn_news_t *news,
                           uint64_t mark);

/*  BEAT for this peer; a worker that is not known to have the newest roster, or to remember all who
 *  were forgotten, gets both along. */
void dn_manager_beat (dn_manager_t *self, dn_peer_t *peer, dn_news_t *news, dn_effects_t *fx);

/*  Workers that have joined are given tasks once the others know of them. */
void dn_manager_name_workers (dn_manager_t *self);

/*  A worker says which places it offers now: `offer` has them. */
void dn_manager_take_places (dn_manager_t *self, dn_peer_t *worker, const dn_offer_t *offer);

/*  Slots of all workers that are ready, without those that are lent. */
uint32_t dn_manager_count_slots (const dn_manager_t *self);

/*  ---- admission.c ---- */

dn_manager_handler_fn dn_manager_on_submit;

/*  What a task needs a place for: its service, and how deep it is nested. */
typedef struct {
    uint32_t service;
    unsigned depth; /* up to DENIM_NESTING_MAX */
} dn_need_t;

/*  Who asks for a place: a client whose task has no grant, or somebody in the rings. */
typedef struct {
    const dn_peer_t   *client; /* NULL: it is the other one */
    const dn_waiter_t *waiter;
    bool               by_age; /* the waiter is served by age alone */
} dn_asker_t;

/*  The worker that takes one task more that needs this, or NULL; *reason then says why. `asker`
 *  must not take what others wait for; NULL: is there a place at all? */
dn_peer_t *dn_manager_choose (const dn_manager_t *self, dn_need_t need, const dn_asker_t *asker,
                              denim_reason_t *reason);

/*  Tell a client that its task was not taken. `client` may be NULL or without a link. */
void dn_manager_reject (dn_manager_t *self, dn_peer_t *client, const dn_task_t *task,
                        denim_reason_t reason, dn_effects_t *fx);

/*  ---- deadlock.c ---- */

/*  A nested call of this service has no place. Will none come free, because all who have one wait
 *  in nested calls for which there is no place, either? Only where places are not lent. */
bool dn_manager_deadlocked (dn_manager_t *self, uint32_t service);

/*  The task that makes this call, if it has a record; else DN_NONE. */
dn_handle_t dn_manager_parent_of (const dn_manager_t *self, const dn_submit_t *submit);

/*  ---- grants.c ---- */

dn_manager_handler_fn dn_manager_on_pass;

/*  The worker as placement sees it for a task that is nested so deep: what is reserved there counts
 *  as placed. */
dn_candidate_t dn_manager_candidate (const dn_peer_t *worker, unsigned depth);

/*  Places at this worker that are neither taken nor reserved, for tasks that need this. None stands
 *  by where those of its service are stuck: until one has ended there, others would only be sent to
 *  be handed back. */
uint32_t dn_manager_room (const dn_manager_t *self, const dn_peer_t *worker, dn_need_t need);

/*  Tasks more of that level that are within the client's share, when `coming` are on their way. */
uint32_t dn_manager_share_left (const dn_manager_t *self, const dn_peer_t *client, unsigned depth,
                                uint32_t coming);

/*  Clients that are served before a SUBMIT of this one for which there is no place now: those that
 *  can answer, by the first ones of long rings. None if it waits in its ring itself, as its turn is
 *  settled then. */
double dn_manager_before (const dn_manager_t *self, const dn_peer_t *client, uint32_t service,
                          unsigned rank);

/*  Must it leave a place at this worker to others who wait? A task without a grant leaves it to
 *  whoever may have it. And nobody stands by (`full`: all slots for it are taken) where somebody
 *  who is before it waits for a slot: else short tasks, which stand by, would keep all others
 *  out. */
bool dn_manager_gives_way (const dn_manager_t *self, const dn_asker_t *asker, dn_need_t need,
                           const dn_peer_t *worker, bool full);

/*  The client waits with `held` tasks; `ticket` 0: behind all others. Its row, borrowed; NULL when
 *  there is none for it. */
dn_waiter_t *dn_manager_wait (dn_manager_t *self, dn_peer_t *client, dn_need_t need,
                              unsigned priority, uint32_t held, uint64_t ticket);
void         dn_manager_queue (dn_manager_t *self, dn_waiter_t *waiter, uint64_t ticket);

/*  What a granted SUBMIT has: where its place is, and since when its client had waited. */
typedef struct {
    dn_handle_t worker;
    uint64_t    ticket;
} dn_turn_taken_t;

/*  Does this SUBMIT answer a grant that is still good, or cross one that is on its way to its
 *  client? Then one place of it is taken up. */
bool dn_manager_take_turn (dn_manager_t *self, const dn_peer_t *client, const dn_submit_t *submit,
                           uint32_t service, dn_turn_taken_t *turn);

/*  Grant what is free, withdraw what has expired. */
void dn_manager_tick_grants (dn_manager_t *self, dn_effects_t *fx);
void dn_manager_expire_grants (dn_manager_t *self);

/*  A GRANT could not be sent; a worker offers nothing any more; a client is gone. */
void dn_manager_grant_refused (dn_manager_t *self, dn_handle_t grant);
void dn_manager_withdraw_grants (dn_manager_t *self, const dn_peer_t *worker);
void dn_manager_leave_rings (dn_manager_t *self, dn_peer_t *client);

/*  ---- settle.c ---- */

dn_manager_handler_fn dn_manager_on_result;
dn_manager_handler_fn dn_manager_on_refuse;
dn_manager_handler_fn dn_manager_on_ack;

/*  Nobody will ever know: tell the client, keep the record until it has heard. */
void dn_manager_lose (dn_manager_t *self, dn_task_t *task, denim_reason_t reason, dn_effects_t *fx);

/*  It never arrived at its worker, or was refused there: nothing ran. Ends the record. */
void dn_manager_give_back (dn_manager_t *self, dn_task_t *task, denim_reason_t reason,
                           dn_effects_t *fx);

/*  The client wants no more of it: a task that holds a place goes on without it, the outcome of one
 *  that has ended may be let go of. */
void dn_manager_settle (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx);

/*  The worker may let go of this task, with an outcome of so many bytes: it is told in a while, and
 *  if that gets lost, when it lists the task again. _now: what was saved up for it goes at once. */
void dn_manager_release (dn_manager_t *self, const dn_peer_t *worker, const dn_row_key_t *task,
                         uint64_t bytes, dn_effects_t *fx);
void dn_manager_release_now (dn_manager_t *self, const dn_peer_t *worker, dn_effects_t *fx);

/*  Those that are due. */
void dn_manager_tick_releases (dn_manager_t *self, dn_effects_t *fx);

/*  The outcome did not reach the client: ask the worker for it once more, unless it was asked and
 *  may still answer. A worker that is gone has lost it. */
void dn_manager_ask_again (dn_manager_t *self, dn_task_t *task, dn_effects_t *fx);

/*  A record of a task that a worker brings along, PLACED; `client` NULL: settled. `depth` as the
 *  peer says. NULL when the table is full. */
dn_task_t *dn_manager_adopt (dn_manager_t *self, dn_peer_t *client, dn_peer_t *worker,
                             const dn_row_key_t *key, unsigned depth);

/*  Is this worker known to remember the client as forgotten, if it was? Before that it must not let
 *  go of anything that shows that the client had a task there. */
bool dn_manager_remembers (const dn_manager_t *self, const dn_peer_t *worker,
                           const dn_session_t *client);

/*  The client is not known, and is to be forgotten where it is. */
void dn_manager_forget (dn_manager_t *self, const dn_peer_t *worker, const dn_session_t *client,
                        dn_effects_t *fx);

/*  Change the state of a record, and with it the counts of places. */
void dn_manager_move (dn_manager_t *self, dn_task_t *task, dn_task_state_t state,
                      dn_peer_t *worker);

/*  The task has a record: tell the client under which stamp, and where. */
void dn_manager_known (dn_manager_t *self, dn_task_t *task, uint32_t try_no, dn_effects_t *fx);

/*  Wish at its worker that a task ends. */
void dn_manager_cancel (dn_manager_t *self, const dn_task_t *task, uint8_t how, dn_effects_t *fx);

/*  NULL when it is not there (worker: any more). */
dn_peer_t *dn_manager_client_of (const dn_manager_t *self, const dn_task_t *task);
dn_peer_t *dn_manager_worker_of (const dn_manager_t *self, const dn_task_t *task);

/*  ---- lists.c ---- */

dn_manager_handler_fn dn_manager_on_open;
dn_manager_handler_fn dn_manager_on_held;

/*  The inventory of a worker's HELLO: such a list for all that was placed over older links
 *  (`fresh`: this one is new), and for nothing that was placed over this one. */
void dn_manager_inventory (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *worker,
                           bool fresh, dn_effects_t *fx);

#endif
