/*  text.c - decode a character, judge it, show it
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

typedef struct {
    uint32_t from;
    uint32_t to; /* inclusive */
} range_t;

static const range_t unsafe_ranges[] = {
    {0x0000, 0x001f}, /* C0: newline, escape and their kin */
    {0x007f, 0x009f}, /* DEL and C1: U+009B begins a terminal sequence */
    {0x061c, 0x061c}, /* Arabic letter mark */
    {0x200e, 0x200f}, /* left-to-right and right-to-left mark */
    {0x2028, 0x202e}, /* line and paragraph separator, embeddings and overrides */
    {0x2066, 0x2069}, /* isolates */
    {0xd800, 0xdfff}, /* surrogates: no characters */
    {0xfeff, 0xfeff}, /* byte order mark */
};

static bool
is_safe (uint32_t code)
{
    for (size_t i = 0; i < sizeof unsafe_ranges / sizeof unsafe_ranges[0]; i++)
        if (code >= unsafe_ranges[i].from && code <= unsafe_ranges[i].to)
            return false;
    return code <= 0x10ffff;
}

/*  How many bytes the lead byte announces (0: it is none) and which of its bits count. */
static size_t
lead_bytes (unsigned char lead, uint32_t *bits)
{
    static const struct {
        unsigned char mask, value;
    } leads[] = {{0x80, 0x00}, {0xe0, 0xc0}, {0xf0, 0xe0}, {0xf8, 0xf0}};

    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++) {
        if ((lead & leads[i].mask) != leads[i].value)
            continue;
        *bits = (uint32_t) (lead & (unsigned char) ~leads[i].mask);
        return i + 1;
    }
    return 0;
}

size_t
dn_text_step (const char *text, size_t text_bytes)
{
    static const uint32_t shortest[] = {0, 0x80, 0x800, 0x10000};
    uint32_t              code = 0;

    if (text_bytes == 0)
        return 0;
    size_t need = lead_bytes ((unsigned char) text[0], &code);
    if (need == 0 || need > text_bytes)
        return 0;
    for (size_t i = 1; i < need; i++) {
        unsigned char next = (unsigned char) text[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (next & 0x3f);
    }
    if (code < shortest[need - 1])
        return 0; /* an overlong form: a second spelling of a character is a trick */
    return is_safe (code) ? need : 0;
}

bool
dn_text_is_safe (const char *text)
{
    size_t left = strlen (text);
    while (left > 0) {
        size_t step = dn_text_step (text, left);
        if (step == 0)
            return false;
        text += step;
        left -= step;
    }
    return true;
}

const char *
dn_text_show (char *out, size_t out_bytes, const char *text)
{
    size_t left = strlen (text);
    size_t used = 0;
    size_t cut_at = 0; /* the last place where the mark finds room */

    dn_check (out_bytes >= 8);
    while (left > 0) {
        char   piece[8];
        size_t step = dn_text_step (text, left);
        size_t piece_bytes = step ? step : 4;
        if (step)
            memcpy (piece, text, step);
        else
            snprintf (piece, sizeof piece, "\\x%02x", (unsigned) (unsigned char) *text);

        if (used + sizeof DN_TEXT_CUT <= out_bytes)
            cut_at = used;
        if (used + piece_bytes + 1 > out_bytes) {
            memcpy (out + cut_at, DN_TEXT_CUT, sizeof DN_TEXT_CUT);
            return out;
        }
        memcpy (out + used, piece, piece_bytes);
        used += piece_bytes;
        text += step ? step : 1;
        left -= step ? step : 1;
    }
    out[used] = '\0';
    return out;
}
