/*  effect_log.h - a LOG effect of a core becomes a line of the log
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_EFFECT_LOG_H
#define DN_EFFECT_LOG_H

#include "core/effects.h"

/*  Write the line, if its level is on: event, then the fields that are set. `name_key` says what
 *  the effect's name is of ("worker", "peer"), `number_key` what its number counts. */
void dn_effect_log (const dn_effect_t *effect, const char *name_key, const char *number_key);

#endif
