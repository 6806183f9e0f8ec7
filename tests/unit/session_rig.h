/*  session_rig.h - a session without a shell, for tests: what it wants done is kept to be looked at
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SESSION_RIG_H
#define DN_SESSION_RIG_H

#include "core/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RIG_ROWS 8192

typedef struct {
    dn_session_core_t *session;
    dn_effects_t      *fx;
    int64_t            now_ms;
    bool               no_ticks;      /* messages that come in a row: rig_input does not tick */
    dn_effect_t        row[RIG_ROWS]; /* all effects since rig_forget; lists in them are stale */
    uint32_t           rows;
    char               text[RIG_ROWS][160]; /* of a COMPLETE */
} rig_t;

/*  Defaults that a test may change before rig_open. */
dn_session_config_t rig_config (void);

void rig_open (rig_t *rig, const dn_session_config_t *config);
void rig_close (rig_t *rig);

/*  Keep what is in the effects, check the session, and begin anew. */
void rig_take (rig_t *rig);

/*  Drop the effects kept so far. */
void rig_forget (rig_t *rig);

/*  Time goes on by so much, then a tick. */
void rig_tick (rig_t *rig, int64_t ms);

/*  Tick whenever it is due, until so much time has passed. */
void rig_run (rig_t *rig, int64_t ms);

/*  A message from the manager, and a tick, unless `no_ticks`. */
void rig_input (rig_t *rig, const dn_msg_t *msg);

/*  The usual way up: FRESH, opened, HELLO, WELCOME with that epoch and term. */
void rig_welcome (rig_t *rig, uint64_t epoch, uint32_t term);

/*  Submit with defaults; `deadline_ms` from now, 0: none. Ticks. */
dn_handle_t  rig_submit (rig_t *rig, const char *service, int64_t deadline_ms);
dn_handle_t  rig_request (rig_t *rig, const dn_request_t *request);
dn_request_t rig_default (const char *service);

/*  The n-th kept effect of a kind (and message kind, 0: any), NULL if there are fewer. */
const dn_effect_t *rig_find (const rig_t *rig, dn_fx_kind_t kind, dn_kind_t msg, unsigned n);
unsigned           rig_count (const rig_t *rig, dn_fx_kind_t kind, dn_kind_t msg);

/*  The last SUBMIT of a call, which must be there. */
dn_submit_t rig_sent (const rig_t *rig, dn_handle_t handle);

/*  Its COMPLETE: outcome, or -1 while there is none. Asserts that there is one at most. */
int                rig_outcome (const rig_t *rig, dn_handle_t handle);
const dn_result_t *rig_result (const rig_t *rig, dn_handle_t handle);
const char        *rig_text (const rig_t *rig, dn_handle_t handle);

/*  Answers to the last SUBMIT of a call. */
void rig_answer (rig_t *rig, dn_handle_t handle, denim_outcome_t outcome, denim_reason_t reason);
void rig_reject (rig_t *rig, dn_handle_t handle, denim_reason_t reason);
void rig_known (rig_t *rig, dn_handle_t handle);
void rig_missing (rig_t *rig, dn_handle_t handle, bool never);
void rig_beat (rig_t *rig, uint64_t epoch, uint64_t mark);

#endif
