/*  log.c - build a line in place, bounded at every byte, and write it in one go
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

/*  Kept free at the end of each line for the longest end: `"`, `,"cut":true`, `}` and a newline. */
#define TAIL_BYTES 16

/*  Room for `,"key":` or ` key=` with the number or the quote that follows. */
#define PIECE_BYTES (DN_LOG_KEY_MAX + 32)

static const struct {
    const char *name;
    int         journal; /* syslog's number for it */
} levels[] = {
    [DN_LOG_ERROR] = {"error", 3},
    [DN_LOG_WARN] = {"warn", 4},
    [DN_LOG_INFO] = {"info", 6},
    [DN_LOG_DEBUG] = {"debug", 7},
};

#define LEVELS (sizeof levels / sizeof levels[0])

/*  The only global of denim: set once at start, read ever after. */
static struct {
    dn_log_level_t level;
    bool           json;
    bool           journal; /* stderr goes to systemd's journal */
} settings = {DN_LOG_INFO, false, false};

typedef struct {
    char  *bytes; /* DN_LOG_LINE_MAX of them */
    size_t used;
    bool   json;
    bool   cut;    /* something found no room; nothing is added after that */
    bool   marked; /* and the line says so already */
} line_t;

/*  Add a piece whole or not at all: an escape or a key is never split. */
static bool
put (line_t *line, const char *bytes, size_t n)
{
    if (line->cut || line->used + n > DN_LOG_LINE_MAX - TAIL_BYTES) {
        line->cut = true;
        return false;
    }
    memcpy (line->bytes + line->used, bytes, n);
    line->used += n;
    return true;
}

/*  Add to the end of a line, into the room that `put` leaves. */
static void
put_tail (line_t *line, const char *text)
{
    size_t n = strlen (text);
    memcpy (line->bytes + line->used, text, n);
    line->used += n;
}

/*  One character of quoted text at `text`, as JSON escapes it (the text form has the same escapes,
 *  and `\xNN` for a byte that is no UTF-8). Returns how many bytes of `text` it took. */
static size_t
put_char (line_t *line, const char *text, size_t text_bytes)
{
    unsigned char byte = (unsigned char) *text;
    size_t        step = dn_text_step (text, text_bytes);
    char          escape[8];

    if (step > 0 && byte != '"' && byte != '\\') {
        put (line, text, step);
        return step;
    }
    if (byte == '"' || byte == '\\')
        snprintf (escape, sizeof escape, "\\%c", byte);
    else if (byte == '\n')
        snprintf (escape, sizeof escape, "\\n");
    else if (byte == '\t')
        snprintf (escape, sizeof escape, "\\t");
    else if (line->json)
        snprintf (escape, sizeof escape, byte < 0x80 ? "\\u%04x" : "\\ufffd", byte);
    else
        snprintf (escape, sizeof escape, "\\x%02x", byte);
    put (line, escape, strlen (escape));
    return 1;
}

/*  Text that reads the same with and without quotes. */
static bool
is_bare (const char *text, size_t text_bytes)
{
    size_t step;
    for (size_t i = 0; i < text_bytes; i += step) {
        step = dn_text_step (text + i, text_bytes - i);
        if (step == 0 || strchr (" \"=\\", text[i]))
            return false;
    }
    return text_bytes > 0;
}

/*  `,"key":VALUE` or ` key=VALUE`, where the value is short and needs no escape. */
static bool
put_key (line_t *line, const char *key, const char *value)
{
    char piece[PIECE_BYTES];
    int n = snprintf (piece, sizeof piece, line->json ? ",\"%.*s\":%s" : " %.*s=%s", DN_LOG_KEY_MAX,
                      key, value);
    return put (line, piece, (size_t) n);
}

static void
put_text (line_t *line, const dn_log_field_t *field)
{
    const char *text = field->text ? field->text : "";
    size_t      text_bytes = field->text_bytes == SIZE_MAX ? strlen (text) : field->text_bytes;
    bool        quoted = line->json || !is_bare (text, text_bytes);

    if (!put_key (line, field->key, quoted ? "\"" : ""))
        return;
    for (size_t i = 0; i < text_bytes && !line->cut;)
        i += put_char (line, text + i, text_bytes - i);
    if (line->cut) {
        put_tail (line, DN_TEXT_CUT);
        line->marked = true;
    }
    if (quoted)
        put_tail (line, "\"");
}

static void
put_field (line_t *line, const dn_log_field_t *field)
{
    char number[24];

    switch (field->kind) {
    case DN_LOG_NOTHING: return;
    case DN_LOG_TEXT: put_text (line, field); return;
    case DN_LOG_SIGNED: snprintf (number, sizeof number, "%" PRId64, field->number); break;
    case DN_LOG_UNSIGNED:
        snprintf (number, sizeof number, "%" PRIu64, (uint64_t) field->number);
        break;
    case DN_LOG_BOOL:
        snprintf (number, sizeof number, "%s", field->number ? "true" : "false");
        break;
    }
    put_key (line, field->key, number);
}

static void
put_head (line_t *line, int64_t time_ms, dn_log_level_t level)
{
    time_t    seconds = (time_t) (time_ms / 1000);
    struct tm utc;
    char      second[32] = "";
    char      head[96];

    if (gmtime_r (&seconds, &utc))
        strftime (second, sizeof second, "%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf (head, sizeof head,
                      line->json ? "{\"time\":\"%s.%03dZ\",\"level\":\"%s\"" : "%s.%03dZ %s",
                      second, (int) (time_ms % 1000), dn_log_level_name (level));
    put (line, head, (size_t) n);
}

size_t
dn_log_format (char bytes[DN_LOG_LINE_MAX], bool json, int64_t time_ms, dn_log_level_t level,
               const dn_log_field_t *fields, size_t fields_count)
{
    line_t line = {.bytes = bytes, .json = json};

    put_head (&line, time_ms, level);
    for (size_t i = 0; i < fields_count; i++)
        put_field (&line, &fields[i]);
    if (line.cut && !line.marked)
        put_tail (&line, json ? ",\"cut\":true" : " " DN_TEXT_CUT);
    put_tail (&line, json ? "}\n" : "\n");
    return line.used;
}

void
dn_log_write (dn_log_level_t level, const dn_log_field_t *fields, size_t fields_count)
{
    enum { PREFIX_BYTES = 3 }; /* "<4>" */
    char            bytes[PREFIX_BYTES + DN_LOG_LINE_MAX];
    int             kept = errno;
    struct timespec now;

    clock_gettime (CLOCK_REALTIME, &now);
    size_t n = dn_log_format (bytes + PREFIX_BYTES, settings.json,
                              (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000, level, fields,
                              fields_count);
    char  *start = bytes + PREFIX_BYTES;
    if (settings.journal) {
        start = bytes;
        n += PREFIX_BYTES;
        bytes[0] = '<';
        bytes[1] = (char) ('0' + levels[level].journal);
        bytes[2] = '>';
    }
    while (write (STDERR_FILENO, start, n) < 0 && errno == EINTR)
        continue;
    errno = kept;
}

/*  systemd names the device and the inode of the journal's socket. A process whose stderr was sent
 *  elsewhere has inherited the name all the same, so they are compared. */
static bool
is_journal (void)
{
    const char        *stream = getenv ("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat        file;

    return stream && sscanf (stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat (STDERR_FILENO, &file) == 0 && file.st_dev == device && file.st_ino == inode;
}

void
dn_log_set (dn_log_level_t level, bool json)
{
    settings.level = level;
    settings.json = json;
    settings.journal = is_journal ();
}

bool
dn_log_enabled (dn_log_level_t level)
{
    return level <= settings.level;
}

int
dn_log_level_parse (const char *name, dn_log_level_t *level)
{
    for (size_t i = 0; i < LEVELS; i++) {
        if (strcmp (name, levels[i].name) == 0) {
            *level = (dn_log_level_t) i;
            return 0;
        }
    }
    return -1;
}

const char *
dn_log_level_name (dn_log_level_t level)
{
    return (size_t) level < LEVELS ? levels[level].name : "error";
}
