/*  sample.h - what the load generators share: random numbers, samples, and how they are printed
 *
 *  Only static functions; included by tests/bench/load.c and tests/bench/raw.c.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_BENCH_SAMPLE_H
#define DN_BENCH_SAMPLE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNUSED __attribute__ ((unused))

/*  ---- time ---- */

UNUSED static double
now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/*  ---- random numbers (splitmix64, public domain): the same seed gives the same load ---- */

UNUSED static uint64_t
draw (uint64_t *random)
{
    uint64_t x = *random += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

/*  Above 0, at most 1. */
UNUSED static double
draw_unit (uint64_t *random)
{
    return ((double) (draw (random) >> 11) + 1) / 9007199254740992.0;
}

UNUSED static double
draw_exponential (uint64_t *random, double mean)
{
    return -mean * log (draw_unit (random));
}

/*  How long tasks take: all the same; exponential; or nine short ones for each long one. */
typedef enum { TIMES_CONSTANT, TIMES_EXPONENTIAL, TIMES_BIMODAL } times_t;

#define SHORT_PART 0.9
#define SHORT_MEAN 0.5 /* of the mean; the long ones are 5.5 times the mean */

UNUSED static double
draw_task_s (uint64_t *random, times_t times, double mean_s)
{
    if (times == TIMES_EXPONENTIAL)
        return draw_exponential (random, mean_s);
    if (times == TIMES_CONSTANT)
        return mean_s;
    bool is_short = draw_unit (random) <= SHORT_PART;
    return mean_s * (is_short ? SHORT_MEAN : (1 - SHORT_PART * SHORT_MEAN) / (1 - SHORT_PART));
}

UNUSED static times_t
read_times (const char *name)
{
    static const char *names[] = {"constant", "exponential", "bimodal"};
    for (int i = 0; i < 3; i++)
        if (strcmp (name, names[i]) == 0)
            return (times_t) i;
    fprintf (stderr, "--times is constant, exponential or bimodal\n");
    exit (64);
}

/*  ---- samples ---- */

typedef struct {
    double *value;
    size_t  count;
    size_t  room;
    double  sum;
} sample_t;

UNUSED static void
sample_add (sample_t *self, double value)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 1024;
        self->value = realloc (self->value, self->room * sizeof *self->value);
        if (!self->value)
            abort ();
    }
    self->value[self->count++] = value;
    self->sum += value;
}

UNUSED static int
compare_values (const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

/*  `"name": {...}` in milliseconds, from seconds. */
UNUSED static void
sample_print (const char *name, sample_t *self, const char *after)
{
    size_t n = self->count;
    if (n)
        qsort (self->value, n, sizeof *self->value, compare_values);
    printf ("\"%s\": {\"count\": %zu, \"mean\": %.3f, \"p50\": %.3f, \"p99\": %.3f, "
            "\"longest\": %.3f}%s",
            name, n, n ? self->sum / (double) n * 1e3 : 0, n ? self->value[n / 2] * 1e3 : 0,
            n ? self->value[n * 99 / 100] * 1e3 : 0, n ? self->value[n - 1] * 1e3 : 0, after);
}

/*  ---- work done over time ---- */

#define BIN_S 0.1

/*  How many tasks were done in each tenth of a second since `start_s`: a task counts in each of
 *  them for the part of its run that fell into it, so that a short window has no rounding. */
typedef struct {
    double  start_s;
    double *bin;
    size_t  count;
} work_t;

UNUSED static void
work_start (work_t *self, double start_s, double length_s)
{
    self->start_s = start_s;
    self->count = (size_t) (length_s / BIN_S) + 2;
    self->bin = calloc (self->count, sizeof *self->bin);
    if (!self->bin)
        abort ();
}

/*  A run of `run_s` that has just ended. */
UNUSED static void
work_add (work_t *self, double end_s, double run_s)
{
    double from = (end_s - run_s - self->start_s) / BIN_S, upto = (end_s - self->start_s) / BIN_S;
    if (upto - from < 1e-6)
        from = upto - 1e-6;
    for (double at = from; at < upto;) {
        double next = floor (at) + 1 < upto ? floor (at) + 1 : upto;
        if (at >= 0 && (size_t) at < self->count)
            self->bin[(size_t) at] += (next - at) / (upto - from);
        at = next > at ? next : upto;
    }
}

/*  Tasks between two points, which are taken to whole bins. */
UNUSED static double
work_between (const work_t *self, double from_s, double upto_s)
{
    double sum = 0;
    size_t from = (size_t) lround ((from_s - self->start_s) / BIN_S);
    size_t upto = (size_t) lround ((upto_s - self->start_s) / BIN_S);
    for (size_t i = from; i < upto && i < self->count; i++)
        sum += self->bin[i];
    return sum;
}

UNUSED static void
work_print (const work_t *self, const char *after)
{
    printf ("\"work\": {\"start_s\": %.3f, \"bin_s\": %.3f, \"tasks\": [", self->start_s, BIN_S);
    for (size_t i = 0; i < self->count; i++)
        printf ("%s%.2f", i ? ", " : "", self->bin[i]);
    printf ("]}%s", after);
}

#endif
