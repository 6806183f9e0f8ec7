/*  manager.h - the shell of the manager: two doors, one loop
 *
 *  Owns: the sockets and when they are read. Reads what has come, hands it to the core, performs
 *  the effects, logs them. Must never know: why.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_IO_MANAGER_H
#define DN_IO_MANAGER_H

#include "io/settings.h"

/*  Bind both doors, serve until SIGTERM (then no new tasks, and until the last one has ended) or a
 *  second SIGTERM, and return the exit code; what went wrong at start has been said on stderr. */
int dn_io_manager_run (const dn_manager_settings_t *settings);

#endif
