/*  setting.h - one key: a row of a program's table, and what can be done with its value
 *
 *  Owns: how a value is read from text, checked and written as text, by type. Must never know:
 *  where the text came from. Only for the settings' own files; programs include settings.h.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SETTING_H
#define DN_SETTING_H

#include <stddef.h>
#include <stdint.h>

/*  Type of a key, and of the field that it fills. */
typedef enum {
    DN_SETTING_BOOL = 0, /* bool */
    DN_SETTING_COUNT,    /* uint32_t */
    DN_SETTING_MS,       /* int64_t */
    DN_SETTING_BYTES,    /* uint64_t; 64M may be written */
    DN_SETTING_LEVEL,    /* dn_log_level_t */
    DN_SETTING_TEXT,     /* char [] */
    DN_SETTING_NAME,     /* char []; one word */
    DN_SETTING_LISTEN,   /* char []; an address to bind */
    DN_SETTING_CONNECT,  /* char []; an address to connect to */
    DN_SETTING_APPS,     /* dn_apps_t */
    DN_SETTING_TYPES
} dn_setting_type_t;

typedef struct {
    const char       *path; /* section/key */
    dn_setting_type_t type;
    size_t            offset;      /* of the field in the program's settings */
    size_t            field_bytes; /* its size; bounds a string */
    int64_t           min;         /* of a number; both inclusive */
    int64_t           max;
    const char       *preset;  /* the default, as text */
    const char       *unit;    /* of a number; "" if it goes without saying */
    const char       *doc;     /* one sentence; with a flag at most 57 bytes, so --help fits */
    const char       *flag;    /* --flag, without dashes; NULL: none */
    const char       *operand; /* what --help calls its value; NULL for a bool */
    const char       *env;     /* environment variable; NULL: none */
} dn_setting_t;

#define DN_SETTING_SHOW_MAX 8448 /* bytes that hold any value as text; apps are the longest */

/*  Give the field in the settings `self` the value that `text` spells: 0; or -1, nothing written
 *  but a sentence to `why`: what was given and what is allowed. */
int dn_setting_set (const dn_setting_t *row, void *self, const char *text, char *why,
                    size_t why_bytes);

/*  Write the field's value as it stands in a file, strings in quotes. Returns `out`. */
const char *dn_setting_show (const dn_setting_t *row, const void *self,
                             char out[DN_SETTING_SHOW_MAX]);

/*  Write what is allowed, such as "a whole number from 1 to 9 (percent)". Returns `out`. */
const char *dn_setting_allowed (const dn_setting_t *row, char *out, size_t out_bytes);

#endif
