/*  fake_manager.h - a manager for tests of the library: a ROUTER in a thread of the test
 *
 *  It greets clients, sends beats, and does with a task what its name says:
 *
 *      m:echo       RESULT with the payload as it came
 *      m:raise      RESULT EXCEPTION
 *      m:hold       KNOWN, and then nothing until CANCEL (RESULT CANCELLED) or fake_release (VALUE)
 *      m:nested     RESULT with the depth and the parent of its SUBMIT: [1, "0123..."]
 *      m:say        PROGRESS "half" 1 of 2, and then as m:hold
 *      m:twice      the same RESULT two times
 *      m:once       REJECT BUSY at the first try, then as m:echo
 *      m:busy       REJECT BUSY each time
 *      m:nowhere    REJECT NO_SERVICE each time
 *      m:crash      RESULT LOST by signal 11
 *      m:forbidden  REJECT NOT_ALLOWED
 *      m:silence    nothing at all
 *
 *  Its epoch changes with each fake_new. ASK status is answered with {"version": "fake"}, ASK mute
 *  with nothing.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_FAKE_MANAGER_H
#define DN_FAKE_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fake_manager fake_manager_t;

typedef struct {
    const char *address;       /* where; NULL: an abstract ipc name of its own */
    uint32_t    heartbeat_ms;  /* 0: 1000 */
    uint64_t    payload_max;   /* 0: 64 MiB */
    bool        other_version; /* FAULT VERSION for every HELLO */
    bool        deaf;          /* accepts connections and says nothing */
    bool        loud;          /* prints what comes */
} fake_config_t;

/*  Owned. It is reachable when this returns. */
fake_manager_t *fake_new (const fake_config_t *config);
void            fake_destroy (fake_manager_t **self_p);

/*  For denim_client_new; borrowed. */
const char *fake_address (const fake_manager_t *self);

/*  End all held tasks with VALUE null. */
void fake_release (fake_manager_t *self);

/*  What it saw: messages of a kind (dn_kind_t), and the outcomes acknowledged. Any thread. */
uint64_t fake_count (fake_manager_t *self, unsigned kind);
uint64_t fake_acked (fake_manager_t *self);

/*  Wait until it has seen so many of a kind; fails the test after ten seconds. */
void fake_await (fake_manager_t *self, unsigned kind, uint64_t count);

#endif
