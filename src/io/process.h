/*  process.h - what a program of ours does to its own process at start
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_PROCESS_H
#define DN_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#define DN_PROCESS_PARENT "DENIM_PARENT_PID" /* whoever starts us may name itself: we end with it */

/*  Descriptors: as many as the system lets us have. At its limit libzmq spins in accept. */
void dn_process_raise_files (void);

/*  If DENIM_PARENT_PID is set: get SIGTERM when that parent ends, and take the variable out of the
 *  environment. -1 when the parent is gone already. From the main thread. */
int dn_process_follow_parent (void);

/*  Block SIGTERM and SIGINT in this and all later threads and return a descriptor that reads them
 *  (struct signalfd_siginfo); SIGPIPE is ignored. -errno. */
int dn_process_signals (void);

/*  Fill with random bytes from the system; it may wait for them at boot only. */
void dn_process_random (void *bytes, size_t n);

/*  CPUs that this process may use: 1 at least. */
uint32_t dn_process_cpus (void);

/*  Of the monotonic clock. */
int64_t dn_process_now_ms (void);
int64_t dn_process_now_us (void);

#endif
