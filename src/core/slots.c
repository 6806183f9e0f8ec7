/*  slots.c - the records of a worker's slots, and the table of what may happen to one
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/slots.h"

#include "base/check.h"

#include <stdlib.h>

struct dn_slots {
    uint32_t  rows;
    uint32_t  used;               /* up to the last row that is not OFF */
    uint32_t  in[DN_SLOT_STATES]; /* slots in each state, without the zygote */
    dn_slot_t row[];              /* slots, then the zygote */
};

typedef struct {
    dn_slot_state_t next;
    dn_slot_act_t   act;
} cell_t;

/* clang-format off */
#define TO(state, act) {DN_SLOT_##state, DN_SLOT_DO_##act}

/*  A row for each state, a cell for each event, in the order of DN_SLOT_EVENT_MAP:
 *
 *      START, READY, HAND, NEXT,
 *      EMPTY, INTERRUPT, STOP, KILL,
 *      EXIT, FAIL, DUE, PARK,
 *      LEND, BACK
 *
 *  Ignored are: what came too late (an answer of a slot that is killed, a signal for one that
 *  rests), what is asked again when it can be done (STOP of a busy slot), what a process says
 *  twice. */
static const cell_t table[DN_SLOT_STATES][DN_SLOT_EVENTS] = {
    [DN_SLOT_OFF] = {
        TO (STARTING, BEGIN), TO (OFF, IGNORED), TO (OFF, BUG), TO (OFF, BUG),
        TO (OFF, BUG), TO (OFF, IGNORED), TO (OFF, IGNORED), TO (OFF, IGNORED),
        TO (OFF, IGNORED), TO (OFF, IGNORED), TO (OFF, IGNORED), TO (OFF, IGNORED),
        TO (OFF, IGNORED), TO (OFF, IGNORED),
    },
    [DN_SLOT_STARTING] = {
        TO (STARTING, IGNORED), TO (IDLE, JOIN), TO (STARTING, BUG), TO (STARTING, BUG),
        TO (STARTING, BUG), TO (STARTING, IGNORED), TO (KILLED, SLAY), TO (KILLED, SLAY),
        TO (BACKOFF, BURY), TO (BACKOFF, BURY), TO (KILLED, SLAY), TO (STARTING, IGNORED),
        TO (STARTING, IGNORED), TO (STARTING, IGNORED),
    },
    [DN_SLOT_IDLE] = {
        TO (IDLE, IGNORED), TO (IDLE, IGNORED), TO (BUSY, MOVED), TO (IDLE, BUG),
        TO (IDLE, BUG), TO (IDLE, IGNORED), TO (STOPPING, ASK), TO (KILLED, SLAY),
        TO (BACKOFF, BURY), TO (IDLE, IGNORED), TO (IDLE, IGNORED), TO (IDLE, IGNORED),
        TO (IDLE, IGNORED), TO (IDLE, IGNORED),
    },
    [DN_SLOT_BUSY] = {
        TO (BUSY, IGNORED), TO (BUSY, IGNORED), TO (BUSY, MOVED), TO (BUSY, MOVED),
        TO (IDLE, REST), TO (BUSY, TELL), TO (BUSY, IGNORED), TO (KILLED, SLAY),
        TO (BACKOFF, BURY), TO (BUSY, IGNORED), TO (BUSY, IGNORED), TO (BUSY, IGNORED),
        TO (LENT, SPARE), TO (BUSY, IGNORED),
    },
    [DN_SLOT_LENT] = {
        TO (LENT, IGNORED), TO (LENT, IGNORED), TO (LENT, BUG), TO (LENT, MOVED),
        TO (IDLE, REST), TO (LENT, TELL), TO (LENT, IGNORED), TO (KILLED, SLAY),
        TO (BACKOFF, BURY), TO (LENT, IGNORED), TO (LENT, IGNORED), TO (LENT, IGNORED),
        TO (LENT, IGNORED), TO (BUSY, MOVED),
    },
    [DN_SLOT_STOPPING] = {
        TO (STOPPING, IGNORED), TO (STOPPING, IGNORED), TO (STOPPING, BUG), TO (STOPPING, BUG),
        TO (STOPPING, BUG), TO (STOPPING, IGNORED), TO (STOPPING, IGNORED), TO (KILLED, SLAY),
        TO (BACKOFF, BURY), TO (STOPPING, IGNORED), TO (KILLED, SLAY), TO (STOPPING, IGNORED),
        TO (STOPPING, IGNORED), TO (STOPPING, IGNORED),
    },
    [DN_SLOT_KILLED] = {
        TO (KILLED, IGNORED), TO (KILLED, IGNORED), TO (KILLED, BUG), TO (KILLED, IGNORED),
        TO (KILLED, IGNORED), TO (KILLED, IGNORED), TO (KILLED, IGNORED), TO (KILLED, IGNORED),
        TO (BACKOFF, BURY), TO (KILLED, IGNORED), TO (KILLED, IGNORED), TO (KILLED, IGNORED),
        TO (KILLED, IGNORED), TO (KILLED, IGNORED),
    },
    [DN_SLOT_BACKOFF] = {
        TO (BACKOFF, IGNORED), TO (BACKOFF, IGNORED), TO (BACKOFF, BUG), TO (BACKOFF, BUG),
        TO (BACKOFF, BUG), TO (BACKOFF, IGNORED), TO (OFF, MOVED), TO (BACKOFF, IGNORED),
        TO (BACKOFF, IGNORED), TO (BACKOFF, IGNORED), TO (STARTING, BEGIN), TO (OFF, MOVED),
        TO (BACKOFF, IGNORED), TO (BACKOFF, IGNORED),
    },
};
/* clang-format on */

dn_slots_t *
dn_slots_new (uint32_t rows)
{
    dn_check (rows >= 1 && rows <= DN_SLOT_ROWS_MAX);
    dn_slots_t *self = calloc (1, sizeof *self + (rows + 1) * sizeof self->row[0]);
    if (!self)
        return NULL;
    self->rows = rows;
    self->in[DN_SLOT_OFF] = rows;
    for (uint32_t i = 0; i <= rows; i++) {
        self->row[i].wait_ms = DN_NEVER;
        self->row[i].due_ms = DN_NEVER;
        self->row[i].ready_ms = DN_NEVER;
        TAILQ_INIT (&self->row[i].channel);
    }
    return self;
}

void
dn_slots_destroy (dn_slots_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

dn_slot_t *
dn_slots_get (const dn_slots_t *self, uint32_t number)
{
    if (number == DN_SLOT_ZYGOTE)
        number = self->rows;
    else if (number >= self->rows)
        return NULL;
    return (dn_slot_t *) &self->row[number];
}

uint32_t
dn_slots_number (const dn_slots_t *self, const dn_slot_t *slot)
{
    uint32_t number = (uint32_t) (slot - self->row);
    return number == self->rows ? DN_SLOT_ZYGOTE : number;
}

uint32_t
dn_slots_count (const dn_slots_t *self)
{
    return self->rows;
}

uint32_t
dn_slots_used (const dn_slots_t *self)
{
    return self->used;
}

uint32_t
dn_slots_manned (const dn_slots_t *self)
{
    return self->rows - self->in[DN_SLOT_OFF] - self->in[DN_SLOT_LENT];
}

uint32_t
dn_slots_in (const dn_slots_t *self, dn_slot_state_t state)
{
    return self->in[state];
}

static void
note_used (dn_slots_t *self, const dn_slot_t *slot)
{
    uint32_t number = (uint32_t) (slot - self->row);
    if (slot->state != DN_SLOT_OFF && number >= self->used)
        self->used = number + 1;
    while (self->used && self->row[self->used - 1].state == DN_SLOT_OFF)
        self->used--;
}

dn_slot_act_t
dn_slot_step (dn_slots_t *self, dn_slot_t *slot, dn_slot_event_t event)
{
    const cell_t *cell = &table[slot->state][event];

    dn_check (cell->act != DN_SLOT_DO_BUG);
    if (slot != &self->row[self->rows]) {
        self->in[slot->state]--;
        self->in[cell->next]++;
    }
    slot->state = cell->next;
    if (slot != &self->row[self->rows])
        note_used (self, slot);
    return cell->act;
}

dn_slot_act_t
dn_slot_cell (dn_slot_state_t state, dn_slot_event_t event, dn_slot_state_t *next)
{
    *next = table[state][event].next;
    return table[state][event].act;
}

/*  ---- names ---- */

const char *
dn_slot_state_name (dn_slot_state_t state)
{
    static const char *const names[DN_SLOT_STATES] = {
#define X(name, text) #name,
        DN_SLOT_STATE_MAP (X)
#undef X
    };
    return names[state];
}

const char *
dn_slot_event_name (dn_slot_event_t event)
{
    static const char *const names[DN_SLOT_EVENTS] = {
#define X(name, text) #name,
        DN_SLOT_EVENT_MAP (X)
#undef X
    };
    return names[event];
}

const char *
dn_slot_act_name (dn_slot_act_t act)
{
    static const char *const names[DN_SLOT_ACTS] = {
#define X(name, text) #name,
        DN_SLOT_ACT_MAP (X)
#undef X
    };
    return names[act];
}

/*  ---- checking ---- */

static void
check_slot (const dn_slot_t *slot, uint32_t number)
{
    uint32_t         count = 0;
    uint32_t         last = 0;
    uint64_t         work_us = 0;
    const dn_hold_t *hold;

    TAILQ_FOREACH (hold, &slot->channel, of_line)
    {
        dn_check (hold->state == DN_HOLD_CHANNEL && hold->slot == number);
        dn_check (hold->number > last && hold->number <= slot->sent);
        last = hold->number;
        work_us += hold->work_us;
        count++;
    }
    dn_check (count == slot->count && work_us == slot->work_us);
    bool busy = slot->state == DN_SLOT_BUSY || slot->state == DN_SLOT_LENT;
    dn_check (count == 0 || busy || slot->state == DN_SLOT_KILLED);
    dn_check (count > 0 || !busy);
    dn_check (slot->state != DN_SLOT_LENT || slot->wait_ms != DN_NEVER);
    dn_check (!slot->blocked || (slot->state != DN_SLOT_LENT && slot->wait_ms != DN_NEVER));
}

void
dn_slots_check (const dn_slots_t *self)
{
    uint32_t in[DN_SLOT_STATES] = {0};

    for (uint32_t i = 0; i < self->rows; i++) {
        check_slot (&self->row[i], i);
        in[self->row[i].state]++;
        dn_check (i < self->used || self->row[i].state == DN_SLOT_OFF);
    }
    dn_check (!self->used || self->row[self->used - 1].state != DN_SLOT_OFF);
    dn_check (memcmp (in, self->in, sizeof in) == 0);
    dn_check (self->row[self->rows].count == 0);
}
