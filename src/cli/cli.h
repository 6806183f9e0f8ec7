/*  cli.h - the `denim` command: its verbs, and what they share
 *
 *  Each verb is one file and one function, that reads its own options and returns an exit code.
 *  Output is on stdout and for programs as much as for people; everything else is one line on
 *  stderr. Must never know: sockets and the wire; it is a user of denim.h like any other. (What the
 *  workers of this host say comes from io/health.h, which has their sockets.)
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_CLI_H
#define DN_CLI_H

#include "denim.h"

/*  Exit codes, as all programs of denim have them. */
enum {
    DN_EXIT_OK = 0,
    DN_EXIT_RAISED = 1,       /* the task raised, or hit its hard limit */
    DN_EXIT_USE = 64,         /* the command line is wrong */
    DN_EXIT_UNAVAILABLE = 69, /* no manager, or nobody who has the task */
    DN_EXIT_LOST = 70,        /* it may have run, and the answer is lost */
    DN_EXIT_SYSTEM = 71,      /* the system said no */
    DN_EXIT_LATER = 75,       /* refused until the deadline: try later */
    DN_EXIT_CONFIG = 78       /* not allowed, or another version */
};

typedef struct {
    const char *manager; /* address; NULL: the environment's, else the default */
} dn_cli_t;

typedef struct {
    const char *name;
    const char *args; /* of the usage line */
    const char *text; /* what it does, a line */
    const char *help; /* its options and more, lines; "" for none */
    int (*run) (dn_cli_t *cli, int argc, char **argv);
} dn_verb_t;

/*  The verbs; the last row has no name. */
extern const dn_verb_t dn_verbs[];

int dn_cli_call (dn_cli_t *cli, int argc, char **argv);
int dn_cli_ping (dn_cli_t *cli, int argc, char **argv);
int dn_cli_status (dn_cli_t *cli, int argc, char **argv);
int dn_cli_plan (dn_cli_t *cli, int argc, char **argv);
int dn_cli_protocol (dn_cli_t *cli, int argc, char **argv);
int dn_cli_version (dn_cli_t *cli, int argc, char **argv);

/*  `denim: ` and a sentence, on stderr. Returns `code`. */
__attribute__ ((format (printf, 2, 3))) int dn_cli_fail (int code, const char *format, ...);

/*  A verb's next option, as getopt_long gives it, -1 at the end: `--manager ADDRESS` and `--help`
 *  are everyone's and done here. '?' after the mistake was told, or after help was printed with
 *  *code 0. */
struct option;
int dn_cli_option (dn_cli_t *cli, int argc, char **argv, const char *short_options,
                   const struct option *long_options, int *code);

/*  There must be no more arguments: 0, or an exit code after the mistake was told. */
int dn_cli_no_more (int argc, char **argv);

/*  A number of seconds above 0 as milliseconds; -1 when it is none, and that was told. */
int64_t dn_cli_seconds (const char *option, const char *text);

/*  A client; NULL when that cannot be, and *code. Owned. */
denim_client_t *dn_cli_connect (const dn_cli_t *cli, int *code);

/*  What the manager says of itself; NULL when it does not, that was told, and *code. Owned. */
json_t *dn_cli_get_status (denim_client_t *client, int64_t timeout_ms, int *code);

/*  The manager's address, for sentences; borrowed until the next call. */
const char *dn_cli_address (denim_client_t *client);

/*  ---- tables ---- */

#define DN_TABLE_COLUMNS 12
#define DN_TABLE_CELL    64 /* bytes; a longer cell is cut */

/*  Rows of cells in columns, each as wide as its widest cell. */
typedef struct {
    unsigned columns;
    unsigned cells;
    unsigned right;              /* bits of the columns that stand to the right */
    char (*cell)[DN_TABLE_CELL]; /* owned */
} dn_table_t;

/*  `titles`, separated by blanks, are the first row; a column whose title begins with '>' stands to
 *  the right. */
void dn_table_init (dn_table_t *self, const char *titles);

/*  Append a cell; a row is full when the next one begins. */
__attribute__ ((format (printf, 2, 3))) void dn_table_put (dn_table_t *self, const char *format,
                                                           ...);

/*  Print it if there is a row below the titles, and free it. */
void dn_table_print (dn_table_t *self);

#endif
