/*  sim.h - a cluster in one process: the real cores, a false clock, a false
 * network, false slots
 *
 *  One manager that may restart, workers with slots, clients with calls. A seed decides all that
 * happens, bit for bit. The files: agenda.c keeps time, net.c carries frames, manager.c, worker.c
 * and client.c are the shells of the three cores, slots.c are the processes of a worker, nest.c the
 * calls that tasks make there, ledger.c knows what must hold of calls, turns.c of waiters and
 * grants, view.c looks at those, starve.c counts who is served before them, faults.c decides what
 * goes wrong, trace.c remembers what happened, play.c is one history from its seed to its end,
 * main.c reads options and counts.
 *
 *  Whatever does not hold goes to sim_fail, which does not return: it ends the
 * history.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SIM_H
#define DN_SIM_H

#include "core/fleet.h"
#include "core/manager.h"
#include "core/session.h"
#include "core/waiters.h"
#include "denim.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/queue.h>

#define SIM_CALLERS   5  /* clients that are programs, */
#define SIM_INNER     27 /* and those of slots whose tasks call, over the whole history */
#define SIM_CLIENTS   (SIM_CALLERS + SIM_INNER)
#define SIM_WORKERS   24 /* processes, over the whole history */
#define SIM_SLOTS     4
#define SIM_NESTING   3        /* levels of nested calls in a history, at most */
#define SIM_ROWS      12       /* slots of a worker, with those that work in lent places */
#define SIM_ZYGOTE    SIM_ROWS /* row of the zygote among the processes of a worker */
#define SIM_PLANNED   160      /* calls of all programs */
#define SIM_CALLS     (SIM_PLANNED + 140) /* and with those that tasks make */
#define SIM_ATTEMPTS  8                   /* of a call; a core makes fewer */
#define SIM_LINKS     4000                /* connections, over the whole history */
#define SIM_SERVICES  3                   /* that workers offer; one more has no worker */
#define SIM_WAITING   (SIM_CLIENTS * DN_CLIENT_WAITERS)
#define SIM_LEVELS    5    /* calls into a fleet while its effects are performed */
#define SIM_CHANNEL   80   /* tasks in the channel of one process; a core sends 64 */
#define SIM_EFFECTS   400  /* of one event, at most: what a history can cause is small */
#define SIM_TURNS_MAX 4000 /* of one process in a row with nothing to do */
#define SIM_LIVENESS  3    /* beats until a peer is quiet, and of settling */
#define SIM_BASE_MS   1000 /* on the clock of the cores when a history begins */
#define SIM_START_MS  400  /* of a process that imports the app, at most */
#define SIM_NEVER     INT64_MAX

#define SIM_CLIENT_BYTE 0xc0u /* the session of client 0 begins so */

typedef struct sim sim_t;

/*  ---- what can go wrong ---- */

/*  X (NAME, option, what it is) */
#define SIM_FAULT_MAP(X)                                                                           \
    X (KILL_MANAGER, "kill-manager", "the manager is killed and comes back")                       \
    X (FLAP_MANAGER, "flap-manager", "twice in a short time")                                      \
    X (FREEZE_MANAGER, "freeze-manager", "the manager stands still")                               \
    X (DRAIN_MANAGER, "drain-manager", "the manager takes no more tasks, until it is restarted")   \
    X (FORGET, "forget",                                                                           \
       "a client is cut off until it is forgotten, and then the manager restarts")                 \
    X (ABSENT, "absent", "a worker is cut off while the manager restarts, and after that")         \
    X (KILL_WORKER, "kill-worker", "a worker is killed")                                           \
    X (FREEZE_WORKER, "freeze-worker", "a supervisor stands still, its slots do not")              \
    X (DRAIN_WORKER, "drain-worker", "a worker is asked to leave")                                 \
    X (KILL_CLIENT, "kill-client", "a client is killed")                                           \
    X (FREEZE_CLIENT, "freeze-client", "a client stands still")                                    \
    X (BYE_CLIENT, "bye-client", "a client leaves")                                                \
    X (RESET, "reset", "a connection breaks")                                                      \
    X (HALF, "half", "a connection is dead and nobody is told")                                    \
    X (BLOCK, "block", "nothing gets through to a host for a while, or from it")                   \
    X (BOTH, "both", "the manager and a worker are killed together")                               \
    X (LOSE, "lose", "single frames are lost")                                                     \
    X (REFUSE, "refuse", "sockets refuse frames")                                                  \
    X (UNSEEN, "unseen", "a break of a connection is not always noticed")                          \
    X (FLAKY, "flaky", "connections break when they have just been made")                          \
    X (SLOW, "slow", "frames take long, of some peers in one way or both")                         \
    X (FULL, "full", "the manager has few records")                                                \
    X (CRASH, "crash", "tasks end their slots, processes fail to start")                           \
    X (CANCEL, "cancel", "callers cancel and abandon")                                             \
    X (DEADLINE, "deadline", "calls have deadlines")                                               \
    X (LIMIT, "limit", "calls have time limits, answers that are too large")

typedef enum {
#define X(name, option, text) SIM_FAULT_##name,
    SIM_FAULT_MAP (X)
#undef X
        SIM_FAULTS
} sim_fault_t;

/*  ---- random numbers ---- */

/*  splitmix64 by Sebastiano Vigna (public domain,
 * https://prng.di.unimi.it/splitmix64.c). */
typedef struct {
    uint64_t state;
} sim_random_t;

static inline uint64_t
sim_random_next (sim_random_t *self)
{
    uint64_t z = self->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/*  ---- agenda.c: what happens when ---- */

typedef void (sim_event_fn) (sim_t *sim, uint64_t a, uint64_t b);

typedef struct {
    int64_t       at_us;
    uint64_t      order; /* of two at the same time, that which was asked for first */
    sim_event_fn *fn;
    uint64_t      a, b;
} sim_event_t;

typedef struct {
    sim_event_t *heap;
    uint32_t     count;
    uint32_t     room;
    uint64_t     order;
} sim_agenda_t;

void sim_agenda_clear (sim_agenda_t *self);
void sim_agenda_free (sim_agenda_t *self);
void sim_at (sim_t *sim, int64_t at_us, sim_event_fn *fn, uint64_t a, uint64_t b);

/*  Do all that is due by then. */
void sim_run_until (sim_t *sim, int64_t end_us);

/*  ---- net.c: frames, connections, sockets ---- */

typedef enum { SIM_NOTHING, SIM_ARGUMENTS, SIM_VALUE, SIM_RAISED } sim_body_t;

/*  What stands for a payload: its size, and whose it is. */
typedef struct {
    sim_body_t body;
    uint16_t   call; /* row in the ledger */
    uint16_t   attempt;
    uint64_t   bytes;
} sim_payload_t;

typedef struct sim_frame {
    LIST_ENTRY (sim_frame) of_all;
    TAILQ_ENTRY (sim_frame) of_queue;
    int64_t       at_us;  /* when it arrives */
    uint64_t      number; /* of its way, from 1 */
    uint32_t      link;
    sim_payload_t payload;
    uint32_t      header_bytes;
    uint8_t       header[];
} sim_frame_t;

LIST_HEAD (sim_frame_list, sim_frame);
TAILQ_HEAD (sim_frame_queue, sim_frame);
typedef struct sim_frame_queue sim_frame_queue_t;

enum { SIM_UP, SIM_DOWN, SIM_WAYS };

typedef struct {
    sim_frame_queue_t queue;
    uint64_t          sent;
    uint64_t          came;
    int64_t           last_us; /* when the last one arrives: no frame overtakes another */
    int64_t           armed_us;
    bool              dead;   /* what is sent vanishes, and nobody knows */
    bool              closed; /* its receiver is gone */
} sim_way_t;

typedef struct {
    uint32_t  node;   /* the peer's */
    uint32_t  socket; /* number of the peer's socket */
    uint32_t  boot;   /* of the manager */
    bool      left;   /* the peer has closed it */
    bool      known;  /* and the manager's socket knows */
    sim_way_t way[SIM_WAYS];
} sim_link_t;

/*  The socket of a client or worker. */
typedef struct {
    uint32_t          number; /* of those it had; 0: none yet */
    bool              open;
    uint32_t          link;    /* 0: not connected */
    int64_t           full_us; /* it takes nothing until then */
    bool              broken;  /* the connection broke, and it was noticed */
    sim_frame_queue_t in;
} sim_socket_t;

sim_frame_t *sim_frame_new (sim_t *sim, const void *header, size_t header_bytes,
                            const sim_payload_t *payload);
sim_frame_t *sim_frame_msg (sim_t *sim, const dn_msg_t *msg, const sim_payload_t *payload);
sim_frame_t *sim_frame_dup (sim_t *sim, const sim_frame_t *frame);
void         sim_frame_free (sim_frame_t **self_p);
void         sim_queue_clear (sim_frame_queue_t *self);

/*  A fresh socket of that peer, which begins to connect; what it had is closed.
 */
void sim_socket_fresh (sim_t *sim, uint32_t node);

/*  Close it. `linger`: what was sent still arrives. */
void sim_socket_close (sim_t *sim, uint32_t node, bool linger);
bool sim_socket_takes (const sim_t *sim, const sim_socket_t *self);

/*  Send; the frame is taken in any case. 0, -EAGAIN, or -EHOSTUNREACH. */
int sim_send_up (sim_t *sim, uint32_t node, sim_frame_t *frame);
int sim_send_down (sim_t *sim, uint32_t link, sim_frame_t *frame);

/*  The connection of a peer breaks; is dead in these ways from now on. */
void sim_net_reset (sim_t *sim, uint32_t node);
void sim_net_half (sim_t *sim, uint32_t node, bool up, bool down);

/*  Nothing is blocked any more. */
void sim_net_unblock (sim_t *sim);

/*  The manager's sockets are gone. */
void sim_net_manager_gone (sim_t *sim);
void sim_net_clear (sim_t *sim);

/*  ---- processes ---- */

typedef enum { SIM_ROLE_MANAGER, SIM_ROLE_WORKER, SIM_ROLE_CLIENT } sim_role_t;

enum { SIM_NODE_MANAGER = 0, SIM_NODE_CLIENTS = 1, SIM_NODE_WORKERS = 1 + SIM_CLIENTS };
#define SIM_NODES (SIM_NODE_WORKERS + SIM_WORKERS)

/*  What manager, worker and client have in common. */
typedef struct {
    sim_role_t   role;
    char         name[8];
    bool         alive;
    int64_t      frozen_us; /* stands still until then */
    int64_t      turn_us;   /* its next turn; SIM_NEVER: none */
    uint32_t     idle;      /* turns in a row in which nothing happened */
    int64_t      blocked_us[SIM_WAYS];
    int64_t      slow_us[SIM_WAYS]; /* frames take up to so much longer */
    sim_socket_t socket;
    bool         was_frozen;
    bool         was_gone;     /* a manager has said so */
    int64_t      hurt_us;      /* what went wrong with it is felt until then */
    uint32_t     greeted_boot; /* of the manager that said WELCOME to it last, */
    int64_t      greeted_us;   /* and when */
    uint64_t     heard_boots;  /* worker: managers whose WELCOME it has heard, a bit each */
} sim_node_t;

/*  See that a turn comes by then. */
void sim_turn_by (sim_t *sim, uint32_t node, int64_t at_us);

/*  The deadline of a core is the next turn. */
void sim_turn_due (sim_t *sim, uint32_t node, int64_t deadline_ms);

typedef struct {
    dn_manager_t     *core;
    dn_effects_t     *fx;
    dn_effects_t     *undo;
    uint32_t          boot;  /* how often it was started */
    bool              few;   /* its table of tasks is small */
    sim_frame_queue_t in[2]; /* of clients, of workers */
    sim_frame_t      *hand;
    uint64_t          epoch[64]; /* of each boot, by its number modulo 64 */
    int64_t           up_us;     /* since when */
    uint32_t          forgot;    /* clients that it has given up, as it tells workers, a bit each */
} sim_manager_t;

void sim_manager_start (sim_t *sim);
void sim_manager_kill (sim_t *sim);

/*  The number of the boot of that epoch. */
uint32_t sim_manager_boot_of (const sim_t *sim, uint64_t epoch);
void     sim_manager_turn (sim_t *sim);
void     sim_manager_drain (sim_t *sim);
void     sim_manager_free (sim_t *sim);

/*  A process of a worker: the zygote or a slot. */
typedef struct {
    sim_frame_t *frame; /* header and arguments, as handed */
    uint32_t     number;
} sim_task_t;

typedef struct {
    bool       alive;
    bool       ready;
    bool       by_zygote;
    bool       stopping;
    uint32_t   life;      /* number of the process: events of earlier ones are late */
    uint32_t   started;   /* the page: last number claimed, */
    uint32_t   void_upto; /* and what may not start any more */
    uint32_t   count;
    sim_task_t task[SIM_CHANNEL];
    bool       running;
    uint16_t   call; /* that runs */
    uint16_t   attempt;
    uint32_t   run;     /* number of the run: an end of an earlier one is late */
    uint32_t   client;  /* its own, by row, as long as it lives; SIM_CLIENTS: none yet */
    uint32_t   rounds;  /* of calls that the task makes yet */
    uint32_t   waits;   /* for so many of them */
    int64_t    left_us; /* that it runs besides */
    uint8_t    forced;  /* outcome that an interrupt made of it; 0: none */
    int64_t    last_us; /* of what it said */
} sim_process_t;

/*  What a worker's loop finds besides the manager's messages. */
typedef enum { SIM_SAYS, SIM_EXITS, SIM_FAILS } sim_word_kind_t;

typedef struct sim_word {
    LIST_ENTRY (sim_word) of_all;
    TAILQ_ENTRY (sim_word) of_queue;
    sim_word_kind_t kind;
    uint32_t        row;
    sim_frame_t    *frame;
    dn_slot_exit_t  exited;
} sim_word_t;

LIST_HEAD (sim_word_list, sim_word);
TAILQ_HEAD (sim_word_queue, sim_word);

typedef struct {
    dn_fleet_t           *core;
    dn_effects_t         *fx[SIM_LEVELS];
    int                   level;
    dn_fleet_config_t     config;
    uint32_t              instance; /* number of the worker that it is the successor of, or is */
    uint8_t               services; /* a bit each */
    sim_frame_t         **kept;     /* DN_HOLDS_MAX, by row of the handle */
    uint32_t              kept_count;
    sim_frame_t          *hand;
    bool                  moved; /* what was in hand is kept now */
    struct sim_word_queue words;
    sim_process_t         process[SIM_ROWS + 1];
    uint32_t              signals; /* to be told */
    bool                  drained;
    bool                  asked; /* to drain, by a message that may be lost or late */
    bool                  exits;
    uint32_t              held; /* tasks in its last HELD */
    uint32_t heard_of[64];      /* by boot of the manager: workers on its rosters, a bit each */
    uint64_t given;             /* boots of the manager that gave it a task, a bit each */
    uint32_t told;              /* clients of whom it was told that they are forgotten, likewise */
    uint32_t greeting;          /* link of its last HELLO */
} sim_worker_t;

/*  A worker more, with these services. `like`: one of the same instance, or
 * SIM_WORKERS. */
void sim_worker_start (sim_t *sim, uint8_t services, uint32_t like);
void sim_worker_kill (sim_t *sim, uint32_t worker);
void sim_worker_turn (sim_t *sim, uint32_t worker);
void sim_worker_free (sim_t *sim, uint32_t worker);

/*  ---- slots.c ---- */

void     sim_process_start (sim_t *sim, uint32_t worker, uint32_t row, dn_fx_kind_t how);
void     sim_process_hand (sim_t *sim, uint32_t worker, uint32_t row, const sim_frame_t *frame,
                           uint32_t number);
uint32_t sim_process_take_back (sim_t *sim, uint32_t worker, uint32_t row, uint32_t number);
void     sim_process_interrupt (sim_t *sim, uint32_t worker, uint32_t row, uint32_t number,
                                uint8_t how);
void     sim_process_kill (sim_t *sim, uint32_t worker, uint32_t row);
void     sim_process_stop (sim_t *sim, uint32_t worker, uint32_t row);

/*  A call that its task made has ended. */
void sim_process_wake (sim_t *sim, uint64_t process, uint64_t run);

/*  The supervisor is gone, and its processes with it. */
void sim_processes_end (sim_t *sim, uint32_t worker);

/*  The next word for a supervisor, NULL when there is none; the caller frees
 * it. */
sim_word_t *sim_word_take (sim_worker_t *worker);
void        sim_word_free (sim_word_t **self_p);
void        sim_words_clear (sim_t *sim);

/*  ---- clients ---- */

typedef enum { SIM_ASK_SUBMIT, SIM_ASK_CANCEL, SIM_ASK_KILL, SIM_ASK_ABANDON } sim_ask_t;

typedef struct {
    sim_ask_t what;
    uint16_t  call;
} sim_request_t;

typedef struct {
    dn_session_core_t *core;
    dn_effects_t      *fx;
    dn_session_t       id;
    uint32_t           window;
    bool               deaf;
    bool               leaves; /* is to say goodbye */
    bool               left;
    sim_frame_t       *hand;
    bool               inner;          /* of a slot */
    int64_t            ended_us;       /* it was killed, or left */
    uint16_t           out[SIM_CALLS]; /* call + 1 by row of the handle; 0: none */
    sim_request_t      request[4 * SIM_CALLS];
    uint32_t           requests; /* in it, of this turn */
} sim_client_t;

void sim_client_start (sim_t *sim, uint32_t client);
void sim_client_kill (sim_t *sim, uint32_t client);
void sim_client_turn (sim_t *sim, uint32_t client);
void sim_client_ask (sim_t *sim, uint32_t client, sim_ask_t what, uint16_t call);
void sim_client_free (sim_t *sim, uint32_t client);

/*  The client of this session; none: SIM_CLIENTS or more. */
static inline uint32_t
sim_client_of (const dn_session_t *session)
{
    return session->bytes[0] - SIM_CLIENT_BYTE;
}

/*  Those in a list of sessions, a bit each. */
uint32_t sim_clients_in (dn_list_t sessions);

#include "ledger.h"

/*  ---- nest.c: calls that tasks make ---- */

/*  How often the task of this call is to call and wait. */
uint32_t sim_nest_rounds (sim_t *sim, const sim_process_t *process);

/*  The task that runs in this process makes some calls; how many it waits for. Those that it does
 *  not wait for go on when it ends, as long as the process lives. */
uint32_t sim_nest_call (sim_t *sim, sim_process_t *process, uint64_t packed);

/*  It does not wait for them any more: they are cancelled, abandoned, or left behind. */
void sim_nest_leave (sim_t *sim, const sim_process_t *process, uint64_t packed);

/*  A call has ended: who waits for it is told. */
void sim_nest_ended (sim_t *sim, const sim_call_t *call);

/*  The process ends; `bye`: its client leaves in good order. */
void sim_nest_end (sim_t *sim, sim_process_t *process, bool bye);

#include "turns.h"

/*  ---- starve.c: who is kept out by others ---- */

/*  A waiter, and tasks of its level and of other services that were placed since it has this
 *  ticket, at workers that could have taken its own. */
typedef struct {
    uint64_t ticket;
    unsigned depth;
    uint32_t tasks;
    uint32_t own;   /* those of its client */
    uint32_t older; /* waiters with an older ticket, at most at a time since then */
    uint32_t ahead; /* places there that were granted before */
} sim_kept_out_t;

typedef struct {
    dn_handle_t    client;  /* whose message it is */
    uint32_t       service; /* by its number there, */
    uint8_t        depth;   /* and level of the task that comes; DN_LEVELS_MAX: none does */
    uint32_t       placed[SIM_WORKERS]; /* tasks of each worker before that, by its number there */
    uint32_t       count;
    sim_kept_out_t kept_out[SIM_WAITING];
} sim_starve_t;

/*  A manager more; before its tick (NULL), or a message; after the tick, or a SUBMIT. */
void sim_starve_start (sim_t *sim);
void sim_starve_before (sim_t *sim, uint32_t link, const dn_msg_t *msg);
void sim_starve_after (sim_t *sim);

/*  ---- faults.c ---- */

void sim_faults_plan (sim_t *sim);
void sim_faults_heal (sim_t *sim);
bool sim_faulty (const sim_t *sim, sim_fault_t fault);

/*  A worker is given its first task, a client is given up, a worker may let go of what is of one
 *  that was: in fateful histories the manager may die a moment later, and the worker with it. */
typedef enum { SIM_MOMENT_GIVES, SIM_MOMENT_FORGETS, SIM_MOMENT_RELEASES } sim_moment_t;

void sim_faults_moment (sim_t *sim, sim_moment_t moment, uint32_t worker);

/*  May any frame be late or lost, without a fault that has a time? */
bool sim_faults_unsure (const sim_t *sim);

/*  Has nothing gone wrong, or not for a while? */
bool sim_faults_calm (const sim_t *sim);

extern const char *const sim_fault_option[SIM_FAULTS];

/*  ---- trace.c ---- */

/*  Note what happened: to whom, what (a static text), two numbers, and a
 * message if there is one. */
void sim_note (sim_t *sim, uint32_t node, const char *what, uint64_t a, uint64_t b,
               const void *header, size_t header_bytes);
void sim_trace_print (const sim_t *sim);
void sim_trace_clear (sim_t *sim);
void sim_trace_free (sim_t *sim);

/*  It does not hold. `format` makes the reason; its first words, up to the
 * colon, are its class. */
__attribute__ ((noreturn, format (printf, 2, 3))) void sim_fail (sim_t *sim, const char *format,
                                                                 ...);

/*  ---- all of it ---- */

#define SIM_NOTES  200 /* remembered; how many of them are printed is an option */
#define SIM_REASON 400

typedef struct {
    int64_t     at_us;
    uint32_t    node;
    const char *what;
    uint64_t    a, b;
    uint8_t    *header;
    size_t      header_bytes;
    size_t      header_room;
} sim_note_t;

typedef struct {
    uint32_t off;  /* faults that do not happen, a bit each */
    uint32_t last; /* notes printed after a failure */
    bool     verbose;
    bool     lasting; /* each history, as sim_t says */
    bool     nested;  /* likewise */
    bool     leaving; /* each that is nested, likewise */
    bool     mixed;   /* each, as sim_t says */
    bool     shared;  /* in each clients have a share, as sim_t says */
    bool     fateful; /* each, as sim_t says */
} sim_options_t;

typedef struct {
    uint64_t turns;
    uint64_t frames;
    uint64_t ends[DENIM_OUTCOMES];
    uint32_t effects_max;
    uint64_t grants;                  /* places that were granted */
    uint64_t excused;                 /* told never, and ran: the stated limit */
    uint64_t nested[SIM_NESTING + 1]; /* tasks that ran, by their level, in histories of those */
    uint64_t waits;                   /* of those for calls of theirs */
    uint64_t left;                    /* calls that they made and did not wait for */
    uint32_t skipped_max;             /* see sim_row_t; while nothing goes wrong */
    uint32_t kept_out_max;            /* see sim_kept_out_t; likewise */
} sim_counts_t;

struct sim {
    sim_options_t         options;
    sim_counts_t          counts;
    uint64_t              seed;
    sim_random_t          random;
    uint64_t              digest; /* of all notes */
    int64_t               now_us;
    int64_t               heal_us; /* from then on nothing goes wrong */
    bool                  healed;
    uint32_t              heartbeat_ms;
    double                lose; /* share of frames */
    double                refuse;
    double                flaky; /* share of new connections */
    bool                  slow;
    uint32_t              faults;           /* that have a time */
    bool                  lasting;          /* so long that clients are forgotten */
    bool                  fateful;          /* few calls, and the manager dies when it matters */
    bool                  crowded;          /* all want the same at the same time */
    bool                  mixed;            /* a flood of short tasks, and long ones of others */
    uint32_t              share;            /* percent of the slots for one client; 0: all */
    uint32_t              nesting;          /* levels of calls that tasks make */
    bool                  tiny;             /* with those: all tasks are short, and stand by */
    bool                  leaving;          /* likewise: they do not wait for all of their calls */
    bool                  ending;           /* tasks that start make none any more */
    uint8_t               settled_services; /* that had a worker from the beginning */
    sim_agenda_t          agenda;
    struct sim_frame_list frames;
    struct sim_word_list  words;
    sim_link_t           *link; /* SIM_LINKS, from 1 */
    uint32_t              links;
    sim_node_t            node[SIM_NODES];
    sim_manager_t         manager;
    sim_turns_t           turns;
    sim_starve_t          starve;
    uint32_t              workers; /* started so far */
    sim_worker_t          worker[SIM_WORKERS];
    uint32_t              callers; /* the first of */
    uint32_t              clients; /* so far */
    sim_client_t          client[SIM_CLIENTS];
    uint32_t              calls;
    sim_call_t            call[SIM_CALLS];
    uint32_t              workers_ended; /* killed, left, or called gone by a manager */
    uint32_t              notes;
    sim_note_t            note[SIM_NOTES];
    sigjmp_buf            end;
    char                  reason[SIM_REASON];
};

/*  A call more of that client, which asks for it at that time; NULL when there are enough. */
sim_call_t *sim_plan_call (sim_t *sim, uint32_t client, int64_t at_us);

/*  One history: true if all holds, else `reason` says what does not. */
bool sim_play (sim_t *sim, uint64_t seed);
void sim_free (sim_t *sim);

static inline int64_t
sim_now_ms (const sim_t *sim)
{
    return sim->now_us / 1000 + SIM_BASE_MS;
}

/*  A number below `sides`; from `low` to `high`; true with that probability. */
static inline uint32_t
sim_dice (sim_t *sim, uint32_t sides)
{
    return (uint32_t) ((sim_random_next (&sim->random) >> 32) * sides >> 32);
}

static inline int64_t
sim_between (sim_t *sim, int64_t low, int64_t high)
{
    return low + (int64_t) (sim_random_next (&sim->random) % (uint64_t) (high - low + 1));
}

static inline bool
sim_chance (sim_t *sim, double share)
{
    return (double) (sim_random_next (&sim->random) >> 11) < share * 0x1p53;
}

#define SIM_MS(ms) ((int64_t) (ms) *1000)

#endif
