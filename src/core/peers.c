/*  peers.c - one table of peers, an index by link and an index by session
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/peers.h"

#include "base/check.h"
#include "base/index.h"
#include "base/pool.h"

#include <stdlib.h>

struct dn_peers {
    uint32_t    max[2]; /* by role */
    uint32_t    count[2];
    uint64_t    seed;
    dn_pool_t  *pool;
    dn_pool_t  *numbers; /* of workers */
    dn_index_t *links;
    dn_index_t *sessions;
    dn_peer_t  *row;
    dn_peer_t **worker; /* by number */
};

/*  ---- keys ---- */

static uint64_t
hash_link (const dn_peers_t *self, dn_link_t link)
{
    return dn_hash (self->seed, &link, sizeof link);
}

static uint64_t
hash_session (const dn_peers_t *self, const dn_session_t *session)
{
    return dn_hash_key (self->seed, session->bytes, 0);
}

static bool
same_link (const void *table, uint32_t row, const void *key)
{
    const dn_peers_t *self = table;
    return self->row[row].link == *(const dn_link_t *) key;
}

static bool
same_session (const void *table, uint32_t row, const void *key)
{
    const dn_peers_t *self = table;
    return dn_session_eq (&self->row[row].session, key);
}

static uint64_t
row_link (const void *table, uint32_t row)
{
    const dn_peers_t *self = table;
    return hash_link (self, self->row[row].link);
}

static uint64_t
row_session (const void *table, uint32_t row)
{
    const dn_peers_t *self = table;
    return hash_session (self, &self->row[row].session);
}

/*  ---- the table ---- */

dn_peers_t *
dn_peers_new (uint32_t clients_max, uint32_t workers_max, uint64_t seed)
{
    dn_peers_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    uint32_t rows = clients_max + workers_max;
    self->max[DN_ROLE_CLIENT] = clients_max;
    self->max[DN_ROLE_WORKER] = workers_max;
    self->seed = seed;
    self->pool = dn_pool_new (rows);
    self->numbers = dn_pool_new (workers_max);
    self->links = dn_index_new (rows, self, same_link, row_link);
    self->sessions = dn_index_new (rows, self, same_session, row_session);
    self->row = calloc (rows, sizeof *self->row);
    self->worker = calloc (workers_max, sizeof (dn_peer_t *));
    if (!self->pool || !self->numbers || !self->links || !self->sessions || !self->row ||
        !self->worker)
        dn_peers_destroy (&self);
    return self;
}

void
dn_peers_destroy (dn_peers_t **self_p)
{
    dn_peers_t *self = *self_p;
    if (!self)
        return;
    dn_pool_destroy (&self->pool);
    dn_pool_destroy (&self->numbers);
    dn_index_destroy (&self->links);
    dn_index_destroy (&self->sessions);
    free (self->row);
    free (self->worker);
    free (self);
    *self_p = NULL;
}

dn_peer_t *
dn_peers_get (const dn_peers_t *self, dn_handle_t peer)
{
    uint32_t row = dn_pool_row (self->pool, peer);
    return row == DN_POOL_NONE ? NULL : &self->row[row];
}

dn_peer_t *
dn_peers_by_link (const dn_peers_t *self, dn_link_t link)
{
    uint32_t row = dn_index_find (self->links, hash_link (self, link), &link);
    return row == DN_INDEX_NONE ? NULL : &self->row[row];
}

dn_peer_t *
dn_peers_by_session (const dn_peers_t *self, const dn_session_t *session)
{
    uint32_t row = dn_index_find (self->sessions, hash_session (self, session), session);
    return row == DN_INDEX_NONE ? NULL : &self->row[row];
}

dn_peer_t *
dn_peers_worker (const dn_peers_t *self, uint32_t number)
{
    return number < self->max[DN_ROLE_WORKER] ? self->worker[number] : NULL;
}

dn_peer_t *
dn_peers_add (dn_peers_t *self, dn_role_t role, const dn_session_t *session)
{
    if (self->count[role] == self->max[role])
        return NULL;
    dn_handle_t handle = dn_pool_take (self->pool);
    dn_check (handle != DN_NONE);
    uint32_t   row = dn_pool_row (self->pool, handle);
    dn_peer_t *peer = &self->row[row];
    memset (peer, 0, sizeof *peer);
    peer->self = handle;
    peer->role = role;
    peer->session = *session;
    peer->faulted_ms = DN_NEVER;
    TAILQ_INIT (&peer->tasks);
    if (role == DN_ROLE_CLIENT) {
        TAILQ_INIT (&peer->u.client.waiters);
        peer->u.client.beat_ms = DN_NEVER;
    }
    if (role == DN_ROLE_WORKER) {
        peer->u.worker.number = dn_pool_row (self->numbers, dn_pool_take (self->numbers));
        self->worker[peer->u.worker.number] = peer;
    }
    self->count[role]++;
    dn_index_put (self->sessions, hash_session (self, session), row);
    return peer;
}

static void
unbind (dn_peers_t *self, dn_peer_t *peer)
{
    if (peer->link)
        dn_index_remove (self->links, hash_link (self, peer->link),
                         dn_pool_row (self->pool, peer->self));
    peer->link = 0;
}

void
dn_peers_bind (dn_peers_t *self, dn_peer_t *peer, dn_link_t link, uint32_t link_number)
{
    dn_peer_t *other = dn_peers_by_link (self, link);
    if (other && other != peer)
        unbind (self, other); /* one process with two sessions: the newer has the link */
    unbind (self, peer);
    peer->link = link;
    peer->link_number = link_number;
    peer->silent_beats = 0;
    dn_index_put (self->links, hash_link (self, link), dn_pool_row (self->pool, peer->self));
}

void
dn_peers_remove (dn_peers_t *self, dn_peer_t *peer)
{
    dn_check (TAILQ_EMPTY (&peer->tasks));
    unbind (self, peer);
    dn_index_remove (self->sessions, hash_session (self, &peer->session),
                     dn_pool_row (self->pool, peer->self));
    if (peer->role == DN_ROLE_WORKER) {
        self->worker[peer->u.worker.number] = NULL;
        dn_pool_give (self->numbers, dn_pool_handle (self->numbers, peer->u.worker.number));
    }
    self->count[peer->role]--;
    dn_pool_give (self->pool, peer->self);
}

dn_peer_t *
dn_peers_next (const dn_peers_t *self, uint32_t *row)
{
    uint32_t at = dn_pool_next (self->pool, *row);
    if (at == DN_POOL_NONE)
        return NULL;
    *row = at + 1;
    return &self->row[at];
}

uint32_t
dn_peers_count (const dn_peers_t *self, dn_role_t role)
{
    return self->count[role];
}

void
dn_peers_check (const dn_peers_t *self)
{
    uint32_t   seen[2] = {0, 0};
    uint32_t   linked = 0;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self, &row));) {
        seen[peer->role]++;
        linked += peer->link != 0;
        dn_check (dn_peers_by_session (self, &peer->session) == peer);
        dn_check (!peer->link || dn_peers_by_link (self, peer->link) == peer);
        dn_check (peer->role != DN_ROLE_WORKER ||
                  dn_peers_worker (self, peer->u.worker.number) == peer);
    }
    dn_check (seen[DN_ROLE_CLIENT] == self->count[DN_ROLE_CLIENT]);
    dn_check (seen[DN_ROLE_WORKER] == self->count[DN_ROLE_WORKER]);
    dn_check (linked == dn_index_count (self->links));
}
