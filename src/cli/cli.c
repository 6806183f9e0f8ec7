/*  cli.c - what the verbs of the `denim` command share
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "base/text.h"
#include "io/address.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 16 /* of one verb, with those of all */
#define SECONDS_MAX 1e9
#define SHOWN_BYTES 100 /* of what the user wrote, in a sentence */

enum { OPTION_MANAGER = 1000, OPTION_HELP };

const dn_verb_t dn_verbs[] = {
    {"call", "[OPTION]... TASK [ARG]...",
     "Call TASK (module:function) and print its value as JSON.",
     "An ARG is JSON, or else a string: `denim call myapp:add 2 3`.\n"
     "\n"
     "  -k NAME=ARG        A keyword argument.\n"
     "  --deadline S       Give up after S seconds.\n"
     "  --service NAME     Where it runs; else the part of TASK before the colon.\n"
     "  --idempotent       It may run twice: try again when a worker was lost.\n"
     "\n"
     "Exit: 0 value, 1 the task raised (its traceback is on stderr), 69 no manager\n"
     "or no such task, 70 lost, 75 refused until the deadline, 78 not allowed.\n",
     dn_cli_call},
    {"ping", "[--timeout S]", "Ask the manager for a sign of life, and measure it.",
     "  --timeout S        Give up after S seconds (5).\n", dn_cli_ping},
    {"status", "[--json] [--timeout S]", "Show workers, services and counters.",
     "  --json             As one JSON object, for programs.\n"
     "  --timeout S        Give up after S seconds (5).\n"
     "\n"
     "If no manager answers: the workers of this host, as they say themselves.\n",
     dn_cli_status},
    {"plan", "[OPTION]...", "Say how many slots a load needs, and what is left.",
     "The load is what the manager sees now:\n"
     "  --service NAME     Of this service, and those that share slots with it; else of all.\n"
     "  --timeout S        Give up after S seconds (5).\n"
     "\n"
     "or what you say, and nobody is asked:\n"
     "  --rate R           Tasks a second.\n"
     "  --time MS          Mean run time of a task.\n"
     "  --slots N          The slots that there are.\n"
     "\n"
     "  --refuse PERCENT   The share that may be refused (1).\n"
     "  --worker-slots N   Slots of one more worker (1; live: as the workers have).\n"
     "  --json             As one JSON object, for programs.\n"
     "\n"
     "USED       load / slots\n"
     "HEADROOM   tasks/s more until all slots are always busy\n"
     "RATE_MAX   tasks/s of which at most PERCENT are refused\n"
     "REFUSED    share that finds no slot, if nobody tries again (Erlang B)\n"
     "WAIT       share that waits, if all try again in turn, as clients do (Erlang C);\n"
     "           MEAN_WAIT is over all tasks, one in a hundred waits longer than P99_WAIT\n",
     dn_cli_plan},
    {"protocol", "", "Print the specification of the wire protocol.", "", dn_cli_protocol},
    {"version", "", "Print the versions of denim and of what it stands on.", "", dn_cli_version},
    {NULL, NULL, NULL, NULL, NULL},
};

int
dn_cli_fail (int code, const char *format, ...)
{
    va_list args;
    fputs ("denim: ", stderr);
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fputc ('\n', stderr);
    return code;
}

/*  ---- options ---- */

static void
print_help (const char *verb_name)
{
    for (const dn_verb_t *verb = dn_verbs; verb->name; verb++) {
        if (strcmp (verb->name, verb_name) != 0)
            continue;
        printf ("Usage: denim %s%s%s\n%s\n", verb->name, *verb->args ? " " : "", verb->args,
                verb->text);
        printf ("%s%s", *verb->help ? "\n" : "", verb->help);
    }
}

int
dn_cli_option (dn_cli_t *cli, int argc, char **argv, const char *short_options,
               const struct option *long_options, int *code)
{
    static const struct option common[] = {{"manager", required_argument, NULL, OPTION_MANAGER},
                                           {"help", no_argument, NULL, OPTION_HELP},
                                           {NULL, 0, NULL, 0}};
    struct option              options[OPTIONS_MAX];
    unsigned                   count = 0;
    for (; long_options && long_options->name; long_options++)
        options[count++] = *long_options;
    memcpy (options + count, common, sizeof common);

    opterr = 0;
    for (;;) {
        int at = optind ? optind : 1; /* 0: getopt begins anew */
        int option = getopt_long (argc, argv, short_options, options, NULL);
        if (option == OPTION_MANAGER) {
            cli->manager = optarg;
            continue;
        }
        *code = DN_EXIT_OK;
        if (option == OPTION_HELP) {
            print_help (argv[0]);
            return '?';
        }
        char shown[SHOWN_BYTES];
        if (option == '?' || option == ':')
            *code = dn_cli_fail (DN_EXIT_USE,
                                 "%s: %s is no option, or lacks its value: see "
                                 "`denim %s --help`",
                                 argv[0], dn_text_show (shown, sizeof shown, argv[at]), argv[0]);
        return option == ':' ? '?' : option;
    }
}

int
dn_cli_no_more (int argc, char **argv)
{
    char shown[SHOWN_BYTES];
    if (optind == argc)
        return 0;
    return dn_cli_fail (DN_EXIT_USE, "%s: what is \"%s\"? See `denim %s --help`", argv[0],
                        dn_text_show (shown, sizeof shown, argv[optind]), argv[0]);
}

int64_t
dn_cli_seconds (const char *option, const char *text)
{
    char  *end, shown[SHOWN_BYTES];
    double seconds = strtod (text, &end);
    if (end != text && *end == '\0' && seconds > 0 && seconds <= SECONDS_MAX) {
        int64_t ms = (int64_t) (seconds * 1000);
        return ms ? ms : 1;
    }
    dn_cli_fail (DN_EXIT_USE, "--%s takes a number of seconds above 0, not \"%s\"", option,
                 dn_text_show (shown, sizeof shown, text));
    return -1;
}

/*  ---- the client ---- */

denim_client_t *
dn_cli_connect (const dn_cli_t *cli, int *code)
{
    int             error;
    denim_client_t *client = denim_client_new (cli->manager, &error);
    if (client)
        return client;
    if (error != DENIM_ERR_ADDRESS) {
        *code = dn_cli_fail (DN_EXIT_SYSTEM, "%s", denim_strerror (error));
        return NULL;
    }
    const char  *address = cli->manager ? cli->manager : getenv ("DENIM_MANAGER");
    char         why[DN_WHY_MAX] = "";
    dn_address_t parsed;
    dn_address_parse (&parsed, address ? address : "", DN_TO_CONNECT, why, sizeof why);
    *code = dn_cli_fail (DN_EXIT_USE, "%s", why);
    return NULL;
}

json_t *
dn_cli_get_status (denim_client_t *client, int64_t timeout_ms, int *code)
{
    int         error;
    json_t     *status = denim_client_ask (client, "status", NULL, timeout_ms, &error);
    const char *address = status ? "" : dn_cli_address (client);
    if (!status && error == DENIM_ERR_UNAVAILABLE)
        *code = dn_cli_fail (DN_EXIT_UNAVAILABLE,
                             "no manager at %s within %g s: start one with `denimd`", address,
                             (double) timeout_ms / 1000);
    else if (!status)
        *code = dn_cli_fail (DN_EXIT_UNAVAILABLE, "the manager at %s does not answer: %s", address,
                             denim_strerror (error));
    return status;
}

const char *
dn_cli_address (denim_client_t *client)
{
    static char address[DN_ENDPOINT_MAX];
    json_t     *info = denim_client_info (client);
    const char *text = json_string_value (json_object_get (info, "address"));
    snprintf (address, sizeof address, "%s", text ? text : "?");
    json_decref (info);
    return address;
}
