/*  manager.h - the manager's machine: events in, effects out
 *
 *  Owns no records itself: peers, services and tasks each own theirs. It decides what a message or
 *  the passing of time causes. Must never know: sockets, clocks, payloads, JSON.
 *
 *  One turn of the shell: for each message that came in, dn_manager_input, perform the effects
 *  (those that a socket refuses go to dn_manager_refused, whose effects are performed as well);
 *  then dn_manager_tick when the time of dn_manager_deadline_ms has come. One thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_MANAGER_H
#define DN_MANAGER_H

#include "denim.h"

#include "core/effects.h"
#include "core/peers.h"
#include "core/services.h"
#include "core/tasks.h"

#define DN_CLIENT_TASKS_MAX  4000       /* records of one client: below the send mark of its door */
#define DN_CLIENT_BYTES      (8u << 20) /* for client_bytes */
#define DN_WORKER_GONE_BEATS 10         /* own beats of silence until a worker is gone */
#define DN_CLIENT_GONE_BEATS 30         /* and a client */
#define DN_KNOWN_MS          5          /* a task that has not ended by then is worth a KNOWN */
#define DN_KNOWN_BYTES       65536 /* and one with such a payload at once: its client may go on */
#define DN_RETRY_UNKNOWN_MS  20    /* retry_after while run times are not known */
#define DN_FAULT_EVERY_MS    60000 /* a peer's malformed frames are logged so often */

typedef struct {
    uint64_t epoch; /* random, not 0 */
    uint64_t seed;  /* random, told to nobody */
    uint32_t clients_max;
    uint32_t workers_max;
    uint32_t tasks_max;
    uint32_t services_max;
    uint32_t client_share; /* percent of all slots that one client's tasks may hold; 0: off */
    uint32_t heartbeat_ms;
    uint8_t  liveness;     /* own beats of silence until a peer is quiet: no tasks */
    uint64_t payload_max;  /* bytes of all payload frames of a message */
    uint64_t client_bytes; /* that a client may have out: see dn_manager_takes */
    uint32_t standby_ms;
    uint32_t lease_ms; /* a grant lasts so long at least */
    uint32_t retry_max_ms;
} dn_manager_config_t;

/*  Since boot. */
typedef struct {
    uint64_t submitted; /* SUBMITs, retries included */
    uint64_t placed;
    uint64_t done;   /* values */
    uint64_t failed; /* exceptions, limits, and all other outcomes that are not below */
    uint64_t lost;
    uint64_t cancelled;
    uint64_t turns;   /* given to those who wait; every eighth goes by age */
    uint64_t granted; /* places */
    uint64_t expired; /* grants that were not taken up */
    uint64_t rejected[DENIM_REASONS];
    uint64_t malformed;
    uint64_t unsent; /* messages that a socket refused */
} dn_manager_counters_t;

/*  What came in. `header` is the header frame as it came. */
typedef struct {
    int64_t         now_ms;
    dn_link_t       link;
    const dn_msg_t *msg;
    dn_str_t        header;
    uint64_t        payload_bytes; /* of the payload, in frames or in the header */
} dn_manager_event_t;

typedef struct dn_manager dn_manager_t;

/*  Owned; NULL when memory is short. The tables are allocated here and never grow. */
dn_manager_t *dn_manager_new (const dn_manager_config_t *config, int64_t now_ms);
void          dn_manager_destroy (dn_manager_t **self_p);

/*  A message that decodes in the direction of its door. */
void dn_manager_input (dn_manager_t *self, const dn_manager_event_t *in, dn_effects_t *fx);

/*  A frame that does not decode (a dn_wire_error_t). */
void dn_manager_malformed (dn_manager_t *self, int64_t now_ms, dn_link_t link, int error,
                           dn_effects_t *fx);

/*  An effect that a socket refused: the peer is full, or `gone`. What it placed is undone. */
void dn_manager_refused (dn_manager_t *self, int64_t now_ms, const dn_effect_t *effect, bool gone,
                         dn_effects_t *fx);

/*  Time has passed. Appends at most about DN_EFFECTS_MAX effects and is due again at once if there
 *  is more to do. */
void    dn_manager_tick (dn_manager_t *self, int64_t now_ms, dn_effects_t *fx);
int64_t dn_manager_deadline_ms (const dn_manager_t *self);

/*  Refuse new tasks from now on. */
void dn_manager_drain (dn_manager_t *self, dn_effects_t *fx);

/*  Tasks that hold a place. */
uint32_t dn_manager_placed (const dn_manager_t *self);

/*  For status: borrowed, until the next event. */
const dn_manager_config_t   *dn_manager_config (const dn_manager_t *self);
const dn_manager_counters_t *dn_manager_counters (const dn_manager_t *self);
const dn_peers_t            *dn_manager_peers (const dn_manager_t *self);
const dn_services_t         *dn_manager_services (const dn_manager_t *self);
const dn_tasks_t            *dn_manager_tasks (const dn_manager_t *self);
bool                         dn_manager_draining (const dn_manager_t *self);

/*  May a task be placed there? Linked, heard of, not draining. */
bool dn_manager_ready (const dn_manager_t *self, const dn_peer_t *worker);

/*  May this client have one task more, nested so deep? Within client_share, if it is not nested: a
 *  task that has its place may wait for one that is. And with room for what comes back: for one in
 *  a slot if the answers that it has not acknowledged are below client_bytes, for one that stands
 *  by (`standby`) if they are below twice that with what all its tasks are going to carry. */
bool dn_manager_takes (const dn_manager_t *self, const dn_peer_t *client, unsigned depth,
                       bool standby);

/*  Slots of a worker, without those that are lent. */
uint32_t dn_manager_own_slots (const dn_peer_t *worker);

/*  A worker's state in a word: "ready", "quiet", "draining", "gone". */
const char *dn_manager_worker_state (const dn_manager_t *self, const dn_peer_t *worker);

/*  Assert what must hold: the simulator and the tests call it after each step. */
void dn_manager_check (const dn_manager_t *self);

#endif
