/*  fleet_notes.c - what a false world has written down, looked up
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

static uint32_t
note_rows (world_t *self, note_t *note, dn_list_t list)
{
    dn_row_held_t row;
    uint32_t      count = 0;
    memset (self->listed, 0, sizeof self->listed);
    while (dn_list_next (&list, DN_ROW_HELD, &row)) {
        if (count < sizeof note->states)
            note->states[count] = row.state;
        if (row.seq < WORLD_SEQS)
            self->listed[row.seq] = (uint8_t) (row.state + 1);
        count++;
    }
    return count;
}

static uint32_t
note_rosters (note_t *note, dn_list_t list)
{
    dn_row_roster_t row;
    uint32_t        count = 0;
    note->doubtful = 0;
    for (; dn_list_next (&list, DN_ROW_ROSTER, &row); count++)
        if (count < sizeof note->epoch / sizeof note->epoch[0]) {
            note->epoch[count] = row.epoch;
            note->version[count] = row.version;
            note->doubtful += dn_session_zero (&row.session);
        }
    return count;
}

static void
note_msg (world_t *self, note_t *note, const dn_msg_t *msg)
{
    note->msg = msg->kind;
    if (msg->kind == DN_MSG_RESULT) {
        const dn_result_t *result = &msg->u.result;
        note->seq = result->seq;
        note->outcome = result->outcome;
        note->reason = result->reason;
        note->flags = result->flags;
        note->wait_us = result->wait_us;
        note->run_us = result->run_us;
        note->signal = result->signal;
        note->exit_code = result->exit_code;
        dn_str_copy (note->text, sizeof note->text, result->text);
    }
    if (msg->kind == DN_MSG_REFUSE) {
        note->seq = msg->u.refuse.seq;
        note->reason = msg->u.refuse.reason;
        note->held = msg->u.refuse.held;
        note->slots = msg->u.refuse.slots_free;
        note->standby = msg->u.refuse.standby_free;
    }
    if (msg->kind == DN_MSG_OFFER) {
        note->slots = msg->u.offer.slots;
        note->standby = msg->u.offer.standby;
        note->lent = msg->u.offer.lent;
        note->blocked = msg->u.offer.blocked;
        note->services = msg->u.offer.services.count;
    }
    if (msg->kind == DN_MSG_WORKER_HELLO) {
        note->slots = msg->u.worker_hello.slots;
        note->standby = msg->u.worker_hello.standby;
        note->lent = msg->u.worker_hello.lent;
        note->blocked = msg->u.worker_hello.blocked;
        note->services = msg->u.worker_hello.services.count;
        note->link = self->link = msg->u.worker_hello.link;
        note->rows = note_rows (self, note, msg->u.worker_hello.inventory);
        note->rosters = note_rosters (note, msg->u.worker_hello.rosters);
        note->forgotten = msg->u.worker_hello.forgotten.count;
    }
    if (msg->kind == DN_MSG_HELD) {
        note->mark = msg->u.held.mark;
        note->slots = msg->u.held.slots;
        note->lent = msg->u.held.lent;
        note->blocked = msg->u.held.blocked;
        note->rows = note_rows (self, note, msg->u.held.tasks);
    }
}

void
world_note (world_t *self, const dn_effect_t *row)
{
    dn_check (self->notes < WORLD_NOTES);
    note_t *note = &self->note[self->notes++];
    memset (note, 0, sizeof *note);
    note->kind = row->kind;
    note->slot = row->slot;
    note->number = row->number;
    note->handle = row->handle;
    note->how = row->how;
    if (row->kind == DN_FX_SEND)
        note_msg (self, note, &row->msg);
    if (row->kind == DN_FX_LOG)
        snprintf (note->event, sizeof note->event, "%s", row->event);
    if (row->text)
        snprintf (note->text, sizeof note->text, "%s", row->text);
}

void
world_forget_notes (world_t *self)
{
    self->notes = 0;
}

uint32_t
count_of (const world_t *self, dn_fx_kind_t kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->notes; i++)
        count += self->note[i].kind == kind;
    return count;
}

const note_t *
last_of (const world_t *self, dn_fx_kind_t kind)
{
    for (uint32_t i = self->notes; i-- > 0;)
        if (self->note[i].kind == kind)
            return &self->note[i];
    return NULL;
}

uint32_t
sent_of (const world_t *self, dn_kind_t kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->notes; i++)
        count += self->note[i].kind == DN_FX_SEND && self->note[i].msg == kind;
    return count;
}

const note_t *
last_sent (const world_t *self, dn_kind_t kind)
{
    for (uint32_t i = self->notes; i-- > 0;)
        if (self->note[i].kind == DN_FX_SEND && self->note[i].msg == kind)
            return &self->note[i];
    return NULL;
}

static const note_t *
sent_about (const world_t *self, dn_kind_t kind, uint64_t seq)
{
    for (uint32_t i = self->notes; i-- > 0;) {
        const note_t *note = &self->note[i];
        if (note->kind == DN_FX_SEND && note->msg == kind && note->seq == seq)
            return note;
    }
    return NULL;
}

const note_t *
result_of (const world_t *self, uint64_t seq)
{
    return sent_about (self, DN_MSG_RESULT, seq);
}

const note_t *
refusal_of (const world_t *self, uint64_t seq)
{
    return sent_about (self, DN_MSG_REFUSE, seq);
}

uint32_t
relays_of (const world_t *self, uint64_t seq)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->notes; i++)
        count += self->note[i].kind == DN_FX_RELAY_KEPT && self->note[i].seq == seq;
    return count;
}

bool
relayed (const world_t *self, uint64_t seq)
{
    return relays_of (self, seq) > 0;
}

uint32_t
sends_of (const world_t *self, uint64_t seq)
{
    uint32_t count = relays_of (self, seq);
    for (uint32_t i = 0; i < self->notes; i++) {
        const note_t *note = &self->note[i];
        bool          end = note->msg == DN_MSG_RESULT || note->msg == DN_MSG_REFUSE;
        count += note->kind == DN_FX_SEND && end && note->seq == seq;
    }
    return count;
}

bool
logged (const world_t *self, const char *event)
{
    for (uint32_t i = 0; i < self->notes; i++)
        if (self->note[i].kind == DN_FX_LOG && strcmp (self->note[i].event, event) == 0)
            return true;
    return false;
}

uint32_t
kept_count (const world_t *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < DN_HOLDS_MAX; i++)
        count += self->kept[i] != 0;
    return count;
}

uint32_t
answers_kept (const world_t *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < DN_HOLDS_MAX; i++)
        count += self->kept[i] && self->answer[i];
    return count;
}

uint32_t
held_count (world_t *self, uint64_t epoch)
{
    uint32_t notes = self->notes;
    world_beat (self, epoch, ++self->beats);
    const note_t *held = last_sent (self, DN_MSG_HELD);
    dn_check (held && held->mark == self->beats);
    uint32_t rows = held->rows;
    self->notes = notes;
    return rows;
}

uint32_t
in_channel (const world_t *self, uint32_t slot)
{
    return self->slot[slot].count;
}

int
slot_with (const world_t *self, uint64_t seq)
{
    for (int i = 0; i < WORLD_SLOTS; i++)
        for (uint32_t j = 0; j < self->slot[i].count; j++)
            if (self->slot[i].task[self->slot[i].first + j].seq == seq)
                return i;
    return -1;
}

void
world_run_some (world_t *self, const dn_session_t *client, uint64_t first, uint64_t count)
{
    dn_submit_t fields = {0};
    for (uint64_t seq = first; seq < first + count; seq++) {
        world_run_of (self, client, seq, &fields, 10);
        dn_check (slot_with (self, seq) >= 0);
        world_answer (self, (uint32_t) slot_with (self, seq), 10);
    }
}
