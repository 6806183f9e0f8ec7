/*  denim.h - the C face of denim: call Python functions that run elsewhere
 *
 *  This is the whole public interface of libdenim. Two classes: a client, which calls tasks through
 *  a manager (denimd), and a reply, which says how one call ended. One table of outcomes and one of
 *  reasons serve the wire, C, Python, the metrics and the manual.
 *
 *  In general: functions return 0 or a negative value, NULL or a pointer; `**` at a call means that
 *  the object is taken and your pointer is NULL after. "Owned" is what you must destroy, "borrowed"
 *  is what you must not, and lasts until the object it came from is destroyed. Strings are UTF-8.
 *
 *  Threads: every function of a client may be called from any thread at the same time, except
 *  denim_client_destroy, after which no other call may be made (denim_client_close first, if others
 *  may be waiting). A reply belongs to one thread at a time. The library never exits, prints, forks
 *  or touches signals, and calls nobody back: it has one thread of its own for each connection, and
 *  ZeroMQ another. A client made before a fork is refused in the child (DENIM_ERR_FORKED): make a
 *  new one there.
 *
 *  Copyright (c) the denim authors. This Source Code Form is subject to the terms of the Mozilla
 *  Public License, v. 2.0. If a copy of the MPL was not distributed with this file, You can obtain
 *  one at https://mozilla.org/MPL/2.0/.
 */
#ifndef DENIM_H
#define DENIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DENIM_VERSION_MAJOR 0
#define DENIM_VERSION_MINOR 1
#define DENIM_VERSION_PATCH 0
#define DENIM_VERSION       "0.1.0"

#if defined(__GNUC__)
#define DENIM_EXPORT __attribute__ ((visibility ("default")))
#else
#define DENIM_EXPORT
#endif

/*  How a call ended: X (number, NAME, what it means). The numbers are the wire's and never
 *  change. */
#define DENIM_OUTCOME_MAP(X)                                                                       \
    X (0, VALUE, "the task returned a value")                                                      \
    X (1, EXCEPTION, "the task raised")                                                            \
    X (2, REJECTED, "refused until the deadline; nothing ran")                                     \
    X (3, UNAVAILABLE, "no manager was reached in time; nothing ran")                              \
    X (4, UNKNOWN_TASK, "no worker has a task of that name; nothing ran")                          \
    X (5, DEADLINE, "the deadline passed")                                                         \
    X (6, TIME_LIMIT, "the run hit its hard limit and was killed")                                 \
    X (7, LOST, "the slot or its host died; the task may have run")                                \
    X (8, POISON, "gave up: the task ended several slots")                                         \
    X (9, CANCELLED, "cancelled by the caller")                                                    \
    X (10, CODEC, "the arguments or the value cannot be encoded or decoded")                       \
    X (11, TOO_LARGE, "the arguments or the value are larger than the manager takes")              \
    X (12, NOT_ALLOWED, "key, service or codec refused")                                           \
    X (13, MISMATCH, "the two sides speak different versions of the protocol")                     \
    X (14, NESTING_TOO_DEEP, "nested calls beyond the bound; nothing ran")

typedef enum {
#define X(number, name, text) DENIM_##name = number,
    DENIM_OUTCOME_MAP (X)
#undef X
        DENIM_OUTCOMES
} denim_outcome_t;

/*  Why something was refused: X (number, NAME, is it tried again, what it means). What is tried
 *  again ends as REJECTED at its deadline; with NO_SERVICE as UNKNOWN_TASK after 5 s, unless the
 *  client was served by it before. FULL is also what the client says at once, as REJECTED, of a
 *  call of a service too many: 256, each level of nesting by itself, may have calls that have not
 *  ended. WINDOW_FULL is Python's; here it is DENIM_ERR_WINDOW. */
#define DENIM_REASON_MAP(X)                                                                        \
    X (0, NONE, false, "no reason given")                                                          \
    X (1, FULL, true, "a table of the manager is full")                                            \
    X (2, BUSY, true, "no slot is free")                                                           \
    X (3, DRAINING, true, "the manager or the worker is shutting down")                            \
    X (4, NO_WORKER, true, "the service is known, but no worker offers it now")                    \
    X (5, NO_SERVICE, true, "no worker has offered this service since the manager started")        \
    X (6, OVER_SHARE, true, "this client holds its share already")                                 \
    X (7, EXPIRED, false, "the task would miss its deadline")                                      \
    X (8, TOO_LARGE, false, "larger than payload_max")                                             \
    X (9, NOT_ALLOWED, false, "this client may not do that")                                       \
    X (10, DEADLOCK, true, "all places are held by callers that wait for this service")            \
    X (11, WINDOW_FULL, false, "the client's own window is full")                                  \
    X (12, VERSION, false, "another version of the protocol")                                      \
    X (13, MALFORMED, false, "a frame that does not decode")                                       \
    X (14, STANDBY, true, "stood by too long behind a busy slot")                                  \
    X (15, CRASH, false, "the slot's process died")                                                \
    X (16, OUT_OF_MEMORY, false, "the slot used more memory than allowed")                         \
    X (17, SHUTDOWN, false, "the worker shut down before the task ended")                          \
    X (18, SILENT, false, "the worker was not heard of any more")                                  \
    X (19, RESTARTED, false, "the worker was killed, and another one has followed it")

typedef enum {
#define X(number, name, retried, text) DENIM_REASON_##name = number,
    DENIM_REASON_MAP (X)
#undef X
        DENIM_REASONS
} denim_reason_t;

/*  How payload frames are encoded; told to the slot, never looked at on the way. */
typedef enum { DENIM_CODEC_JSON = 1, DENIM_CODEC_PICKLE = 2 } denim_codec_t;

typedef enum {
    DENIM_PRIORITY_HIGH = 0,
    DENIM_PRIORITY_NORMAL = 1,
    DENIM_PRIORITY_LOW = 2
} denim_priority_t;

/*  Errors of the functions below (always negative); denim_strerror gives the sentence. */
#define DENIM_ERROR_MAP(X)                                                                         \
    X (-1, ADDRESS, "not an address: write tcp://HOST[:PORT] or ipc://PATH")                       \
    X (-2, FORKED, "this client was made before a fork: make a new one in the child")              \
    X (-3, CLOSED, "the client is closed")                                                         \
    X (-4, WINDOW, "the window is full: as many calls are outstanding as allowed")                 \
    X (-5, ARGUMENT, "an argument is out of its range")                                            \
    X (-6, UNKNOWN, "no such call: it never was, or its answer has been taken")                    \
    X (-7, TIMEOUT, "not within the time given")                                                   \
    X (-8, MEMORY, "out of memory or of descriptors")                                              \
    X (-9, ENCODE, "the arguments cannot be written as JSON")                                      \
    X (-10, INTERRUPTED, "the caller asked to stop waiting")                                       \
    X (-11, UNAVAILABLE, "no manager was reached within the time given")

typedef enum {
#define X(number, name, text) DENIM_ERR_##name = number,
    DENIM_ERROR_MAP (X)
#undef X
        DENIM_ERR_NONE = 0
} denim_error_t;

/*  Names and sentences for the tables above; "?" for a number that is not in the table. Borrowed,
 *  static. Any thread. The pointers of denim_version may be NULL. */
DENIM_EXPORT const char *denim_version (int *major, int *minor, int *patch);
DENIM_EXPORT const char *denim_outcome_name (int outcome);
DENIM_EXPORT const char *denim_outcome_text (int outcome);
DENIM_EXPORT const char *denim_reason_name (int reason);
DENIM_EXPORT const char *denim_reason_text (int reason);
DENIM_EXPORT const char *denim_strerror (int error);

typedef struct denim_client denim_client_t;
typedef struct denim_reply  denim_reply_t;

/*  A call that a task makes is nested: one level deeper than the task. Beyond so many levels it
 *  ends as NESTING_TOO_DEEP. */
#define DENIM_NESTING_MAX  8
#define DENIM_PARENT_BYTES 24

/*  Options of one call. Zero everywhere is the default, so `{0}` or NULL will do. */
typedef struct {
    const char *service;     /* NULL: the part of the task's name before ':' */
    int64_t     deadline_ms; /* length from now until the call must have ended; 0: none */
    int64_t soft_limit_ms; /* run time; then SoftTimeLimit is raised in the task; 0: the worker's */
    int64_t hard_limit_ms; /* run time; then the slot is killed; 0: the worker's */
    int     priority;      /* denim_priority_t + 1; 0: normal */
    int     codec;         /* denim_codec_t; 0: json */
    bool    idempotent;    /* may run twice: after LOST it is submitted again, 3 attempts at most */
    bool    take_later;    /* the answer comes through denim_client_recv of this handle */
    int     depth;         /* levels of nesting: 0, or 1 and more for a call that a task makes */
    const void *parent;    /* DENIM_PARENT_BYTES: session and number of the task that makes it, as
                              SUBMIT has them; copied; NULL: none */
    void       *tag;       /* comes back in the reply; not touched */
} denim_options_t;

/*  One frame of a payload, borrowed from the caller; copied during the call. */
typedef struct {
    const void *bytes;
    size_t      frame_bytes;
} denim_frame_t;

/*  ---- client ---- */

/*  A client of the manager at `address` (NULL: $DENIM_MANAGER, else tcp://127.0.0.1). Nothing is
 *  connected until the first call. Owned; NULL when the address is wrong or memory is short, then
 *  *error (may be NULL) says which. */
DENIM_EXPORT denim_client_t *denim_client_new (const char *address, int *error);

/*  Another handle on the same connection: same window, own answers, own descriptor. Owned; NULL
 *  when memory or descriptors are short. The connection lives until its last handle is
 *  destroyed. */
DENIM_EXPORT denim_client_t *denim_client_dup (denim_client_t *self);

/*  End the calls of this handle as CANCELLED at once (the manager is told), and let every thread
 *  that waits in it return. Answers can still be received; anything new is DENIM_ERR_CLOSED. Twice
 *  is fine. */
DENIM_EXPORT void denim_client_close (denim_client_t *self);

/*  Close and take the handle and the answers that nobody took. With the last handle the connection
 *  goes, within a second. In a child of a fork it only forgets. */
DENIM_EXPORT void denim_client_destroy (denim_client_t **self_p);

/*  Before the first call only; later it is DENIM_ERR_ARGUMENT. `window`: calls that have not ended,
 *  of all handles, at most: 1 to 1,000,000, default 1000. (Answers that nobody took do not count,
 *  so take them: they are kept until then.) `connect_timeout_ms`: a manager not reached once within
 *  it makes calls end as UNAVAILABLE, default 10,000; -1: wait for ever. `name`: shown in status,
 *  default host name and pid; 63 bytes at most. */
DENIM_EXPORT int denim_client_set_window (denim_client_t *self, int window);
DENIM_EXPORT int denim_client_set_connect_timeout (denim_client_t *self, int64_t timeout_ms);
DENIM_EXPORT int denim_client_set_name (denim_client_t *self, const char *name);

/*  Submit a call of `task` ("module:function"). `args` (array or NULL) and `kwargs` (object or
 *  NULL) are borrowed. Waits while the window is full, at most `timeout_ms` (-1: for ever, 0: not
 *  at all). Returns the call's id, > 0, or a negative denim_error_t. */
DENIM_EXPORT int64_t denim_client_submit (denim_client_t *self, const char *task, json_t *args,
                                          json_t *kwargs, const denim_options_t *options,
                                          int64_t timeout_ms);

/*  The same with payload frames that are already encoded in options->codec; 1 to 64 of them. */
DENIM_EXPORT int64_t denim_client_submit_frames (denim_client_t *self, const char *task,
                                                 const denim_frame_t *frames, size_t frames_count,
                                                 const denim_options_t *options,
                                                 int64_t                timeout_ms);

/*  Wait for the answer of call `id` that was submitted through this handle without `take_later`.
 *  Returns the reply, owned, or NULL when `timeout_ms` (-1: for ever) ran out or there is no such
 *  call; *error (may be NULL) says which. A reply is given out once, to one thread. After a timeout
 *  wait again, or denim_client_forget. */
DENIM_EXPORT denim_reply_t *denim_client_wait (denim_client_t *self, int64_t id, int64_t timeout_ms,
                                               int *error);

/*  Submit and wait. Every failure is a reply with its outcome; NULL only when the call could not be
 *  made at all (*error). Owned. callf takes jansson's pack format for the argument list:
 *  denim_client_callf (client, "myapp:add", "[ii]", 2, 3). */
DENIM_EXPORT denim_reply_t *denim_client_call (denim_client_t *self, const char *task, json_t *args,
                                               json_t *kwargs, const denim_options_t *options,
                                               int *error);
DENIM_EXPORT denim_reply_t *denim_client_callf (denim_client_t *self, const char *task,
                                                const char *format, ...);

/*  The next answer among the calls submitted through this handle with `take_later`, in the order in
 *  which they ended; NULL if there is none now. Owned. Never waits. */
DENIM_EXPORT denim_reply_t *denim_client_recv (denim_client_t *self);

/*  Up to `replies_max` of them in one go: returns how many were written to `replies`. Owned. */
DENIM_EXPORT size_t denim_client_recv_many (denim_client_t *self, denim_reply_t **replies,
                                            size_t replies_max);

/*  The same, but waits until there is one, `timeout_ms` (-1: for ever) at most. 0: the time is
 *  over, or the handle is closed and has nothing left to give. One thread at a time. */
DENIM_EXPORT size_t denim_client_recv_wait (denim_client_t *self, denim_reply_t **replies,
                                            size_t replies_max, int64_t timeout_ms);

/*  A descriptor that is readable while denim_client_recv has something to give. Borrowed; for poll,
 *  epoll or select only. */
DENIM_EXPORT int denim_client_fd (denim_client_t *self);

/*  Wish that the call ends: 1 when it had not been sent and ended as CANCELLED at once (its answer
 *  says so), 0 when the wish is on its way (kill: the slot is killed for it) or it has just ended,
 *  negative denim_error_t otherwise. */
DENIM_EXPORT int denim_client_cancel (denim_client_t *self, int64_t id, bool kill);

/*  Cancel the call and drop its answer, whether it is there or would still come. 0 or a
 *  denim_error_t. */
DENIM_EXPORT int denim_client_forget (denim_client_t *self, int64_t id);

/*  1 when a worker is known to have the call and it has not ended, 0 when not, or a
 *  denim_error_t. */
DENIM_EXPORT int denim_client_running (denim_client_t *self, int64_t id);

/*  What the task last said of itself: 1 and it is in *progress, 0 when it has said nothing, or a
 *  denim_error_t. Until its answer is taken. */
typedef struct {
    uint64_t done;
    uint64_t total;     /* 0: not known */
    char     text[256]; /* for people */
} denim_progress_t;

DENIM_EXPORT int denim_client_progress (denim_client_t *self, int64_t id,
                                        denim_progress_t *progress);

/*  Ask the manager (verb "status"; later more). Returns its answer as JSON, owned by the caller;
 *  NULL when it did not come within `timeout_ms` (-1: for ever), and *error says whether there was
 *  nobody to ask. `args` is borrowed and may be NULL. */
DENIM_EXPORT json_t *denim_client_ask (denim_client_t *self, const char *verb, json_t *args,
                                       int64_t timeout_ms, int *error);

/*  What this client knows of itself: address, state ("idle", "connecting", "connected", "lost"),
 *  window, in_flight, waiting, rejected, epoch. Owned JSON object. */
DENIM_EXPORT json_t *denim_client_info (denim_client_t *self);

/*  ---- reply ---- */

DENIM_EXPORT void    denim_reply_destroy (denim_reply_t **self_p);
DENIM_EXPORT int64_t denim_reply_id (const denim_reply_t *self);
DENIM_EXPORT void   *denim_reply_tag (const denim_reply_t *self);
DENIM_EXPORT int     denim_reply_outcome (const denim_reply_t *self); /* denim_outcome_t */
DENIM_EXPORT int     denim_reply_reason (const denim_reply_t *self);  /* denim_reason_t */
DENIM_EXPORT const char *
denim_reply_text (const denim_reply_t *self); /* a sentence; "" with VALUE */
DENIM_EXPORT const char *denim_reply_worker (const denim_reply_t *self); /* its name; "" if none */
DENIM_EXPORT const char *denim_reply_host (const denim_reply_t *self);   /* its host; "" if none */
DENIM_EXPORT int         denim_reply_codec (const denim_reply_t *self);  /* denim_codec_t */
DENIM_EXPORT int denim_reply_signal (const denim_reply_t *self); /* that ended the slot; 0: none */
DENIM_EXPORT int
denim_reply_exit_code (const denim_reply_t *self);             /* of the slot; -1: did not exit */
DENIM_EXPORT bool denim_reply_oom (const denim_reply_t *self); /* it was killed for its memory */
DENIM_EXPORT bool
denim_reply_started (const denim_reply_t *self); /* the task has run, or may have */
DENIM_EXPORT int     denim_reply_attempts (const denim_reply_t *self);
DENIM_EXPORT int64_t denim_reply_run_us (const denim_reply_t *self); /* in the slot */
DENIM_EXPORT int64_t
denim_reply_wait_us (const denim_reply_t *self); /* at the worker, before that */

/*  Payload frames: the value, or the exception as a document. Borrowed; NULL past the last. */
DENIM_EXPORT size_t      denim_reply_frames (const denim_reply_t *self);
DENIM_EXPORT const void *denim_reply_frame (const denim_reply_t *self, size_t index,
                                            size_t *frame_bytes);

/*  The first frame read as JSON; borrowed, NULL if it is none (pickle, no payload). An integer
 *  beyond 64 bits, NaN and lone surrogates, which Python can send, are none for jansson. */
DENIM_EXPORT json_t *denim_reply_json (denim_reply_t *self);

#ifdef __cplusplus
}
#endif
#endif
