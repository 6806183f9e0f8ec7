/*  agenda.c - what happens when: a heap of events, and the turns of processes
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <stdlib.h>

#define AT_ONCE_US 20 /* from a turn to the next one of a process that is due at once */

static bool
before (const sim_event_t *a, const sim_event_t *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

void
sim_agenda_clear (sim_agenda_t *self)
{
    self->count = 0;
    self->order = 0;
}

void
sim_agenda_free (sim_agenda_t *self)
{
    free (self->heap);
    *self = (sim_agenda_t){0};
}

static void
make_room (sim_agenda_t *self)
{
    if (self->count < self->room)
        return;
    self->room = self->room ? 2 * self->room : 1024;
    self->heap = realloc (self->heap, self->room * sizeof *self->heap);
    dn_check (self->heap);
}

void
sim_at (sim_t *sim, int64_t at_us, sim_event_fn *fn, uint64_t a, uint64_t b)
{
    sim_agenda_t *self = &sim->agenda;
    sim_event_t   event = {at_us, self->order++, fn, a, b};

    if (event.at_us < sim->now_us)
        event.at_us = sim->now_us;
    make_room (self);
    uint32_t at = self->count++;
    for (uint32_t parent; at > 0; at = parent) {
        parent = (at - 1) / 2;
        if (!before (&event, &self->heap[parent]))
            break;
        self->heap[at] = self->heap[parent];
    }
    self->heap[at] = event;
}

static sim_event_t
take_first (sim_agenda_t *self)
{
    sim_event_t first = self->heap[0];
    sim_event_t last = self->heap[--self->count];
    uint32_t    at = 0;

    for (uint32_t child; (child = 2 * at + 1) < self->count; at = child) {
        if (child + 1 < self->count && before (&self->heap[child + 1], &self->heap[child]))
            child++;
        if (!before (&self->heap[child], &last))
            break;
        self->heap[at] = self->heap[child];
    }
    self->heap[at] = last;
    return first;
}

void
sim_run_until (sim_t *sim, int64_t end_us)
{
    while (sim->agenda.count && sim->agenda.heap[0].at_us <= end_us) {
        sim_event_t event = take_first (&sim->agenda);
        sim->now_us = event.at_us;
        event.fn (sim, event.a, event.b);
    }
    sim->now_us = end_us;
}

/*  ---- turns ---- */

static void
take_turn (sim_t *sim, uint64_t number, uint64_t at_us)
{
    sim_node_t *node = &sim->node[number];

    if (!node->alive || node->turn_us != (int64_t) at_us)
        return; /* another turn was agreed since */
    if (sim->now_us < node->frozen_us) {
        node->turn_us = SIM_NEVER;
        sim_turn_by (sim, (uint32_t) number, node->frozen_us);
        return;
    }
    node->turn_us = SIM_NEVER;
    sim->counts.turns++;
    if (++node->idle > SIM_TURNS_MAX)
        sim_fail (sim, "busy: %s asks for turn after turn and does nothing", node->name);
    switch (node->role) {
    case SIM_ROLE_MANAGER: sim_manager_turn (sim); break;
    case SIM_ROLE_WORKER: sim_worker_turn (sim, (uint32_t) number - SIM_NODE_WORKERS); break;
    case SIM_ROLE_CLIENT: sim_client_turn (sim, (uint32_t) number - SIM_NODE_CLIENTS); break;
    }
}

void
sim_turn_by (sim_t *sim, uint32_t number, int64_t at_us)
{
    sim_node_t *node = &sim->node[number];

    if (at_us < sim->now_us)
        at_us = sim->now_us;
    if (at_us < node->frozen_us)
        at_us = node->frozen_us;
    if (at_us >= node->turn_us)
        return;
    node->turn_us = at_us;
    sim_at (sim, at_us, take_turn, number, (uint64_t) at_us);
}

void
sim_turn_due (sim_t *sim, uint32_t number, int64_t deadline_ms)
{
    if (deadline_ms == DN_NEVER)
        return;
    int64_t due_us = SIM_MS (deadline_ms - SIM_BASE_MS);
    sim_turn_by (sim, number, due_us > sim->now_us ? due_us : sim->now_us + AT_ONCE_US);
}
