/*  output.c - what a slot prints
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/output.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)

void
dn_output_open (dn_output_t *self, int fd)
{
    self->fd = fd;
    self->task[0] = 0;
    self->logged_bytes = 0;
    self->dropped_bytes = 0;
    self->used = 0;
}

void
dn_output_close (dn_output_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

static void
log_line (dn_output_t *self, const dn_output_label_t *label)
{
    if (self->used)
        dn_log (DN_LOG_INFO, "output", DN_STR ("slot", label->who), DN_STR ("task", self->task),
                DN_STRN ("text", self->line, self->used));
    self->used = 0;
}

static void
log_dropped (dn_output_t *self, const dn_output_label_t *label)
{
    if (self->dropped_bytes)
        dn_log (DN_LOG_WARN, "output_dropped", DN_STR ("slot", label->who),
                DN_STR ("task", self->task), DN_UINT ("bytes", self->dropped_bytes));
    self->dropped_bytes = 0;
}

/*  Another task runs: what it prints is its own. */
static void
turn_to (dn_output_t *self, const dn_output_label_t *label)
{
    if (strcmp (self->task, label->task) == 0)
        return;
    log_line (self, label);
    log_dropped (self, label);
    snprintf (self->task, sizeof self->task, "%s", label->task);
    self->logged_bytes = 0;
}

static void
take (dn_output_t *self, const dn_output_label_t *label, char byte)
{
    if (self->logged_bytes >= label->bytes_max) {
        self->dropped_bytes++;
        return;
    }
    self->logged_bytes++;
    if (byte != '\n')
        self->line[self->used++] = byte;
    if (byte == '\n' || self->used == DN_OUTPUT_LINE_MAX || self->logged_bytes == label->bytes_max)
        log_line (self, label);
}

bool
dn_output_drain (dn_output_t *self, const dn_output_label_t *label)
{
    char bytes[READ_BYTES];

    turn_to (self, label);
    for (size_t all = 0; all < DN_OUTPUT_BATCH;) {
        ssize_t got = read (self->fd, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        for (ssize_t i = 0; i < got; i++)
            take (self, label, bytes[i]);
        all += (size_t) got;
    }
    return true;
}

void
dn_output_finish (dn_output_t *self, const dn_output_label_t *label)
{
    log_line (self, label);
    log_dropped (self, label);
}
