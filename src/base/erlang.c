/*  erlang.c - formulas B and C by their recurrence in the number of slots
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/erlang.h"

#include "base/check.h"

#define LATE_SHARE 0.01 /* of tasks that wait longer than p99_ms */
#define E          2.718281828459045
#define LN_TERM    1e-17 /* a term below it changes no digit of a double */
#define HALVINGS   60    /* of an interval, at most: more than a double has bits */

/*  Blocking with one slot more, from that with `slots - 1`. Errors made before shrink with each
 *  step, and a share too small for a double becomes 0. */
static double
step (double refused, double load, uint32_t slots)
{
    double carried = load * refused;
    return carried / (slots + carried);
}

double
dn_erlang_b (uint32_t slots, double load)
{
    double refused = 1;
    dn_check (load >= 0);
    for (uint32_t n = 1; n <= slots; n++)
        refused = step (refused, load, n);
    return refused;
}

double
dn_erlang_c (uint32_t slots, double load)
{
    if (load >= slots)
        return 1;
    double refused = dn_erlang_b (slots, load);
    double used = load / slots;
    return refused / (1 - used * (1 - refused));
}

/*  The natural logarithm of a number of 1 or more. libm would be a library more for all that link
 *  this floor, for a number between 1 and 100. */
static double
ln (double x)
{
    double whole = 0, sum = 0;
    for (; x > E; x /= E)
        whole++;
    double z = (x - 1) / (x + 1), power = z;
    for (int n = 1; power / n > LN_TERM; n += 2) {
        sum += power / n;
        power *= z * z;
    }
    return whole + 2 * sum;
}

int
dn_erlang_wait (uint32_t slots, double load, double run_ms, dn_erlang_wait_t *wait)
{
    dn_check (load >= 0 && run_ms >= 0);
    if (load >= slots)
        return -1;
    double share = dn_erlang_c (slots, load);
    double turn_ms = run_ms / (slots - load); /* mean wait of those that wait */
    *wait = (dn_erlang_wait_t){.share = share, .mean_ms = share * turn_ms};
    if (share > LATE_SHARE)
        wait->p99_ms = turn_ms * ln (share / LATE_SHARE);
    return 0;
}

uint32_t
dn_erlang_slots (double load, double refused)
{
    double now = 1;
    dn_check (load >= 0 && refused >= 0 && refused <= 1);
    for (uint32_t n = 1; n <= DN_ERLANG_SLOTS_MAX; n++) {
        now = step (now, load, n);
        if (now <= refused)
            return n;
    }
    return 0;
}

double
dn_erlang_load (uint32_t slots, double refused)
{
    dn_check (refused >= 0 && refused < 1);
    double least = 0,
           most = slots / (1 - refused); /* of more, more would run than there are slots */
    for (int i = 0; i < HALVINGS; i++) {
        double middle = least + (most - least) / 2;
        if (middle <= least || middle >= most)
            break;
        if (dn_erlang_b (slots, middle) <= refused)
            least = middle;
        else
            most = middle;
    }
    return least;
}
