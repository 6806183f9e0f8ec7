/*  plan.c - `denim plan`: what a load needs, how much room is left, what one more worker brings
 *
 *  The load is the user's (`--rate` and `--time`) or what the manager sees now. Services whose
 *  workers have several of them share slots, and are planned together: for the formulas they are
 *  one stream of tasks with one mean run time.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/plan.h"

#include "base/text.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS     5000
#define REFUSED        0.01 /* a share: 1 % */
#define NUMBER_MAX     1e9  /* of what the user gives */
#define RESULTS_WANTED 8    /* ended tasks until a mean run time is believed */
#define LOAD_LEAST     1e-6 /* slots; less is what a decaying mean leaves of tasks long ago */
#define SHOWN_BYTES    100

/*  What the user asked for; 0 is "not given". */
typedef struct {
    const char *service;
    double      rate; /* tasks a second */
    double      run_ms;
    double      refused; /* share */
    uint32_t    slots;
    uint32_t    worker_slots;
    int64_t     timeout_ms;
    bool        as_json;
} wish_t;

/*  ---- the command line ---- */

/*  A number above 0 and up to `most`; 0 when it is none, and that was told. */
static double
read_number (const char *option, const char *text, double most)
{
    char  *end, shown[SHOWN_BYTES];
    double number = strtod (text, &end);
    if (end != text && *end == '\0' && number > 0 && number <= most)
        return number;
    dn_cli_fail (DN_EXIT_USE, "--%s takes a number above 0, up to %.10g, not \"%s\"", option, most,
                 dn_text_show (shown, sizeof shown, text));
    return 0;
}

static uint32_t
read_slots (const char *option, const char *text)
{
    char         *end, shown[SHOWN_BYTES];
    unsigned long slots = strtoul (text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && slots > 0 && slots <= DN_ERLANG_SLOTS_MAX)
        return (uint32_t) slots;
    dn_cli_fail (DN_EXIT_USE, "--%s takes a whole number from 1 to %d, not \"%s\"", option,
                 DN_ERLANG_SLOTS_MAX, dn_text_show (shown, sizeof shown, text));
    return 0;
}

/*  Take one option in; false when its value is wrong, and that was told. */
static bool
take (wish_t *wish, int option, const char *text)
{
    switch (option) {
    case 'j': wish->as_json = true; return true;
    case 'n': wish->service = text; return true;
    case 'r': wish->rate = read_number ("rate", text, NUMBER_MAX); return wish->rate > 0;
    case 't': wish->run_ms = read_number ("time", text, NUMBER_MAX); return wish->run_ms > 0;
    case 'p': wish->refused = read_number ("refuse", text, 99) / 100; return wish->refused > 0;
    case 's': wish->slots = read_slots ("slots", text); return wish->slots > 0;
    case 'w': wish->worker_slots = read_slots ("worker-slots", text); return wish->worker_slots > 0;
    default: wish->timeout_ms = dn_cli_seconds ("timeout", text); return wish->timeout_ms > 0;
    }
}

/*  0, or an exit code after the mistake was told. */
static int
check_together (const wish_t *wish)
{
    bool has_load = wish->rate > 0 && wish->run_ms > 0;
    if (!has_load && (wish->rate > 0 || wish->run_ms > 0 || wish->slots))
        return dn_cli_fail (DN_EXIT_USE, "plan: --rate and --time belong together, and --slots to "
                                         "them; without them the manager is asked");
    if (has_load && wish->service)
        return dn_cli_fail (DN_EXIT_USE,
                            "plan: --service asks the manager; --rate and --time do not");
    return 0;
}

/*  ---- the load that the user gives ---- */

static dn_plan_t *
plan_given (const wish_t *wish)
{
    dn_plan_t *plan = dn_plan_new (wish->refused);
    plan->is_known = true;
    plan->rate = wish->rate;
    plan->run_ms = wish->run_ms;
    plan->load = wish->rate * wish->run_ms / 1000;
    plan->slots = wish->slots;
    plan->worker_slots = wish->worker_slots ? wish->worker_slots : 1;
    return plan;
}

/*  ---- the load that the manager sees ---- */

static const char *
name_of (const json_t *row)
{
    const char *name = json_string_value (json_object_get (row, "name"));
    return name ? name : "";
}

/*  0 when the field is not there, or no number to reckon with. */
static double
field (const json_t *row, const char *key)
{
    double value = json_number_value (json_object_get (row, key));
    return value > 0 && value < NUMBER_MAX ? value : 0;
}

static bool
is_ready (const json_t *worker)
{
    const char *state = json_string_value (json_object_get (worker, "state"));
    return state && strcmp (state, "ready") == 0;
}

/*  How many of the pool's services a worker has. */
static size_t
count_shared (const json_t *worker, const json_t *pool)
{
    size_t        i, count = 0;
    const json_t *name;
    json_array_foreach (json_object_get (worker, "services"), i, name) count +=
        json_object_get (pool, json_string_value (name)) != NULL;
    return count;
}

/*  The names of all services that share slots with one, directly or through others. Owned. */
static json_t *
pool_of (const json_t *status, const char *service)
{
    json_t       *pool = json_object ();
    size_t        before, i, j;
    const json_t *worker, *name;
    json_object_set_new (pool, service, json_true ());
    do {
        before = json_object_size (pool);
        json_array_foreach (json_object_get (status, "workers"), i, worker)
        {
            if (!is_ready (worker) || !count_shared (worker, pool))
                continue;
            json_array_foreach (json_object_get (worker, "services"), j, name)
                json_object_set_new (pool, json_string_value (name), json_true ());
        }
    } while (json_object_size (pool) > before);
    return pool;
}

static void
add_workers (dn_plan_t *plan, const json_t *status, const json_t *pool)
{
    size_t        i, shared;
    const json_t *worker;
    json_array_foreach (json_object_get (status, "workers"), i, worker)
    {
        if (!is_ready (worker) || !(shared = count_shared (worker, pool)))
            continue;
        plan->workers++;
        plan->is_mixed |= shared < json_object_size (pool);
        plan->slots += (uint32_t) field (worker, "slots");
    }
    if (plan->slots > DN_ERLANG_SLOTS_MAX)
        plan->slots = DN_ERLANG_SLOTS_MAX;
    if (plan->workers)
        plan->worker_slots = (plan->slots + plan->workers / 2) / plan->workers;
}

/*  Loads and rates add up. The mean run time is that of the tasks that arrive; when none do, that
 *  of all that ended. */
static void
add_services (dn_plan_t *plan, const json_t *status, const json_t *pool)
{
    size_t        i;
    const json_t *service;
    double        run_ms = 0, results = 0;
    json_array_foreach (json_object_get (status, "services"), i, service)
    {
        if (!json_object_get (pool, name_of (service)))
            continue;
        double mean_ms = field (service, "mean_run_ms"), offered = field (service, "offered");
        json_array_append_new (plan->services, json_string (name_of (service)));
        plan->waiting += (json_int_t) field (service, "waiting");
        results += field (service, "results");
        run_ms += field (service, "results") * mean_ms;
        if (mean_ms > 0 && offered >= LOAD_LEAST) {
            plan->load += offered;
            plan->rate += 1000 * offered / mean_ms;
        }
    }
    plan->is_known = results >= RESULTS_WANTED && run_ms > 0;
    if (!plan->is_known)
        dn_plan_note (plan,
                      "too little is known (ended tasks: %.0f of %d): call some, "
                      "or give --rate and --time",
                      results, RESULTS_WANTED);
    else
        plan->run_ms = plan->rate > 0 ? 1000 * plan->load / plan->rate : run_ms / results;
}

static dn_plan_t *
plan_seen (const wish_t *wish, const json_t *status, const json_t *pool)
{
    dn_plan_t *plan = dn_plan_new (wish->refused);
    plan->is_live = true;
    add_workers (plan, status, pool);
    add_services (plan, status, pool);
    if (wish->worker_slots)
        plan->worker_slots = wish->worker_slots;
    return plan;
}

/*  A plan for each group of services that share slots, or for that of one service. */
static void
plan_all (const wish_t *wish, const json_t *status, dn_plans_t *plans)
{
    size_t        i;
    const json_t *service;
    json_t       *done = json_object ();
    json_array_foreach (json_object_get (status, "services"), i, service)
    {
        const char *name = name_of (service);
        if (json_object_get (done, name) || (wish->service && strcmp (name, wish->service) != 0))
            continue;
        json_t *pool = pool_of (status, name);
        dn_plans_add (plans, plan_seen (wish, status, pool));
        json_object_update (done, pool);
        json_decref (pool);
    }
    json_decref (done);
}

/*  ---- the verb ---- */

static int
ask (dn_cli_t *cli, const wish_t *wish, dn_plans_t *plans)
{
    char            shown[SHOWN_BYTES];
    int             code;
    denim_client_t *client = dn_cli_connect (cli, &code);
    json_t         *status = client ? dn_cli_get_status (client, wish->timeout_ms, &code) : NULL;
    if (status) {
        plan_all (wish, status, plans);
        code = DN_EXIT_OK;
        if (wish->service && !plans->count)
            code = dn_cli_fail (DN_EXIT_UNAVAILABLE,
                                "no worker has offered service \"%s\" since the manager started",
                                dn_text_show (shown, sizeof shown, wish->service));
    }
    json_decref (status);
    denim_client_destroy (&client);
    return code;
}

int
dn_cli_plan (dn_cli_t *cli, int argc, char **argv)
{
    static const struct option options[] = {{"service", required_argument, NULL, 'n'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"time", required_argument, NULL, 't'},
                                            {"slots", required_argument, NULL, 's'},
                                            {"worker-slots", required_argument, NULL, 'w'},
                                            {"refuse", required_argument, NULL, 'p'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"timeout", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    wish_t                     wish = {.refused = REFUSED, .timeout_ms = TIMEOUT_MS};
    dn_plans_t                 plans = {0};
    int                        code, option;

    while ((option = dn_cli_option (cli, argc, argv, "", options, &code)) != -1) {
        if (option == '?')
            return code;
        if (!take (&wish, option, optarg))
            return DN_EXIT_USE;
    }
    code = dn_cli_no_more (argc, argv);
    if (!code)
        code = check_together (&wish);
    if (code)
        return code;
    if (wish.rate > 0)
        dn_plans_add (&plans, plan_given (&wish));
    else
        code = ask (cli, &wish, &plans);
    if (!code)
        dn_plans_print (&plans, wish.as_json);
    dn_plans_clear (&plans);
    return code;
}
