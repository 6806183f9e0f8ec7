/*  worker_private.h - what the files of the worker's shell share; nobody else includes it
 *
 *  worker.c starts, loops and ends; worker_effects.c performs what the fleet wants; worker_slots.c
 *  reads what slots say and sees them end; worker_log.c writes the fleet's log; worker_health.c
 *  answers who asks on this host.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_WORKER_PRIVATE_H
#define DN_WORKER_PRIVATE_H

#include "core/fleet.h"
#include "io/launcher.h"
#include "io/link.h"
#include "io/slot_process.h"

#define DN_LEVELS 4 /* effects of a call that is made while effects are performed, … */

/*  What an epoll event is about: kind in the upper half, row of the process in the lower. */
typedef enum {
    DN_WATCH_CHANNEL,
    DN_WATCH_OUTPUT,
    DN_WATCH_PID,
    DN_WATCH_SIGNALS,
    DN_WATCH_LINK,
    DN_WATCH_HEALTH
} dn_watch_t;

typedef struct {
    const dn_worker_settings_t *settings;
    char                        name[DN_NAME_MAX];
    dn_fleet_t                 *fleet;
    dn_effects_t               *fx[DN_LEVELS];
    int                         level;  /* of them in use */
    int64_t                     now_ms; /* read once a turn */
    bool                        stop;
    int                         exit_code;

    /* the manager */
    void        *context;
    void        *dealer;  /* NULL: none yet */
    void        *monitor; /* of its connection; NULL: none */
    int          monitor_fd;
    bool         ipv6;
    char         endpoint[DN_ENDPOINT_MAX];
    dn_frames_t  in;                    /* the message in hand, of the manager or of a slot */
    dn_frames_t *kept;                  /* DN_HOLDS_MAX: by the row of a handle */
    int64_t      kept_us[DN_HOLDS_MAX]; /* likewise: since when, monotonic */
    uint8_t      room[DN_HEADER_MAX];

    /* the processes: the slots, then the zygote */
    dn_interpreter_t   interpreter;
    dn_launcher_t     *launcher;
    uint32_t           rows; /* of slots: dn_fleet_rows */
    dn_slot_process_t *process;
    uint32_t          *flush; /* rows whose channels have something to send */
    uint32_t           flush_count;
    uint32_t           failed;   /* processes that could not be made, fleet not told yet */
    uint32_t           ending;   /* processes that have ended, nobody has said yet how */
    bool               imported; /* the first READY was logged */
    int                epoll;
    int                signals;   /* descriptor */
    int                health;    /* descriptor; negative: there is none */
    int                instance;  /* likewise: our place among the workers of this host */
    int64_t            look_ms;   /* next look at memory and orphans */
    uint64_t           oom_kills; /* of the system, as counted last */
} dn_worker_t;

/*  ---- worker.c ---- */

/*  Between these two, one call to the fleet: effects to be filled, then performed. */
dn_effects_t *dn_worker_begin (dn_worker_t *self);
void          dn_worker_perform (dn_worker_t *self);

/*  Watch a descriptor. */
int  dn_worker_watch (dn_worker_t *self, int fd, dn_watch_t kind, uint32_t row, uint32_t events);
void dn_worker_unwatch (dn_worker_t *self, int fd);

/*  The process of a slot, or of DN_SLOT_ZYGOTE, and back. */
static inline uint32_t
dn_worker_row (const dn_worker_t *self, uint32_t slot)
{
    return slot == DN_SLOT_ZYGOTE ? self->rows : slot;
}

static inline uint32_t
dn_worker_slot (const dn_worker_t *self, uint32_t row)
{
    return row == self->rows ? DN_SLOT_ZYGOTE : row;
}

/*  ---- worker_effects.c ---- */

/*  Perform one effect: all but LOG and EXIT. */
void dn_worker_effect (dn_worker_t *self, const dn_effect_t *effect);

/*  Close the socket to the manager: what was sent last may linger so long. */
void dn_worker_close_link (dn_worker_t *self, int linger_ms);

/*  ---- worker_slots.c ---- */

/*  Its channel, its output, its pidfd has something. */
void dn_worker_hear (dn_worker_t *self, uint32_t row, uint32_t events);
void dn_worker_drain_output (dn_worker_t *self, uint32_t row);
void dn_worker_see_end (dn_worker_t *self, uint32_t row);

/*  Tell the fleet of processes that could not be made; of ends that nobody has explained in
 *  time. */
void dn_worker_tell_failed (dn_worker_t *self);
void dn_worker_tell_ended (dn_worker_t *self);

/*  When the latter is due, if nothing comes before; DN_NEVER: not at all. */
int64_t dn_worker_tell_ms (const dn_worker_t *self);

/*  Now and then: memory, orphans, processes that have closed their channel and stay. */
void dn_worker_look (dn_worker_t *self);

/*  Send what was put into channels. */
void dn_worker_flush (dn_worker_t *self);
void dn_worker_flush_later (dn_worker_t *self, uint32_t row);

/*  How often the system has killed for want of memory. */
uint64_t dn_worker_count_oom (void);

/*  ---- worker_log.c ---- */

void dn_worker_log (const dn_worker_t *self, const dn_effect_t *effect);

/*  ---- worker_health.c ---- */

/*  Listen for questions on this host; a worker that cannot says so and works all the same. */
void dn_worker_open_health (dn_worker_t *self);

/*  Somebody asks; a few are answered. */
void dn_worker_hear_health (dn_worker_t *self);

/*  Look there (again, if descriptors were short). */
void dn_worker_watch_health (dn_worker_t *self);

#endif
