/*  protocol.c - `denim protocol`: the specification of the wire protocol, as a page
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "wire/wire.h"

#include <stdio.h>

static void
put (void *arg, const char *line)
{
    (void) arg;
    puts (line);
}

int
dn_cli_protocol (dn_cli_t *cli, int argc, char **argv)
{
    int code;
    if (dn_cli_option (cli, argc, argv, "", NULL, &code) != -1)
        return code;
    code = dn_cli_no_more (argc, argv);
    if (!code)
        dn_protocol_print (put, NULL);
    return code;
}
