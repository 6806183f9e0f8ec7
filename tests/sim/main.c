/*  main.c - how many histories, from which seed, and what is said of them
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <time.h>

#define CLASSES_MAX 64
#define LINE_BYTES  500
#define KEPT_BYTES  (256 << 20) /* that the allocator keeps from one history to the next */

typedef struct {
    char     name[40];
    char     reason[SIM_REASON]; /* of the first one */
    uint32_t count;
    uint64_t seed[4];
} class_t;

typedef struct {
    uint64_t    seed;
    uint64_t    count;
    double      seconds; /* no new history after that; 0: no limit */
    bool        on;      /* goes on after a failure, and counts */
    bool        twice;   /* each history two times, and they must be the same */
    const char *file;    /* of seeds to be played first */
    uint32_t    classes;
    class_t class[CLASSES_MAX];
} run_t;

static sim_t sim;
static char  error_text[1000]; /* buffer of stderr: what a check that fails says */

/*  A check of a core failed. */
static void
on_abort (int number)
{
    (void) number;
    size_t n = strcspn (error_text, "\n");
    snprintf (sim.reason, sizeof sim.reason, "check: %.*s", n < 300 ? (int) n : 300, error_text);
    siglongjmp (sim.end, 1);
}

static void
catch_checks (void)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};
    sigaction (SIGABRT, &action, NULL);
    setvbuf (stderr, error_text, _IOFBF, sizeof error_text);
}

/*  The class of a failure: its words up to the colon; a check counts by its
 * place. */
static void
count_failure (run_t *run)
{
    char   name[40];
    size_t n = strcspn (sim.reason, ":");
    if (strncmp (sim.reason, "check: denim: bug at ", 21) == 0)
        snprintf (name, sizeof name, "check %.*s", (int) strcspn (sim.reason + 21, " "),
                  sim.reason + 21);
    else
        snprintf (name, sizeof name, "%.*s", (int) n, sim.reason);
    uint32_t i = 0;
    while (i < run->classes && strcmp (run->class[i].name, name) != 0)
        i++;
    if (i == CLASSES_MAX)
        return;
    class_t *found = &run->class[i];
    if (i == run->classes) {
        run->classes++;
        snprintf (found->name, sizeof found->name, "%s", name);
        snprintf (found->reason, sizeof found->reason, "%s", sim.reason);
    }
    if (found->count < 4)
        found->seed[found->count] = sim.seed;
    found->count++;
}

static bool
play_one (run_t *run, uint64_t seed)
{
    bool ok = sim_play (&sim, seed);
    if (ok && run->twice) {
        uint64_t digest = sim.digest;
        ok = sim_play (&sim, seed) && sim.digest == digest;
        if (!ok && !sim.reason[0])
            snprintf (sim.reason, sizeof sim.reason, "digest: the second run is another history");
    }
    if (ok)
        return true;
    __fpurge (stderr);
    if (run->on) {
        count_failure (run);
        return false;
    }
    sim_trace_print (&sim);
    printf ("sim: seed %" PRIu64 " fails: %s\n", seed, sim.reason);
    printf ("sim: once more with: build/tests/sim --seed %" PRIu64 " --verbose\n", seed);
    return false;
}

static void
print_counts (const run_t *run, uint64_t played, uint64_t failed, double seconds)
{
    static const char *const names[DENIM_OUTCOMES] = {
#define X(number, name, text) [number] = #name,
        DENIM_OUTCOME_MAP (X)
#undef X
    };
    for (uint32_t i = 0; i < run->classes; i++) {
        const class_t *found = &run->class[i];
        printf ("%6u %s: seeds", found->count, found->name);
        for (uint32_t j = 0; j < 4 && j < found->count; j++)
            printf (" %" PRIu64, found->seed[j]);
        printf ("\n       %s\n", found->reason);
    }
    printf ("sim: outcomes");
    for (int i = 0; i < DENIM_OUTCOMES; i++)
        if (sim.counts.ends[i])
            printf (" %s=%" PRIu64, names[i], sim.counts.ends[i]);
    printf ("\nsim: %" PRIu64 " seeds, %" PRIu64 " failed, %.0f a second; %" PRIu64
            " turns, %" PRIu64 " frames a seed; at most %u effects of one event\n",
            played, failed, seconds > 0 ? (double) played / seconds : 0,
            sim.counts.turns / (played ? played : 1), sim.counts.frames / (played ? played : 1),
            sim.counts.effects_max);
    printf ("sim: %" PRIu64
            " places granted, %u of them at most before somebody who has waited longer, and %u "
            "of any service; %" PRIu64 " runs that nobody could know of\n",
            sim.counts.grants, sim.counts.skipped_max, sim.counts.kept_out_max, sim.counts.excused);
    printf ("sim: %" PRIu64 " waits for calls of tasks, %" PRIu64
            " calls left behind; tasks of such histories by level:",
            sim.counts.waits, sim.counts.left);
    for (int i = 0; i <= SIM_NESTING; i++)
        printf (" %" PRIu64, sim.counts.nested[i]);
    printf ("\n");
}

/*  ---- options ---- */

static int
usage (void)
{
    printf ("usage: sim [--seed S] [--count N] [--seconds T] [--seeds FILE] "
            "[--verbose]\n"
            "           [--last N] [--on] [--twice] [--lasting] [--nested] [--leaving]\n"
            "           [--mixed] [--shared] [--fateful] [--no-FAULT ...] [--only FAULT ...]\n\n"
            "  --seed S      the first seed (1)\n"
            "  --count N     so many seeds (1000)\n"
            "  --seconds T   and none after this time\n"
            "  --seeds FILE  those in FILE first: a number and why, a line each\n"
            "  --verbose     print all that happens\n"
            "  --last N      print so many events before a failure (50)\n"
            "  --on          go on after a failure, and count them by class\n"
            "  --twice       each seed two times: the histories must be the same\n"
            "  --lasting     each history so long that clients are forgotten, not one of twelve\n"
            "  --nested      tasks make calls of their own in each history, not in one of four\n"
            "  --leaving     and leave some of them behind in all of those, not in one of two\n"
            "  --mixed       a flood of short tasks, and long ones of others, in each history\n"
            "  --shared      a client may have a part of the slots only, not in one of sixteen\n"
            "  --fateful     few calls, and the manager dies when it matters, in each history\n\n"
            "faults:\n");
#define X(name, option, text) printf ("  %-15s %s\n", option, text);
    SIM_FAULT_MAP (X)
#undef X
    return 64;
}

static int
fault_of (const char *name)
{
    for (int i = 0; i < SIM_FAULTS; i++)
        if (strcmp (name, sim_fault_option[i]) == 0)
            return i;
    return -1;
}

static bool
take_option (run_t *run, const char *name, const char *value, bool *used)
{
    static bool only;
    int         fault = strncmp (name, "--no-", 5) == 0 ? fault_of (name + 5) : -1;

    *used = false;
    if (fault >= 0)
        sim.options.off |= 1u << fault;
    else if (strcmp (name, "--verbose") == 0)
        sim.options.verbose = true;
    else if (strcmp (name, "--on") == 0)
        run->on = true;
    else if (strcmp (name, "--twice") == 0)
        run->twice = true;
    else if (strcmp (name, "--lasting") == 0)
        sim.options.lasting = true;
    else if (strcmp (name, "--nested") == 0)
        sim.options.nested = true;
    else if (strcmp (name, "--leaving") == 0)
        sim.options.leaving = true;
    else if (strcmp (name, "--mixed") == 0)
        sim.options.mixed = true;
    else if (strcmp (name, "--shared") == 0)
        sim.options.shared = true;
    else if (strcmp (name, "--fateful") == 0)
        sim.options.fateful = true;
    else if (!value)
        return false;
    else {
        *used = true;
        if (strcmp (name, "--seed") == 0)
            run->seed = strtoull (value, NULL, 10);
        else if (strcmp (name, "--count") == 0)
            run->count = strtoull (value, NULL, 10);
        else if (strcmp (name, "--seconds") == 0)
            run->seconds = strtod (value, NULL);
        else if (strcmp (name, "--last") == 0)
            sim.options.last = (uint32_t) strtoul (value, NULL, 10);
        else if (strcmp (name, "--seeds") == 0)
            run->file = value;
        else if (strcmp (name, "--only") == 0 && (fault = fault_of (value)) >= 0) {
            if (!only)
                sim.options.off = ~0u;
            only = true;
            sim.options.off &= ~(1u << fault);
        } else
            return false;
    }
    return true;
}

/*  ---- running ---- */

static double
seconds_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/*  Seeds that failed once; 0, or 1 when one fails. */
static int
replay (run_t *run, uint64_t *played, uint64_t *failed)
{
    char  line[LINE_BYTES];
    FILE *file = run->file ? fopen (run->file, "r") : NULL;
    int   rc = 0;

    if (run->file && !file) {
        printf ("sim: cannot read %s\n", run->file);
        return 1;
    }
    while (file && rc == 0 && fgets (line, sizeof line, file)) {
        char    *end;
        uint64_t seed = strtoull (line, &end, 10);
        if (end == line)
            continue;
        ++*played;
        if (!play_one (run, seed)) {
            ++*failed;
            rc = !run->on;
        }
    }
    if (file)
        fclose (file);
    return rc;
}

int
main (int argc, char **argv)
{
    static run_t run = {.seed = 1, .count = 1000};
    uint64_t     played = 0, failed = 0;
    bool         used;

    sim.options.last = 50;
    for (int i = 1; i < argc; i += 1 + used)
        if (!take_option (&run, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used))
            return usage ();
    catch_checks ();
    mallopt (M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt (M_TRIM_THRESHOLD, KEPT_BYTES);
    double begin = seconds_now ();
    int    rc = replay (&run, &played, &failed);
    for (uint64_t i = 0; rc == 0 && i < run.count; i++) {
        if (run.seconds > 0 && seconds_now () - begin > run.seconds)
            break;
        played++;
        if (!play_one (&run, run.seed + i)) {
            failed++;
            rc = !run.on;
        }
    }
    if (rc == 0)
        print_counts (&run, played, failed, seconds_now () - begin);
    sim_free (&sim);
    return failed ? 1 : 0;
}
