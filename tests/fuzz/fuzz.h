/*  fuzz.h - what the fuzzers share: an input read piece by piece, and messages made of it
 *
 *  A fuzzer takes its input as a list of events. Numbers, strings and messages are read in a form
 *  that makes short inputs mean much: a byte is a small number, a name that others use too, a
 *  thousand rows of a list. A message is encoded and decoded by the real codec before a core sees
 *  it, and lies in memory of exactly its length, so that a sanitizer sees a read beyond it. An
 *  input that has come to its end reads as zeros.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_FUZZ_H
#define DN_FUZZ_H

#include "base/check.h"
#include "core/effects.h"
#include "wire/wire.h"

/*  What libFuzzer and replay.c call: one input. Returns 0. */
int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n);

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t       step; /* number of the row of a long list that is being made; else 0 */
} fuzz_t;

/*  A message and its frame. */
typedef struct {
    uint8_t *bytes; /* owned; exactly frame_bytes of them */
    size_t   frame_bytes;
    int      error; /* of the decode; then msg is undefined */
    dn_msg_t msg;
} fuzz_frame_t;

bool     fuzz_more (const fuzz_t *in);
uint8_t  fuzz_u8 (fuzz_t *in);
uint32_t fuzz_below (fuzz_t *in, uint32_t range);

/*  Any number: a small one is a byte, powers of two and the largest ones are one too. */
uint64_t fuzz_number (fuzz_t *in);

/*  A step of time: none, or up to an hour. */
int64_t fuzz_ms (fuzz_t *in);

/*  A string of at most `max` bytes, mostly one of a few words. It lasts until the next
 *  fuzz_frame. */
dn_str_t fuzz_str (fuzz_t *in, size_t max);

/*  One of a few sessions; and the one with a number. */
dn_session_t fuzz_session (fuzz_t *in);
dn_session_t fuzz_session_of (uint8_t number);

/*  The bytes of at most `max` that come next, borrowed from the input. */
dn_str_t fuzz_raw (fuzz_t *in, size_t max);

/*  The next message that comes in one of these directions; error may be set. Sometimes it is of a
 *  newer minor version, sometimes it is any bytes at all. */
void fuzz_frame (fuzz_t *in, unsigned directions, fuzz_frame_t *frame);
void fuzz_frame_free (fuzz_frame_t *frame);

/*  Assert that a message can be sent in that direction. */
void fuzz_sendable (const dn_msg_t *msg, unsigned direction);

/*  An empty list of effects, one of a few that all runs use; `number` says which. */
#define FUZZ_EFFECTS 4
dn_effects_t *fuzz_effects (int number);

/*  Read everything that an effect borrows, so that a sanitizer sees what is not there any more. */
void fuzz_touch (const dn_effect_t *row);

#endif
