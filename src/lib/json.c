/*  json.c - the JSON forms of the client
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/inquiry.h"
#include "lib/connection.h"

#include <stdlib.h>
#include <string.h>

/*  Release text that jansson allocated, with whatever allocator it has been given. */
static void
text_free (char *text)
{
    json_malloc_t unused;
    json_free_t   release;
    json_get_alloc_funcs (&unused, &release);
    release (text);
}

/*  The arguments as a payload: [args] or [args, kwargs]. Text of jansson's, NULL if they are no
 *  JSON. */
static char *
encode (json_t *args, json_t *kwargs)
{
    json_t *call = json_array ();
    json_array_append_new (call, args ? json_incref (args) : json_array ());
    if (kwargs && json_object_size (kwargs))
        json_array_append (call, kwargs);
    char *text = json_dumps (call, JSON_COMPACT);
    json_decref (call);
    return text;
}

int64_t
denim_client_submit (denim_client_t *self, const char *task, json_t *args, json_t *kwargs,
                     const denim_options_t *options, int64_t timeout_ms)
{
    if ((args && !json_is_array (args)) || (kwargs && !json_is_object (kwargs)))
        return DENIM_ERR_ENCODE;
    if (options && options->codec != 0 && options->codec != DENIM_CODEC_JSON)
        return DENIM_ERR_ARGUMENT;
    char *text = encode (args, kwargs);
    if (!text)
        return DENIM_ERR_ENCODE;
    denim_frame_t frame = {text, strlen (text)};
    int64_t       id = denim_client_submit_frames (self, task, &frame, 1, options, timeout_ms);
    text_free (text);
    return id;
}

denim_reply_t *
denim_client_call (denim_client_t *self, const char *task, json_t *args, json_t *kwargs,
                   const denim_options_t *options, int *error)
{
    denim_options_t waited = options ? *options : (denim_options_t){0};
    waited.take_later = false;
    int64_t timeout_ms = waited.deadline_ms > 0 ? waited.deadline_ms : -1;
    int64_t id = denim_client_submit (self, task, args, kwargs, &waited, timeout_ms);
    if (id > 0)
        return denim_client_wait (self, id, -1, error);
    if (error)
        *error = (int) id;
    return NULL;
}

denim_reply_t *
denim_client_callf (denim_client_t *self, const char *task, const char *format, ...)
{
    va_list values;
    va_start (values, format);
    json_t *args = json_vpack_ex (NULL, 0, format, values);
    va_end (values);
    if (!args)
        return NULL;
    denim_reply_t *reply = denim_client_call (self, task, args, NULL, NULL, NULL);
    json_decref (args);
    return reply;
}

json_t *
denim_client_ask (denim_client_t *self, const char *verb, json_t *args, int64_t timeout_ms,
                  int *error)
{
    int ignored;
    error = error ? error : &ignored;
    char *text = args ? json_dumps (args, JSON_COMPACT) : NULL;
    if (args && !text) {
        *error = DENIM_ERR_ENCODE;
        return NULL;
    }
    dn_inquiry_t *inquiry = dn_inquiry_begin (self, verb, text, timeout_ms, error);
    if (text)
        text_free (text);
    if (!inquiry)
        return NULL;
    dn_inquiry_wait (self, inquiry, -1); /* the session keeps the time */
    char *answer = dn_inquiry_end (self, inquiry, error);
    if (!answer)
        return NULL;
    json_t *json = json_loads (answer, JSON_DECODE_ANY, NULL);
    free (answer);
    if (!json)
        *error = DENIM_ERR_ENCODE;
    return json;
}

/*  "lost" is what "connecting" is called when there was a connection before. */
static const char *
state_name (const dn_session_facts_t *facts)
{
    static const char *const names[] = {
#define X(name, text) [DN_SESSION_##name] = text,
        DN_SESSION_LINK_MAP (X)
#undef X
    };
    if (facts->reached && facts->link != DN_SESSION_UP)
        return "lost";
    return names[facts->link];
}

json_t *
denim_client_info (denim_client_t *self)
{
    dn_connection_t *connection = self->connection;
    if (dn_connection_forked (connection))
        return json_pack ("{s:s, s:s}", "address", connection->address_text, "state", "forked");
    pthread_mutex_lock (&connection->mutex);
    dn_session_facts_t facts = connection->facts;
    uint32_t           outstanding = connection->outstanding;
    uint32_t           window = connection->window;
    pthread_mutex_unlock (&connection->mutex);
    uint32_t unsent = outstanding > facts.in_flight ? outstanding - facts.in_flight : 0;
    return json_pack (
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "address", connection->address_text, "state",
        state_name (&facts), "window", (json_int_t) window, "in_flight", (json_int_t) outstanding,
        "waiting", (json_int_t) (facts.held + unsent), "rejected", (json_int_t) facts.rejected,
        "submits", (json_int_t) facts.submits, "epoch", (json_int_t) (facts.epoch & INT64_MAX));
}
