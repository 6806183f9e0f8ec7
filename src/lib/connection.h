/*  connection.h - what the threads of a program and the actor of its connection share
 *
 *  Owns: the mutex, and everything below that is said to be guarded by it; the pool of replies; the
 *  life of the connection. A *reply* is the library's record of one call: a request until the call
 *  has ended, its answer from then on, and a free row after denim_reply_destroy. Must never know:
 *  sockets and the session, which are the actor's alone.
 *
 *  Who has a reply, has its plain fields: the submitting thread until it is QUEUED, the actor while
 *  it is QUEUED, OUT or on its way to ENDED, the receiving thread once it is GIVEN. What everybody
 *  may ask about at any time is guarded.
 *
 *  Nothing here takes signals or keeps globals: raw libzmq in a context of the connection's own,
 *  and no czmq (it would take SIGINT and SIGTERM from the program, and own one context for all of
 *  it).
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_CONNECTION_H
#define DN_CONNECTION_H

#include "denim.h"

#include "core/session.h"
#include "io/address.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <zmq.h>

#define DN_TASK_ROOM         256  /* bytes of a task's name with its end */
#define DN_SERVICE_NAME_ROOM 128  /* likewise of a service's */
#define DN_REPLY_FEW         2    /* frames that a reply holds without further memory */
#define DN_REPLIES_CHUNK     64   /* replies that are allocated at a time */
#define DN_INDEX_BITS        24   /* of an id: which reply; the rest says which use of it */
#define DN_GOODBYE_MS        1000 /* destroying the last handle takes this long at most */

typedef struct dn_connection dn_connection_t;
typedef struct dn_actor      dn_actor_t;

/*  X (NAME, who has it) */
#define DN_REPLY_STATE_MAP(X)                                                                      \
    X (FREE, "the pool")                                                                           \
    X (MAKING, "the thread that submits it")                                                       \
    X (QUEUED, "the actor, which has not seen it yet")                                             \
    X (OUT, "the actor, and a call of its session")                                                \
    X (ENDED, "its handle, until somebody takes it")                                               \
    X (GIVEN, "the program")

typedef enum {
#define X(name, text) DN_REPLY_##name,
    DN_REPLY_STATE_MAP (X)
#undef X
} dn_reply_state_t;

struct denim_reply {
    /* guarded */
    int64_t           id; /* of this use; 0: FREE */
    dn_reply_state_t  state;
    denim_client_t   *client;            /* whose call it is */
    pthread_cond_t   *waiter;            /* of the thread that waits for it; NULL: none */
    bool              placed;            /* a worker has it */
    bool              forgotten;         /* nobody wants the answer any more */
    denim_progress_t *progress;          /* owned; NULL: the task has said nothing */
    TAILQ_ENTRY (denim_reply) of_client; /* from QUEUED to ENDED */

    /* whose it is */
    dn_connection_t *connection;
    uint32_t         index;      /* in the pool, for ever */
    uint64_t         generation; /* of this use */
    denim_reply_t   *next;       /* on the one list that it is on */
    dn_handle_t      handle;     /* OUT: of the session */
    void            *tag;
    bool             take_later;
    unsigned         frames; /* of the request, and then of the answer */
    zmq_msg_t       *frame;  /* `few`, or owned */
    zmq_msg_t        few[DN_REPLY_FEW];

    /* the request */
    int64_t  deadline_ms; /* DN_NEVER: none */
    uint32_t soft_limit_ms;
    uint32_t hard_limit_ms;
    uint8_t  priority; /* as on the wire */
    uint8_t  codec;    /* and that of the answer */
    bool     idempotent;
    uint8_t  depth;
    uint8_t  parent_bytes; /* 0: no task makes it */
    char     parent[DENIM_PARENT_BYTES];
    char     service[DN_SERVICE_NAME_ROOM];
    char     task[DN_TASK_ROOM];

    /* the answer */
    uint8_t  outcome;
    uint8_t  reason;
    uint8_t  signal;
    bool     oom;
    bool     started;
    int      exit_code;
    int      attempts;
    uint32_t run_us;
    uint32_t wait_us;
    char    *text; /* owned; NULL: none */
    json_t  *json; /* owned; made when it is asked for */
    char     worker[64];
    char     host[64];
};

TAILQ_HEAD (dn_reply_list, denim_reply);

struct denim_client {
    dn_connection_t *connection;
    /* guarded */
    bool                 closed;
    uint32_t             busy;    /* threads that wait in it */
    struct dn_reply_list calls;   /* QUEUED, OUT and ENDED */
    denim_reply_t       *answers; /* ENDED with take_later, the first that ended first */
    denim_reply_t      **answers_end;
    pthread_cond_t       answered;  /* `answers` is not empty any more, or it was closed */
    bool                 receiving; /* a thread waits for that */
    int                  fd;        /* an eventfd */
    bool                 fd_used;   /* somebody looks at it */
    bool                 fd_readable;
};

/*  A thing for the actor to do in its own thread, for a thread that waits for it. */
typedef struct dn_command {
    void (*run) (dn_actor_t *actor, struct dn_command *command);
    denim_client_t    *client;
    int64_t            id;
    bool               kill;
    int                rc;
    bool               done; /* guarded */
    struct dn_command *next;
} dn_command_t;

/*  A question that is on its way. Freed by whoever lets go of it last. */
typedef struct dn_inquiry {
    uint64_t number;
    char     verb[32];
    char    *args; /* owned; JSON */
    int64_t  deadline_ms;
    /* guarded */
    bool               answered;
    bool               dropped; /* the asker has gone */
    char              *answer;  /* owned; JSON; NULL: none came */
    size_t             answer_bytes;
    int                error; /* denim_error_t when there is none */
    struct dn_inquiry *next;
} dn_inquiry_t;

struct dn_connection {
    atomic_uint               references; /* handles, the actor, replies that are GIVEN */
    const uint8_t            *here; /* a page that is wiped in the child of a fork: 1, or 0 there */
    dn_address_t              address;
    char                      address_text[DN_ENDPOINT_MAX];
    _Atomic (denim_reply_t *) returned; /* destroyed replies, to be put on the free list */

    pthread_mutex_t mutex;
    /* guarded by it */
    uint32_t           handles; /* that are not closed */
    bool               started; /* the actor runs: what follows is fixed */
    int64_t            connect_timeout_ms;
    char               name[64];
    uint32_t           window;
    uint32_t           outstanding; /* calls that have not ended */
    uint32_t           window_waiters;
    pthread_cond_t     window_open;
    denim_reply_t    **chunks; /* of DN_REPLIES_CHUNK */
    uint32_t           chunks_count;
    denim_reply_t     *free_replies;
    denim_reply_t     *queued; /* for the actor, in order */
    denim_reply_t    **queued_end;
    dn_command_t      *commands;  /* likewise, the last first */
    dn_inquiry_t      *inquiries; /* likewise */
    uint64_t           inquiries_made;
    pthread_cond_t     done;    /* a command was, an ask was answered, the actor has ended */
    bool               asleep;  /* the actor must be woken */
    bool               leaving; /* the last handle goes */
    bool               left;    /* the actor has ended, but for its last reference */
    pthread_t          thread;  /* the actor's */
    int                wake_fd; /* an eventfd */
    dn_session_facts_t facts;   /* as of the actor's last turn */
};

/*  ---- life ---- */

/*  Owned; NULL and *error. It has one handle. */
denim_client_t *dn_connection_new (const char *address, int *error);

/*  Another handle; NULL when memory or descriptors are short, or all others are closed. */
denim_client_t *dn_connection_handle (dn_connection_t *self);

/*  A handle was closed: with the last one the actor ends, within DN_GOODBYE_MS. */
void dn_connection_leave (dn_connection_t *self);

/*  Free a handle that is closed and has no calls and answers left. */
void dn_connection_drop (denim_client_t *client);

void dn_connection_hold (dn_connection_t *self, unsigned references);
void dn_connection_release (dn_connection_t *self);

/*  0, DENIM_ERR_FORKED or DENIM_ERR_CLOSED. Whoever holds the mutex may rely on it. */
int dn_connection_usable (const denim_client_t *client);

/*  Is this another process than the one that made it? Costs a load. */
bool dn_connection_forked (const dn_connection_t *self);

/*  ---- all below: with the mutex held ---- */

/*  Start the actor if it does not run yet: 0, or DENIM_ERR_MEMORY. */
int dn_connection_start (dn_connection_t *self);

/*  Wake the actor if it sleeps. */
void dn_connection_wake (dn_connection_t *self);

/*  Wait for a condition, until `deadline_ms` at most: false when that has passed. */
bool dn_connection_wait (dn_connection_t *self, pthread_cond_t *condition, int64_t deadline_ms);

/*  A free reply, MAKING, with a new id; NULL when memory is short. */
denim_reply_t *dn_connection_take (dn_connection_t *self);

/*  The reply with this id; NULL when it was taken or never was. */
denim_reply_t *dn_connection_find (dn_connection_t *self, int64_t id);

/*  Put a reply on the free list; its contents have been cleared (dn_reply_clear). */
void dn_connection_put (dn_connection_t *self, denim_reply_t *reply);

/*  Have the actor run a command, and wait until it has. The actor must be there: it is while a call
 *  has not ended. */
void dn_connection_command (dn_connection_t *self, dn_command_t *command);

/*  A call has ended: hand it to its handle. Returns it when nobody wants it. */
denim_reply_t *dn_connection_deliver (dn_connection_t *self, denim_reply_t *reply);

/*  ---- replies ---- */

/*  Let go of all that a reply holds: frames, texts. By whose it is. */
void dn_reply_clear (denim_reply_t *self);

/*  Make room for so many frames, all of them empty: 0, or DENIM_ERR_MEMORY. */
int dn_reply_frames_new (denim_reply_t *self, size_t frames);

void dn_reply_frames_clear (denim_reply_t *self);

/*  ---- time ---- */

int64_t dn_now_ms (void);

/*  The point that is `timeout_ms` from now; DN_NEVER for a negative one. */
int64_t dn_point_ms (int64_t timeout_ms);

#endif
