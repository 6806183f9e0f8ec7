/*  check.h - the assert that stays on
 *
 *  For our own bugs only: a peer's mistake, a user's mistake and a system that says no are
 *  answered, never checked. Any thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_CHECK_H
#define DN_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/*  Go on if `expr` holds, in every build; else say where it did not, on stderr, and abort. `expr`
 *  is evaluated once and may have effects. */
#define dn_check(expr) ((expr) ? (void) 0 : dn_check_failed (__FILE__, __LINE__, #expr))

/*  What dn_check calls. Out of line, so that a check costs its caller a compare and a jump. */
__attribute__ ((noreturn, noinline, cold, unused)) static void
dn_check_failed (const char *file, int line, const char *expr)
{
    fprintf (stderr, "denim: bug at %s:%d: %s does not hold\n", file, line, expr);
    abort ();
}

#endif
