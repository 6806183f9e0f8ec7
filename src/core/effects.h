/*  effects.h - what a core wants done: the rows that it hands to its shell
 *
 *  A core is called with an event and appends effects to a bounded list; its shell performs them in
 *  order before it feeds the next event, and logs them. The payload never enters a core: "in hand"
 *  is the payload (and header frame) of the input just fed, "kept" is a payload that the shell
 *  keeps under a task's or call's handle until DROP.
 *
 *  Strings in an effect are borrowed from the core or from the input in hand; lists lie in the
 *  list's own scratch. All of it lasts until the core is called again.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_EFFECTS_H
#define DN_EFFECTS_H

#include "wire/wire.h"

/*  A reference that goes stale instead of wrong: row and generation. DN_NONE is none. */
typedef uint64_t dn_handle_t;
#define DN_NONE ((dn_handle_t) 0)

#define DN_PRIORITIES 3 /* of tasks: 0 high, 1 normal, 2 low */

#define DN_NEVER INT64_MAX /* a point in time that does not come */

/*  Which connection: the shell's name for it, 0 is none. */
typedef uint64_t dn_link_t;

#define DN_EFFECTS_MAX     1024 /* rows; a core stops and asks for another tick when full */
#define DN_EFFECTS_SCRATCH (1024 * 1024) /* bytes for lists inside messages of one turn */

/*  X (NAME, what the shell does). `to` is a link for the manager; the fleet has one manager and
 *  many slots, the session one manager. */
#define DN_EFFECT_MAP(X)                                                                           \
    X (SEND, "send msg without payload to `to` (fleet, session: to the manager)")                  \
    X (FORWARD, "send msg with the payload in hand")                                               \
    X (RELAY, "send the header frame in hand as it is, with the payload in hand")                  \
    X (KEEP, "keep what is in hand (fleet: header too) under `handle`, instead of what was kept")  \
    X (SEND_KEPT, "send msg with the payload kept under `handle`; it stays kept")                  \
    X (RELAY_KEPT, "send header and payload kept under `handle`; they stay kept")                  \
    X (DROP, "let go of what is kept under `handle`")                                              \
    X (COMPLETE, "session: call `handle` ended as msg.u.result says; payload in hand")             \
    X (ANSWER, "session: question `number` is answered by the payload in hand; none: no answer")   \
    X (ASKED, "manager: `to` asks msg.u.ask; answer with dn_manager_answer's message and JSON")    \
    X (PLACED, "session: a worker has call `handle`; by `number` 0 not any more")                  \
    X (PROGRESS, "session: call `handle` says of itself what msg.u.progress says")                 \
    X (FRESH, "session, fleet: close the socket to the manager and open a new one")                \
    X (START_ZYGOTE, "fleet: exec the zygote")                                                     \
    X (FORK, "fleet: have the zygote fork slot `slot`")                                            \
    X (EXEC, "fleet: exec slot `slot` on its own")                                                 \
    X (HAND, "fleet: send what is kept under `handle`, header too, to slot `slot` as `number`")    \
    X (TAKE_BACK, "fleet: call dn_page_take_back for slot `slot` up to `number`, report at once")  \
    X (INTERRUPT, "fleet: SIGUSR1 to slot `slot` for task `number`, `how` 0 soft limit 1 cancel")  \
    X (KILL, "fleet: SIGKILL to slot `slot`, or to the zygote (DN_SLOT_ZYGOTE)")                   \
    X (STOP, "fleet: send STOP to slot `slot` or to the zygote")                                   \
    X (LOG, "log `event` at `level`, with the fields that are set")                                \
    X (EXIT, "fleet: leave with exit code `number`")

typedef enum {
#define X(name, text) DN_FX_##name,
    DN_EFFECT_MAP (X)
#undef X
} dn_fx_kind_t;

/*  Levels of a LOG; the same numbers as the shell's log. */
enum { DN_FX_ERROR, DN_FX_WARN, DN_FX_INFO, DN_FX_DEBUG };

typedef struct {
    dn_fx_kind_t kind;
    uint8_t      level;  /* LOG */
    uint8_t      reason; /* denim_reason_t that caused it; 0: none */
    uint8_t      how;    /* INTERRUPT, KILL */
    uint32_t     slot;   /* fleet */
    dn_link_t    to;     /* manager */
    dn_handle_t  handle;
    uint64_t     number; /* of a task in its channel, of a question, an exit code, a count */
    const char  *event;  /* LOG: static */
    const char  *name;   /* LOG: of the peer, the app …; NULL: none */
    const char  *text;   /* LOG: a sentence; NULL: none */
    int64_t      ms;     /* LOG: a length; negative: none */
    dn_msg_t     msg;    /* SEND, FORWARD, SEND_KEPT, HAND, COMPLETE, PLACED … */
} dn_effect_t;

typedef struct {
    uint32_t     count;
    uint32_t     scratch_used;
    dn_effect_t *row;     /* DN_EFFECTS_MAX of them */
    uint8_t     *scratch; /* DN_EFFECTS_SCRATCH bytes */
} dn_effects_t;

/*  Owned; NULL when memory is short. */
dn_effects_t *dn_effects_new (void);
void          dn_effects_destroy (dn_effects_t **self_p);

/*  Empty it: the shell, after it performed the rows. */
static inline void
dn_effects_clear (dn_effects_t *self)
{
    self->count = 0;
    self->scratch_used = 0;
}

/*  Is there room for `rows` more? A core that sweeps a table asks, and goes on at the next tick. */
static inline bool
dn_effects_room (const dn_effects_t *self, uint32_t rows)
{
    return self->count + rows <= DN_EFFECTS_MAX;
}

/*  Append a row: its plain fields are zero, ms is -1, msg is not cleared but for kind. Asserts that
 *  there is room: a core that can make many rows asks first. */
dn_effect_t *dn_fx_add (dn_effects_t *self, dn_fx_kind_t kind);

/*  Append a row that carries a message of `kind`, its fields cleared; returns the row. */
dn_effect_t *dn_fx_msg (dn_effects_t *self, dn_fx_kind_t kind, dn_kind_t msg_kind);

/*  Append a LOG row. */
dn_effect_t *dn_fx_log (dn_effects_t *self, int level, const char *event, const char *name);

/*  Bytes for a list under construction, up to `bytes_max` of what is left of the scratch. */
dn_rows_t dn_fx_rows (dn_effects_t *self, size_t bytes_max);

/*  Give back what a list did not use, and lend it as a field. */
dn_list_t dn_fx_list (dn_effects_t *self, const dn_rows_t *rows);

#endif
