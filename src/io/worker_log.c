/*  worker_log.c - the fleet's LOG effects, written
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/worker_private.h"

#include "base/log.h"
#include "denim.h"

#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 8
#define SLOT_TEXT  16

/*  What name, number and length of an event are called. Of an event that is not here they are
 *  `name`, `count` and `ms`, and it is of no slot. */
static const struct {
    const char *event;
    const char *name_key;
    const char *number_key;
    const char *ms_key;
    bool        of_slot;
    bool        of_manager; /* its address is named */
} events[] = {
    {"ready", "name", "slots", NULL, false, true},
    {"manager_back", "name", "slots", NULL, false, true},
    {"manager_lost", NULL, NULL, "silent_ms", false, true},
    {"manager_unreachable", NULL, "tasks", "alone_ms", false, true},
    {"fault", NULL, NULL, NULL, false, true},
    {"task_ended", "task", NULL, NULL, false, false},
    {"outbox_full", NULL, "bytes", NULL, false, false},
    {"answers_dropped", NULL, "answers", NULL, false, false},
    {"draining", "name", "tasks", "timeout_ms", false, false},
    {"slot_backoff", NULL, "deaths", "wait_ms", true, false},
    {"slot_over_memory", NULL, "rss_bytes", NULL, true, false},
    {"slot_garbled", NULL, NULL, NULL, true, false},
    {"preload_off", NULL, "threads", NULL, false, false},
    {"import_failed", "module", NULL, NULL, false, false},
    {"start_failed", NULL, "tries", NULL, false, false},
};

static size_t
find_event (const char *event)
{
    size_t i = 0;
    while (i < sizeof events / sizeof events[0] && strcmp (events[i].event, event) != 0)
        i++;
    return i;
}

void
dn_worker_log (const dn_worker_t *self, const dn_effect_t *effect)
{
    dn_log_field_t field[FIELDS_MAX] = {DN_STR ("event", effect->event)};
    char           slot[SLOT_TEXT];
    size_t         count = 1;

    if (!dn_log_enabled ((dn_log_level_t) effect->level))
        return;
    size_t      row = find_event (effect->event);
    bool        known = row < sizeof events / sizeof events[0];
    const char *name_key = known ? events[row].name_key : "name";
    const char *number_key = known ? events[row].number_key : "count";
    const char *ms_key = known ? events[row].ms_key : "ms";

    if (effect->name && name_key)
        field[count++] = DN_STR (name_key, effect->name);
    if (known && events[row].of_slot) {
        snprintf (slot, sizeof slot, "%u", effect->slot);
        field[count++] = DN_STR ("slot", effect->slot == DN_SLOT_ZYGOTE ? "zygote" : slot);
    }
    if (effect->reason)
        field[count++] = DN_STR ("reason", denim_reason_name (effect->reason));
    if (number_key)
        field[count++] = DN_UINT (number_key, effect->number);
    if (effect->ms >= 0 && ms_key)
        field[count++] = DN_INT (ms_key, effect->ms);
    if (known && events[row].of_manager)
        field[count++] = DN_STR ("manager", self->settings->manager);
    if (effect->text && *effect->text)
        field[count++] = DN_STR (strcmp (effect->event, "ready") == 0 ||
                                         strcmp (effect->event, "manager_back") == 0
                                     ? "services"
                                     : "text",
                                 effect->text);
    dn_log_write ((dn_log_level_t) effect->level, field, count);
}
