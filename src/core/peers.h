/*  peers.h - the manager's records of clients and workers
 *
 *  Owns: who is there, over which link, since when silent. A peer is known by the session in its
 *  HELLO, which may come again over a new link at any time. Must never know: tasks, services,
 *  placement.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_PEERS_H
#define DN_PEERS_H

#include "core/effects.h"
#include "denim.h"

#include <sys/queue.h>

#define DN_NAME_ROOM 64 /* bytes of a name with its end; names are for people */

typedef enum { DN_ROLE_CLIENT, DN_ROLE_WORKER } dn_role_t;

struct dn_task;
TAILQ_HEAD (dn_task_list, dn_task);
struct dn_waiter;
TAILQ_HEAD (dn_waiter_list, dn_waiter);

typedef struct {
    uint32_t term;         /* new with every new record, so a client can tell; 0: no HELLO yet */
    uint32_t waiting;      /* tasks that it says it holds, by its last OPEN */
    uint32_t placed;       /* its tasks that wait or run at workers */
    uint32_t granted;      /* places that are reserved for it */
    uint64_t answer_bytes; /* of outcomes that it has not acknowledged */
    double   task_bytes;   /* payload and outcome of a task: a mean that decays */
    bool     early;        /* its first HELLO came while the manager was settling */
    uint32_t forget_row;   /* gone: workers before this row of the table have been told */
    bool     late;         /* a grant of it expired, and it was not heard since: passed over */
    int64_t  round_ms;     /* length of a round trip, BEAT to OPEN: the longest, slowly forgotten */
    int64_t  beat_ms;      /* when the BEAT was sent whose mark it will echo; DN_NEVER: it has */
    uint32_t waiters_count;
    struct dn_waiter_list waiters;
} dn_client_part_t;

typedef struct {
    uint32_t     number; /* 0 to workers_max - 1, for sets of workers */
    uint32_t     pid;
    uint32_t     slots;    /* tasks at a time, as announced last, */
    uint32_t     lent;     /* and those of them that are for nested calls only */
    uint32_t     blocked;  /* tasks there that wait in nested calls and keep their places */
    uint32_t     standby;  /* tasks beyond those, at most, likewise */
    uint32_t     placed;   /* tasks that hold a place there */
    uint32_t     reserved; /* places that are granted and not taken up yet */
    uint32_t     at_depth[DENIM_NESTING_MAX + 1]; /* of both, by how deep the tasks are nested */
    uint32_t     roster;                          /* version of the one that it is known to have */
    uint32_t     roster_sent;                     /* of the one that it was sent last, */
    uint32_t     joined;                          /* of the first one that names it */
    uint32_t     joined_beat;                     /* of the manager, when it joined */
    bool         named;                           /* the others know of it: it may be given tasks */
    uint32_t     forgets;      /* clients that were forgotten: it knows those up to this number */
    uint32_t     forgets_sent; /* and has been sent those up to this one, */
    uint64_t     news_mark;    /* which it has, with the roster, when it answers this BEAT */
    uint64_t     listed_mark;  /* what was sent to it before this BEAT has been answered, or lost */
    uint32_t     restarts;     /* of its slots */
    uint64_t     rss_bytes;
    bool         draining;
    bool         refused;  /* it refused a task as BUSY; no RESULT, OFFER or HELD since */
    dn_session_t instance; /* the same over restarts of one worker; zero: none */
    char         host[DN_NAME_ROOM];
} dn_worker_part_t;

typedef struct {
    dn_handle_t  self;
    dn_role_t    role;
    dn_session_t session;
    dn_link_t    link;         /* the newest; 0: not connected, known from inventories only */
    uint32_t     link_number;  /* of its last HELLO */
    uint32_t     silent_beats; /* own beats since it was heard over this link */
    uint64_t     mark;         /* of the BEAT sent last */
    bool         gone;         /* its tasks are told of, and the row is free when none is left */
    uint8_t      reason;       /* gone: denim_reason_t */
    int64_t      faulted_ms;   /* it was told last that a frame was malformed; DN_NEVER: never */
    uint64_t     malformed;    /* frames */
    uint32_t     tasks_count;  /* records that name it */
    struct dn_task_list tasks;
    char                name[DN_NAME_ROOM];
    union {
        dn_client_part_t client;
        dn_worker_part_t worker;
    } u;
} dn_peer_t;

typedef struct dn_peers dn_peers_t;

/*  Owned; NULL when memory is short. `seed`: a number that no peer is told. */
dn_peers_t *dn_peers_new (uint32_t clients_max, uint32_t workers_max, uint64_t seed);
void        dn_peers_destroy (dn_peers_t **self_p);

/*  Borrowed, until the peer is removed; NULL when there is none. */
dn_peer_t *dn_peers_get (const dn_peers_t *self, dn_handle_t peer);
dn_peer_t *dn_peers_by_link (const dn_peers_t *self, dn_link_t link);
dn_peer_t *dn_peers_by_session (const dn_peers_t *self, const dn_session_t *session);

/*  A worker by its number; NULL when there is none. */
dn_peer_t *dn_peers_worker (const dn_peers_t *self, uint32_t number);

/*  A new peer without a link; NULL when as many of its role are there as allowed. Borrowed. */
dn_peer_t *dn_peers_add (dn_peers_t *self, dn_role_t role, const dn_session_t *session);

/*  The peer is now reached over this link, and over no other. */
void dn_peers_bind (dn_peers_t *self, dn_peer_t *peer, dn_link_t link, uint32_t link_number);

/*  Asserts that it has no tasks left. */
void dn_peers_remove (dn_peers_t *self, dn_peer_t *peer);

/*  Walk over all peers in the order of their rows: the next at or after row *row, which moves
 *  behind it; NULL at the end. Peers may be removed between steps. */
dn_peer_t *dn_peers_next (const dn_peers_t *self, uint32_t *row);

uint32_t dn_peers_count (const dn_peers_t *self, dn_role_t role);

/*  Assert what must hold of the table. */
void dn_peers_check (const dn_peers_t *self);

#endif
