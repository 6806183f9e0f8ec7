/*  text.h - text that anyone may have written, and how much of it may be shown
 *
 *  Owns: the one answer to "which characters are safe in a log, on a terminal, in a sentence?".
 *  Safe is well-formed UTF-8 without control characters (C0, DEL, C1), without line and paragraph
 *  separators and without marks that turn the reading direction: all of these can forge a line.
 *  Must never know: what the text means. No allocation; any thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_TEXT_H
#define DN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define DN_TEXT_CUT "…" /* ends what had to be cut; 3 bytes */

/*  Bytes of the character at `text` (1 to 4) if it is safe as it is, else 0. Looks at `text_bytes`
 *  bytes at most; 0 of them give 0. */
size_t dn_text_step (const char *text, size_t text_bytes);

/*  Whether all characters of a string are safe; true for "". */
bool dn_text_is_safe (const char *text);

/*  Copy a string so that it can be shown: unsafe bytes become `\xNN`, what finds no room is cut and
 *  ends in DN_TEXT_CUT. Always terminated; out_bytes must be 8 or more. Returns `out`. */
const char *dn_text_show (char *out, size_t out_bytes, const char *text);

#endif
