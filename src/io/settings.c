/*  settings.c - the sources of settings in their order, and the command line
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/settings.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/check.h"
#include "base/text.h"
#include "io/settings_load.h"

#define SHOWN_BYTES 120 /* of an argument, in a sentence */

/*  What getopt_long returns for the long options: these, or ROW_BASE + the number of a row. */
enum { OPTION_HELP = 256, OPTION_VERSION, ROW_BASE };

/*  The long options of a program, as getopt wants them. */
typedef struct {
    struct option option[DN_SETTINGS_ROWS_MAX + 3]; /* rows, help, version, end */
} options_t;

int
dn_settings_fail (dn_settings_load_t *load, int exit_code, const char *format, ...)
{
    dn_settings_error_t *err = load->err;
    int                  n = snprintf (err->text, sizeof err->text, "%s: ", load->program->name);
    va_list              args;

    err->exit_code = exit_code;
    va_start (args, format);
    vsnprintf (err->text + n, sizeof err->text - (size_t) n, format, args);
    va_end (args);
    return 1;
}

/*  ---- the command line ---- */

static void
make_options (const dn_settings_program_t *program, options_t *options)
{
    struct option *next = options->option;

    for (size_t i = 0; i < program->rows_count; i++) {
        const dn_setting_t *row = &program->rows[i];
        /* `--insecure` is `--insecure=true`; the long form takes back what a file says. */
        int argument = row->type == DN_SETTING_BOOL ? optional_argument : required_argument;
        if (row->flag)
            *next++ = (struct option){row->flag, argument, NULL, ROW_BASE + (int) i};
    }
    *next++ = (struct option){"help", no_argument, NULL, OPTION_HELP};
    *next++ = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    *next = (struct option){NULL, 0, NULL, 0};
}

/*  One sentence for each way in which an argument can be wrong: "unknown option --foo". */
static int
fail_usage (dn_settings_load_t *load, const char *problem, const char *argument)
{
    char shown[SHOWN_BYTES];
    char name[SHOWN_BYTES];

    snprintf (name, sizeof name, "%.*s", (int) strcspn (argument, *argument == '-' ? "=" : ""),
              argument);
    return dn_settings_fail (load, EX_USAGE, "%s %s; try %s --help", problem,
                             dn_text_show (shown, sizeof shown, name), load->program->name);
}

/*  The option that getopt did not like: `-x` inside a group is known by its letter, any other is
 *  the argument that getopt has just passed. */
static int
fail_option (dn_settings_load_t *load, const char *problem, char **argv)
{
    char letter[3] = {'-', (char) optopt, '\0'};
    bool is_letter = optopt > 0 && optopt < OPTION_HELP;
    return fail_usage (load, problem, is_letter ? letter : argv[optind - 1]);
}

static int
take_operand (dn_settings_load_t *load, const char *argument)
{
    const dn_settings_program_t *program = load->program;
    size_t                       used = strlen (load->operands);

    if (!program->operand)
        return fail_usage (load, "unexpected argument", argument);
    if (used + 1 + strlen (argument) >= sizeof load->operands)
        return fail_usage (load, "no room for argument", argument);
    sprintf (load->operands + used, "%s%s", used ? " " : "", argument);
    for (size_t i = 0; i < program->rows_count; i++)
        if (strcmp (program->rows[i].path, program->operand_path) == 0)
            load->flag[i] = load->operands;
    return 0;
}

static int
take_file (dn_settings_load_t *load, const char *file)
{
    if (load->file)
        return dn_settings_fail (load, EX_USAGE,
                                 "-f is given twice; one file is read; try %s --help",
                                 load->program->name);
    load->file = file;
    return 0;
}

/*  Act on one option. Returns 0 to go on. */
static int
take_option (dn_settings_load_t *load, int option, char **argv)
{
    switch (option) {
    case 1: return take_operand (load, optarg);
    case 'f': return take_file (load, optarg);
    case 't': load->print = true; return 0;
    case 'h':
    case OPTION_HELP:
        load->err->exit_code = EX_OK;
        dn_settings_print_help (load->program, load->err->text);
        return 1;
    case OPTION_VERSION:
        load->err->exit_code = EX_OK;
        dn_settings_print_version (load->program, load->err->text);
        return 1;
    case ':': return fail_option (load, "a value is missing after", argv);
    case '?':
        return fail_option (load, optopt >= OPTION_HELP ? "no value goes with" : "unknown option",
                            argv);
    default: break;
    }
    load->flag[option - ROW_BASE] = optarg ? optarg : "true";
    return 0;
}

static int
read_arguments (dn_settings_load_t *load, int argc, char **argv)
{
    options_t options;
    int       option;

    make_options (load->program, &options);
    optind = 0; /* glibc: begin anew, whoever has used getopt before */
    opterr = 0; /* we speak for ourselves */
    while ((option = getopt_long (argc, argv, "-:f:th", options.option, NULL)) != -1)
        if (take_option (load, option, argv))
            return 1;
    for (; optind < argc; optind++) /* after `--` */
        if (take_operand (load, argv[optind]))
            return 1;
    return 0;
}

/*  ---- the sources ---- */

static void
take_defaults (dn_settings_load_t *load)
{
    const dn_settings_program_t *program = load->program;
    char                         why[DN_WHY_MAX];

    memset (load->self, 0, program->self_bytes);
    for (size_t i = 0; i < program->rows_count; i++)
        dn_check (dn_setting_set (&program->rows[i], load->self, program->rows[i].preset, why,
                                  sizeof why) == 0);
}

static int
take_value (dn_settings_load_t *load, size_t i, dn_setting_origin_t origin, const char *text)
{
    const dn_setting_t *row = &load->program->rows[i];
    bool                is_env = origin == DN_ORIGIN_ENV;
    bool                is_operand = !is_env && text == load->operands;
    char                why[DN_WHY_MAX];

    if (dn_setting_set (row, load->self, text, why, sizeof why) < 0)
        return dn_settings_fail (load, EX_CONFIG, "%s%s: %s: %s", is_env || is_operand ? "" : "--",
                                 is_env       ? row->env
                                 : is_operand ? load->program->operand
                                              : row->flag,
                                 row->path, why);
    load->origin[i] = origin;
    return 0;
}

/*  A variable that is set to nothing counts as not set, as a shell's `VAR= program` means it. */
static int
take_environment (dn_settings_load_t *load)
{
    for (size_t i = 0; i < load->program->rows_count; i++) {
        const char *name = load->program->rows[i].env;
        const char *text = name ? getenv (name) : NULL;
        if (text && *text && take_value (load, i, DN_ORIGIN_ENV, text))
            return 1;
    }
    return 0;
}

static int
take_flags (dn_settings_load_t *load)
{
    for (size_t i = 0; i < load->program->rows_count; i++)
        if (load->flag[i] && take_value (load, i, DN_ORIGIN_FLAG, load->flag[i]))
            return 1;
    return 0;
}

/*  What the values mean together; and -t, which ends here. */
static int
finish (dn_settings_load_t *load)
{
    char why[DN_WHY_MAX];
    int  exit_code = load->program->check (load->self, !load->print, why, sizeof why);

    if (exit_code)
        return dn_settings_fail (load, exit_code, "%s", why);
    if (!load->print)
        return 0;
    load->err->exit_code = EX_OK;
    dn_settings_print_effective (load, load->err->text);
    return 1;
}

int
dn_settings_load (const dn_settings_program_t *program, void *self, int argc, char **argv,
                  dn_settings_error_t *err)
{
    dn_settings_load_t load = {.program = program, .self = self, .err = err};

    dn_check (program->rows_count <= DN_SETTINGS_ROWS_MAX);
    if (read_arguments (&load, argc, argv))
        return 1;
    take_defaults (&load);
    if (load.file && dn_settings_file_load (&load))
        return 1;
    if (take_environment (&load) || take_flags (&load))
        return 1;
    return finish (&load);
}

int
dn_settings_report (const dn_settings_error_t *err)
{
    if (err->exit_code == EX_OK)
        fputs (err->text, stdout);
    else
        fprintf (stderr, "%s\n", err->text);
    return err->exit_code;
}

const char *
dn_settings_sample (const char *program, char text[DN_SETTINGS_TEXT_MAX])
{
    bool is_manager = strcmp (program, dn_manager_program.name) == 0;
    dn_settings_print_sample (is_manager ? &dn_manager_program : &dn_worker_program, text);
    return text;
}
