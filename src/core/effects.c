/*  effects.c - the bounded list of effects
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/effects.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

dn_effects_t *
dn_effects_new (void)
{
    dn_effects_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->row = malloc (DN_EFFECTS_MAX * sizeof *self->row);
    self->scratch = malloc (DN_EFFECTS_SCRATCH);
    if (!self->row || !self->scratch)
        dn_effects_destroy (&self);
    return self;
}

void
dn_effects_destroy (dn_effects_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->row);
    free ((*self_p)->scratch);
    free (*self_p);
    *self_p = NULL;
}

dn_effect_t *
dn_fx_add (dn_effects_t *self, dn_fx_kind_t kind)
{
    dn_check (self->count < DN_EFFECTS_MAX);
    dn_effect_t *row = &self->row[self->count++];
    memset (row, 0, offsetof (dn_effect_t, msg));
    row->kind = kind;
    row->ms = -1;
    row->msg.kind = DN_MSG_NONE;
    return row;
}

dn_effect_t *
dn_fx_msg (dn_effects_t *self, dn_fx_kind_t kind, dn_kind_t msg_kind)
{
    dn_effect_t *row = dn_fx_add (self, kind);
    memset (&row->msg, 0, sizeof row->msg);
    row->msg.kind = msg_kind;
    return row;
}

dn_effect_t *
dn_fx_log (dn_effects_t *self, int level, const char *event, const char *name)
{
    dn_effect_t *row = dn_fx_add (self, DN_FX_LOG);
    row->level = (uint8_t) level;
    row->event = event;
    row->name = name;
    return row;
}

dn_rows_t
dn_fx_rows (dn_effects_t *self, size_t bytes_max)
{
    size_t left = DN_EFFECTS_SCRATCH - self->scratch_used;
    return (dn_rows_t){self->scratch + self->scratch_used, bytes_max < left ? bytes_max : left, 0,
                       0};
}

dn_list_t
dn_fx_list (dn_effects_t *self, const dn_rows_t *rows)
{
    self->scratch_used += (uint32_t) rows->used_bytes;
    return dn_rows_list (rows);
}
