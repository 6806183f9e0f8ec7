/*  names.c - a fixed table with linear probing; nothing is ever taken out
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/names.h"

#include <stdlib.h>

#define USED_MAX   (DN_NAMES_MAX / 4 * 3)
#define MEAN_PARTS 8 /* the newest run counts as one of them */

int
dn_names_init (dn_names_t *self)
{
    self->used = 0;
    self->rows = calloc (DN_NAMES_MAX, sizeof *self->rows);
    return self->rows ? 0 : -1;
}

void
dn_names_close (dn_names_t *self)
{
    for (unsigned i = 0; self->rows && i < DN_NAMES_MAX; i++) {
        Py_XDECREF (self->rows[i].text);
        free (self->rows[i].bytes);
    }
    free (self->rows);
    *self = (dn_names_t){0};
}

static uint32_t
hash_of (dn_str_t name)
{
    uint32_t hash = 2166136261u; /* FNV-1a; only names that exist are kept, so none is forged */
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (uint8_t) name.ptr[i]) * 16777619u;
    return hash;
}

/*  The row of the name, or the free one where it belongs. */
static dn_name_t *
probe (dn_names_t *self, dn_str_t name, uint32_t hash)
{
    for (uint32_t i = hash;; i++) {
        dn_name_t *row = &self->rows[i % DN_NAMES_MAX];
        if (!row->text || (row->hash == hash && row->name_bytes == name.len &&
                           memcmp (row->bytes, name.ptr, name.len) == 0))
            return row;
    }
}

dn_name_t *
dn_names_find (dn_names_t *self, dn_str_t name)
{
    dn_name_t *row = probe (self, name, hash_of (name));
    return row->text ? row : NULL;
}

dn_name_t *
dn_names_add (dn_names_t *self, dn_str_t name, PyObject *text)
{
    if (self->used == USED_MAX)
        return NULL;
    uint32_t   hash = hash_of (name);
    dn_name_t *row = probe (self, name, hash);
    if (row->text)
        return row;
    row->bytes = malloc (name.len + 1u);
    if (!row->bytes)
        return NULL;
    dn_str_copy (row->bytes, name.len + 1u, name);
    row->name_bytes = name.len;
    row->hash = hash;
    Py_INCREF (text);
    row->text = text;
    self->used++;
    return row;
}

void
dn_name_ran (dn_name_t *self, int64_t run_us)
{
    self->mean_us = self->measured ? self->mean_us + (run_us - self->mean_us) / MEAN_PARTS : run_us;
    self->measured = true;
}
