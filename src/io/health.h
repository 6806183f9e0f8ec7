/*  health.h - a worker says how it is to whoever asks on its host, with no manager between them
 *
 *  Owns: the socket's name, who may ask, and how both ends speak. A worker listens on the abstract
 *  unix stream socket `denim-worker-UID-PID`; such a name is no file and goes with its process. It
 *  answers each connection with one JSON object and closes it; nothing is read. Who asks finds the
 *  names in /proc/net/unix, so the host is what shares a network namespace. Only the worker's own
 *  user and root are answered, and only an answer of the name's own user is believed. Must never
 *  know: what is in the object.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_HEALTH_H
#define DN_HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/*  Limits, and what happens there. */
#define DN_HEALTH_BYTES_MAX (64 * 1024) /* of an answer; a longer one is none */
#define DN_HEALTH_ANSWER_MS 1000        /* until an answer is there whole, then it is given up */
#define DN_HEALTH_ASKED_MAX 256         /* workers; those beyond are not asked */

/*  Whose socket it is; the numbers of its name. */
typedef struct {
    uid_t uid;
    pid_t pid;
} dn_health_name_t;

/*  ---- the worker's end: nothing waits ---- */

/*  A descriptor that listens under the name of this process; owned. -errno. */
int dn_health_listen (void);

/*  The next connection; owned. -EAGAIN: there is none now; -EACCES: there was one, of another user,
 *  and it is closed; -errno. */
int dn_health_accept (int listener);

/*  Send all of `text` at once and close `fd`, which is taken. 0; -EMSGSIZE: the socket had no room
 *  for all of it; -errno. */
int dn_health_say (int fd, const char *text);

/*  ---- the end that asks ---- */

/*  Whether a line of /proc/net/unix is that of a worker's listening socket; then *name. */
bool dn_health_parse (const char *line, dn_health_name_t *name);

/*  Ask the workers of this host, one after the other: those of this user, or all if that is root.
 *  An array with what each of them says; of one that gives no answer there is an object with its
 *  "pid" and an "error". Owned; NULL when memory is short. */
json_t *dn_health_ask_all (void);

#endif
