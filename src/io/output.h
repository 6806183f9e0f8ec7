/*  output.h - what a slot prints, line by line into the worker's log
 *
 *  Owns: the read end of a slot's pipe, the line that is not complete yet, and how much of each
 *  task's output was logged. It is always read: a slot never waits because nobody listens. Beyond a
 *  number of bytes for each task it is dropped, and one line says how much. Must never know: what a
 *  task is; that is a text.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_OUTPUT_H
#define DN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DN_OUTPUT_LINE_MAX 2000         /* bytes of a line of the log; a longer one is several */
#define DN_OUTPUT_BATCH    (256 * 1024) /* read before others have their turn */
#define DN_OUTPUT_TASK_MAX 40           /* bytes of a task's text */

typedef struct {
    int      fd;                       /* owned; -1: none */
    char     task[DN_OUTPUT_TASK_MAX]; /* whose output it is; "": nobody's */
    uint64_t logged_bytes;             /* of this task */
    uint64_t dropped_bytes;            /* likewise */
    size_t   used;                     /* bytes of the line */
    char     line[DN_OUTPUT_LINE_MAX];
} dn_output_t;

/*  How its lines look: `who` is the slot; nothing else is logged. */
typedef struct {
    const char *who;
    const char *task;      /* that runs now; "": none */
    uint64_t    bytes_max; /* logged for each task */
} dn_output_label_t;

/*  Take over `fd`, non-blocking. */
void dn_output_open (dn_output_t *self, int fd);
void dn_output_close (dn_output_t *self);

/*  Read what is there and log it. False: all has been read and nobody can write any more. */
bool dn_output_drain (dn_output_t *self, const dn_output_label_t *label);

/*  Log what is left of the last line, and what was dropped: at the end of a process. */
void dn_output_finish (dn_output_t *self, const dn_output_label_t *label);

#endif
