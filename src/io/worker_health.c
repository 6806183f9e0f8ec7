/*  worker_health.c - how the worker is, for whoever asks on its host
 *
 *  When no manager answers this is what is left to look at. It must cost nothing else: what cannot
 *  be said at once is not said.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/worker_private.h"

#include "base/log.h"
#include "io/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ACCEPTS_MAX 4 /* in one turn; the others wait for the next one */

void
dn_worker_open_health (dn_worker_t *self)
{
    self->health = dn_health_listen ();
    if (self->health < 0)
        dn_log (DN_LOG_WARN, "no_health", DN_STR ("text", strerror (-self->health)));
    dn_worker_watch_health (self);
}

void
dn_worker_watch_health (dn_worker_t *self)
{
    if (self->health >= 0)
        dn_worker_watch (self, self->health, DN_WATCH_HEALTH, 0, EPOLLIN);
}

static json_t *
list_services (const dn_worker_t *self)
{
    json_t     *names = json_array ();
    const char *name;

    for (uint32_t i = 0; (name = dn_fleet_service (self->fleet, i)); i++)
        json_array_append_new (names, json_string (name));
    return names;
}

/*  The keys that the manager's status has for a worker, too, mean the same. Owned; NULL when memory
 *  is short. */
static char *
describe (const dn_worker_t *self)
{
    dn_fleet_health_t health;

    dn_fleet_health (self->fleet, self->now_ms, &health);
    json_t *root =
        json_pack ("{s:s, s:I, s:s, s:b, s:o, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                   self->name, "pid", (json_int_t) getpid (), "manager", self->settings->manager,
                   "connected", health.connected, "unreachable_ms",
                   health.alone_ms < 0 ? json_null () : json_integer ((json_int_t) health.alone_ms),
                   "draining", health.draining, "services", list_services (self), "slots",
                   (json_int_t) health.slots, "busy", (json_int_t) health.busy, "lent",
                   (json_int_t) health.lent, "standby", (json_int_t) health.standby, "answers",
                   (json_int_t) health.answers, "answer_bytes", (json_int_t) health.answer_bytes);
    char *text = root ? json_dumps (root, JSON_COMPACT) : NULL;
    json_decref (root);
    return text;
}

static void
answer (dn_worker_t *self, int fd)
{
    char *text = describe (self);
    int   rc = dn_health_say (fd, text ? text : "");

    if (rc < 0)
        dn_log (DN_LOG_DEBUG, "health_unsaid", DN_STR ("text", strerror (-rc)));
    free (text);
}

void
dn_worker_hear_health (dn_worker_t *self)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = dn_health_accept (self->health);
        if (fd >= 0)
            answer (self, fd);
        else if (fd == -EAGAIN)
            return;
        else if (fd != -EACCES && fd != -EINTR && fd != -ECONNABORTED) {
            dn_worker_unwatch (self, self->health); /* no descriptor is left: at the next look */
            return;
        }
    }
}
