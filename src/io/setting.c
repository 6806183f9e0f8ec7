/*  setting.c - values and text, a row of functions for each type
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/setting.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "io/address.h"
#include "io/settings.h"

#define SHOWN_BYTES   120 /* of what was given, in a sentence */
#define ALLOWED_BYTES 200 /* of what is allowed, likewise */

/*  What a type can do. `set` returns 0, or -1 and nothing is written; it may then have put a
 *  sentence of its own into `why`, which is "" before. */
typedef struct {
    int (*set) (const dn_setting_t *row, void *field, const char *text, char *why,
                size_t why_bytes);
    void (*show) (const void *field, char *out);
    void (*allowed) (const dn_setting_t *row, char *out, size_t out_bytes);
    size_t field_bytes; /* what the field must have; 0: a string, any size */
} type_t;

/*  ---- bool ---- */

static int
set_bool (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    static const struct {
        const char *word;
        bool        value;
    } words[] = {{"true", true}, {"false", false}, {"yes", true},
                 {"no", false},  {"1", true},      {"0", false}};

    (void) row, (void) why, (void) why_bytes;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp (text, words[i].word) == 0) {
            *(bool *) field = words[i].value;
            return 0;
        }
    }
    return -1;
}

static void
show_bool (const void *field, char *out)
{
    strcpy (out, *(const bool *) field ? "true" : "false");
}

static void
allow_bool (const dn_setting_t *row, char *out, size_t out_bytes)
{
    (void) row;
    snprintf (out, out_bytes, "true or false");
}

/*  ---- numbers ---- */

static const struct {
    char    letter;
    int64_t bytes;
} suffixes[] = {{'G', 1 << 30}, {'M', 1 << 20}, {'K', 1 << 10}};

#define SUFFIXES (sizeof suffixes / sizeof suffixes[0])

/*  Digits alone: no sign, no blank, no 0x. */
static int
parse_number (const char *text, const char **end, int64_t *number)
{
    int64_t     sum = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow (sum, 10, &sum) || __builtin_add_overflow (sum, *at - '0', &sum))
            return -1;
    if (at == text)
        return -1;
    *end = at;
    *number = sum;
    return 0;
}

static int
parse_in_range (const dn_setting_t *row, const char *text, int64_t *number)
{
    const char *end;
    if (parse_number (text, &end, number) < 0 || *end != '\0')
        return -1;
    return *number >= row->min && *number <= row->max ? 0 : -1;
}

static int
set_count (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    int64_t number;
    (void) why, (void) why_bytes;
    if (parse_in_range (row, text, &number) < 0)
        return -1;
    *(uint32_t *) field = (uint32_t) number;
    return 0;
}

static int
set_ms (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    int64_t number;
    (void) why, (void) why_bytes;
    if (parse_in_range (row, text, &number) < 0)
        return -1;
    *(int64_t *) field = number;
    return 0;
}

static int
set_bytes (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    int64_t     number;
    const char *end;

    (void) why, (void) why_bytes;
    if (parse_number (text, &end, &number) < 0)
        return -1;
    for (size_t i = 0; i < SUFFIXES; i++) {
        if (toupper ((unsigned char) *end) != suffixes[i].letter)
            continue;
        if (__builtin_mul_overflow (number, suffixes[i].bytes, &number))
            return -1;
        end++;
        break;
    }
    if (*end != '\0' || number < row->min || number > row->max)
        return -1;
    *(uint64_t *) field = (uint64_t) number;
    return 0;
}

static void
show_count (const void *field, char *out)
{
    sprintf (out, "%" PRIu32, *(const uint32_t *) field);
}

static void
show_ms (const void *field, char *out)
{
    sprintf (out, "%" PRId64, *(const int64_t *) field);
}

/*  With the largest suffix that leaves nothing over. */
static void
show_bytes (const void *field, char *out)
{
    int64_t bytes = (int64_t) * (const uint64_t *) field;

    for (size_t i = 0; i < SUFFIXES && bytes > 0; i++) {
        if (bytes % suffixes[i].bytes == 0) {
            sprintf (out, "%" PRId64 "%c", bytes / suffixes[i].bytes, suffixes[i].letter);
            return;
        }
    }
    sprintf (out, "%" PRId64, bytes);
}

static void
allow_number (const dn_setting_t *row, char *out, size_t out_bytes)
{
    int n = snprintf (out, out_bytes, "a whole number from %" PRId64 " to %" PRId64, row->min,
                      row->max);
    if (row->unit[0])
        snprintf (out + n, out_bytes - (size_t) n, " (%s)", row->unit);
}

static void
allow_bytes (const dn_setting_t *row, char *out, size_t out_bytes)
{
    char min[24];
    char max[24];
    show_bytes (&row->min, min);
    show_bytes (&row->max, max);
    snprintf (out, out_bytes, "a number of bytes from %s to %s, such as 65536, 64K, 16M or 1G", min,
              max);
}

/*  ---- log level ---- */

static int
set_level (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    (void) row, (void) why, (void) why_bytes;
    return dn_log_level_parse (text, field);
}

static void
show_level (const void *field, char *out)
{
    strcpy (out, dn_log_level_name (*(const dn_log_level_t *) field));
}

static void
allow_level (const dn_setting_t *row, char *out, size_t out_bytes)
{
    (void) row;
    snprintf (out, out_bytes, "error, warn, info or debug");
}

/*  ---- strings ---- */

/*  A string that fits, can be shown, and has none of those characters. The double quote is always
 *  refused: a file has no way to write it inside quotes. */
static int
set_string (const dn_setting_t *row, char *field, const char *text, const char *refused)
{
    size_t n = strlen (text);
    if (n >= row->field_bytes || !dn_text_is_safe (text) || text[strcspn (text, refused)] != '\0')
        return -1;
    memset (field, 0, row->field_bytes);
    memcpy (field, text, n);
    return 0;
}

static int
set_text (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    (void) why, (void) why_bytes;
    return set_string (row, field, text, "\"");
}

/*  A colon would end the service in "service:function", a comma an item of a list. */
static int
set_name (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    (void) why, (void) why_bytes;
    return set_string (row, field, text, "\"' ,:");
}

static int
set_address (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    dn_address_t address;
    dn_purpose_t purpose = row->type == DN_SETTING_LISTEN ? DN_TO_BIND : DN_TO_CONNECT;

    if (dn_address_parse (&address, text, purpose, why, why_bytes) < 0)
        return -1;
    return set_string (row, field, text, "\"");
}

static void
show_string (const void *field, char *out)
{
    sprintf (out, "\"%s\"", (const char *) field);
}

static void
allow_text (const dn_setting_t *row, char *out, size_t out_bytes)
{
    snprintf (out, out_bytes, "at most %zu bytes, no double quotes, no control characters",
              row->field_bytes - 1);
}

static void
allow_name (const dn_setting_t *row, char *out, size_t out_bytes)
{
    snprintf (out, out_bytes, "one word of at most %zu bytes, no quotes, commas, colons",
              row->field_bytes - 1);
}

static void
allow_address (const dn_setting_t *row, char *out, size_t out_bytes)
{
    (void) row;
    snprintf (out, out_bytes, "tcp://HOST[:PORT] or ipc://PATH");
}

/*  ---- apps ---- */

static bool
is_letter (char c)
{
    /* Beyond ASCII Python decides what is a letter. */
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char) c >= 0x80;
}

/*  Identifiers with dots between them. */
static bool
is_module (const char *name)
{
    bool starts = true; /* an identifier */

    for (const char *at = name; *at; at++) {
        if (*at == '.' ? starts : !is_letter (*at) && (starts || *at < '0' || *at > '9'))
            return false;
        starts = *at == '.';
    }
    return !starts && dn_text_is_safe (name);
}

static bool
has_app (const dn_apps_t *apps, const char *name)
{
    for (uint32_t i = 0; i < apps->count; i++)
        if (strcmp (apps->name[i], name) == 0)
            return true;
    return false;
}

static int
refuse_app (const char *name, size_t name_bytes, char *why, size_t why_bytes)
{
    char word[SHOWN_BYTES];
    char shown[SHOWN_BYTES];
    bool is_file = name_bytes > 3 && memcmp (name + name_bytes - 3, ".py", 3) == 0;

    snprintf (word, sizeof word, "%.*s", (int) name_bytes, name);
    snprintf (why, why_bytes, "\"%s\" is not the name of a module; write %s",
              dn_text_show (shown, sizeof shown, word),
              is_file ? "it as `import` does, without .py"
                      : "names such as myapp or package.module (at most 127 bytes each)");
    return -1;
}

static int
add_app (dn_apps_t *apps, const char *name, size_t name_bytes, char *why, size_t why_bytes)
{
    char word[DN_SERVICE_MAX];

    if (name_bytes >= sizeof word)
        return refuse_app (name, name_bytes, why, why_bytes);
    memcpy (word, name, name_bytes);
    word[name_bytes] = '\0';
    if (!is_module (word) || (name_bytes > 3 && strcmp (word + name_bytes - 3, ".py") == 0))
        return refuse_app (name, name_bytes, why, why_bytes);
    if (has_app (apps, word))
        return 0;
    if (apps->count == DN_APPS_MAX) {
        snprintf (why, why_bytes, "more than %d apps are given", DN_APPS_MAX);
        return -1;
    }
    strcpy (apps->name[apps->count++], word);
    return 0;
}

static int
set_apps (const dn_setting_t *row, void *field, const char *text, char *why, size_t why_bytes)
{
    static const char separators[] = " ,\t";
    dn_apps_t         apps = {0};

    (void) row;
    for (const char *at = text; *(at += strspn (at, separators)) != '\0';) {
        size_t n = strcspn (at, separators);
        if (add_app (&apps, at, n, why, why_bytes) < 0)
            return -1;
        at += n;
    }
    *(dn_apps_t *) field = apps;
    return 0;
}

static void
show_apps (const void *field, char *out)
{
    const dn_apps_t *apps = field;

    *out++ = '"';
    for (uint32_t i = 0; i < apps->count; i++)
        out += sprintf (out, "%s%s", i ? " " : "", apps->name[i]);
    strcpy (out, "\"");
}

static void
allow_apps (const dn_setting_t *row, char *out, size_t out_bytes)
{
    (void) row;
    snprintf (out, out_bytes, "names of modules, at most %d, with blanks or commas between them",
              DN_APPS_MAX);
}

_Static_assert(DN_APPS_MAX *DN_SERVICE_MAX + sizeof "\"\"" <= DN_SETTING_SHOW_MAX, "apps fit");
_Static_assert(PATH_MAX + sizeof "\"\"" <= DN_SETTING_SHOW_MAX, "paths fit");

/*  ---- the types ---- */

static const type_t types[DN_SETTING_TYPES] = {
    [DN_SETTING_BOOL] = {set_bool, show_bool, allow_bool, sizeof (bool)},
    [DN_SETTING_COUNT] = {set_count, show_count, allow_number, sizeof (uint32_t)},
    [DN_SETTING_MS] = {set_ms, show_ms, allow_number, sizeof (int64_t)},
    [DN_SETTING_BYTES] = {set_bytes, show_bytes, allow_bytes, sizeof (uint64_t)},
    [DN_SETTING_LEVEL] = {set_level, show_level, allow_level, sizeof (dn_log_level_t)},
    [DN_SETTING_TEXT] = {set_text, show_string, allow_text, 0},
    [DN_SETTING_NAME] = {set_name, show_string, allow_name, 0},
    [DN_SETTING_LISTEN] = {set_address, show_string, allow_address, 0},
    [DN_SETTING_CONNECT] = {set_address, show_string, allow_address, 0},
    [DN_SETTING_APPS] = {set_apps, show_apps, allow_apps, sizeof (dn_apps_t)},
};

static const type_t *
type_of (const dn_setting_t *row)
{
    const type_t *type = &types[row->type];
    dn_check (type->field_bytes == 0 || type->field_bytes == row->field_bytes);
    return type;
}

int
dn_setting_set (const dn_setting_t *row, void *self, const char *text, char *why, size_t why_bytes)
{
    char allowed[ALLOWED_BYTES];
    char shown[SHOWN_BYTES];

    why[0] = '\0';
    if (type_of (row)->set (row, (char *) self + row->offset, text, why, why_bytes) == 0)
        return 0;
    if (why[0] == '\0')
        snprintf (why, why_bytes, "\"%s\" is not allowed; write %s",
                  dn_text_show (shown, sizeof shown, text),
                  dn_setting_allowed (row, allowed, sizeof allowed));
    return -1;
}

const char *
dn_setting_show (const dn_setting_t *row, const void *self, char out[DN_SETTING_SHOW_MAX])
{
    type_of (row)->show ((const char *) self + row->offset, out);
    return out;
}

const char *
dn_setting_allowed (const dn_setting_t *row, char *out, size_t out_bytes)
{
    type_of (row)->allowed (row, out, out_bytes);
    return out;
}
