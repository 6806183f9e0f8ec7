/*  trace.c - what happened last, for whoever has to understand a seed that
 * failed
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES 2000 /* of a message; a longer one is cut */

/*  The history in one number: two runs of a seed must agree on it. */
static void
digest (sim_t *sim, const sim_note_t *note)
{
    uint64_t h = sim->digest;

    h = (h ^ (uint64_t) note->at_us) * 0x9e3779b97f4a7c15ull;
    h = (h ^ note->node ^ note->a << 8 ^ note->b << 32) * 0x9e3779b97f4a7c15ull;
    for (size_t i = 0; i < note->header_bytes; i++)
        h = (h ^ note->header[i]) * 0x100000001b3ull;
    sim->digest = h ^ h >> 29;
}

static void
print_note (const sim_t *sim, const sim_note_t *note)
{
    char     text[TEXT_BYTES] = "";
    dn_msg_t msg;

    if (note->header_bytes) {
        if (dn_msg_decode (&msg, ~0u, note->header, note->header_bytes) == 0)
            dn_msg_print (&msg, text, sizeof text);
        else
            snprintf (text, sizeof text, "(%zu bytes that do not decode)", note->header_bytes);
        if (msg.kind == DN_MSG_RUN) {
            dn_msg_t submit;
            size_t   used = strlen (text);
            dn_str_t inner = msg.u.run.submit;
            if (used > 60)
                used = 60;
            if (dn_msg_decode (&submit, ~0u, inner.ptr, inner.len) == 0) {
                used += (size_t) snprintf (text + used, sizeof text - used, " | ");
                dn_msg_print (&submit, text + used, sizeof text - used);
            }
        }
    }
    printf ("%10.3f %-3s %-14s %" PRIu64 " %" PRIu64 " %s\n", (double) note->at_us / 1000,
            sim->node[note->node].name, note->what, note->a, note->b, text);
}

void
sim_note (sim_t *sim, uint32_t node, const char *what, uint64_t a, uint64_t b, const void *header,
          size_t header_bytes)
{
    sim_note_t *note = &sim->note[sim->notes++ % SIM_NOTES];

    if (header_bytes > note->header_room) {
        free (note->header);
        note->header_room = header_bytes + 256;
        note->header = malloc (note->header_room);
        dn_check (note->header);
    }
    note->at_us = sim->now_us;
    note->node = node;
    note->what = what;
    note->a = a;
    note->b = b;
    note->header_bytes = header_bytes;
    if (header_bytes)
        memcpy (note->header, header, header_bytes);
    digest (sim, note);
    if (sim->options.verbose)
        print_note (sim, note);
}

void
sim_trace_print (const sim_t *sim)
{
    uint32_t last = sim->options.last < SIM_NOTES ? sim->options.last : SIM_NOTES;

    for (uint32_t i = sim->notes > last ? sim->notes - last : 0; i < sim->notes; i++)
        print_note (sim, &sim->note[i % SIM_NOTES]);
}

void
sim_trace_clear (sim_t *sim)
{
    sim->notes = 0;
    sim->digest = 0;
}

void
sim_trace_free (sim_t *sim)
{
    for (uint32_t i = 0; i < SIM_NOTES; i++)
        free (sim->note[i].header);
    memset (sim->note, 0, sizeof sim->note);
}

void
sim_fail (sim_t *sim, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    vsnprintf (sim->reason, sizeof sim->reason, format, args);
    va_end (args);
    siglongjmp (sim->end, 1);
}
