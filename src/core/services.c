/*  services.c - names, a set of workers for each, decaying means
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/services.h"

#include "base/check.h"
#include "base/index.h"

#include <stdlib.h>

#define MEAN_WEIGHT    16.0 /* a result weighs 1/16: about the last 30 count */
#define OFFERED_WEIGHT 5.0  /* a beat weighs 1/5 */
#define NEAREST_MAX    128  /* services compared with a name that nobody offers: bounds its cost */

struct dn_services {
    uint32_t      max;
    uint32_t      count;
    uint32_t      words; /* of a set of workers */
    uint64_t      seed;
    dn_index_t   *names;
    dn_service_t *row;
    uint64_t     *set;   /* words for each service: bit n is worker n */
    uint64_t     *stuck; /* likewise, of those: where its tasks are stuck */
};

static uint64_t
hash_name (const dn_services_t *self, const char *name, size_t len)
{
    return dn_hash (self->seed, name, len);
}

static bool
same_name (const void *table, uint32_t row, const void *key)
{
    const dn_services_t *self = table;
    return dn_str_eq (dn_str (self->row[row].name), *(const dn_str_t *) key);
}

static uint64_t
row_name (const void *table, uint32_t row)
{
    const dn_services_t *self = table;
    return hash_name (self, self->row[row].name, strlen (self->row[row].name));
}

dn_services_t *
dn_services_new (uint32_t services_max, uint32_t workers_max, uint64_t seed)
{
    dn_services_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->max = services_max;
    self->words = (workers_max + 63) / 64;
    self->seed = seed;
    self->names = dn_index_new (services_max, self, same_name, row_name);
    self->row = calloc (services_max, sizeof *self->row);
    self->set = calloc ((size_t) services_max * self->words, sizeof *self->set);
    self->stuck = calloc ((size_t) services_max * self->words, sizeof *self->stuck);
    if (!self->names || !self->row || !self->set || !self->stuck)
        dn_services_destroy (&self);
    return self;
}

void
dn_services_destroy (dn_services_t **self_p)
{
    dn_services_t *self = *self_p;
    if (!self)
        return;
    dn_index_destroy (&self->names);
    free (self->row);
    free (self->set);
    free (self->stuck);
    free (self);
    *self_p = NULL;
}

uint32_t
dn_services_find (const dn_services_t *self, dn_str_t name)
{
    return dn_index_find (self->names, hash_name (self, name.ptr, name.len), &name);
}

dn_service_t *
dn_services_get (const dn_services_t *self, uint32_t service)
{
    dn_check (service < self->count);
    return &self->row[service];
}

uint32_t
dn_services_count (const dn_services_t *self)
{
    return self->count;
}

static uint64_t *
set_of (const dn_services_t *self, uint32_t service)
{
    return self->set + (size_t) service * self->words;
}

uint32_t
dn_services_offer (dn_services_t *self, dn_str_t name, uint32_t number)
{
    uint32_t service = dn_services_find (self, name);
    if (service == DN_SERVICE_NONE) {
        if (self->count == self->max || name.len == 0)
            return DN_SERVICE_NONE;
        service = self->count++;
        dn_str_copy (self->row[service].name, DN_SERVICE_ROOM, name);
        dn_index_put (self->names, hash_name (self, name.ptr, name.len), service);
    }
    uint64_t *word = &set_of (self, service)[number / 64];
    uint64_t  bit = 1ull << number % 64;
    self->row[service].workers += !(*word & bit);
    *word |= bit;
    return service;
}

void
dn_services_withdraw (dn_services_t *self, uint32_t number)
{
    for (uint32_t service = 0; service < self->count; service++) {
        uint64_t *word = &set_of (self, service)[number / 64];
        uint64_t  bit = 1ull << number % 64;
        self->row[service].workers -= (*word & bit) != 0;
        *word &= ~bit;
        dn_services_set_stuck (self, service, number, false);
    }
}

bool
dn_services_offers (const dn_services_t *self, uint32_t service, uint32_t number)
{
    return set_of (self, service)[number / 64] >> number % 64 & 1;
}

bool
dn_services_stuck (const dn_services_t *self, uint32_t service, uint32_t number)
{
    dn_check (service < self->count);
    return self->stuck[(size_t) service * self->words + number / 64] >> number % 64 & 1;
}

void
dn_services_set_stuck (dn_services_t *self, uint32_t service, uint32_t number, bool stuck)
{
    dn_check (service < self->count);
    uint64_t *word = &self->stuck[(size_t) service * self->words + number / 64];
    uint64_t  bit = 1ull << number % 64;
    if (!stuck)
        *word &= ~bit;
    else if (dn_services_offers (self, service, number))
        *word |= bit;
}

uint32_t
dn_services_next_worker (const dn_services_t *self, uint32_t service, uint32_t *number)
{
    const uint64_t *set = set_of (self, service);
    for (uint32_t i = *number; i < self->words * 64; i = (i / 64 + 1) * 64) {
        uint64_t rest = set[i / 64] >> i % 64;
        if (!rest)
            continue;
        uint32_t found = i + (uint32_t) __builtin_ctzll (rest);
        *number = found + 1;
        return found;
    }
    return DN_SERVICE_NONE;
}

void
dn_services_ran (dn_services_t *self, uint32_t service, uint64_t run_us)
{
    dn_service_t *row = &self->row[service];
    row->results++;
    double weight = row->results < (uint64_t) MEAN_WEIGHT ? (double) row->results : MEAN_WEIGHT;
    row->mean_run_us += ((double) run_us - row->mean_run_us) / weight;
}

double
dn_services_mean_us (const dn_services_t *self, uint32_t service)
{
    const dn_service_t *row = &self->row[service];
    if (row->results < DN_RESULTS_KNOWN)
        return 0;
    return row->mean_run_us > 1 ? row->mean_run_us : 1;
}

void
dn_services_beat (dn_services_t *self, uint32_t heartbeat_ms)
{
    for (dn_service_t *row = self->row; row < self->row + self->count; row++) {
        double now = row->arrivals * row->mean_run_us / (1000.0 * heartbeat_ms);
        row->offered += (now - row->offered) / OFFERED_WEIGHT;
        row->arrivals = 0;
        row->waiting = row->waiting_next;
        row->waiting_next = 0;
    }
}

/*  ---- nearest names ---- */

/*  Edits between two names, by Wagner and Fischer's table in one row. */
static unsigned
distance (dn_str_t a, const char *b)
{
    unsigned row[DN_SERVICE_ROOM];
    size_t   b_len = strlen (b);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned) j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned) i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned change = corner + (a.ptr[i - 1] != b[j - 1]);
            unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[b_len];
}

/*  Put `service` into the best three so far, nearest first. */
static void
rank (uint32_t best[3], unsigned far[3], uint32_t service, unsigned edits)
{
    for (int i = 0; i < 3; i++)
        if (edits < far[i]) {
            for (int j = 2; j > i; j--) {
                best[j] = best[j - 1];
                far[j] = far[j - 1];
            }
            best[i] = service;
            far[i] = edits;
            return;
        }
}

size_t
dn_services_nearest (const dn_services_t *self, dn_str_t name, char *text, size_t text_room)
{
    uint32_t best[3] = {DN_SERVICE_NONE, DN_SERVICE_NONE, DN_SERVICE_NONE};
    unsigned far[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    for (uint32_t i = 0; i < self->count && i < NEAREST_MAX; i++)
        if (self->row[i].workers)
            rank (best, far, i, distance (name, self->row[i].name));

    size_t      used = 0;
    const char *lead = best[1] == DN_SERVICE_NONE ? "the nearest is " : "the nearest are ";
    if (best[0] == DN_SERVICE_NONE)
        lead = "no worker offers any service";
    const char *parts[6] = {lead};
    int         count = 1;
    for (int i = 0; i < 3 && best[i] != DN_SERVICE_NONE; i++) {
        if (i > 0)
            parts[count++] = ", ";
        parts[count++] = self->row[best[i]].name;
    }
    for (int i = 0; i < count; i++) {
        size_t n = strlen (parts[i]);
        if (used + n >= text_room)
            break;
        memcpy (text + used, parts[i], n);
        used += n;
    }
    text[used] = 0;
    return used;
}

/*  ---- checking ---- */

void
dn_services_check (const dn_services_t *self)
{
    for (uint32_t service = 0; service < self->count; service++) {
        uint32_t workers = 0;
        for (uint32_t i = 0; i < self->words; i++) {
            size_t at = (size_t) service * self->words + i;
            workers += (uint32_t) __builtin_popcountll (self->set[at]);
            dn_check ((self->stuck[at] & ~self->set[at]) == 0);
        }
        dn_check (workers == self->row[service].workers);
    }
}
