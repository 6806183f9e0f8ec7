/*  status.c - `denim status`: workers, services and counters at a glance
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 5000

/*  ---- fields ---- */

static long long
number (const json_t *object, const char *key)
{
    return (long long) json_number_value (json_object_get (object, key));
}

static const char *
text (const json_t *object, const char *key)
{
    const char *value = json_string_value (json_object_get (object, key));
    return value ? value : "";
}

/*  A length of time with two units at most: 45 s, 3 min 20 s, 2 d 4 h. */
static void
print_uptime (long long ms)
{
    long long s = ms / 1000;
    if (s < 60)
        printf ("%lld s", s);
    else if (s < 3600)
        printf ("%lld min %lld s", s / 60, s % 60);
    else if (s < 86400)
        printf ("%lld h %lld min", s / 3600, s / 60 % 60);
    else
        printf ("%lld d %lld h", s / 86400, s / 3600 % 24);
}

/*  ---- parts ---- */

static void
print_head (const json_t *status, const char *address)
{
    printf ("denimd %s at %s, up ", text (status, "version"), address);
    print_uptime (number (status, "uptime_ms"));
    puts (json_is_true (json_object_get (status, "draining")) ? ", draining" : "");
    printf ("slots %lld, busy %lld; clients %lld, tasks %lld, waiting %lld\n",
            number (status, "slots"), number (status, "busy"), number (status, "clients"),
            number (status, "tasks"), number (status, "waiting"));
}

/*  The names of a worker's services, with commas, as far as a cell holds them. */
static const char *
join_services (const json_t *worker, char *cell, size_t cell_bytes)
{
    size_t        i, used = 0;
    const json_t *name;
    cell[0] = '\0';
    json_array_foreach (json_object_get (worker, "services"), i, name)
    {
        int n = snprintf (cell + used, cell_bytes - used, "%s%s", i ? "," : "",
                          json_string_value (name));
        used += n > 0 ? (size_t) n : 0;
        if (used >= cell_bytes)
            break;
    }
    return cell;
}

static void
print_workers (const json_t *workers)
{
    dn_table_t    table;
    char          names[256];
    size_t        i;
    const json_t *worker;

    dn_table_init (&table, "WORKER HOST >PID STATE >SLOTS >BUSY >STANDBY >RESTARTS >RSS SERVICES");
    json_array_foreach (workers, i, worker)
    {
        dn_table_put (&table, "%s", text (worker, "name"));
        dn_table_put (&table, "%s", text (worker, "host"));
        dn_table_put (&table, "%lld", number (worker, "pid"));
        dn_table_put (&table, "%s", text (worker, "state"));
        dn_table_put (&table, "%lld", number (worker, "slots"));
        dn_table_put (&table, "%lld", number (worker, "busy"));
        dn_table_put (&table, "%lld", number (worker, "standby"));
        dn_table_put (&table, "%lld", number (worker, "restarts"));
        dn_table_put (&table, "%lld MB", number (worker, "rss") / 1000000);
        dn_table_put (&table, "%s", join_services (worker, names, sizeof names));
    }
    if (json_array_size (workers) == 0)
        puts ("\nno workers: start one with `denim-worker APP`");
    else
        putchar ('\n');
    dn_table_print (&table);
}

static void
print_services (const json_t *services)
{
    dn_table_t    table;
    size_t        i;
    const json_t *service;

    dn_table_init (&table, "SERVICE >SLOTS >BUSY >WAITING >MEAN_MS >OFFERED");
    json_array_foreach (services, i, service)
    {
        dn_table_put (&table, "%s", text (service, "name"));
        dn_table_put (&table, "%lld", number (service, "slots"));
        dn_table_put (&table, "%lld", number (service, "busy"));
        dn_table_put (&table, "%lld", number (service, "waiting"));
        dn_table_put (&table, "%.3f", json_number_value (json_object_get (service, "mean_run_ms")));
        dn_table_put (&table, "%.2f", json_number_value (json_object_get (service, "offered")));
    }
    if (json_array_size (services))
        putchar ('\n');
    dn_table_print (&table);
}

static void
print_counters (json_t *counters)
{
    const char *key, *between = "\n";
    json_t     *value;
    json_object_foreach (counters, key, value)
    {
        if (!json_is_integer (value))
            continue;
        printf ("%s%s %lld", between, key, (long long) json_integer_value (value));
        between = ", ";
    }
    between = "\nrejected: ";
    json_object_foreach (json_object_get (counters, "rejected"), key, value)
    {
        printf ("%s%s %lld", between, key, (long long) json_integer_value (value));
        between = ", ";
    }
    putchar ('\n');
}

/*  ---- the verb ---- */

static int
show (denim_client_t *client, int64_t timeout_ms, bool as_json)
{
    int     code;
    json_t *status = dn_cli_get_status (client, timeout_ms, &code);
    if (!status)
        return code;
    if (as_json) {
        json_dumpf (status, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (6));
        putchar ('\n');
    } else {
        print_head (status, dn_cli_address (client));
        print_workers (json_object_get (status, "workers"));
        print_services (json_object_get (status, "services"));
        print_counters (json_object_get (status, "counters"));
    }
    json_decref (status);
    return DN_EXIT_OK;
}

int
dn_cli_status (dn_cli_t *cli, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    int64_t                    timeout_ms = TIMEOUT_MS;
    bool                       as_json = false;
    int                        code, option;

    while ((option = dn_cli_option (cli, argc, argv, "", options, &code)) != -1) {
        if (option == '?')
            return code;
        if (option == 'j')
            as_json = true;
        else
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
    code = show (client, timeout_ms, as_json);
    denim_client_destroy (&client);
    return code;
}
