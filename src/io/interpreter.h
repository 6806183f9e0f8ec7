/*  interpreter.h - the user's Python: which one it is, and the library that it runs in
 *
 *  Owns: asking an interpreter about itself, once, at the start. Slots run in the interpreter that
 *  the user's own programs run in: same version, same packages. What counts is what it reports of
 *  itself: the path that started it may be a shim or a symbolic link. Must never know: what it is
 *  started for.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_INTERPRETER_H
#define DN_INTERPRETER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define DN_INTERPRETER_ASK_MS 30000 /* for its answer: a cold disk is slow, a hang is for ever */

typedef struct {
    char executable[PATH_MAX]; /* as it reports */
    char version[64];
    char library[PATH_MAX]; /* shared, to be loaded by denim-slot; "": run the executable */
} dn_interpreter_t;

/*  Start `path` and ask it. 0, or -1 and a sentence without a full stop in `why`: it cannot be
 *  started, it is no CPython, it is too old. Waits; from the main thread. */
int dn_interpreter_ask (dn_interpreter_t *self, const char *path, char *why, size_t why_bytes);

#endif
