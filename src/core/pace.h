/*  pace.h - how many calls of one service may be on their way
 *
 *  Owns: the policy of hold-and-retry, as arithmetic over counts. A client finds out how many
 *  places its calls have the way TCP finds out how wide a path is, but from explicit answers:
 *
 *    - It starts at DN_PACE_START and grows by one with each call that is known to have a place
 *      (its KNOWN or its RESULT) while more is of use, so it doubles in a round trip. Calls that
 *      are known to run do not hold others back: DN_PACE_START more may always be on their way.
 *    - A REJECT says that it was too many: what may be on its way falls to what really runs. From
 *      then on one call goes out for one that ended, and that is never refused while nobody else
 *      comes.
 *    - It looks for more places by a *probe*: one call beyond, once a round (as many good answers
 *      as calls on their way, DN_PACE_ROUND at least). A probe that is placed is followed at once
 *      by one twice as large; one that is refused doubles the round, up to DN_PACE_DOUBLINGS times,
 *      so that under steady overload one call in some hundred is refused.
 *    - Behind it is a timer: when nothing is on its way, or answers stay away, one probe after the
 *      manager's own estimate, doubled with each refusal up to DN_PACE_WAIT_MAX_MS, with full
 *      jitter. Who has been granted a place since, or found one, is put off by that long at most.
 *      So from the first REJECT on nobody waits for tasks to end: whenever there is no room, the
 *      timer runs. Before it there is always room, or a call without an
 *      answer, which makes room when it comes.
 *    - A client that was refused because others wait, too, waits for its *turn*: what ends makes
 *      no room, calls go as the answer to a GRANT only, or one by the timer. A GRANT that says
 *      that the client is alone ends this, and so does a timer's call that finds a place.
 *
 *  Must never know: calls, messages, clocks. No allocation; a value that its owner holds.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_PACE_H
#define DN_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define DN_PACE_START       8       /* calls on their way before anything is known */
#define DN_PACE_ROUND       16      /* good answers between two probes, at least */
#define DN_PACE_DOUBLINGS   4       /* of a round, after refused probes: 256 answers */
#define DN_PACE_WAIT_MIN_MS 10      /* the timer's first wait, if the manager says less */
#define DN_PACE_WAIT_MAX_MS 2000    /* and its longest */
#define DN_PACE_MAX         1000000 /* calls on their way; more are never allowed */

typedef struct {
    uint32_t allowed;      /* calls that may be on their way */
    uint32_t base;         /* of those, not counting the probe: known to have had a place */
    uint32_t in_flight;    /* submitted, neither ended nor refused; those of a GRANT too */
    uint32_t known;        /* of those: said to have a place, and still there */
    uint32_t had;          /* the most in flight since it waits for its turn; less those refused */
    uint32_t freed;        /* ended since the last settle: their places are ours to fill */
    uint32_t answers;      /* good ones since the last probe */
    uint32_t probe;        /* size of the probe that is on, 0: none */
    uint32_t probe_unsent; /* calls of it that were not sent yet */
    uint32_t probe_open;   /* calls of it that were sent and not answered yet */
    uint32_t failed;       /* probes refused in a row, at most DN_PACE_DOUBLINGS */
    bool     refused;      /* a REJECT came: it grows by probes only */
    bool     turn;         /* it waits for its turn */
    bool     limited;      /* at the last settle there was no room: more is of use */
    uint32_t wait_ms;      /* the timer's next range */
    int64_t  probe_at_ms;  /* the timer; INT64_MAX: off; once refused, the next call sent sets it */
    uint64_t random;       /* state of its jitter */
} dn_pace_t;

/*  `seed`: any number; two clients should not have the same. */
void dn_pace_init (dn_pace_t *self, uint64_t seed);

/*  Calls that may be sent now. */
uint32_t dn_pace_room (const dn_pace_t *self);

/*  When dn_pace_tick may make room, INT64_MAX: never. Of use while calls are held. */
int64_t dn_pace_deadline_ms (const dn_pace_t *self);

/*  Time has passed and calls are held. */
void dn_pace_tick (dn_pace_t *self, int64_t now_ms);

/*  A call was sent; `granted`: as the answer to a GRANT. Returns whether it is a probe: to be told
 *  again with its answer. */
bool dn_pace_sent (dn_pace_t *self, bool granted, int64_t now_ms);

/*  The first good answer to a call: it has a place; `stays`: it goes on holding it, so growth must
 *  be twice as large to double what is on its way. Before dn_pace_ended, if that is the answer. */
void dn_pace_placed (dn_pace_t *self, bool was_probe, bool stays);

/*  A call ended and left its place. In these three `known` is whether dn_pace_placed was told of it
 *  that it stays. */
void dn_pace_ended (dn_pace_t *self, bool known);

/*  A call was refused for want of a place; `turn`: the manager will grant one in turn. */
void dn_pace_refused (dn_pace_t *self, bool known, bool turn, uint32_t retry_after_ms,
                      int64_t now_ms);

/*  A GRANT for `count` calls came that says that the client is alone: nobody else has a task, or
 *  waits and can be served. The places that the client had before are free, too, as far as it does
 *  not fill them. It counts from now on and not from its use on: what ends in between makes room
 *  already. Nobody tells it of places beyond these, so the calls that fill them set the timer
 *  anew. */
void dn_pace_alone (dn_pace_t *self, uint32_t count);

/*  Nothing is held any more, so no turn is waited for: who comes next is a probe, and what was
 *  learned of refusals is void. Else a client whose turn was over would go on holding calls back by
 *  itself, without a ticket, while places are free. Who does not wait for its turn has its own
 *  places to fill, and the timer for more: a probe each time would mostly be refused. */
void dn_pace_idle (dn_pace_t *self);

/*  A call left for another reason: never sent, never arrived, given up. */
void dn_pace_left (dn_pace_t *self, bool known);

/*  All has been sent that could be: places that came free until now are filled, or nobody is there
 *  to fill them. */
void dn_pace_settle (dn_pace_t *self);

/*  Another manager: all that was learned is void, what is on its way stays. */
void dn_pace_reset (dn_pace_t *self);

/*  Assert what must hold. */
void dn_pace_check (const dn_pace_t *self);

#endif
