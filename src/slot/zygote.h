/*  zygote.h - a process that has imported the app and does nothing but fork slots
 *
 *  Owns: its children, from fork to EXITED, each by a pidfd, so that no end is missed whatever the
 *  app does with SIGCHLD; the descriptors that come along with FORK. Must never know: tasks.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_ZYGOTE_H
#define DN_SLOT_ZYGOTE_H

#include <Python.h>

#include "slot/inbox.h"
#include "slot/outbox.h"

#define DN_CHILDREN_MAX 1024 /* a FORK beyond it is answered with EAGAIN */

typedef enum {
    DN_ZYGOTE_CHILD = 1, /* returned in a new slot, whose descriptors are in place */
    DN_ZYGOTE_END = 0,   /* STOP, or the supervisor is gone */
    DN_ZYGOTE_ERROR = -1 /* a Python exception is set */
} dn_zygote_end_t;

/*  Fork slots as FORK asks for, report FORKED and EXITED, until the end; and return once in every
 *  child, in which *slot is its number. Main thread, with Python's lock. Both boxes are borrowed
 *  and belong to the zygote's channel. */
dn_zygote_end_t dn_zygote_run (dn_inbox_t *inbox, dn_outbox_t *outbox, uint32_t *slot);

#endif
