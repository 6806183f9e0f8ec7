/*  inquiry.h - questions to the manager
 *
 *  A question is made by the thread that asks, travels through the actor to the session, and comes
 *  back with an answer or without; the asker may have gone by then. Guarded by the connection's
 *  mutex.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_INQUIRY_H
#define DN_INQUIRY_H

#include "lib/connection.h"

/*  ---- for the asker ---- */

/*  Ask. `args` is JSON text, copied. The question, to be ended by dn_inquiry_end; or NULL and
 *  *error. */
dn_inquiry_t *dn_inquiry_begin (denim_client_t *client, const char *verb, const char *args,
                                int64_t timeout_ms, int *error);

/*  Wait until it is answered, `timeout_ms` at most; false when it is not. */
bool dn_inquiry_wait (denim_client_t *client, dn_inquiry_t *self, int64_t timeout_ms);

/*  Take the answer, JSON text that is terminated and that the caller frees; NULL and *error if
 *  there is none. The question is gone after it. */
char *dn_inquiry_end (denim_client_t *client, dn_inquiry_t *self, int *error);

/*  ---- for the actor ---- */

/*  Hand it to the session, and put it on the list of those that are there. */
void dn_inquiry_submit (dn_inquiry_t *self, dn_inquiry_t **asked, dn_session_core_t *session,
                        dn_effects_t *fx);

/*  Question `number` of that list is answered, with NULL: not, because of `error`. Takes the
 *  mutex. */
void dn_inquiry_answer (dn_connection_t *connection, dn_inquiry_t **asked, uint64_t number,
                        const void *bytes, size_t answer_bytes, int error);

#endif
