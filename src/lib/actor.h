/*  actor.h - the thread that owns a connection's socket and session
 *
 *  Owns: the loop, the DEALER, the session core, and which reply is which of the session's calls.
 *  It takes what other threads left in the connection, performs the session's effects, and hands
 *  ended calls to their handles, all of it in batches: the mutex is taken twice a turn. It blocks
 *  all signals.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_ACTOR_H
#define DN_ACTOR_H

#include "lib/connection.h"

/*  Start the thread of a connection, which holds a reference; with the mutex held. 0, or -1 when
 *  memory or threads are short. */
int dn_actor_start (dn_connection_t *connection);

/*  Commands, for dn_connection_command; they run in the actor. `client` and `id` are arguments.
 *
 *  cancel: rc is 1 when it ended at once, else 0, as denim_client_cancel says.
 *  forget: the call ends at once; nobody wants its answer.
 *  abandon: every call of `client` that has not ended ends as CANCELLED. */
void dn_actor_cancel (dn_actor_t *self, dn_command_t *command);
void dn_actor_forget (dn_actor_t *self, dn_command_t *command);
void dn_actor_abandon (dn_actor_t *self, dn_command_t *command);

#endif
