/*  settings_print.c - the table of a program as help, as effective settings and as a sample file
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "denim.h"
#include "io/settings_load.h"

#define FLAG_BYTES     40  /* of `--flag OPERAND` */
#define ALLOWED_BYTES  200 /* of what is allowed for a key */
#define COMMENT_COLUMN 44  /* where -t says where a value came from */

/*  Text under construction; running out of room is our bug, as everything here is bounded. */
typedef struct {
    char  *text; /* DN_SETTINGS_TEXT_MAX bytes */
    size_t used;
} page_t;

__attribute__ ((format (printf, 2, 3))) static void
say (page_t *page, const char *format, ...)
{
    size_t  left = DN_SETTINGS_TEXT_MAX - page->used;
    va_list args;

    va_start (args, format);
    int n = vsnprintf (page->text + page->used, left, format, args);
    va_end (args);
    dn_check (n >= 0 && (size_t) n < left);
    page->used += (size_t) n;
}

/*  ---- help ---- */

static void
say_option (page_t *page, int width, const char *option, const char *doc)
{
    say (page, "  %-*s  %s\n", width, option, doc);
}

static int
write_flag (const dn_setting_t *row, char flag[FLAG_BYTES])
{
    return snprintf (flag, FLAG_BYTES, "--%s%s%s", row->flag, row->operand ? " " : "",
                     row->operand ? row->operand : "");
}

static int
flags_width (const dn_settings_program_t *program)
{
    char flag[FLAG_BYTES];
    int  width = 0;

    for (size_t i = 0; i < program->rows_count; i++) {
        int n = program->rows[i].flag ? write_flag (&program->rows[i], flag) : 0;
        width = n > width ? n : width;
    }
    return width;
}

static void
say_flags (page_t *page, const dn_settings_program_t *program, int width)
{
    char flag[FLAG_BYTES];

    for (size_t i = 0; i < program->rows_count; i++) {
        if (!program->rows[i].flag)
            continue;
        write_flag (&program->rows[i], flag);
        say_option (page, width, flag, program->rows[i].doc);
    }
}

static void
say_environment (page_t *page, const dn_settings_program_t *program)
{
    const char *separator = "Environment:";

    for (size_t i = 0; i < program->rows_count; i++) {
        const dn_setting_t *row = &program->rows[i];
        if (!row->env)
            continue;
        say (page, "%s %s (--%s)", separator, row->env, row->flag);
        separator = ",";
    }
    say (page, ".\n");
}

void
dn_settings_print_help (const dn_settings_program_t *program, char text[DN_SETTINGS_TEXT_MAX])
{
    page_t page = {.text = text};
    int    width = flags_width (program);

    say (&page, "Usage: %s [OPTION]...", program->name);
    if (program->operand)
        say (&page, " %s...", program->operand);
    say (&page, "\n%s\n\n", program->purpose);
    say_flags (&page, program, width);
    say_option (&page, width, "-f FILE", "Read FILE; without -f no file is read.");
    say_option (&page, width, "-t", "Check all settings, print them and their origin, and exit.");
    say_option (&page, width, "-h, --help", "Print this and exit.");
    say_option (&page, width, "--version", "Print the version and exit.");
    say (&page, "\n");
    say_environment (&page, program);
    say (&page, "A flag beats the environment, that beats the file, that beats the default.\n"
                "A file can set more than the flags: -t prints every key.\n");
}

void
dn_settings_print_version (const dn_settings_program_t *program, char text[DN_SETTINGS_TEXT_MAX])
{
    snprintf (text, DN_SETTINGS_TEXT_MAX, "%s %s\n", program->name, DENIM_VERSION);
}

/*  ---- files ---- */

/*  The section's line, if the row is the first of one. Rows of a section stand together. Returns
 *  the key's name within it. */
static const char *
say_section (page_t *page, const dn_settings_program_t *program, size_t i)
{
    const char *path = program->rows[i].path;
    size_t      section_bytes = strcspn (path, "/");

    if (i == 0 || strncmp (program->rows[i - 1].path, path, section_bytes + 1) != 0)
        say (page, "\n%.*s\n", (int) section_bytes, path);
    return path + section_bytes + 1;
}

static void
say_origin (page_t *page, const dn_settings_load_t *load, size_t i)
{
    const dn_settings_program_t *program = load->program;
    const dn_setting_t          *row = &program->rows[i];

    switch (load->origin[i]) {
    case DN_ORIGIN_DEFAULT: say (page, "# default\n"); return;
    case DN_ORIGIN_FILE: say (page, "# file, line %d\n", load->line[i]); return;
    case DN_ORIGIN_ENV: say (page, "# env %s\n", row->env); return;
    case DN_ORIGIN_FLAG:
        if (load->flag[i] == load->operands)
            say (page, "# flag: %s on the command line\n", program->operand);
        else
            say (page, "# flag --%s\n", row->flag);
        return;
    }
}

void
dn_settings_print_effective (const dn_settings_load_t *load, char text[DN_SETTINGS_TEXT_MAX])
{
    const dn_settings_program_t *program = load->program;
    page_t                       page = {.text = text};
    char                         value[DN_SETTING_SHOW_MAX];

    say (&page, "# %s: the effective settings, and where each comes from\n", program->name);
    for (size_t i = 0; i < program->rows_count; i++) {
        const char *key = say_section (&page, program, i);
        size_t      start = page.used;
        say (&page, "    %s = %s", key, dn_setting_show (&program->rows[i], load->self, value));
        int width = (int) (page.used - start);
        say (&page, "%*s", width < COMMENT_COLUMN ? COMMENT_COLUMN - width : 2, "");
        say_origin (&page, load, i);
    }
}

static void
say_sample_key (page_t *page, const dn_setting_t *row, const char *key, const void *defaults,
                bool is_first)
{
    char value[DN_SETTING_SHOW_MAX];
    char allowed[ALLOWED_BYTES];

    say (page, "%s    # %s\n", is_first ? "" : "\n", row->doc);
    say (page, "    # Allowed: %s.", dn_setting_allowed (row, allowed, sizeof allowed));
    if (row->flag)
        say (page, " Flag: --%s.", row->flag);
    if (row->env)
        say (page, " Environment: %s.", row->env);
    say (page, "\n    %s = %s\n", key, dn_setting_show (row, defaults, value));
}

void
dn_settings_print_sample (const dn_settings_program_t *program, char text[DN_SETTINGS_TEXT_MAX])
{
    union {
        dn_manager_settings_t manager;
        dn_worker_settings_t  worker;
    } defaults;
    page_t page = {.text = text};
    char   why[DN_WHY_MAX];

    memset (&defaults, 0, sizeof defaults);
    say (&page,
         "# %s.conf: every key of %s with its default; all of them may be left out.\n"
         "# Read only when it is named: %s -f FILE. A flag beats the environment, that beats\n"
         "# this file. Keys stand under their section, four spaces in, no tabs.\n"
         "# Check it: %s -f FILE -t\n",
         program->name, program->name, program->name, program->name);
    for (size_t i = 0; i < program->rows_count; i++) {
        const dn_setting_t *row = &program->rows[i];
        dn_check (dn_setting_set (row, &defaults, row->preset, why, sizeof why) == 0);
        size_t      before = page.used;
        const char *key = say_section (&page, program, i);
        say_sample_key (&page, row, key, &defaults, page.used > before);
    }
}
