/*  instance.h - whose successor a worker is
 *
 *  Owns: the proof that a worker's process has ended, for the one that follows it on this host. A
 *  worker claims the first free of the numbered places that the workers of this host have at its
 *  manager: a socket in the abstract namespace, which the kernel frees when the process ends,
 *  however it ends. So whoever had the place before is dead, and the manager may say so at once
 *  instead of waiting for its silence.
 *
 *  Must never know: tasks, slots, what the manager does with it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_INSTANCE_H
#define DN_INSTANCE_H

#include "wire/wire.h"

#define DN_INSTANCE_PLACES                                                                         \
    1024 /* workers of a host at one manager; others are nobody's successor */

/*  Claim a place among the workers of this host (this boot, its name, this network namespace) that
 *  want the manager at `address`. *instance is the same for each process that has the place.
 *  Returns a descriptor: the place is free when it is closed. -1: there is none, *instance is zero.
 *  It is closed on exec. */
int dn_instance_claim (const char *address, dn_session_t *instance);

#endif
