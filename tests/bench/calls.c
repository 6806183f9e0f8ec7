/* SPDX-License-Identifier: MPL-2.0
 * Copyright the denim authors
 *
 * A C client that calls a task as fast as its window allows, for the benchmarks: prints one line of
 * JSON as tests/bench/echo.c does.
 *
 *     calls --manager ADDRESS [--task benchapp:add] [--window 512] [--bytes 0] [--seconds 3 |
 *     --count N]
 *
 * With --bytes 0 the arguments are the JSON of (2, 3) and the value must be 5; otherwise they are a
 * bytes object of so many bytes as a frame of its own, and the value must be as long. --window 1
 * waits for each answer with denim_client_call's own path (submit and wait), as a lone caller does.
 */
#include "denim.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARMUP_NS      500000000 /* not counted */
#define LATENCY_MAX_US 1000000
#define BATCH          256
#define GIVE_UP_MS     30000

typedef struct {
    const char *manager;
    const char *task;
    int         window;
    size_t      bytes;
    double      seconds;
    int64_t     count; /* measured calls; 0: as many as `seconds` gives */
} options_t;

static uint64_t latency[LATENCY_MAX_US + 1]; /* histogram */
static int64_t  total;                       /* calls that ended, warm-up included */

static int64_t
now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
give_up (const char *what, int error)
{
    fprintf (stderr, "calls: %s: %s\n", what, denim_strerror (error));
    exit (1);
}

/*  The frames of one call. */
static size_t
make_frames (const options_t *options, denim_frame_t frames[2])
{
    if (options->bytes == 0) {
        frames[0] = (denim_frame_t){"[[2,3]]", 7};
        return 1;
    }
    static const char document[] = "[[{\"~bytes\":1}]]";
    frames[0] = (denim_frame_t){document, sizeof document - 1};
    frames[1] = (denim_frame_t){calloc (1, options->bytes), options->bytes};
    return 2;
}

static void
check_reply (const options_t *options, const denim_reply_t *reply)
{
    size_t n;
    if (denim_reply_outcome (reply) != DENIM_VALUE) {
        fprintf (stderr, "calls: %s: %s\n", denim_outcome_name (denim_reply_outcome (reply)),
                 denim_reply_text (reply));
        exit (1);
    }
    const char *value = denim_reply_frame (reply, options->bytes ? 1 : 0, &n);
    if (options->bytes ? n != options->bytes : n != 1 || *value != '5') {
        fprintf (stderr, "calls: a wrong value\n");
        exit (1);
    }
}

/*  One at a time. Calls that were counted. */
static int64_t
run_alone (denim_client_t *client, const options_t *options, int64_t *measured_ns)
{
    denim_frame_t frames[2];
    size_t        count = make_frames (options, frames);
    int64_t       begin_ns = now_ns () + WARMUP_NS, calls = 0, start_ns = 0, end_ns = 0;
    for (;;) {
        int64_t sent_ns = now_ns ();
        int     error = 0;
        int64_t id = denim_client_submit_frames (client, options->task, frames, count, NULL, -1);
        if (id < 0)
            give_up ("submit", (int) id);
        denim_reply_t *reply = denim_client_wait (client, id, GIVE_UP_MS, &error);
        if (!reply)
            give_up ("wait", error);
        end_ns = now_ns ();
        check_reply (options, reply);
        denim_reply_destroy (&reply);
        total++;
        if (sent_ns < begin_ns)
            continue;
        start_ns = start_ns ? start_ns : sent_ns;
        int64_t us = (end_ns - sent_ns) / 1000;
        latency[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
        calls++;
        bool last = options->count ? calls == options->count
                                   : end_ns - begin_ns > (int64_t) (options->seconds * 1e9);
        if (last)
            break;
    }
    *measured_ns = end_ns - start_ns;
    return calls;
}

/*  A window of them, answers taken in batches. Calls that were counted. */
static int64_t
run_window (denim_client_t *client, const options_t *options, int64_t *measured_ns)
{
    denim_frame_t   frames[2];
    size_t          count = make_frames (options, frames);
    denim_options_t how = {.take_later = true};
    denim_reply_t  *replies[BATCH];
    int64_t         begin_ns = now_ns () + WARMUP_NS, calls = 0, start_ns = 0, out = 0, end_ns = 0;
    bool            last = false;
    while (!last || out > 0) {
        while (!last && out < options->window) {
            int64_t id =
                denim_client_submit_frames (client, options->task, frames, count, &how, -1);
            if (id < 0)
                give_up ("submit", (int) id);
            out++;
        }
        size_t got = denim_client_recv_many (client, replies, BATCH);
        if (got == 0) {
            struct pollfd item = {denim_client_fd (client), POLLIN, 0};
            if (poll (&item, 1, GIVE_UP_MS) == 0)
                give_up ("poll", DENIM_ERR_TIMEOUT);
            continue;
        }
        int64_t at_ns = now_ns ();
        for (size_t i = 0; i < got; i++) {
            check_reply (options, replies[i]);
            denim_reply_destroy (&replies[i]);
        }
        out -= (int64_t) got;
        total += (int64_t) got;
        if (at_ns < begin_ns || last)
            continue;
        if (!start_ns)
            start_ns = at_ns; /* these answers begin the measurement: not counted */
        else
            calls += (int64_t) got;
        end_ns = at_ns;
        last = options->count ? calls >= options->count
                              : at_ns - begin_ns > (int64_t) (options->seconds * 1e9);
    }
    *measured_ns = end_ns - start_ns;
    return calls;
}

static int64_t
percentile (int64_t calls, double share)
{
    int64_t left = (int64_t) ((double) calls * share);
    for (int us = 0; us <= LATENCY_MAX_US; us++)
        if ((left -= (int64_t) latency[us]) < 0)
            return us;
    return LATENCY_MAX_US;
}

static void
read_options (options_t *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"manager", 1, NULL, 'm'}, {"task", 1, NULL, 't'},    {"window", 1, NULL, 'w'},
        {"bytes", 1, NULL, 'b'},   {"seconds", 1, NULL, 's'}, {"count", 1, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long (argc, argv, "", names, NULL)) != -1;)
        switch (c) {
        case 'm': options->manager = optarg; break;
        case 't': options->task = optarg; break;
        case 'w': options->window = atoi (optarg); break;
        case 'b': options->bytes = strtoull (optarg, NULL, 10); break;
        case 's': options->seconds = atof (optarg); break;
        case 'c': options->count = atoll (optarg); break;
        default: exit (64);
        }
}

int
main (int argc, char **argv)
{
    options_t options = {NULL, "benchapp:add", 512, 0, 3, 0};
    read_options (&options, argc, argv);
    int             error = 0;
    denim_client_t *client = denim_client_new (options.manager, &error);
    if (!client)
        give_up ("new", error);
    denim_client_set_window (client, options.window);
    int64_t measured_ns = 1;
    int64_t calls = options.window == 1 ? run_alone (client, &options, &measured_ns)
                                        : run_window (client, &options, &measured_ns);
    denim_client_destroy (&client);
    printf ("{\"tasks_per_s\": %.0f, \"count\": %lld, \"total\": %lld",
            (double) calls * 1e9 / (double) measured_ns, (long long) calls, (long long) total);
    if (options.window == 1) /* else they are not taken one by one */
        printf (", \"p50_us\": %lld, \"p99_us\": %lld", (long long) percentile (calls, 0.5),
                (long long) percentile (calls, 0.99));
    printf ("}\n");
    return 0;
}
