/*  worker.h - the shell of the worker: one socket to the manager, a process for each slot, one loop
 *
 *  Owns: the sockets, the processes, and when they are read. Reads what has come, hands it to the
 *  fleet, performs the effects, logs them. Never waits for a slot. Must never know: why.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_IO_WORKER_H
#define DN_IO_WORKER_H

#include "io/settings.h"

/*  Find the interpreter, start the slots, serve until SIGTERM or SIGINT (then what runs may end
 *  within the grace; the second one: now) and return the exit code; what went wrong at start has
 *  been said on stderr. From the main thread: slots end with it. */
int dn_io_worker_run (const dn_worker_settings_t *settings);

#endif
