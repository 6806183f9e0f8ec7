/*  names.h - the names of tasks that this slot has run, and how long each takes
 *
 *  Owns: one fixed table from a name's bytes to a Python string of it (made once, its hash kept)
 *  and a decaying mean of its time. Tells the channel whether results may wait behind a task of
 *  that name. When the table is full, further names are not kept: their tasks only cost a little
 *  more.
 *
 *  One thread, which holds Python's lock.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_NAMES_H
#define DN_SLOT_NAMES_H

#include <Python.h>

#include "wire/wire.h"

#define DN_NAMES_MAX 1024 /* rows; a power of 2, of which three quarters are used */
#define DN_SHORT_US  1000 /* a task below this is short */

typedef struct {
    PyObject *text;  /* owned str; NULL: the row is free */
    char     *bytes; /* owned: the name as it comes */
    uint32_t  hash;
    uint16_t  name_bytes;
    bool      measured; /* it has run */
    int64_t   mean_us;  /* decaying, of the whole way of a task through the slot */
} dn_name_t;

typedef struct {
    dn_name_t *rows; /* owned, DN_NAMES_MAX */
    unsigned   used;
} dn_names_t;

/*  0, or -1 without memory. */
int  dn_names_init (dn_names_t *self);
void dn_names_close (dn_names_t *self);

/*  The row of a name; NULL when it is not kept. Lent until the table is closed. */
dn_name_t *dn_names_find (dn_names_t *self, dn_str_t name);

/*  Keep a name that is not there; `text` is borrowed. The row, or NULL: the table is full. */
dn_name_t *dn_names_add (dn_names_t *self, dn_str_t name, PyObject *text);

/*  A task of that name took so long. */
void dn_name_ran (dn_name_t *self, int64_t run_us);

/*  Whether tasks of that name are known to be short; false for NULL. */
static inline bool
dn_name_is_short (const dn_name_t *self)
{
    return self && self->measured && self->mean_us < DN_SHORT_US;
}

#endif
