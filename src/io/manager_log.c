/*  manager_log.c - the manager's LOG effects, written
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/manager_log.h"

#include "base/log.h"
#include "denim.h"

#include <string.h>

#define FIELDS_MAX 6

/*  What name, number, length and text of an event are called; NULL: it has none. */
typedef struct {
    const char *event;
    const char *name_key;
    const char *number_key;
    const char *ms_key; /* a length of 0 is not written: there was no silence */
    const char *text_key;
} event_t;

static const event_t events[] = {
    {"worker_ready", "worker", "slots", NULL, "host"},
    {"worker_quiet", "worker", "tasks", "silent_ms", NULL},
    {"worker_draining", "worker", "tasks", NULL, NULL},
    {"worker_gone", "worker", "tasks_lost", "silent_ms", NULL},
    {"client_hello", "client", "link", NULL, NULL},
    {"client_gone", "client", "tasks", "silent_ms", NULL},
    {"version_refused", NULL, NULL, NULL, "text"},
    {"peer_refused", NULL, NULL, NULL, "text"},
    {"services_full", "worker", "services", NULL, "text"},
    {"malformed", "peer", "frames", NULL, "text"},
    {"draining", NULL, "tasks", NULL, NULL},
};

static const event_t *
find_event (const char *event)
{
    static const event_t other = {NULL, "name", "count", "ms", "text"};

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (strcmp (events[i].event, event) == 0)
            return &events[i];
    return &other;
}

void
dn_manager_log (const dn_effect_t *effect)
{
    dn_log_level_t level = (dn_log_level_t) effect->level;
    dn_log_field_t field[FIELDS_MAX] = {DN_STR ("event", effect->event)};
    size_t         count = 1;

    if (!dn_log_enabled (level))
        return;
    const event_t *row = find_event (effect->event);
    if (row->name_key && effect->name && *effect->name)
        field[count++] = DN_STR (row->name_key, effect->name);
    if (effect->reason)
        field[count++] = DN_STR ("reason", denim_reason_name (effect->reason));
    if (row->number_key)
        field[count++] = DN_UINT (row->number_key, effect->number);
    if (row->ms_key && effect->ms > 0)
        field[count++] = DN_INT (row->ms_key, effect->ms);
    if (row->text_key && effect->text && *effect->text)
        field[count++] = DN_STR (row->text_key, effect->text);
    dn_log_write (level, field, count);
}
