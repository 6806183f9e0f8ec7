/*  names.c - names and sentences of the public tables of denim.h
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "denim.h"

static const char *const outcomes[][2] = {
#define X(number, name, text) [number] = {#name, text},
    DENIM_OUTCOME_MAP (X)
#undef X
};

static const char *const reasons[][2] = {
#define X(number, name, retried, text) [number] = {#name, text},
    DENIM_REASON_MAP (X)
#undef X
};

static const struct {
    int         error;
    const char *text;
} errors[] = {
#define X(number, name, text) {number, text},
    DENIM_ERROR_MAP (X)
#undef X
};

const char *
denim_outcome_name (int outcome)
{
    return outcome >= 0 && outcome < DENIM_OUTCOMES ? outcomes[outcome][0] : "?";
}

const char *
denim_outcome_text (int outcome)
{
    return outcome >= 0 && outcome < DENIM_OUTCOMES ? outcomes[outcome][1] : "?";
}

const char *
denim_reason_name (int reason)
{
    return reason >= 0 && reason < DENIM_REASONS ? reasons[reason][0] : "?";
}

const char *
denim_reason_text (int reason)
{
    return reason >= 0 && reason < DENIM_REASONS ? reasons[reason][1] : "?";
}

const char *
denim_strerror (int error)
{
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == error)
            return errors[i].text;
    return "?";
}

const char *
denim_version (int *major, int *minor, int *patch)
{
    if (major)
        *major = DENIM_VERSION_MAJOR;
    if (minor)
        *minor = DENIM_VERSION_MINOR;
    if (patch)
        *patch = DENIM_VERSION_PATCH;
    return DENIM_VERSION;
}
