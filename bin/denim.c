/*  denim.c - the command line: find the verb, run it
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "base/text.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static void
print_usage (void)
{
    puts ("Usage: denim [--manager ADDRESS] VERB [OPTION]...\n"
          "Call functions that run on workers, and look at those who run them.\n");
    for (const dn_verb_t *verb = dn_verbs; verb->name; verb++)
        printf ("  %-10s %s\n", verb->name, verb->text);
    puts ("\n  --manager ADDRESS  tcp://HOST[:PORT] or ipc://PATH; else $DENIM_MANAGER,\n"
          "                     else tcp://127.0.0.1\n"
          "  --version          As `denim version`.\n"
          "\n`denim VERB --help` says more. Exit: 0 well, 1 the task raised, 64 wrong use,\n"
          "69 no manager, 70 lost, 71 the system, 75 try later, 78 not allowed.");
}

static const dn_verb_t *
find_verb (const char *name)
{
    for (const dn_verb_t *verb = dn_verbs; verb->name; verb++)
        if (strcmp (verb->name, name) == 0)
            return verb;
    return NULL;
}

/*  What stands before the verb: 0 to go on, -1 when *code is to be returned. */
static int
parse (dn_cli_t *cli, int argc, char **argv, int *code)
{
    static const struct option options[] = {{"manager", required_argument, NULL, 'm'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    char                       shown[100];
    int                        option, at = 1;
    opterr = 0;
    while ((option = getopt_long (argc, argv, "+h", options, NULL)) != -1) {
        char *none[] = {"version", NULL};
        *code = DN_EXIT_OK;
        switch (option) {
        case 'm': cli->manager = optarg; break;
        case 'h': print_usage (); return -1;
        case 'v':
            optind = 1;
            *code = dn_cli_version (cli, 1, none);
            return -1;
        default:
            *code = dn_cli_fail (DN_EXIT_USE,
                                 "%s is no option, or lacks its value: see "
                                 "`denim --help`",
                                 dn_text_show (shown, sizeof shown, argv[at]));
            return -1;
        }
        at = optind;
    }
    return 0;
}

int
main (int argc, char **argv)
{
    dn_cli_t cli = {0};
    char     shown[100];
    int      code = DN_EXIT_USE;
    if (parse (&cli, argc, argv, &code) < 0)
        return code;
    if (optind == argc)
        return dn_cli_fail (DN_EXIT_USE, "which VERB? See `denim --help`");
    const dn_verb_t *verb = find_verb (argv[optind]);
    if (!verb)
        return dn_cli_fail (DN_EXIT_USE, "there is no verb \"%s\": see `denim --help`",
                            dn_text_show (shown, sizeof shown, argv[optind]));
    argc -= optind;
    argv += optind;
    optind = 0; /* getopt begins anew, behind the verb */
    code = verb->run (&cli, argc, argv);
    if (fflush (stdout) || ferror (stdout))
        return dn_cli_fail (DN_EXIT_SYSTEM, "cannot write to standard output");
    return code;
}
