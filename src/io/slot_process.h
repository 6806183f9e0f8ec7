/*  slot_process.h - one slot's process, or the zygote's, as its supervisor has it
 *
 *  Owns: its pid and pidfd, its channel, its page, its output pipe; making it by exec or by a fork
 *  of the zygote, signals to it, how it ended. Must never know: tasks, and what a state of it
 *  causes.
 *
 *  A process that we made is our child, one that the zygote forked is the zygote's: there the
 *  zygote's EXITED tells how it ended, shortly after its pidfd tells that it did. When the zygote
 *  dies, its children become ours (PR_SET_CHILD_SUBREAPER).
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_PROCESS_H
#define DN_SLOT_PROCESS_H

#include "core/effects.h"
#include "io/channel.h"
#include "io/launcher.h"
#include "io/output.h"

/*  From the end of a slot until we stop waiting for the zygote to say how it ended: it says so at
 *  once, but may itself have to wait for a CPU. After that, nobody can say. */
#define DN_STATUS_WAIT_MS 1000

typedef struct {
    bool          alive; /* from its making until its end was reported */
    bool          by_zygote;
    bool          kill_wanted;  /* as soon as its pid is known */
    bool          killed;       /* by us, so its end is no wonder */
    bool          failed;       /* it could not be made: the fleet is to be told */
    bool          deaf;         /* its channel is at its end, or garbled: not read any more */
    bool          flush_wanted; /* something was put into its channel */
    bool          waits;        /* the socket of its channel is full */
    bool          status_known;
    int           status;   /* as wait gives it */
    pid_t         pid;      /* 0: not known yet */
    int           pidfd;    /* -1: none */
    int64_t       ended_ms; /* its pidfd said so; DN_NEVER: not yet */
    int64_t       deaf_ms;  /* since when it is deaf */
    dn_channel_t *channel;
    dn_page_t    *page;
    dn_output_t   output;
} dn_slot_process_t;

/*  Make it by exec: 0, or -errno with nothing made. */
int dn_slot_process_exec (dn_slot_process_t *self, dn_launcher_t *launcher, dn_role_t role);

/*  Ask the zygote, over its channel, to make slot `number`; its pid comes later. */
int  dn_slot_process_fork (dn_slot_process_t *self, dn_channel_t *zygote, uint32_t number);
void dn_slot_process_forked (dn_slot_process_t *self, pid_t pid);

/*  Release all of it. A process that still lives is killed. */
void dn_slot_process_close (dn_slot_process_t *self);

void dn_slot_process_kill (dn_slot_process_t *self);

/*  SIGUSR1 for one task: a cancel, or its soft limit. */
void dn_slot_process_interrupt (dn_slot_process_t *self, uint32_t number, bool cancel);

/*  Resident bytes now; 0: not known. */
uint64_t dn_slot_process_rss (pid_t pid);

#endif
