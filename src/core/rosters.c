/*  rosters.c - a few lists of sessions
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/rosters.h"

#include "base/check.h"

#include <stdlib.h>

typedef struct {
    dn_session_t session;
    bool         back;
} dn_member_t;

typedef struct {
    uint64_t    epoch; /* 0: the row is free */
    uint32_t    version;
    uint32_t    count;
    uint32_t    away;   /* of them, those that are not back */
    uint64_t    learnt; /* rising with every epoch learnt */
    uint32_t    since;  /* what the caller gave when the epoch was learnt */
    bool        doubt;  /* it proves nothing, in whatever version */
    dn_member_t member[DN_ROSTER_MAX];
} dn_roster_t;

struct dn_rosters {
    uint32_t    max;
    uint64_t    learnt;
    dn_roster_t spare; /* a newer version, until it is complete */
    dn_roster_t row[];
};

dn_rosters_t *
dn_rosters_new (uint32_t epochs_max)
{
    dn_rosters_t *self = calloc (1, sizeof *self + epochs_max * sizeof self->row[0]);
    if (self)
        self->max = epochs_max;
    return self;
}

void
dn_rosters_destroy (dn_rosters_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

static dn_roster_t *
find (const dn_rosters_t *self, uint64_t epoch)
{
    for (uint32_t i = 0; i < self->max; i++)
        if (self->row[i].epoch == epoch)
            return (dn_roster_t *) &self->row[i];
    return NULL;
}

/*  The roster of this epoch if the version is news, made if need be; NULL otherwise. */
static dn_roster_t *
newer (dn_rosters_t *self, uint64_t epoch, uint32_t version)
{
    if (!epoch)
        return NULL;
    dn_roster_t *roster = find (self, epoch);
    if (roster)
        return version > roster->version ? roster : NULL;
    roster = &self->row[0];
    for (uint32_t i = 1; i < self->max; i++)
        if (self->row[i].learnt < roster->learnt)
            roster = &self->row[i];
    *roster = (dn_roster_t){.epoch = epoch, .learnt = ++self->learnt};
    return roster;
}

/*  The zero session says that there are others, and so does one for which there is no room. */
static void
add (dn_roster_t *roster, const dn_session_t *session, bool back)
{
    if (dn_session_zero (session) || roster->count == DN_ROSTER_MAX - 1) {
        roster->doubt = true;
        return;
    }
    roster->member[roster->count++] = (dn_member_t){*session, back};
    roster->away += !back;
}

void
dn_rosters_learn (dn_rosters_t *self, uint64_t epoch, uint32_t version, dn_list_t workers,
                  uint32_t since)
{
    bool         known = epoch && find (self, epoch);
    dn_roster_t *roster = newer (self, epoch, version);
    if (!roster)
        return;
    if (!known)
        roster->since = since;
    roster->version = version;
    roster->count = roster->away = 0;
    dn_row_session_t row;
    while (dn_list_next (&workers, DN_ROW_SESSION, &row))
        add (roster, &row.session, false);
}

void
dn_rosters_doubt (dn_rosters_t *self)
{
    for (uint32_t i = 0; i < self->max; i++)
        self->row[i].doubt = self->row[i].epoch != 0;
}

static bool
is_doubtful (const dn_roster_t *roster, uint32_t lost)
{
    return roster->epoch && (roster->doubt || roster->since < lost);
}

uint32_t
dn_rosters_rows (const dn_rosters_t *self, uint32_t lost)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->max; i++)
        count += self->row[i].count + is_doubtful (&self->row[i], lost);
    return count;
}

static void
tell_member (dn_rows_t *rows, const dn_roster_t *roster, const dn_session_t *member)
{
    dn_row_roster_t row = {roster->epoch, roster->version, *member};
    dn_check (dn_rows_put (rows, DN_ROW_ROSTER, &row) == 0);
}

void
dn_rosters_tell (const dn_rosters_t *self, dn_rows_t *rows, uint32_t lost)
{
    static const dn_session_t others = {{0}};
    for (uint32_t i = 0; i < self->max; i++) {
        const dn_roster_t *roster = &self->row[i];
        for (uint32_t j = 0; j < roster->count; j++)
            tell_member (rows, roster, &roster->member[j].session);
        if (is_doubtful (roster, lost))
            tell_member (rows, roster, &others);
    }
}

static bool
was_back (const dn_roster_t *roster, const dn_session_t *session)
{
    for (uint32_t i = 0; i < roster->count; i++)
        if (dn_session_eq (&roster->member[i].session, session))
            return roster->member[i].back;
    return false;
}

/*  What was read into the spare row is the newest: whoever came back is so still. A doubt counts in
 *  whatever version it comes. */
static void
replace (dn_rosters_t *self)
{
    dn_roster_t *spare = &self->spare;
    if (!spare->epoch)
        return;
    dn_roster_t *old = find (self, spare->epoch);
    dn_roster_t *roster = newer (self, spare->epoch, spare->version);
    spare->doubt = spare->doubt || (old && old->doubt);
    if (!roster)
        old->doubt = spare->doubt;
    else {
        for (uint32_t i = 0; i < spare->count; i++) {
            dn_member_t *member = &spare->member[i];
            if (!member->back && was_back (roster, &member->session)) {
                member->back = true;
                spare->away--;
            }
        }
        spare->learnt = roster->learnt;
        *roster = *spare;
    }
    spare->epoch = 0;
}

void
dn_rosters_merge (dn_rosters_t *self, dn_list_t rows, uint64_t own_epoch, dn_roster_back_fn *back,
                  const void *arg)
{
    dn_roster_t    *spare = &self->spare;
    dn_row_roster_t row;
    spare->epoch = 0;
    while (dn_list_next (&rows, DN_ROW_ROSTER, &row)) {
        if (row.epoch != spare->epoch || row.version != spare->version) {
            replace (self);
            spare->epoch = row.epoch == own_epoch ? 0 : row.epoch;
            spare->version = row.version;
            spare->count = spare->away = 0;
            spare->doubt = false;
        }
        if (spare->epoch)
            add (spare, &row.session, back (arg, &row.session));
    }
    replace (self);
}

void
dn_rosters_back (dn_rosters_t *self, const dn_session_t *worker)
{
    for (uint32_t i = 0; i < self->max && !dn_session_zero (worker); i++) {
        dn_roster_t *roster = &self->row[i];
        for (uint32_t j = 0; j < roster->count; j++)
            if (!roster->member[j].back && dn_session_eq (&roster->member[j].session, worker)) {
                roster->member[j].back = true;
                roster->away--;
            }
    }
}

bool
dn_rosters_all_back (const dn_rosters_t *self, uint64_t epoch)
{
    const dn_roster_t *roster = epoch ? find (self, epoch) : NULL;
    return roster && roster->count && roster->away == 0 && !roster->doubt;
}
