/*  birth.h - what a slot or a zygote does to its own process before any user's code runs
 *
 *  Owns: its tie to its parent, its place in the process table, the descriptors that it was given.
 *  Must never know: Python, tasks. All functions are the main thread's: the kernel ties
 *  PR_SET_PDEATHSIG to the thread that started a process.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_BIRTH_H
#define DN_SLOT_BIRTH_H

#include "wire/heritage.h"

#include <sys/types.h>

#define DN_OOM_SCORE 500 /* of a slot: the kernel takes one before it takes the supervisor */

/*  Die with the parent (SIGKILL). False: `parent` is gone already, so the signal will never
 *  come. */
bool dn_birth_follow (pid_t parent);

/*  Lead a process group, so that Ctrl-C in a terminal reaches the supervisor alone and a slot's own
 *  children can be found; `name` is what ps shows. */
void dn_birth_settle (const char *name);

/*  Let the kernel take this process first when memory is short. */
void dn_birth_offer_to_oom (void);

/*  Make descriptors above 2 that we own close on exec, and see that DN_FD_PAGE is taken, so that no
 *  file of the app gets a number that a forked slot needs. 0, or -1 with errno. */
int dn_birth_reserve (bool has_page);

/*  Put the descriptors of a new slot to their numbers: `given` is channel, page, output, which are
 *  closed where they were. 0, or -1 with errno. Async-signal-safe. */
int dn_birth_adopt (const int given[3]);

/*  Map the page that stands at DN_FD_PAGE; NULL with errno. It stays until the process ends. */
dn_page_t *dn_birth_map_page (void);

#endif
