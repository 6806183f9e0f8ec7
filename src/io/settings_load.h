/*  settings_load.h - what a program says of itself to have its settings loaded
 *
 *  Owns: the order of the sources. Only for the settings' own files; programs include settings.h.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SETTINGS_LOAD_H
#define DN_SETTINGS_LOAD_H

#include "io/setting.h"
#include "io/settings.h"

#define DN_SETTINGS_ROWS_MAX  32    /* keys of one program */
#define DN_SETTINGS_FILE_MAX  65536 /* bytes of a file */
#define DN_SETTINGS_LINE_MAX  8704  /* bytes of a line in it: the longest value with its key */
#define DN_SETTINGS_ITEMS_MAX 128   /* lines of a file that are sections or keys */

typedef struct {
    const char         *name;         /* "denimd" */
    const char         *purpose;      /* a sentence for --help */
    const char         *operand;      /* "APP": what positional arguments are; NULL: refused */
    const char         *operand_path; /* the key that they fill */
    const dn_setting_t *rows;
    size_t              rows_count;
    size_t              self_bytes; /* of the settings */

    /* What no single row can say: 0, or the exit code and a sentence in `why`. `starting` is false
 *  for
     * -t, which may be asked about a file to which the command line still adds. */
    int (*check) (const void *self, bool starting, char *why, size_t why_bytes);
} dn_settings_program_t;

typedef enum {
    DN_ORIGIN_DEFAULT = 0,
    DN_ORIGIN_FILE,
    DN_ORIGIN_ENV,
    DN_ORIGIN_FLAG
} dn_setting_origin_t;

/*  One load under way. Strings are borrowed from argv and the environment. */
typedef struct {
    const dn_settings_program_t *program;
    void                        *self;                       /* the settings that are filled */
    dn_settings_error_t         *err;                        /* what is said when it ends early */
    const char                  *file;                       /* of -f; NULL: none */
    bool                         print;                      /* -t */
    const char                  *flag[DN_SETTINGS_ROWS_MAX]; /* the flag's value; NULL: not given */
    dn_setting_origin_t          origin[DN_SETTINGS_ROWS_MAX]; /* of the value in `self` now */
    int                          line[DN_SETTINGS_ROWS_MAX];   /* origin FILE: where */
    char operands[DN_SETTING_SHOW_MAX]; /* positional arguments, joined by blanks */
} dn_settings_load_t;

/*  Load in the order default, file, environment, flags; then check. As dn_manager_settings_load. */
int dn_settings_load (const dn_settings_program_t *program, void *self, int argc, char **argv,
                      dn_settings_error_t *err);

/*  Stop with one line, "NAME: sentence". Returns 1. */
__attribute__ ((format (printf, 3, 4))) int
dn_settings_fail (dn_settings_load_t *load, int exit_code, const char *format, ...);

/*  Take what load->file says into the settings: 0 or 1 (settings_file.c). */
int dn_settings_file_load (dn_settings_load_t *load);

/*  Write --help, --version, -t and the sample file to `text` (settings_print.c). */
void dn_settings_print_help (const dn_settings_program_t *program, char text[DN_SETTINGS_TEXT_MAX]);
void dn_settings_print_version (const dn_settings_program_t *program,
                                char                         text[DN_SETTINGS_TEXT_MAX]);
void dn_settings_print_effective (const dn_settings_load_t *load, char text[DN_SETTINGS_TEXT_MAX]);
void dn_settings_print_sample (const dn_settings_program_t *program,
                               char                         text[DN_SETTINGS_TEXT_MAX]);

/*  The two programs. */
extern const dn_settings_program_t dn_manager_program;
extern const dn_settings_program_t dn_worker_program;

#endif
