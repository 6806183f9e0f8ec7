/*  table.c - cells in columns
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "base/check.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  Room for one cell more; grown a row at a time. */
static char *
next_cell (dn_table_t *self)
{
    unsigned at = self->cells++;
    if (at % self->columns == 0) {
        void *grown = realloc (self->cell, (at + self->columns) * sizeof *self->cell);
        dn_check (grown); /* a program of a few kilobytes that prints and ends */
        self->cell = grown;
    }
    return self->cell[at];
}

void
dn_table_init (dn_table_t *self, const char *titles)
{
    *self = (dn_table_t){0};
    const char *at = titles;
    for (size_t n; (n = strcspn (at, " ")) > 0; at += n, at += *at == ' ') {
        dn_check (self->columns < DN_TABLE_COLUMNS);
        if (*at == '>')
            self->right |= 1u << self->columns;
        self->columns++;
    }
    at = titles;
    for (size_t n; (n = strcspn (at, " ")) > 0; at += n, at += *at == ' ') {
        bool right = *at == '>';
        dn_table_put (self, "%.*s", (int) (n - right), at + right);
    }
}

void
dn_table_put (dn_table_t *self, const char *format, ...)
{
    char    text[4 * DN_TABLE_CELL];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    dn_text_show (next_cell (self), DN_TABLE_CELL, text);
}

/*  Characters, not bytes: what follows the first byte of one begins with the bits 10. */
static int
width_of (const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char) *text & 0xc0) != 0x80;
    return width;
}

static void
print_cell (const dn_table_t *self, unsigned column, const char *cell, int width)
{
    int  pad = width - width_of (cell);
    bool last = column + 1 == self->columns;
    if (self->right & 1u << column)
        printf ("%*s%s", pad, "", cell);
    else
        printf ("%s%*s", cell, last ? 0 : pad, "");
    fputs (last ? "\n" : "  ", stdout);
}

void
dn_table_print (dn_table_t *self)
{
    int  width[DN_TABLE_COLUMNS] = {0};
    bool has_rows = self->cells > self->columns;

    for (unsigned i = 0; i < self->cells && has_rows; i++) {
        int here = width_of (self->cell[i]);
        if (here > width[i % self->columns])
            width[i % self->columns] = here;
    }
    for (unsigned i = 0; i < self->cells && has_rows; i++)
        print_cell (self, i % self->columns, self->cell[i], width[i % self->columns]);
    free (self->cell);
    self->cell = NULL;
}
