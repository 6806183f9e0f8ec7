/*  log.h - one event, one line
 *
 *  Owns: the level (the only global of denim), the shape of a line, and that nobody but us can
 *  shape it. Must never know: what happened; that is the caller's event and fields. For programs,
 *  at the shell: the cores and the library never log.
 *
 *      dn_log (DN_LOG_WARN, "worker_gone", DN_STR ("worker", name), DN_INT ("tasks_lost", n));
 *
 *      2026-01-02T03:04:05.678Z warn event=worker_gone worker=w7 tasks_lost=2
 *      {"time":"2026-01-02T03:04:05.678Z","level":"warn","event":"worker_gone","worker":"w7",
 *       "tasks_lost":2}
 *
 *  The first form is the default, the second is for machines. Text with blanks or quotes is quoted,
 *  whatever could forge a line or drive a terminal is escaped, a line longer than DN_LOG_LINE_MAX
 *  is cut with "…" and stays well-formed. Each line is one write(2) to stderr, so lines of several
 *  processes do not mix. Under systemd (stderr is the journal) a line begins with the level's
 *  number, `<4>`, which the journal takes off. Never log a payload or a key.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_LOG_H
#define DN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DN_LOG_LINE_MAX 4096 /* bytes of a line with its newline; what a pipe takes in one piece */
#define DN_LOG_KEY_MAX  48   /* bytes of a field's key; a longer one is cut */

typedef enum {
    DN_LOG_ERROR = 0, /* a person must act */
    DN_LOG_WARN,      /* something was lost or refused */
    DN_LOG_INFO,      /* a few lines for each peer's life; the default */
    DN_LOG_DEBUG      /* for each message */
} dn_log_level_t;

typedef enum {
    DN_LOG_NOTHING = 0,
    DN_LOG_TEXT,
    DN_LOG_SIGNED,
    DN_LOG_UNSIGNED,
    DN_LOG_BOOL
} dn_log_kind_t;

/*  One key and its value. Made by the macros below; everything in it is borrowed for the call. */
typedef struct {
    const char   *key; /* a literal of ours, snake_case */
    dn_log_kind_t kind;
    const char   *text;       /* TEXT; NULL reads as "" */
    size_t        text_bytes; /* TEXT; SIZE_MAX: up to the terminator */
    int64_t       number;     /* SIGNED, UNSIGNED (its bits), BOOL */
} dn_log_field_t;

/*  The fields: a string, a string of n bytes that need not end in a zero, numbers, yes or no. */
#define DN_STR(name, value)     ((dn_log_field_t){(name), DN_LOG_TEXT, (value), SIZE_MAX, 0})
#define DN_STRN(name, value, n) ((dn_log_field_t){(name), DN_LOG_TEXT, (value), (n), 0})
#define DN_INT(name, value) ((dn_log_field_t){(name), DN_LOG_SIGNED, NULL, 0, (int64_t) (value)})
#define DN_UINT(name, value)                                                                       \
    ((dn_log_field_t){(name), DN_LOG_UNSIGNED, NULL, 0, (int64_t) (uint64_t) (value)})
#define DN_BOOL(name, value) ((dn_log_field_t){(name), DN_LOG_BOOL, NULL, 0, (value) ? 1 : 0})

/*  Log an event with any number of fields (none is fine). The fields are not even evaluated when
 *  the level is off. Keeps errno, cannot fail: a line that stderr does not take is lost. */
#define dn_log(level, event, ...)                                                                  \
    do {                                                                                           \
        if (dn_log_enabled (level)) {                                                              \
            const dn_log_field_t dn_log_fields[] = {DN_STR ("event", event), __VA_ARGS__};         \
            dn_log_write ((level), dn_log_fields, sizeof dn_log_fields / sizeof dn_log_fields[0]); \
        }                                                                                          \
    } while (0)

/*  Which lines are written, and in which form; call it once, before the first line. Until then it
 *  is info and text. */
void dn_log_set (dn_log_level_t level, bool json);

/*  Whether a line of that level would be written; costs a compare. */
bool dn_log_enabled (dn_log_level_t level);

/*  What dn_log calls: format the fields in order and write the line, whatever the level. */
void dn_log_write (dn_log_level_t level, const dn_log_field_t *fields, size_t fields_count);

/*  Format a line into `bytes` instead, with its newline, not terminated: its bytes. `time_ms` is
 *  since 1970 in UTC. Pure; for tests and for whoever has another place to write to. */
size_t dn_log_format (char bytes[DN_LOG_LINE_MAX], bool json, int64_t time_ms, dn_log_level_t level,
                      const dn_log_field_t *fields, size_t fields_count);

/*  Level from "error", "warn", "info" or "debug": 0, or -1 and *level is as it was. */
int dn_log_level_parse (const char *name, dn_log_level_t *level);

/*  And back; borrowed, static. */
const char *dn_log_level_name (dn_log_level_t level);

#endif
