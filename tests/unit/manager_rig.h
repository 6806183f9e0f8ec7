/*  manager_rig.h - a manager's machine on a bench, for tests: a false clock and peers made by hand
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_MANAGER_RIG_H
#define DN_MANAGER_RIG_H

#include "core/manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLIENT      101 /* links */
#define OTHER       102
#define WORKER      201
#define WORKER2     202
#define BEAT_MS     1000
#define BENCH_EPOCH 77
#define SETTLING    4 /* beats */

typedef struct {
    dn_manager_t       *core;
    dn_effects_t       *fx; /* of the last call, or of all ticks of the last bench_pass */
    int64_t             now_ms;
    dn_manager_config_t config;
} bench_t;

/*  For cmocka: *state is a bench_t. */
int bench_setup (void **state);
int bench_teardown (void **state);

/*  Another manager, as `config` says by now: nothing is known to it. */
void bench_restart (bench_t *self);

/*  One client, of session 1, and one worker, of session 9, with `slots`. */
bench_t *bench_up (void **state, uint32_t slots);

dn_session_t bench_session (uint8_t n);

/*  Feed a message; the effects of before are gone. */
void bench_feed (bench_t *self, dn_link_t from, const dn_msg_t *msg);
void bench_feed_bytes (bench_t *self, dn_link_t from, const dn_msg_t *msg, uint64_t payload_bytes);

/*  Time goes on, then ticks while they are due. _live: so many beats, in which all peers at the
 *  links above say something that changes nothing. */
void bench_pass (bench_t *self, int64_t ms);
void bench_live (bench_t *self, int beats);

/*  The n-th effect that sends a message of this kind to that link; NULL if there is none. */
const dn_effect_t *bench_sent (bench_t *self, dn_link_t to, dn_kind_t kind, int n);
int                bench_count (bench_t *self, dn_link_t to, dn_kind_t kind);
bool               bench_relayed (bench_t *self, dn_link_t to);

/*  Reason of the REJECT to that link, outcome of the RESULT made for it; -1: none. */
int bench_reason (bench_t *self, dn_link_t to);
int bench_outcome (bench_t *self, dn_link_t to);

/*  Rows of all SETTLED to that link; whether one of them is this task. */
uint32_t bench_settled (bench_t *self, dn_link_t to);
bool     bench_settled_has (bench_t *self, dn_link_t to, uint8_t client, uint64_t seq);

/*  Records, and whether that session is in a roster (of WELCOME or BEAT). */
uint32_t bench_records (bench_t *self);
bool     bench_named (dn_list_t roster, uint8_t who);

/*  What peers say. Tasks are of attempt 1, sessions of one byte. */
typedef struct {
    uint32_t               slots;
    uint8_t                instance;
    bool                   draining;
    const dn_row_held_t   *held;
    int                    helds;
    const dn_row_roster_t *roster;
    int                    rosters;
    const uint8_t         *forgotten; /* sessions, up to a 0 */
} bench_hello_t;

void bench_hello (bench_t *self, dn_link_t link, uint8_t who, uint32_t number,
                  const bench_hello_t *hello);
void bench_client (bench_t *self, dn_link_t link, uint8_t who, uint32_t number);
void bench_worker (bench_t *self, dn_link_t link, uint8_t who, uint32_t number, uint32_t slots);
void bench_bye (bench_t *self, dn_link_t from);
void bench_submit (bench_t *self, dn_link_t from, uint64_t seq);

/*  A task as its client may submit it, its first try; what is left out is 0, so of high
 *  priority. */
typedef struct {
    uint64_t    seq;
    uint32_t    deadline_ms;
    uint32_t    held;
    uint64_t    grant;
    uint8_t     priority;
    uint8_t     depth;
    uint8_t     parent;     /* session of the task that makes the call, of one byte; 0: none, */
    uint64_t    parent_seq; /* and its number */
    const char *service;    /* NULL: app */
    uint64_t    bytes;      /* of its payload */
} bench_ask_t;

void bench_ask (bench_t *self, dn_link_t from, bench_ask_t what);
void bench_submit_to (bench_t *self, dn_link_t from, uint64_t seq, const char *service);
void bench_result (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq, uint8_t outcome,
                   uint32_t run_us);
void bench_result_bytes (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq,
                         uint8_t outcome, uint32_t run_us, uint64_t bytes);
void bench_refuse (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq, uint8_t reason,
                   bool held);
void bench_ack (bench_t *self, dn_link_t from, uint64_t seq);
void bench_open (bench_t *self, dn_link_t from, uint64_t mark, const dn_row_open_t *calls,
                 int count, uint64_t upto);
/*  So many tasks of CLIENT run at WORKER, each for so long, and end. */
void bench_run_some (bench_t *self, int count, uint32_t run_us);
/*  HELD says that its places are as they were. */
void bench_held (bench_t *self, dn_link_t from, uint64_t mark, const dn_row_held_t *tasks,
                 int count);

/*  Rows of lists: a call of that number under this boot's first term, a task that is held. */
dn_row_open_t bench_call (uint64_t seq);
dn_row_held_t bench_row (uint8_t client, uint64_t seq, uint8_t state);

/*  The mark of the last BEAT to that link. */
uint64_t bench_mark (bench_t *self, dn_link_t link);

#endif
