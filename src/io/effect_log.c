/*  effect_log.c - LOG effects, written
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/effect_log.h"

#include "base/log.h"
#include "denim.h"

void
dn_effect_log (const dn_effect_t *effect, const char *name_key, const char *number_key)
{
    dn_log_level_t level = (dn_log_level_t) effect->level;
    if (!dn_log_enabled (level))
        return;
    dn_log_field_t field[6] = {DN_STR ("event", effect->event)};
    size_t         count = 1;
    if (effect->name && *effect->name)
        field[count++] = DN_STR (name_key, effect->name);
    if (effect->reason)
        field[count++] = DN_STR ("reason", denim_reason_name (effect->reason));
    if (effect->number)
        field[count++] = DN_UINT (number_key, effect->number);
    if (effect->ms >= 0)
        field[count++] = DN_INT ("silent_ms", effect->ms);
    if (effect->text && *effect->text)
        field[count++] = DN_STR ("text", effect->text);
    dn_log_write (level, field, count);
}
