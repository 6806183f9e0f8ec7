/*  settings_file.c - a file in zconfig's format, checked line by line before zconfig sees it
 *
 *  zconfig reads values and nesting well, but as a judge it is lenient and short of words: it
 *  prints to stdout and gives no line to its caller, takes `k = a#b` for `a`, `k = # c` for "# c",
 *  a key without `=` for an empty one, and keeps all of several keys of one name. So every line is
 *  looked at here first, by rules that are stricter than zconfig's; what passes them, zconfig
 *  takes as it is meant.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <czmq.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"
#include "io/settings_load.h"

#define INDENT      4   /* spaces of a level */
#define SHOWN_BYTES 200 /* of a file's name, in a sentence */
#define KEYS_BYTES  400 /* of a section's keys, likewise */

/*  A file under way. */
typedef struct {
    dn_settings_load_t *load;
    char                shown[SHOWN_BYTES];              /* its name, for sentences */
    char                bytes[DN_SETTINGS_FILE_MAX + 1]; /* what it says, terminated */
    size_t              bytes_used;
    int                 line[DN_SETTINGS_ITEMS_MAX]; /* of each section and key, in their order */
    size_t              items;
    size_t              next; /* item that the walk through zconfig's tree comes to */
} file_t;

static int
fail_line (file_t *file, int line, const char *sentence)
{
    return dn_settings_fail (file->load, EX_CONFIG, "%s:%d: %s", file->shown, line, sentence);
}

/*  ---- reading ---- */

static int
fail_system (file_t *file, const char *what)
{
    return dn_settings_fail (file->load, EX_CONFIG, "cannot %s %s: %s", what, file->shown,
                             strerror (errno));
}

static int
read_file (file_t *file)
{
    int     fd = open (file->load->file, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0)
        return fail_system (file, "open");
    while (n > 0 && file->bytes_used < sizeof file->bytes) {
        n = read (fd, file->bytes + file->bytes_used, sizeof file->bytes - file->bytes_used);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            file->bytes_used += (size_t) n;
    }
    int rc = n < 0 ? fail_system (file, "read") : 0;
    close (fd);
    if (rc)
        return rc;
    if (file->bytes_used == sizeof file->bytes)
        return dn_settings_fail (file->load, EX_CONFIG, "%s is longer than %d bytes", file->shown,
                                 DN_SETTINGS_FILE_MAX);
    file->bytes[file->bytes_used] = '\0';
    return 0;
}

/*  ---- lines; each function returns NULL, or what is wrong with the line ---- */

/*  Ends each sentence about how lines stand. */
#define HOW "; a section stands at the margin, its keys under it, indented by four spaces, no tabs"

#define ANY_NAME "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static const char *
skip_blanks (const char *at)
{
    return at + strspn (at, " \t");
}

static bool
is_end (const char *at)
{
    at = skip_blanks (at);
    return *at == '\0' || *at == '#';
}

static const char *
check_value (const char *value)
{
    if (*value == '"' || *value == '\'') {
        const char *close = strchr (value + 1, *value);
        if (!close)
            return "the quote is not closed";
        return is_end (close + 1) ? NULL : "something follows the closing quote";
    }
    if (is_end (value))
        return "the value is missing; write \"\" for an empty one";
    const char *comment = strchr (value, '#');
    if (comment && comment[-1] != ' ' && comment[-1] != '\t')
        return "`#` begins a comment; put a value that has one in quotes";
    return NULL;
}

static const char *
check_item (const char *at, int level, bool has_section)
{
    size_t      name_bytes = strspn (at, ANY_NAME);
    const char *rest = skip_blanks (at + name_bytes);

    if (level > 1)
        return "indented too deep" HOW;
    if (name_bytes == 0 || (rest == at + name_bytes && *rest != '=' && !is_end (rest)))
        return "neither `section` nor `key = value`" HOW;
    if (level == 1 && !has_section)
        return "a key without a section above it" HOW;
    if (level == 0)
        return is_end (rest) ? NULL : "something follows the name of a section" HOW;
    if (*rest != '=')
        return "`=` is missing; write `key = value`";
    return check_value (skip_blanks (rest + 1));
}

/*  A line without its newline and the blanks at its end. *level: of a section 0, of a key 1, of
 *  neither (empty or comment) -1. */
static const char *
check_line (const char *line, bool has_section, int *level)
{
    size_t      indent = strspn (line, " ");
    const char *at = line + indent;

    *level = -1;
    if (*at == '\0')
        return NULL;
    if (*at == '\t')
        return "indented by a tab" HOW;
    for (const char *c = at; *c; c++)
        if ((unsigned char) *c < ' ' && *c != '\t')
            return "a control character";
    if (indent % INDENT)
        return "indented by a number of spaces that is neither 0 nor 4" HOW;
    if (*at == '#')
        return NULL;
    *level = (int) (indent / INDENT);
    return check_item (at, *level, has_section);
}

/*  Check one line in place and note where its item stands. */
static int
take_line (file_t *file, char *line, size_t line_bytes, int number)
{
    int         level = -1;
    const char *wrong = NULL;

    if (memchr (line, '\0', line_bytes))
        return fail_line (file, number, "a zero byte; is this a text file?");
    while (line_bytes > 0 && strchr (" \t\r", line[line_bytes - 1]))
        line_bytes--;
    if (line_bytes > DN_SETTINGS_LINE_MAX)
        return fail_line (file, number, "a line that is too long");

    char kept = line[line_bytes];
    line[line_bytes] = '\0';
    wrong = check_line (line, file->items > 0, &level);
    line[line_bytes] = kept;
    if (!wrong && level >= 0 && file->items == DN_SETTINGS_ITEMS_MAX)
        wrong = "more keys than there can be";
    if (wrong)
        return fail_line (file, number, wrong);
    if (level >= 0)
        file->line[file->items++] = number;
    return 0;
}

static int
check_lines (file_t *file)
{
    char *line = file->bytes;
    char *end = file->bytes + file->bytes_used;

    for (int number = 1; line < end; number++) {
        char *newline = memchr (line, '\n', (size_t) (end - line));
        char *line_end = newline ? newline : end;
        if (take_line (file, line, (size_t) (line_end - line), number))
            return 1;
        line = line_end + 1;
    }
    return 0;
}

/*  ---- keys ---- */

/*  Add the names of all sections, or of all keys of one, to `out` (first: ""), commas between. */
static void
list_names (const dn_settings_program_t *program, const char *section, char *out, size_t out_bytes)
{
    size_t      used = 0;
    const char *last = "";

    for (size_t i = 0; i < program->rows_count; i++) {
        const char *path = program->rows[i].path;
        size_t      n = strcspn (path, "/");
        bool        listed = section ? strlen (section) == n && memcmp (path, section, n) == 0
                                     : strncmp (path, last, n + 1) != 0;
        last = path;
        if (!listed || used + strlen (path) + 3 > out_bytes)
            continue;
        used += (size_t) snprintf (out + used, out_bytes - used, "%s%.*s", used ? ", " : "",
                                   section ? INT_MAX : (int) n, section ? path + n + 1 : path);
    }
}

/*  The row of a key, or rows_count. */
static size_t
find_row (const dn_settings_program_t *program, const char *section, const char *key)
{
    size_t n = strlen (section);
    size_t i = 0;

    while (i < program->rows_count &&
           (strncmp (program->rows[i].path, section, n) != 0 || program->rows[i].path[n] != '/' ||
            strcmp (program->rows[i].path + n + 1, key) != 0))
        i++;
    return i;
}

static int
take_key (file_t *file, const char *section, zconfig_t *item)
{
    dn_settings_load_t          *load = file->load;
    const dn_settings_program_t *program = load->program;
    const char                  *key = zconfig_name (item);
    int                          line = file->line[file->next++];
    size_t                       i = find_row (program, section, key);
    char                         text[DN_WHY_MAX];

    if (i == program->rows_count) {
        char keys[KEYS_BYTES] = "";
        list_names (program, section, keys, sizeof keys);
        return dn_settings_fail (load, EX_CONFIG, "%s:%d: unknown key %s/%.100s; %s has %s",
                                 file->shown, line, section, key, section, keys);
    }
    if (load->origin[i] == DN_ORIGIN_FILE)
        return dn_settings_fail (load, EX_CONFIG, "%s:%d: %s is given twice, first in line %d",
                                 file->shown, line, program->rows[i].path, load->line[i]);
    if (dn_setting_set (&program->rows[i], load->self, zconfig_value (item), text, sizeof text) < 0)
        return dn_settings_fail (load, EX_CONFIG, "%s:%d: %s: %s", file->shown, line,
                                 program->rows[i].path, text);
    load->origin[i] = DN_ORIGIN_FILE;
    load->line[i] = line;
    return 0;
}

static bool
is_repeated (zconfig_t *root, zconfig_t *section)
{
    zconfig_t *at = zconfig_child (root);
    while (at != section && strcmp (zconfig_name (at), zconfig_name (section)) != 0)
        at = zconfig_next (at);
    return at != section;
}

static int
take_section (file_t *file, zconfig_t *root, zconfig_t *section)
{
    const dn_settings_program_t *program = file->load->program;
    const char                  *name = zconfig_name (section);
    int                          line = file->line[file->next++];
    char                         names[KEYS_BYTES] = "";

    list_names (program, name, names, sizeof names);
    if (!names[0]) {
        list_names (program, NULL, names, sizeof names);
        return dn_settings_fail (file->load, EX_CONFIG, "%s:%d: unknown section %.100s; %s has %s",
                                 file->shown, line, name, program->name, names);
    }
    if (is_repeated (root, section))
        return dn_settings_fail (file->load, EX_CONFIG, "%s:%d: section %s is given twice",
                                 file->shown, line, name);
    for (zconfig_t *item = zconfig_child (section); item; item = zconfig_next (item))
        if (take_key (file, name, item))
            return 1;
    return 0;
}

static int
take_tree (file_t *file)
{
    zconfig_t *root = zconfig_str_load (file->bytes);
    int        rc = 0;

    if (!root) /* should our rules ever be laxer than zconfig's */
        return dn_settings_fail (file->load, EX_CONFIG, "%s does not parse" HOW, file->shown);
    for (zconfig_t *at = zconfig_child (root); at && rc == 0; at = zconfig_next (at))
        rc = take_section (file, root, at);
    dn_check (rc || file->next == file->items);
    zconfig_destroy (&root);
    return rc;
}

int
dn_settings_file_load (dn_settings_load_t *load)
{
    file_t *file = calloc (1, sizeof *file);
    if (!file)
        return dn_settings_fail (load, EX_OSERR, "out of memory");

    file->load = load;
    dn_text_show (file->shown, sizeof file->shown, load->file);
    int rc = read_file (file);
    if (rc == 0)
        rc = check_lines (file);
    if (rc == 0)
        rc = take_tree (file);
    free (file);
    return rc;
}
