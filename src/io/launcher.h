/*  launcher.h - how a slot's process, or the zygote's, is begun
 *
 *  Owns: program, arguments and environment of such a process, the descriptors that it inherits
 *  (see wire/heritage.h, which is the whole list), and making it. Must never know: what becomes of
 *  it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_LAUNCHER_H
#define DN_LAUNCHER_H

#include "io/interpreter.h"
#include "io/settings.h"
#include "wire/heritage.h"

#include <sys/types.h>

#define DN_SLOT_PAYLOAD_MAX (1ull << 30) /* bytes of one answer; the manager's own bound is lower */

typedef enum { DN_ROLE_SLOT = 0, DN_ROLE_ZYGOTE, DN_ROLES } dn_role_t;

/*  Both ends of what connects a process with its supervisor. */
typedef struct {
    int        channel;     /* ours, non-blocking */
    int        output;      /* ours, non-blocking: what it prints */
    dn_page_t *page;        /* mapped; NULL for a zygote */
    int        its_channel; /* the child's ends; -1 after dn_ends_give */
    int        its_page;    /* -1 for a zygote */
    int        its_output;
} dn_ends_t;

typedef struct dn_launcher dn_launcher_t;

/*  Borrows settings and interpreter. Owned; NULL and a sentence in `why`: a program or folder of
 *  denim is not where it should be, or memory is short. Reads the environment: before threads are
 *  started. */
dn_launcher_t *dn_launcher_new (const dn_worker_settings_t *settings,
                                const dn_interpreter_t *interpreter, char *why, size_t why_bytes);
void           dn_launcher_destroy (dn_launcher_t **self_p);

/*  Make the descriptors: 0, or -errno with nothing made. */
int dn_ends_make (dn_ends_t *self, dn_role_t role);

/*  Close the child's ends, when it has them; and all of them, and the page. */
void dn_ends_give (dn_ends_t *self);
void dn_ends_close (dn_ends_t *self);

/*  Start a process with these ends, from the main thread: it ends with that thread. Its pid, or
 *  -errno. */
pid_t dn_launcher_exec (dn_launcher_t *self, dn_role_t role, const dn_ends_t *ends);

#endif
