/*  status.c - `denim status`: workers, services and counters at a glance
 *
 *  When no manager answers the workers of this host are asked themselves.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "io/health.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS  5000
#define LENGTH_ROOM 64 /* bytes of a length of time as text */
#define NAMES_ROOM  256

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
static const char *
show_length (char length[LENGTH_ROOM], long long ms)
{
    long long s = ms / 1000;
    if (s < 60)
        snprintf (length, LENGTH_ROOM, "%lld s", s);
    else if (s < 3600)
        snprintf (length, LENGTH_ROOM, "%lld min %lld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf (length, LENGTH_ROOM, "%lld h %lld min", s / 3600, s / 60 % 60);
    else
        snprintf (length, LENGTH_ROOM, "%lld d %lld h", s / 86400, s / 3600 % 24);
    return length;
}

/*  ---- parts ---- */

static void
print_head (const json_t *status, const char *address)
{
    char length[LENGTH_ROOM];
    printf ("denimd %s at %s, up %s%s\n", text (status, "version"), address,
            show_length (length, number (status, "uptime_ms")),
            json_is_true (json_object_get (status, "draining")) ? ", draining" : "");
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
    char          names[NAMES_ROOM];
    size_t        i;
    const json_t *worker;

    dn_table_init (&table,
                   "WORKER HOST >PID STATE >SLOTS >BUSY >LENT >STANDBY >RESTARTS >RSS SERVICES");
    json_array_foreach (workers, i, worker)
    {
        dn_table_put (&table, "%s", text (worker, "name"));
        dn_table_put (&table, "%s", text (worker, "host"));
        dn_table_put (&table, "%lld", number (worker, "pid"));
        dn_table_put (&table, "%s", text (worker, "state"));
        dn_table_put (&table, "%lld", number (worker, "slots"));
        dn_table_put (&table, "%lld", number (worker, "busy"));
        dn_table_put (&table, "%lld", number (worker, "lent"));
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

/*  ---- the workers of this host ---- */

static const char *
host_state (const json_t *worker, char *state, size_t state_bytes)
{
    const json_t *alone_ms = json_object_get (worker, "unreachable_ms");
    const char *draining = json_is_true (json_object_get (worker, "draining")) ? ", draining" : "";
    char        length[LENGTH_ROOM];

    if (json_object_get (worker, "error"))
        snprintf (state, state_bytes, "%s", text (worker, "error"));
    else if (json_is_integer (alone_ms))
        snprintf (state, state_bytes, "unreachable %s%s",
                  show_length (length, json_integer_value (alone_ms)), draining);
    else
        snprintf (state, state_bytes, "%s%s",
                  json_is_true (json_object_get (worker, "connected")) ? "connected" : "starting",
                  draining);
    return state;
}

/*  A worker that says nothing has no numbers. */
static void
put_number (dn_table_t *table, const json_t *worker, const char *key)
{
    if (json_object_get (worker, key))
        dn_table_put (table, "%lld", number (worker, key));
    else
        dn_table_put (table, "-");
}

static void
print_host_workers (const json_t *workers)
{
    dn_table_t    table;
    char          cell[NAMES_ROOM];
    size_t        i;
    const json_t *worker;

    if (json_array_size (workers) == 0)
        return;
    puts ("workers on this host:\n");
    dn_table_init (
        &table, "WORKER >PID STATE >SLOTS >BUSY >LENT >STANDBY >ANSWERS >BYTES MANAGER SERVICES");
    json_array_foreach (workers, i, worker)
    {
        dn_table_put (&table, "%s", text (worker, "name"));
        put_number (&table, worker, "pid");
        dn_table_put (&table, "%s", host_state (worker, cell, sizeof cell));
        put_number (&table, worker, "slots");
        put_number (&table, worker, "busy");
        put_number (&table, worker, "lent");
        put_number (&table, worker, "standby");
        put_number (&table, worker, "answers");
        put_number (&table, worker, "answer_bytes");
        dn_table_put (&table, "%s", text (worker, "manager"));
        dn_table_put (&table, "%s", join_services (worker, cell, sizeof cell));
    }
    dn_table_print (&table);
}

static void
show_host (bool as_json)
{
    json_t *workers = dn_health_ask_all ();

    if (as_json) {
        json_t *root = json_pack ("{s:O?}", "host_workers", workers);
        json_dumpf (root, stdout, JSON_INDENT (2));
        putchar ('\n');
        json_decref (root);
    } else
        print_host_workers (workers);
    json_decref (workers);
}

/*  ---- the verb ---- */

static int
show (denim_client_t *client, int64_t timeout_ms, bool as_json)
{
    int     code;
    json_t *status = dn_cli_get_status (client, timeout_ms, &code);
    if (!status) {
        show_host (as_json);
        return code;
    }
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
