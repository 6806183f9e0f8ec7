/*  turns.h - whose turn it is: what the simulator notes of waiters and grants
 *
 *  A part of sim.h, which includes it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SIM_TURNS_H
#define DN_SIM_TURNS_H

#define SIM_GRANTS     512 /* that are out at the same time, at most */
#define SIM_DEAF_BEATS 2   /* of silence, after which the manager passes a client over */
#define SIM_DEPTHS     (SIM_NESTING + 1)
#define SIM_RANKS      (DN_PRIORITIES * SIM_DEPTHS) /* of rows of a client and service */

/*  Of a row: by priority, and within it the shallowest first. */
static inline int
sim_rank (unsigned priority, unsigned depth)
{
    return (int) (priority * SIM_DEPTHS + depth);
}

/*  A GRANT as it was told. */
typedef struct {
    uint64_t number;
    uint8_t  client;
    uint8_t  service;
    uint8_t  priority;
    uint8_t  depth;
    bool     doubtful; /* some of the grants of its row were withdrawn, and which nobody knows */
    uint32_t count;    /* places that were not taken up yet */
    uint32_t shrunk;   /* how often its service had lost places until then */
    uint64_t ticket;   /* that its row had; 0: not known */
    int64_t  expires_ms;
} sim_grant_t;

/*  A waiter of the manager, as it was after the last event. */
typedef struct {
    bool     there;
    bool     queued;
    bool     heard; /* its client can answer, and takes a place */
    bool     heavy; /* a slot, but none behind it: it has many bytes out */
    uint64_t ticket;
    uint32_t granted;
    uint16_t
        outranked;    /* levels of those that go after it and were granted a place in this event */
    uint32_t passed;  /* places given to younger ones of its ring since it was granted one */
    uint32_t skipped; /* to younger ones of its service */
    uint32_t older;   /* rows with an older ticket, at most at a time since then */
    int64_t  stalled_us; /* since when there is a free place for it; SIM_NEVER: there is none */
} sim_row_t;

/*  A worker, likewise. */
typedef struct {
    uint8_t  offers; /* a bit for each service */
    bool     usable; /* by the manager, now */
    uint32_t slots;  /* with those that are lent, */
    uint32_t own;    /* and without: as many are for each level of nested calls */
    uint32_t standby_max;
    uint32_t standby[SIM_SERVICES]; /* places behind them, for this service */
    uint32_t placed, used;          /* places: taken up; and those that are reserved */
    uint32_t level[DN_LEVELS_MAX];  /* of the latter, by the level of their tasks */
} sim_place_t;

typedef struct {
    sim_row_t   row[SIM_CLIENTS][SIM_SERVICES][SIM_RANKS];
    sim_place_t place[SIM_WORKERS];
} sim_view_t;

typedef struct {
    uint32_t    count;
    sim_grant_t grant[SIM_GRANTS];
    uint32_t    expired_count;
    sim_grant_t expired[SIM_GRANTS]; /* in this event */
    bool        late[SIM_CLIENTS];   /* a grant of it has expired, and it was not heard since */
    uint32_t    shrunk[SIM_SERVICES];
    int64_t     looked_us; /* at what stalls */
    uint64_t    served;    /* turns that the manager had given before this event */
    uint32_t    told;      /* GRANTs that were told in it; the last one is this: */
    sim_grant_t last;
    bool        refused; /* a socket did not take what was told in it: a grant is withdrawn */
    bool        granted; /* the SUBMIT in hand names a grant of this client */
    bool        assured; /* within its lease, and its place must be there still */
    sim_view_t  view;
} sim_turns_t;

/*  ---- view.c ---- */

extern const char *const sim_service[SIM_SERVICES];

void sim_view_take (sim_t *sim, sim_view_t *view);

/*  Is there a place more for a task that is nested so deep, if so many may stand by? */
bool sim_place_has_room (const sim_place_t *place, uint8_t depth, uint32_t standby);

/*  ---- turns.c ---- */

/*  A manager more. */
void sim_turns_start (sim_t *sim);

/*  Before an event of the manager: a message over this link, or (NULL) a tick. */
void sim_turns_before (sim_t *sim, uint32_t link, const dn_msg_t *msg);

/*  What it tells in it. */
void sim_turns_tell (sim_t *sim, const dn_effect_t *effect);

/*  After it, when all effects are performed; after a turn. */
void sim_turns_after (sim_t *sim, uint32_t link, const dn_msg_t *msg);
void sim_turns_look (sim_t *sim);

/*  No call is left: nobody waits, nothing is reserved. */
void sim_turns_close (sim_t *sim);

#endif
