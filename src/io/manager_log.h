/*  manager_log.h - a LOG effect of the manager becomes a line of denimd's log
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_IO_MANAGER_LOG_H
#define DN_IO_MANAGER_LOG_H

#include "core/effects.h"

/*  Write the line, if its level is on. */
void dn_manager_log (const dn_effect_t *effect);

#endif
