/*  fleet.h - the fleet: a worker's slots, the tasks that it holds, and its link to the manager
 *
 *  Owns: which task goes to which slot and when; limits, cancels, deaths and restarts; what is
 *  refused; what the manager is told. Pure: no socket, no process, no clock, no log, no allocation
 *  after _new. Its shell (src/io/worker.c) feeds it what happened, with the time, and performs the
 *  effects of each call, in order, before it calls again; three calls are made while effects are
 *  being performed (_sent, _refused, _taken_back), and the effects of those at once, too.
 *
 *  Places: the slots, and standby places behind them. A task of a service whose tasks are measured
 *  (see services.h) and tiny goes into a slot's channel while others are there; any other goes to
 *  an idle slot. What has not started is the supervisor's still: it is taken back when the task
 *  before it turns out long, when the slot dies, when it is cancelled.
 *
 *  A task that waits in a nested call lends its place to tasks of other levels of nesting: see
 *  fleet_lend.c.
 *
 *  Must never know: what is in a payload, how a process is made. One thread at a time.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_FLEET_H
#define DN_FLEET_H

#include "core/effects.h"
#include "core/slots.h"

/*  Limits, and what happens there. */
#define DN_CHANNEL_TASKS   64   /* in a slot's channel: the next one stands by */
#define DN_CHANNEL_WORK_US 1000 /* measured work there, likewise */
#define DN_CHANNEL_NUMBER_MAX                                                                      \
    0x7fffff00                     /* tasks of one process: it is replaced; signals carry 31 bits */
#define DN_LEND_MS          1      /* wait in a nested call after which the place is lent */
#define DN_SPARE_MS         10000  /* from the last change of lent places to the end of a spare */
#define DN_TAKE_BACK_MS     3      /* run of a task after which those behind it are taken back */
#define DN_PLACES_MAX       6000   /* slots and standby together: more standby is not announced */
#define DN_FORGOTTEN_MAX    1000   /* clients that it was told to forget; the oldest goes */
#define DN_BARREN_MS        1000   /* a process that ended sooner, with no answer, was barren */
#define DN_BARREN_FREE      3      /* barren ones in a row that are replaced at once */
#define DN_BACKOFF_MS       100    /* wait after that, doubled each time … */
#define DN_BACKOFF_MAX_MS   5000   /* … up to this */
#define DN_START_TRIES      3      /* of the very first process, then the worker gives up */
#define DN_START_MAX_MS     600000 /* from start to READY, then it is killed */
#define DN_OFFER_MS         100    /* between two OFFERs; what changes in between waits */
#define DN_HEARTBEAT_MS     1000   /* until WELCOME says otherwise */
#define DN_STANDBY_MS       100    /* likewise */
#define DN_EXPIRED_GRACE_MS 100    /* from the interrupt at a deadline to the kill */
#define DN_LEAVE_MS         1000   /* for processes that were asked to end, then they are killed */

typedef struct {
    char         name[64]; /* of the worker, for people */
    char         host[64];
    char         apps[256]; /* module names for sentences, cut to fit */
    uint32_t     pid;
    dn_session_t session;  /* random, for the life of the process */
    dn_session_t instance; /* the same over restarts; zero: none */
    uint64_t     seed;     /* random: hashes, and the length of silence */
    uint32_t     slots;
    uint32_t     standby; /* tasks beyond those, at most */
    uint32_t     nesting; /* tasks nested less deep lend their places; 0: no place is lent */
    bool         preload; /* a zygote imports the app and forks the slots */
    bool         allow_pickle;
    int64_t      soft_limit_ms; /* for tasks that bring none; 0: none */
    int64_t      hard_limit_ms;
    int64_t      grace_ms;      /* from a soft cancel, from SIGTERM, to the kill */
    uint64_t     rss_max;       /* bytes; 0: no limit */
    uint32_t     recycle_tasks; /* 0: never */
    uint64_t     outbox_bytes;  /* of answers that are kept: beyond them no task is taken */
} dn_fleet_config_t;

/*  How a process ended. */
typedef struct {
    int      status;  /* as wait gives it; -1: nobody can say */
    uint32_t started; /* number of the task of its channel that was started last */
    bool     oom;     /* the system killed it because memory was short */
} dn_slot_exit_t;

/*  How the worker is, for whoever asks on its host. */
typedef struct {
    bool     connected;    /* a manager has taken it in, and is not known to be gone */
    bool     draining;     /* it takes no task any more */
    int64_t  alone_ms;     /* so long no manager has answered; -1: one does, or none was asked */
    uint32_t slots;        /* as configured, */
    uint32_t busy;         /* those that have a task; more for a moment when lent places return */
    uint32_t lent;         /* tasks beside those that wait in nested calls */
    uint32_t standby;      /* tasks that have not ended, beyond all those */
    uint32_t answers;      /* that are kept until their clients have acknowledged them, */
    uint64_t answer_bytes; /* and their bytes */
} dn_fleet_health_t;

typedef struct dn_fleet dn_fleet_t;

/*  Processes that it may have at a time, without the zygote: of the slots, and for each level of
 *  nesting as many more; DN_SLOT_ROWS_MAX bounds the levels. They are the numbers of the slots in
 *  all that follows. */
uint32_t dn_fleet_rows (const dn_fleet_config_t *config);

/*  Owned; NULL when memory is short. */
dn_fleet_t *dn_fleet_new (const dn_fleet_config_t *config);
void        dn_fleet_destroy (dn_fleet_t **self_p);

/*  Once, first: start the zygote, or slot 0. FRESH comes when there is something to offer. */
void dn_fleet_start (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  ---- the manager ---- */

/*  A message; its payload, of that many bytes, is in hand with its header. */
void dn_fleet_input (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, uint64_t payload_bytes,
                     dn_effects_t *fx);

/*  The connection is gone, as far as the system can tell. */
void dn_fleet_disconnected (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  While this is true the shell waits for the socket to take a message, too, and then calls
 *  _writable. */
bool dn_fleet_wants_writable (const dn_fleet_t *self);
void dn_fleet_writable (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  Right after a SEND, RELAY or RELAY_KEPT was performed: it went (only if it has a handle), or the
 *  socket did not take it. */
void dn_fleet_sent (dn_fleet_t *self, dn_handle_t handle, dn_effects_t *fx);
void dn_fleet_refused (dn_fleet_t *self, const dn_effect_t *effect, dn_effects_t *fx);

/*  ---- the slots: 0 to rows - 1, or DN_SLOT_ZYGOTE ---- */

/*  A message of a slot; its payload is in hand with its header, together of that many bytes. */
void dn_fleet_from_slot (dn_fleet_t *self, int64_t now_ms, uint32_t slot, const dn_msg_t *msg,
                         uint64_t bytes, dn_effects_t *fx);

/*  What came from a slot is no message: it cannot be trusted any more. */
void dn_fleet_slot_garbled (dn_fleet_t *self, int64_t now_ms, uint32_t slot, dn_effects_t *fx);

/*  Right after a TAKE_BACK was performed: the number of the task that was started last. */
void dn_fleet_taken_back (dn_fleet_t *self, int64_t now_ms, uint32_t slot, uint32_t started,
                          dn_effects_t *fx);

/*  Its process has ended, and all that it had sent has been fed. */
void dn_fleet_exited (dn_fleet_t *self, int64_t now_ms, uint32_t slot, const dn_slot_exit_t *exited,
                      dn_effects_t *fx);

/*  A START_ZYGOTE, FORK or EXEC could not be performed: there is no process. */
void dn_fleet_start_failed (dn_fleet_t *self, int64_t now_ms, uint32_t slot, dn_effects_t *fx);

/*  Resident bytes of a slot, of the zygote, or of the supervisor itself (`slot` = rows). */
void dn_fleet_rss (dn_fleet_t *self, int64_t now_ms, uint32_t slot, uint64_t rss_bytes,
                   dn_effects_t *fx);

/*  ---- all the rest ---- */

/*  SIGTERM or SIGINT: drain for the grace; the second one: leave now. */
void dn_fleet_signal (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  Time has passed; inputs come first. Due at the deadline, harmless before it. */
void    dn_fleet_tick (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);
int64_t dn_fleet_deadline_ms (const dn_fleet_t *self);

/*  The task that runs in a slot, as far as is known; NULL: none. Borrowed until the next call. */
const dn_hold_t *dn_fleet_task_in (const dn_fleet_t *self, uint32_t slot);

/*  What it offers: the name of service `row`, NULL past the last. Borrowed. */
const char *dn_fleet_service (const dn_fleet_t *self, uint32_t row);

/*  How it is now. */
void dn_fleet_health (const dn_fleet_t *self, int64_t now_ms, dn_fleet_health_t *health);

/*  Assert what must hold between calls. */
void dn_fleet_check (const dn_fleet_t *self);

#endif
