/*  ping.c - `denim ping`: is the manager there, and how far away?
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <time.h>

#define TIMEOUT_MS 5000

static double
now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

/*  Ask something short. That the manager does not know the question is an answer too. */
static bool
ask (denim_client_t *client, int64_t timeout_ms, double *took_ms)
{
    int     error;
    double  begun_ms = now_ms ();
    json_t *answer = denim_client_ask (client, "ping", NULL, timeout_ms, &error);
    *took_ms = now_ms () - begun_ms;
    bool came = answer || error == DENIM_ERR_ARGUMENT;
    json_decref (answer);
    return came;
}

int
dn_cli_ping (dn_cli_t *cli, int argc, char **argv)
{
    static const struct option options[] = {{"timeout", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    int64_t                    timeout_ms = TIMEOUT_MS;
    int                        code, option;
    double                     first_ms, second_ms;

    while ((option = dn_cli_option (cli, argc, argv, "", options, &code)) != -1) {
        if (option == '?')
            return code;
        timeout_ms = dn_cli_seconds ("timeout", optarg);
        if (timeout_ms < 0)
            return DN_EXIT_USE;
    }
    code = dn_cli_no_more (argc, argv);
    if (code)
        return code;
    denim_client_t *client = dn_cli_connect (cli, &code);
    if (!client)
        return code;
    if (ask (client, timeout_ms, &first_ms) && ask (client, timeout_ms, &second_ms))
        printf ("%s: connected in %.2f ms, round trip %.2f ms\n", dn_cli_address (client),
                first_ms > second_ms ? first_ms - second_ms : 0, second_ms);
    else
        code = dn_cli_fail (DN_EXIT_UNAVAILABLE,
                            "no manager at %s within %g s: start one with "
                            "`denimd`",
                            dn_cli_address (client), (double) timeout_ms / 1000);
    denim_client_destroy (&client);
    return code;
}
