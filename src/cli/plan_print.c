/*  plan_print.c - a load on a number of slots, reckoned through and printed
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/plan.h"

#include "base/check.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTE_BYTES  256
#define NAME_BYTES  200
#define DIGITS_JSON 9
#define CELL_BYTES  32

/*  One load on one number of slots. */
typedef struct {
    uint32_t         slots;
    double           used;     /* load / slots; above 1 it cannot be */
    double           headroom; /* tasks a second more until all slots are always busy */
    double           refused;  /* share that finds no slot, if nobody tries again */
    double           rate_max; /* tasks a second of which at most the wanted share is refused */
    bool             is_stable;
    dn_erlang_wait_t wait; /* if all try again, in turn; known if it is stable */
} figures_t;

/*  ---- plans ---- */

dn_plan_t *
dn_plan_new (double refused)
{
    dn_plan_t *self = calloc (1, sizeof *self);
    dn_check (self); /* a program of a few kilobytes that prints and ends */
    self->refused = refused;
    self->services = json_array ();
    self->notes = json_array ();
    return self;
}

void
dn_plan_note (dn_plan_t *self, const char *format, ...)
{
    char    text[NOTE_BYTES];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    json_array_append_new (self->notes, json_string (text));
}

void
dn_plans_add (dn_plans_t *self, dn_plan_t *plan)
{
    void *grown = realloc (self->plan, (self->count + 1) * sizeof (dn_plan_t *));
    dn_check (grown); /* as above */
    self->plan = grown;
    self->plan[self->count++] = plan;
}

void
dn_plans_clear (dn_plans_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        json_decref (self->plan[i]->services);
        json_decref (self->plan[i]->notes);
        free (self->plan[i]);
    }
    free (self->plan);
    *self = (dn_plans_t){0};
}

/*  ---- figures ---- */

static figures_t
reckon (const dn_plan_t *plan, uint32_t slots)
{
    figures_t figures = {.slots = slots, .used = plan->load / slots};
    double    each = 1000 / plan->run_ms; /* tasks a second of one slot */
    figures.headroom = (slots - plan->load) * each;
    figures.refused = dn_erlang_b (slots, plan->load);
    figures.rate_max = dn_erlang_load (slots, plan->refused) * each;
    figures.is_stable = dn_erlang_wait (slots, plan->load, plan->run_ms, &figures.wait) == 0;
    return figures;
}

/*  What a reader must know beside the figures. */
static void
add_notes (dn_plan_t *plan)
{
    if (plan->is_live && !plan->slots)
        dn_plan_note (plan, "no worker offers it now");
    if (plan->waiting)
        dn_plan_note (plan,
                      "tasks that wait in clients: %lld; the load may be more than is seen here",
                      (long long) plan->waiting);
    if (!plan->is_known)
        return;
    if (plan->is_live && plan->load <= 0)
        dn_plan_note (plan, "no tasks arrive now");
    if (plan->slots && plan->load >= plan->slots)
        dn_plan_note (plan,
                      "the load is as much as the slots or more: what waits grows without end; "
                      "%lld slots or more keep up",
                      (long long) plan->load + 1);
    if (plan->is_mixed)
        dn_plan_note (plan, "not every worker has all of these services: "
                            "expect more refusals and longer waits");
    if (!dn_erlang_slots (plan->load, plan->refused))
        dn_plan_note (plan, "at most %.6g %% refused needs more than %d slots", 100 * plan->refused,
                      DN_ERLANG_SLOTS_MAX);
}

/*  ---- as JSON ---- */

static json_t *
figures_json (const figures_t *figures)
{
    json_t *row =
        json_pack ("{s:I, s:f, s:f, s:f, s:f, s:b}", "slots", (json_int_t) figures->slots,
                   "utilisation", figures->used, "headroom", figures->headroom, "refused",
                   figures->refused, "rate_max", figures->rate_max, "stable", figures->is_stable);
    if (figures->is_stable) {
        json_object_set_new (row, "wait", json_real (figures->wait.share));
        json_object_set_new (row, "mean_wait_ms", json_real (figures->wait.mean_ms));
        json_object_set_new (row, "p99_wait_ms", json_real (figures->wait.p99_ms));
    }
    return row;
}

static void
set_figures (json_t *row, const char *key, const dn_plan_t *plan, uint32_t slots)
{
    figures_t figures = reckon (plan, slots);
    json_object_set_new (row, key, figures_json (&figures));
}

static json_t *
plan_json (const dn_plan_t *plan)
{
    json_t *row = json_pack ("{s:b, s:f, s:I, s:O, s:O}", "known", plan->is_known, "target",
                             plan->refused, "slots", (json_int_t) plan->slots, "services",
                             plan->services, "notes", plan->notes);
    if (plan->is_live) {
        json_object_set_new (row, "workers", json_integer (plan->workers));
        json_object_set_new (row, "waiting", json_integer (plan->waiting));
    }
    if (!plan->is_known)
        return row;
    json_object_set_new (row, "rate", json_real (plan->rate));
    json_object_set_new (row, "mean_run_ms", json_real (plan->run_ms));
    json_object_set_new (row, "load", json_real (plan->load));
    if (plan->slots) {
        set_figures (row, "now", plan, plan->slots);
        set_figures (row, "one_more", plan, plan->slots + plan->worker_slots);
    }
    uint32_t slots = dn_erlang_slots (plan->load, plan->refused);
    if (slots)
        set_figures (row, "for_target", plan, slots);
    return row;
}

static void
print_json (const dn_plans_t *self)
{
    json_t *list = json_array ();
    for (size_t i = 0; i < self->count; i++)
        json_array_append_new (list, plan_json (self->plan[i]));
    json_t *root = json_pack ("{s:o}", "plans", list);
    json_dumpf (root, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (DIGITS_JSON));
    putchar ('\n');
    json_decref (root);
}

/*  ---- as text ---- */

static const char *
text_ms (char *cell, double ms)
{
    if (ms <= 0)
        snprintf (cell, CELL_BYTES, "0 ms");
    else if (ms < 0.1)
        snprintf (cell, CELL_BYTES, "%.2f µs", 1000 * ms);
    else if (ms >= 1000)
        snprintf (cell, CELL_BYTES, "%.*f s", ms < 10000 ? 2 : 1, ms / 1000);
    else
        snprintf (cell, CELL_BYTES, "%.*f ms", ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
    return cell;
}

static const char *
text_rate (char *cell, double rate)
{
    snprintf (cell, CELL_BYTES, "%.*f", fabs (rate) < 100 ? 2 : fabs (rate) < 10000 ? 1 : 0, rate);
    return cell;
}

static const char *
text_share (char *cell, double share)
{
    if (share > 0 && share < 0.0001)
        snprintf (cell, CELL_BYTES, "<0.01 %%");
    else
        snprintf (cell, CELL_BYTES, "%.*f %%", share < 0.1 ? 2 : 1, 100 * share);
    return cell;
}

static void
put_figures (dn_table_t *table, const char *with, const dn_plan_t *plan, uint32_t slots)
{
    char      cell[CELL_BYTES];
    figures_t figures = reckon (plan, slots);
    dn_table_put (table, "%s", with);
    dn_table_put (table, "%u", slots);
    dn_table_put (table, "%s", text_share (cell, figures.used));
    dn_table_put (table, "%s", text_rate (cell, figures.headroom));
    dn_table_put (table, "%s", text_rate (cell, figures.rate_max));
    dn_table_put (table, "%s", text_share (cell, figures.refused));
    dn_table_put (table, "%s", figures.is_stable ? text_share (cell, figures.wait.share) : "all");
    dn_table_put (table, "%s", figures.is_stable ? text_ms (cell, figures.wait.mean_ms) : "grows");
    dn_table_put (table, "%s", figures.is_stable ? text_ms (cell, figures.wait.p99_ms) : "grows");
}

static void
print_head (const dn_plan_t *plan)
{
    char          shown[NAME_BYTES], cell[CELL_BYTES];
    const char   *between = "";
    size_t        i;
    const json_t *name;
    json_array_foreach (plan->services, i, name)
    {
        dn_text_show (shown, sizeof shown, json_string_value (name));
        printf ("%s%s", between, shown);
        between = ", ";
    }
    if (plan->is_live)
        printf (": workers %u, slots %u%s", plan->workers, plan->slots,
                plan->is_known ? "; " : "\n");
    if (!plan->is_known)
        return;
    printf ("%s tasks/s", text_rate (cell, plan->rate));
    printf (" of %s are a load of ", text_ms (cell, plan->run_ms));
    printf (plan->load < 0.1 ? "%.2g slots\n\n" : "%.2f slots\n\n", plan->load);
}

static void
print_table (const dn_plan_t *plan)
{
    dn_table_t table;
    char       with[DN_TABLE_CELL];
    uint32_t   slots = dn_erlang_slots (plan->load, plan->refused);

    dn_table_init (&table, "WITH >SLOTS >USED >HEADROOM >RATE_MAX >REFUSED >WAIT >MEAN_WAIT "
                           ">P99_WAIT");
    if (plan->slots) {
        put_figures (&table, plan->is_live ? "these workers" : "these slots", plan, plan->slots);
        snprintf (with, sizeof with, "one more worker (+%u)", plan->worker_slots);
        put_figures (&table, with, plan, plan->slots + plan->worker_slots);
    }
    snprintf (with, sizeof with, "at most %.6g %% refused", 100 * plan->refused);
    if (slots)
        put_figures (&table, with, plan, slots);
    dn_table_print (&table);
}

static void
print_text (const dn_plans_t *self)
{
    size_t        j;
    const json_t *note;
    if (!self->count)
        puts ("no service is known: start a worker with `denim-worker APP`");
    for (size_t i = 0; i < self->count; i++) {
        const dn_plan_t *plan = self->plan[i];
        if (i > 0)
            putchar ('\n');
        print_head (plan);
        if (plan->is_known)
            print_table (plan);
        if (plan->is_known && json_array_size (plan->notes))
            putchar ('\n');
        json_array_foreach (plan->notes, j, note) puts (json_string_value (note));
    }
}

void
dn_plans_print (dn_plans_t *self, bool as_json)
{
    for (size_t i = 0; i < self->count; i++)
        add_notes (self->plan[i]);
    if (as_json)
        print_json (self);
    else
        print_text (self);
}
