/*  session.h - the client's machine: events in, effects out
 *
 *  It owns the task until it has the answer: a call that was submitted here ends exactly once, with
 *  a COMPLETE, whatever happens to links and managers. Its records are in calls, what it holds back
 *  and why in lines and pace. Must never know: sockets, clocks, payloads, threads.
 *
 *  One turn of the shell: for each message that came in, dn_session_input, perform the effects; for
 *  each local request, dn_session_submit and so on, perform the effects; then dn_session_tick,
 *  always, and perform the effects (calls are sent by the tick only, so that a batch of answers
 *  makes a batch of calls); wait until dn_session_deadline_ms at most. A SEND that the socket
 *  refused goes to dn_session_refused, and when the socket takes messages again, dn_session_opened.
 *  One thread.
 *
 *  Effects: SEND, SEND_KEPT (a SUBMIT, with the payload that the shell keeps for that call),
 *  COMPLETE (msg.u.result says how; the payload in hand is the value or the exception if there is
 *  one; the handle is stale from then on, and what was kept or lent for the call may go), PLACED (a
 *  worker has the call, or by `number` 0 not any more), PROGRESS, ANSWER, FRESH, LOG.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SESSION_H
#define DN_SESSION_H

#include "denim.h"

#include "core/effects.h"

#define DN_WINDOW_DEFAULT     1000 /* calls outstanding */
#define DN_WINDOW_MAX         1000000
#define DN_CONNECT_TIMEOUT_MS 10000        /* a manager not reached once by then: UNAVAILABLE */
#define DN_UNKNOWN_GRACE_MS   5000         /* a service never offered: UNKNOWN_TASK by then */
#define DN_HEARTBEAT_MS       1000         /* until WELCOME says otherwise */
#define DN_PAYLOAD_MAX        (64u << 20)  /* bytes; likewise */
#define DN_UNPLACED_BYTES     (1u << 20)   /* on their way without an answer; one call always */
#define DN_ACKS_MAX           64           /* outcomes in one ACK; then it is sent */
#define DN_ACK_BYTES          (256u << 10) /* of outcomes that a worker keeps for us; likewise */
#define DN_ACK_MS             20           /* and after this time; a lost ACK costs a heartbeat */
#define DN_REPEAT_PARTS       10  /* outcomes that earn one more attempt at a call that was lost */
#define DN_ASKS_MAX           16  /* questions without an answer; one more is answered with FULL */
#define DN_GRANTS_MAX         64  /* in one turn; one more is passed on */
#define DN_ADDRESS_ROOM       288 /* bytes of the address, for sentences */

typedef struct {
    dn_session_t id;                 /* random */
    uint64_t     seed;               /* random; told to nobody */
    const char  *name;               /* for people; 63 bytes, a longer one is cut */
    const char  *address;            /* of the manager, for sentences */
    uint32_t     window;             /* calls that have not ended, at most */
    int64_t      connect_timeout_ms; /* negative: for ever */
    int64_t      unknown_grace_ms;
} dn_session_config_t;

/*  What a caller asks for. `service` is copied; `task` and `parent` are borrowed until the call's
 *  COMPLETE has been performed. Within the bounds of messages.def; the shell sees to that. */
typedef struct {
    dn_str_t service;
    dn_str_t task;
    dn_str_t parent; /* session and number of the task that calls, or empty */
    uint8_t  codec;
    uint8_t  priority; /* 0 high, 1 normal, 2 low */
    uint8_t  depth;
    bool     idempotent;
    bool     finish;        /* when the client dies */
    int64_t  deadline_ms;   /* DN_NEVER: none */
    uint32_t soft_limit_ms; /* 0: the worker's */
    uint32_t hard_limit_ms; /* likewise */
    uint64_t payload_bytes;
} dn_request_t;

/*  X (NAME, what `denim_client_info` calls it) */
#define DN_SESSION_LINK_MAP(X)                                                                     \
    X (NONE, "idle")           /* nothing was asked yet, or the manager will not have us */        \
    X (OPENING, "connecting")  /* the socket is fresh and does not take messages yet */            \
    X (GREETING, "connecting") /* HELLO was sent, or will be once the socket takes it */           \
    X (UP, "connected")

typedef enum {
#define X(name, text) DN_SESSION_##name,
    DN_SESSION_LINK_MAP (X)
#undef X
} dn_session_link_t;

typedef struct {
    dn_session_link_t link;
    bool              reached;   /* a manager said WELCOME at least once */
    uint32_t          in_flight; /* calls that have not ended */
    uint32_t          held;      /* those of them that wait here */
    uint64_t          epoch;     /* of the manager; 0: none yet */
    uint64_t          submits;   /* since the start, retries included */
    uint64_t          rejected;  /* of those */
} dn_session_facts_t;

typedef struct dn_session_core dn_session_core_t;

/*  Owned; NULL when memory is short. The tables are allocated here and never grow. */
dn_session_core_t *dn_session_new (const dn_session_config_t *config, int64_t now_ms);
void               dn_session_destroy (dn_session_core_t **self_p);

/*  A call more. 0 and its handle (its COMPLETE may be among the effects already), or -1 when the
 *  window is full. */
int dn_session_submit (dn_session_core_t *self, int64_t now_ms, const dn_request_t *request,
                       dn_handle_t *handle, dn_effects_t *fx);

/*  Wish that a call ends; `kill`: its slot is killed for it. 1 when it had not been sent and ended
 *  as CANCELLED at once, 0 when the wish is on its way, -1 when there is no such call. */
int dn_session_cancel (dn_session_core_t *self, dn_handle_t handle, bool kill, dn_effects_t *fx);

/*  The caller is not there any more: it ends as CANCELLED at once, and the wish is sent after
 *  it. */
void dn_session_abandon (dn_session_core_t *self, dn_handle_t handle, dn_effects_t *fx);

/*  Ask the manager. `question`: a number of the shell's that was not used before; `verb` and `args`
 *  are borrowed until the ANSWER effect, which comes by `deadline_ms` in any case. */
void dn_session_ask (dn_session_core_t *self, uint64_t question, dn_str_t verb, dn_str_t args,
                     int64_t deadline_ms, dn_effects_t *fx);

/*  A message from the manager; its payload, of that many bytes, is in hand. */
void dn_session_input (dn_session_core_t *self, int64_t now_ms, const dn_msg_t *msg,
                       uint64_t payload_bytes, dn_effects_t *fx);

/*  The socket takes messages: a fresh one for the first time, or again after a refusal. */
void dn_session_opened (dn_session_core_t *self, int64_t now_ms, dn_effects_t *fx);

/*  The connection broke, as far as the socket knows. Only makes the FRESH come sooner. */
void dn_session_broken (dn_session_core_t *self);

/*  An effect, SEND or SEND_KEPT, that the socket refused. Appends at most one effect. */
void dn_session_refused (dn_session_core_t *self, int64_t now_ms, const dn_effect_t *effect,
                         dn_effects_t *fx);

/*  The client leaves: all calls end as CANCELLED, the manager is told. Tick until nothing is in
 *  flight. */
void dn_session_close (dn_session_core_t *self, dn_effects_t *fx);

/*  Time has passed, or something happened. Due again at once if there is more than fits in one
 *  turn. */
void    dn_session_tick (dn_session_core_t *self, int64_t now_ms, dn_effects_t *fx);
int64_t dn_session_deadline_ms (const dn_session_core_t *self);

dn_session_facts_t dn_session_facts (const dn_session_core_t *self);

/*  Assert what must hold: the simulator and the tests call it after each step. */
void dn_session_check (const dn_session_core_t *self);

#endif
