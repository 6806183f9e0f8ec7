/* SPDX-License-Identifier: MPL-2.0
 * Copyright the denim authors
 *
 * A load generator on libdenim, for the benchmarks of overload: prints one line of JSON.
 *
 *     load --manager ADDRESS --mode closed [--callers 1] [--outstanding 32] [--greedy 0]
 *     load --manager ADDRESS --mode open --rate 320 [--callers 16] [--deadline-ms 0]
 *          [--spike-at 0 --spike-s 2 --spike-by 10 --settle-ms 200]
 *     both: [--task benchapp:rest] [--task-ms 100] [--times constant] [--bytes 0] [--handles 1]
 *          [--warmup 1] [--seconds 4] [--seed 1]
 *
 * closed: each caller has as many calls outstanding, the first one --greedy of them if that is not
 * 0. open: calls arrive at random (Poisson) at that rate, whatever becomes of them, from the
 * callers in turn; each has the deadline. Each caller is a client of its own, with a session of
 * its own; with --handles N it is N handles on one connection.
 *
 * Times are in milliseconds, goodput in tasks a second. What began before the warm-up was over is
 * not counted; the load goes on until what was running at the end of the window is known.
 */
#include "denim.h"

#include <getopt.h>
#include <poll.h>
#include <stdbool.h>

#include "sample.h"

#define CALLERS_MAX 512
#define BATCH       256
#define WINDOW_MAX  1000000
#define AFTER_S     0.3 /* beyond the longest task: until answers of the window are here */

typedef struct {
    const char *manager;
    const char *task;
    bool        open;
    int         callers;
    int         handles;
    int         outstanding;
    int         greedy;
    double      rate;
    double      task_s;
    times_t     times;
    size_t      bytes;
    int64_t     deadline_ms;
    double      warmup_s;
    double      seconds;
    double      spike_at_s; /* from the end of the warm-up; 0: no spike */
    double      spike_s;
    double      spike_by;
    double      settle_s; /* after the spike, before it counts as over */
    uint64_t    seed;
} options_t;

/*  One call on its way; the tag of its answer. */
typedef struct call {
    struct call *next; /* of the free ones */
    double       begun_s;
    int          caller; /* -1: not on its way */
} call_t;

typedef struct {
    denim_client_t *client;
    uint64_t        done;
    sample_t        wait;    /* of calls that were done in the window */
    double          oldest;  /* age of the oldest call when the window ended */
    double          begun_s; /* scratch for that */
} caller_t;

enum { BEFORE, DURING, AFTER, PHASES };

static options_t options;
static caller_t  caller[CALLERS_MAX];
static call_t  **all; /* every call record ever made */
static size_t    all_count, all_room;
static call_t   *unused_calls;
static uint64_t  random_state;
static work_t    work;
static sample_t  waits, runs, phase_wait[PHASES];
static uint64_t  phase_failed[PHASES], outcomes[DENIM_OUTCOMES], arrivals, unsent;
static double    start_s, end_s; /* of the window */

static void
give_up (const char *what, int error)
{
    fprintf (stderr, "load: %s: %s\n", what, denim_strerror (error));
    exit (1);
}

/*  ---- calls ---- */

static call_t *
take_call (int of, double at_s)
{
    call_t *call = unused_calls;
    if (call) {
        unused_calls = call->next;
    } else {
        if (all_count == all_room) {
            all_room = all_room ? 2 * all_room : 1024;
            all = realloc (all, all_room * sizeof (call_t *));
        }
        call = calloc (1, sizeof *call);
        if (!all || !call)
            abort ();
        all[all_count++] = call;
    }
    *call = (call_t){NULL, at_s, of};
    return call;
}

static void
drop_call (call_t *call)
{
    call->caller = -1;
    call->next = unused_calls;
    unused_calls = call;
}

static void
submit (int of, double at_s)
{
    char            text[64];
    double          task_s = draw_task_s (&random_state, options.times, options.task_s);
    const char     *ballast = options.bytes ? ",{\"~bytes\":1}" : "";
    int             n = snprintf (text, sizeof text, "[[%.6f%s]]", task_s, ballast);
    denim_frame_t   frames[2] = {{text, (size_t) n}, {NULL, options.bytes}};
    call_t         *call = take_call (of, at_s);
    denim_options_t how = {.take_later = true, .tag = call, .deadline_ms = options.deadline_ms};
    static void    *ballast_bytes;
    if (options.bytes && !ballast_bytes)
        ballast_bytes = calloc (1, options.bytes);
    frames[1].bytes = ballast_bytes;
    int64_t id = denim_client_submit_frames (caller[of].client, options.task, frames,
                                             options.bytes ? 2 : 1, &how, 0);
    if (at_s >= start_s && at_s < end_s)
        arrivals++;
    if (id > 0)
        return;
    if (id != DENIM_ERR_WINDOW)
        give_up ("submit", (int) id);
    unsent++;
    drop_call (call);
}

/*  Of an arrival, before, during or after the spike. */
static int
phase_of (double begun_s)
{
    double at_s = begun_s - start_s;
    if (options.spike_at_s <= 0 || at_s < options.spike_at_s)
        return BEFORE;
    return at_s < options.spike_at_s + options.spike_s + options.settle_s ? DURING : AFTER;
}

static void
take (denim_reply_t *reply, double at_s)
{
    call_t *call = denim_reply_tag (reply);
    int     outcome = denim_reply_outcome (reply);
    double  run_s = (double) denim_reply_run_us (reply) / 1e6, wait_s = at_s - call->begun_s;
    if (outcome == DENIM_VALUE)
        work_add (&work, at_s, run_s);
    else if (outcome != DENIM_DEADLINE && outcome != DENIM_REJECTED)
        fprintf (stderr, "load: %s: %s\n", denim_outcome_name (outcome), denim_reply_text (reply));
    if (call->begun_s >= start_s && call->begun_s < end_s) {
        int phase = phase_of (call->begun_s);
        if (outcome == DENIM_VALUE)
            sample_add (&phase_wait[phase], wait_s);
        else
            phase_failed[phase]++;
    }
    if (at_s >= start_s && at_s < end_s) {
        outcomes[outcome]++;
        if (outcome == DENIM_VALUE) {
            caller[call->caller].done++;
            sample_add (&caller[call->caller].wait, wait_s);
            sample_add (&waits, wait_s);
            sample_add (&runs, run_s);
        }
    }
    drop_call (call);
}

/*  ---- the loop ---- */

static void
start_callers (void)
{
    int error = 0, per = options.callers / options.handles;
    for (int i = 0; i < options.callers; i++) {
        bool first = i % options.handles == 0;
        caller[i].client = first ? denim_client_new (options.manager, &error)
                                 : denim_client_dup (caller[i - i % options.handles].client);
        if (!caller[i].client)
            give_up ("new", error);
        if (first)
            denim_client_set_window (caller[i].client, WINDOW_MAX / (per > 0 ? per : 1) > 50000
                                                           ? 50000
                                                           : WINDOW_MAX / (per > 0 ? per : 1));
    }
}

/*  The answers that are here; in a closed loop each makes room for the next call. */
static void
take_answers (int of)
{
    denim_reply_t *replies[BATCH];
    size_t         got;
    while ((got = denim_client_recv_many (caller[of].client, replies, BATCH)) > 0) {
        double at_s = now_s ();
        for (size_t i = 0; i < got; i++) {
            take (replies[i], at_s);
            denim_reply_destroy (&replies[i]);
            if (!options.open)
                submit (of, at_s);
        }
        if (got < BATCH)
            return;
    }
}

static double
rate_at (double at_s)
{
    double since_s = at_s - start_s - options.spike_at_s;
    bool   spike = options.spike_at_s > 0 && since_s >= 0 && since_s < options.spike_s;
    return options.rate * (spike ? options.spike_by : 1);
}

/*  The age of each caller's oldest call: one that is never served would not show otherwise. */
static void
note_oldest (double at_s)
{
    for (size_t i = 0; i < all_count; i++)
        if (all[i]->caller >= 0 && at_s - all[i]->begun_s > caller[all[i]->caller].oldest)
            caller[all[i]->caller].oldest = at_s - all[i]->begun_s;
}

static void
run (void)
{
    static struct pollfd items[CALLERS_MAX];
    double               next_s = now_s (), last_s = end_s + 6 * options.task_s + AFTER_S;
    bool                 noted = false;
    int                  turn = 0;
    for (int i = 0; i < options.callers; i++)
        items[i] = (struct pollfd){denim_client_fd (caller[i].client), POLLIN, 0};
    for (int i = 0; i < options.callers && !options.open; i++)
        for (int k = i || !options.greedy ? options.outstanding : options.greedy; k > 0; k--)
            submit (i, now_s ());
    for (double at_s = now_s (); at_s < last_s; at_s = now_s ()) {
        for (; options.open && next_s <= at_s; turn++) {
            submit (turn % options.callers, next_s);
            next_s += draw_exponential (&random_state, 1 / rate_at (next_s));
        }
        if (!noted && at_s >= end_s) {
            note_oldest (at_s);
            noted = true;
        }
        double          wait_s = options.open && next_s < at_s + 0.05 ? next_s - at_s : 0.05;
        struct timespec wait = {0, (long) (wait_s > 0 ? wait_s * 1e9 : 0)};
        if (ppoll (items, (nfds_t) options.callers, &wait, NULL) > 0)
            for (int i = 0; i < options.callers; i++)
                if (items[i].revents)
                    take_answers (i);
    }
}

/*  ---- options and results ---- */

static void
print_callers (void)
{
    printf ("\"callers\": [");
    for (int i = 0; i < options.callers; i++) {
        sample_t *wait = &caller[i].wait;
        if (wait->count)
            qsort (wait->value, wait->count, sizeof *wait->value, compare_values);
        size_t n = wait->count;
        printf ("%s{\"done\": %llu, \"p50\": %.1f, \"p99\": %.1f, \"longest\": %.1f, "
                "\"oldest\": %.1f}",
                i ? ", " : "", (unsigned long long) caller[i].done,
                n ? wait->value[n / 2] * 1e3 : 0, n ? wait->value[n * 99 / 100] * 1e3 : 0,
                n ? wait->value[n - 1] * 1e3 : 0, caller[i].oldest * 1e3);
    }
    printf ("]");
}

static void
print_results (void)
{
    static const char *phase_names[PHASES] = {"before", "during", "after"};
    printf ("{\"arrivals\": %llu, \"unsent\": %llu, \"seconds\": %.3f, \"goodput\": %.2f, ",
            (unsigned long long) arrivals, (unsigned long long) unsent, end_s - start_s,
            work_between (&work, start_s, end_s) / (end_s - start_s));
    printf ("\"outcomes\": {");
    for (int i = 0, n = 0; i < DENIM_OUTCOMES; i++)
        if (outcomes[i])
            printf ("%s\"%s\": %llu", n++ ? ", " : "", denim_outcome_name (i),
                    (unsigned long long) outcomes[i]);
    printf ("}, ");
    sample_print ("wait", &waits, ", ");
    sample_print ("run", &runs, ", ");
    for (int i = 0; i < PHASES; i++) {
        sample_print (phase_names[i], &phase_wait[i], ", ");
        printf ("\"%s_failed\": %llu, ", phase_names[i], (unsigned long long) phase_failed[i]);
    }
    work_print (&work, ", ");
    print_callers ();
    printf ("}\n");
}

static void
read_options (int argc, char **argv)
{
    static const struct option names[] = {
        {"manager", 1, NULL, 'm'}, {"task", 1, NULL, 't'},     {"mode", 1, NULL, 'M'},
        {"callers", 1, NULL, 'c'}, {"handles", 1, NULL, 'h'},  {"outstanding", 1, NULL, 'o'},
        {"greedy", 1, NULL, 'g'},  {"rate", 1, NULL, 'r'},     {"task-ms", 1, NULL, 'l'},
        {"times", 1, NULL, 'T'},   {"bytes", 1, NULL, 'b'},    {"deadline-ms", 1, NULL, 'd'},
        {"warmup", 1, NULL, 'w'},  {"seconds", 1, NULL, 's'},  {"spike-at", 1, NULL, 'A'},
        {"spike-s", 1, NULL, 'S'}, {"spike-by", 1, NULL, 'B'}, {"settle-ms", 1, NULL, 'x'},
        {"seed", 1, NULL, 'e'},    {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long (argc, argv, "", names, NULL)) != -1;)
        switch (c) {
        case 'm': options.manager = optarg; break;
        case 't': options.task = optarg; break;
        case 'M': options.open = strcmp (optarg, "open") == 0; break;
        case 'c': options.callers = atoi (optarg); break;
        case 'h': options.handles = atoi (optarg); break;
        case 'o': options.outstanding = atoi (optarg); break;
        case 'g': options.greedy = atoi (optarg); break;
        case 'r': options.rate = atof (optarg); break;
        case 'l': options.task_s = atof (optarg) / 1e3; break;
        case 'T': options.times = read_times (optarg); break;
        case 'b': options.bytes = strtoull (optarg, NULL, 10); break;
        case 'd': options.deadline_ms = atoll (optarg); break;
        case 'w': options.warmup_s = atof (optarg); break;
        case 's': options.seconds = atof (optarg); break;
        case 'A': options.spike_at_s = atof (optarg); break;
        case 'S': options.spike_s = atof (optarg); break;
        case 'B': options.spike_by = atof (optarg); break;
        case 'x': options.settle_s = atof (optarg) / 1e3; break;
        case 'e': options.seed = strtoull (optarg, NULL, 10); break;
        default: exit (64);
        }
    if (options.callers < 1 || options.callers > CALLERS_MAX || options.handles < 1) {
        fprintf (stderr, "load: 1 to %d callers\n", CALLERS_MAX);
        exit (64);
    }
}

int
main (int argc, char **argv)
{
    options = (options_t){.task = "benchapp:rest",
                          .callers = 1,
                          .handles = 1,
                          .outstanding = 32,
                          .rate = 100,
                          .task_s = 0.1,
                          .warmup_s = 1,
                          .seconds = 4,
                          .spike_s = 2,
                          .spike_by = 10,
                          .settle_s = 0.2,
                          .seed = 1};
    read_options (argc, argv);
    random_state = options.seed;
    start_callers ();
    start_s = now_s () + options.warmup_s;
    end_s = start_s + options.seconds;
    work_start (&work, start_s, options.seconds);
    run ();
    print_results ();
    fflush (stdout);
    _Exit (0); /* what is still on its way goes with the process */
}
