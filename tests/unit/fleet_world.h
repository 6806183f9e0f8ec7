/*  fleet_world.h - a fleet with a false clock, a false manager and false slots, for tests
 *
 *  The world performs what the fleet wants done as its shell does, down to the calls that are made
 *  while effects are performed, and writes down what it did. A test says what happens next and
 *  looks at the notes. Every step asserts what must hold of the fleet.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_FLEET_WORLD_H
#define DN_FLEET_WORLD_H

#include "core/fleet.h"
#include "denim.h"

#define WORLD_LEVELS 4
#define WORLD_NOTES  4096
#define WORLD_TASKS  4096
#define WORLD_SEQS   10000
#define WORLD_SLOTS  8

/*  Something that the fleet wanted done. */
typedef struct {
    dn_fx_kind_t kind;
    dn_kind_t    msg; /* SEND */
    uint32_t     slot;
    uint64_t     number;
    dn_handle_t  handle;
    uint8_t      how;
    uint64_t     seq;     /* of the task: RESULT, REFUSE, RELAY_KEPT */
    uint8_t      outcome; /* RESULT made by the fleet */
    uint8_t      reason;  /* RESULT, REFUSE */
    uint8_t      flags;   /* RESULT */
    uint8_t      signal;
    uint8_t      exit_code;
    uint32_t     wait_us; /* RESULT */
    uint32_t     run_us;
    bool         held;  /* REFUSE */
    uint32_t     slots; /* WORKER_HELLO, OFFER: places; REFUSE: free ones */
    uint32_t     standby;
    uint32_t     lent;      /* WORKER_HELLO, OFFER, HELD */
    uint32_t     blocked;   /* likewise */
    uint32_t     services;  /* WORKER_HELLO, OFFER: how many it names */
    uint32_t     link;      /* WORKER_HELLO */
    uint32_t     rows;      /* WORKER_HELLO: inventory; HELD: tasks */
    uint64_t     mark;      /* HELD */
    uint8_t      states[8]; /* WORKER_HELLO, HELD: of the first rows */
    uint32_t     rosters;   /* WORKER_HELLO: rows of them, */
    uint64_t     epoch[8];  /* and of the first rows */
    uint32_t     version[8];
    uint32_t     forgotten; /* WORKER_HELLO: clients */
    uint32_t     doubtful;  /* WORKER_HELLO: rosters that prove nothing */
    char         text[200];
    char         event[32]; /* LOG */
} note_t;

/*  A task in a false slot. */
typedef struct {
    dn_handle_t handle;
    uint64_t    seq;
    uint32_t    number;
} world_task_t;

typedef struct {
    bool         alive;
    bool         ready;   /* it has said READY */
    bool         doomed;  /* it was killed, or asked to end */
    uint32_t     started; /* as the page says */
    uint32_t     void_upto;
    uint32_t     first; /* of those that were handed and not answered */
    uint32_t     count;
    world_task_t task[WORLD_TASKS];
} world_slot_t;

typedef struct {
    dn_fleet_t     *fleet;
    dn_effects_t   *fx[WORLD_LEVELS];
    int             level;
    int64_t         now_ms;
    bool            full;  /* the socket takes nothing */
    uint32_t        fresh; /* sockets so far */
    uint32_t        link;  /* number of the last HELLO */
    uint64_t        beats;
    const dn_msg_t *in_hand;         /* of the message that is being fed */
    uint64_t     kept[DN_HOLDS_MAX]; /* seq + 1 of what is kept, by row of the handle; 0: nothing */
    bool         answer[DN_HOLDS_MAX]; /* and that is an answer, no task */
    bool         ran[WORLD_SEQS];      /* each task runs once at most: asserted */
    dn_session_t client[WORLD_SEQS];   /* whose it is */
    uint8_t      listed[WORLD_SEQS];   /* state + 1 in the last HELLO or HELD; 0: not in it */
    bool         exited;
    int          exit_code;
    world_slot_t slot[WORLD_SLOTS + 1]; /* the last one is the zygote */
    uint32_t     notes;
    note_t       note[WORLD_NOTES];
} world_t;

extern const dn_session_t world_client;
extern const dn_session_t world_other;

/*  Defaults: 2 slots, 8 standby, no zygote, no limits. */
dn_fleet_config_t world_config (void);

world_t *world_new (const dn_fleet_config_t *config);
void     world_free (world_t *self);

/*  A fleet that is up: slots ready, welcomed. The notes are empty. */
world_t *world_up (const dn_fleet_config_t *config);
world_t *world_up_plain (void); /* with the defaults */

/*  Let so much time pass, a tick whenever one is due. */
void world_pass (world_t *self, int64_t ms);

/*  Call the fleet and perform the effects of that call; all functions below do. */
typedef void (world_call_fn) (world_t *self, const void *arg, dn_effects_t *fx);
void world_call (world_t *self, world_call_fn *fn, const void *arg);

/*  What happens at the slots and at the socket. */
void world_ready (world_t *self, uint32_t slot);
void world_ready_with (world_t *self, uint32_t slot, uint32_t threads);
void world_failed (world_t *self, uint32_t slot);
void world_disconnected (world_t *self);
void world_writable (world_t *self);

/*  A message of the manager. */
void world_feed (world_t *self, const dn_msg_t *msg, uint64_t payload_bytes);
void world_say (world_t *self, dn_kind_t kind); /* without fields */
void world_welcome (world_t *self, uint64_t epoch);
void world_beat (world_t *self, uint64_t epoch, uint64_t mark);
void world_fault (world_t *self, uint8_t reason);
void world_drain (world_t *self, uint32_t timeout_ms);
void world_forget (world_t *self, const dn_session_t *session);
void world_about (world_t *self, dn_kind_t kind, uint64_t seq, uint8_t how); /* CANCEL RESEND */
void world_settle (world_t *self, uint64_t seq);
void world_settle_all (world_t *self, const uint64_t *seq, uint32_t count);

/*  WELCOME or BEAT with a roster of `count` workers whose sessions begin with `first`. */
void world_roster (world_t *self, dn_kind_t kind, uint64_t epoch, uint32_t version, uint8_t first,
                   uint32_t count);

/*  WELCOME or BEAT with clients that are gone, after one that is not known any more if `more`, and
 *  with a roster of that version. */
void world_gone (world_t *self, dn_kind_t kind, uint64_t epoch, uint32_t version,
                 const dn_session_t *clients, uint32_t count, bool more);

/*  RUN: of the usual client, or of any. A number belongs to one client. */
void world_run (world_t *self, uint64_t seq);
void world_run_with (world_t *self, uint64_t seq, const dn_submit_t *fields,
                     uint64_t payload_bytes);
void world_run_of (world_t *self, const dn_session_t *client, uint64_t seq,
                   const dn_submit_t *fields, uint64_t payload_bytes);

/*  Tasks of a client run and are answered, with 10 bytes each. */
void world_run_some (world_t *self, const dn_session_t *client, uint64_t first, uint64_t count);

/*  The slot starts its next task; answers the one that it is at (starting it, if it has not). */
void world_start (world_t *self, uint32_t slot);
void world_answer (world_t *self, uint32_t slot, uint32_t run_us);
void world_obey (world_t *self, uint32_t slot); /* its task says that it was cancelled */
void world_answer_large (world_t *self, uint32_t slot, uint64_t payload_bytes);
void world_result_of (world_t *self, uint32_t slot, uint64_t seq); /* of any task whatever */

/*  LEND or BACK: task `seq` of the slot waits in a nested call, or does not any more. */
void world_waits (world_t *self, uint32_t slot, dn_kind_t kind, uint64_t seq);
void world_waits_of (world_t *self, uint32_t slot, dn_kind_t kind, const dn_session_t *client,
                     uint64_t seq);

/*  Its process ends: wait status. */
void world_exit (world_t *self, uint32_t slot, int status);
void world_exit_oom (world_t *self, uint32_t slot);
#define EXITED(code)   ((code) << 8)
#define SIGNALLED(sig) (sig)

void world_rss (world_t *self, uint32_t slot, uint64_t rss_bytes);

/*  Write one down. */
void world_note (world_t *self, const dn_effect_t *row);

/*  The notes: how many of that kind since the last world_forget_notes; the last one, NULL if
 *  none. */
void          world_forget_notes (world_t *self);
uint32_t      count_of (const world_t *self, dn_fx_kind_t kind);
const note_t *last_of (const world_t *self, dn_fx_kind_t kind);
uint32_t      sent_of (const world_t *self, dn_kind_t kind);
const note_t *last_sent (const world_t *self, dn_kind_t kind);
const note_t *result_of (const world_t *self, uint64_t seq); /* made by the fleet */
const note_t *refusal_of (const world_t *self, uint64_t seq);
bool          relayed (const world_t *self, uint64_t seq);
uint32_t      relays_of (const world_t *self, uint64_t seq); /* how many times */
uint32_t      sends_of (const world_t *self, uint64_t seq);  /* the same, RESULT, REFUSE too */
bool          logged (const world_t *self, const char *event);
uint32_t      kept_count (const world_t *self);
uint32_t      answers_kept (const world_t *self); /* by the shell, so none that the fleet made */

/*  What the fleet holds, as it answers a BEAT: how many tasks. The notes are as before. */
uint32_t held_count (world_t *self, uint64_t epoch);

/*  Tasks in the channel of a false slot, not answered; the slot that has a task, or -1. */
uint32_t in_channel (const world_t *self, uint32_t slot);
int      slot_with (const world_t *self, uint64_t seq);

#endif
