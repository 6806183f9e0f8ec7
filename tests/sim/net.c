/*  net.c - a false network: frames in order over connections that break
 *
 *  What a socket took may be lost: with its connection, a suffix of what is
 * under way; alone, by chance. What arrives over one connection arrives in the
 * order in which it was sent: asserted. Between connections there is no order:
 * what is left of an old one may come after the first frames of a new one. A
 * connection can be dead in one way or both, and nobody is told.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

#define CONNECT_MAX_US   SIM_MS (250)
#define RECONNECT_MIN_US SIM_MS (50)
#define DELAY_MAX_US     SIM_MS (30) /* of most frames; some take longer */
#define FULL_MAX_US      SIM_MS (40) /* a socket that refused a frame takes none for so long */
#define LATE_MAX_US      SIM_MS (900)
#define FLAKY_MAX_US     SIM_MS (5) /* from the first frame to the break */
#define NOTICE_SHARE     0.8 /* of breaks are noticed at once; else the socket connects anew */

/*  ---- frames ---- */

sim_frame_t *
sim_frame_new (sim_t *sim, const void *header, size_t header_bytes, const sim_payload_t *payload)
{
    sim_frame_t *self = malloc (sizeof *self + header_bytes);
    dn_check (self);
    memset (self, 0, sizeof *self);
    if (payload)
        self->payload = *payload;
    self->header_bytes = (uint32_t) header_bytes;
    memcpy (self->header, header, header_bytes);
    LIST_INSERT_HEAD (&sim->frames, self, of_all);
    return self;
}

sim_frame_t *
sim_frame_msg (sim_t *sim, const dn_msg_t *msg, const sim_payload_t *payload)
{
    static uint8_t room[DN_HEADER_MAX];

    ptrdiff_t n = dn_msg_encode (msg, room, sizeof room);
    if (n < 0)
        sim_fail (sim, "encode: a %s does not encode: %s", dn_kind_name ((unsigned) msg->kind),
                  dn_wire_strerror ((int) n));
    return sim_frame_new (sim, room, (size_t) n, payload);
}

sim_frame_t *
sim_frame_dup (sim_t *sim, const sim_frame_t *frame)
{
    return sim_frame_new (sim, frame->header, frame->header_bytes, &frame->payload);
}

void
sim_frame_free (sim_frame_t **self_p)
{
    if (!*self_p)
        return;
    LIST_REMOVE (*self_p, of_all);
    free (*self_p);
    *self_p = NULL;
}

void
sim_queue_clear (sim_frame_queue_t *self)
{
    sim_frame_t *frame;
    while ((frame = TAILQ_FIRST (self))) {
        TAILQ_REMOVE (self, frame, of_queue);
        sim_frame_free (&frame);
    }
}

/*  ---- arriving ---- */

static void arrive (sim_t *sim, uint64_t link, uint64_t way);

static void
arm (sim_t *sim, uint32_t number, int way)
{
    sim_link_t  *link = &sim->link[number];
    sim_way_t   *self = &link->way[way];
    sim_frame_t *first = TAILQ_FIRST (&self->queue);

    if (!first)
        return;
    int64_t at_us = first->at_us;
    if (!link->left && at_us < sim->node[link->node].blocked_us[way])
        at_us = sim->node[link->node].blocked_us[way];
    if (at_us < sim->now_us)
        at_us = sim->now_us;
    if (self->armed_us > sim->now_us && self->armed_us <= at_us)
        return;
    self->armed_us = at_us;
    sim_at (sim, at_us, arrive, number, (uint64_t) way);
}

static void
deliver (sim_t *sim, uint32_t number, int way, sim_frame_t *frame)
{
    sim_link_t *link = &sim->link[number];
    sim_way_t  *self = &link->way[way];

    if (frame->number <= self->came)
        sim_fail (sim, "network: frame %u of a connection came after frame %u",
                  (unsigned) frame->number, (unsigned) self->came);
    self->came = frame->number;
    bool old = way == SIM_DOWN && link->socket != sim->node[link->node].socket.number;
    if (self->closed || old) {
        sim_frame_free (&frame);
        return;
    }
    frame->link = number;
    if (way == SIM_UP) {
        bool worker = sim->node[link->node].role == SIM_ROLE_WORKER;
        TAILQ_INSERT_TAIL (&sim->manager.in[worker], frame, of_queue);
        sim_turn_by (sim, SIM_NODE_MANAGER, sim->now_us + sim_between (sim, 0, 200));
    } else {
        TAILQ_INSERT_TAIL (&sim->node[link->node].socket.in, frame, of_queue);
        sim_turn_by (sim, link->node, sim->now_us + sim_between (sim, 0, 200));
    }
}

/*  A way that was blocked meanwhile waits once more. */
static void
arrive (sim_t *sim, uint64_t number, uint64_t way)
{
    sim_link_t  *link = &sim->link[number];
    sim_way_t   *self = &link->way[way];
    sim_frame_t *frame;
    bool         blocked = !link->left && sim->now_us < sim->node[link->node].blocked_us[way];

    if (self->armed_us != sim->now_us)
        return;
    self->armed_us = 0;
    while (!blocked && (frame = TAILQ_FIRST (&self->queue)) && frame->at_us <= sim->now_us) {
        TAILQ_REMOVE (&self->queue, frame, of_queue);
        deliver (sim, (uint32_t) number, (int) way, frame);
    }
    arm (sim, (uint32_t) number, (int) way);
}

/*  It has just been made, and breaks. */
static void
break_early (sim_t *sim, uint64_t number, uint64_t unused)
{
    (void) unused;
    uint32_t node = sim->link[number].node;
    if (!sim->healed && sim->node[node].socket.link == number)
        sim_net_reset (sim, node);
}

static void
put (sim_t *sim, uint32_t number, int way, sim_frame_t *frame)
{
    sim_way_t *self = &sim->link[number].way[way];

    frame->number = ++self->sent;
    sim->counts.frames++;
    if (self->dead || self->closed || (!sim->healed && sim_chance (sim, sim->lose))) {
        sim_note (sim, sim->link[number].node, way == SIM_UP ? "lost up" : "lost down", number,
                  frame->number, frame->header, frame->header_bytes);
        sim_frame_free (&frame);
        return;
    }
    if (way == SIM_UP && self->sent == 1 && !sim->healed && sim_chance (sim, sim->flaky))
        sim_at (sim, sim->now_us + sim_between (sim, 0, FLAKY_MAX_US), break_early, number, 0);
    int64_t delay_us = sim_between (sim, 50, sim_dice (sim, 8) ? SIM_MS (2) : DELAY_MAX_US);
    int64_t slow_us = sim->node[sim->link[number].node].slow_us[way];
    if (slow_us && !sim->healed)
        delay_us += sim_between (sim, 0, slow_us);
    frame->at_us = sim->now_us + delay_us;
    if (frame->at_us < self->last_us)
        frame->at_us = self->last_us;
    self->last_us = frame->at_us;
    TAILQ_INSERT_TAIL (&self->queue, frame, of_queue);
    arm (sim, number, way);
}

/*  A suffix of what is under way is lost, the rest comes `late_us` later. */
static void
cut (sim_t *sim, uint32_t number, int way, int64_t late_us)
{
    sim_way_t   *self = &sim->link[number].way[way];
    uint32_t     count = 0;
    sim_frame_t *frame;

    TAILQ_FOREACH (frame, &self->queue, of_queue)
    count++;
    for (uint32_t lost = sim_dice (sim, count + 1); lost > 0; lost--) {
        frame = TAILQ_LAST (&self->queue, sim_frame_queue);
        TAILQ_REMOVE (&self->queue, frame, of_queue);
        sim_note (sim, sim->link[number].node, way == SIM_UP ? "cut up" : "cut down", number,
                  frame->number, frame->header, frame->header_bytes);
        sim_frame_free (&frame);
    }
    TAILQ_FOREACH (frame, &self->queue, of_queue)
    frame->at_us += late_us;
    self->last_us += late_us;
    self->dead = true;
    arm (sim, number, way);
}

static void
close_way (sim_t *sim, uint32_t number, int way)
{
    sim_way_t *self = &sim->link[number].way[way];
    self->closed = true;
    (void) sim;
    sim_queue_clear (&self->queue);
}

/*  ---- connecting ---- */

static void
connect_socket (sim_t *sim, uint64_t number, uint64_t socket_number)
{
    sim_node_t   *node = &sim->node[number];
    sim_socket_t *self = &node->socket;

    if (!node->alive || !self->open || self->number != socket_number || self->link)
        return;
    bool blocked =
        sim->now_us < node->blocked_us[SIM_UP] || sim->now_us < node->blocked_us[SIM_DOWN];
    if (!sim->node[SIM_NODE_MANAGER].alive || blocked) {
        sim_at (sim, sim->now_us + sim_between (sim, RECONNECT_MIN_US, CONNECT_MAX_US),
                connect_socket, number, socket_number);
        return;
    }
    if (sim->links + 1 >= SIM_LINKS)
        sim_fail (sim, "network: more than %d connections", SIM_LINKS);
    uint32_t    at = ++sim->links;
    sim_link_t *link = &sim->link[at];
    memset (link, 0, sizeof *link);
    TAILQ_INIT (&link->way[SIM_UP].queue);
    TAILQ_INIT (&link->way[SIM_DOWN].queue);
    link->node = (uint32_t) number;
    link->socket = self->number;
    link->boot = sim->manager.boot;
    self->link = at;
    sim_note (sim, (uint32_t) number, "connected", at, self->number, NULL, 0);
    sim_turn_by (sim, (uint32_t) number, sim->now_us);
}

static void
begin_connect (sim_t *sim, uint32_t number)
{
    sim_at (sim, sim->now_us + sim_between (sim, 500, CONNECT_MAX_US), connect_socket, number,
            sim->node[number].socket.number);
}

/*  The manager's socket learns that a peer has closed. */
static void
learn_left (sim_t *sim, uint64_t number, uint64_t unused)
{
    (void) unused;
    sim->link[number].known = true;
}

/*  The peer closes its end: what came down is lost, what went up comes in part
 * and late. */
static void
leave_link (sim_t *sim, uint32_t number, bool linger)
{
    sim_link_t *link = &sim->link[number];

    link->left = true;
    close_way (sim, number, SIM_DOWN);
    if (!linger)
        cut (sim, number, SIM_UP, sim_dice (sim, 3) ? 0 : sim_between (sim, 0, LATE_MAX_US));
    link->way[SIM_UP].dead = true;
    if (sim_dice (sim, 5))
        sim_at (sim, link->way[SIM_UP].last_us + sim_between (sim, 0, SIM_MS (200)), learn_left,
                number, 0);
}

void
sim_socket_close (sim_t *sim, uint32_t number, bool linger)
{
    sim_socket_t *self = &sim->node[number].socket;

    if (self->link)
        leave_link (sim, self->link, linger);
    self->link = 0;
    self->open = false;
    self->broken = false;
    self->full_us = 0;
    sim_queue_clear (&self->in);
}

void
sim_socket_fresh (sim_t *sim, uint32_t number)
{
    sim_socket_t *self = &sim->node[number].socket;

    sim_socket_close (sim, number, false);
    self->number++;
    self->open = true;
    begin_connect (sim, number);
}

/*  The peer's end of a connection is gone; the socket connects anew. */
static void
break_socket (sim_t *sim, uint32_t number)
{
    sim_socket_t *self = &sim->node[number].socket;

    bool noticed = sim_chance (sim, NOTICE_SHARE);

    self->link = 0;
    self->broken = noticed || sim->options.off & 1u << SIM_FAULT_UNSEEN;
    sim_note (sim, number, "broken", self->number, self->broken, NULL, 0);
    begin_connect (sim, number);
    sim_turn_by (sim, number, sim->now_us + sim_between (sim, 0, SIM_MS (20)));
}

/*  ---- sending ---- */

bool
sim_socket_takes (const sim_t *sim, const sim_socket_t *self)
{
    return self->link && sim->now_us >= self->full_us;
}

int
sim_send_up (sim_t *sim, uint32_t number, sim_frame_t *frame)
{
    sim_socket_t *self = &sim->node[number].socket;

    if (sim_socket_takes (sim, self) && !sim->healed && sim_chance (sim, sim->refuse))
        self->full_us = sim->now_us + sim_between (sim, 1, FULL_MAX_US);
    if (!sim_socket_takes (sim, self)) {
        sim_note (sim, number, "refused up", self->link, 0, frame->header, frame->header_bytes);
        sim_frame_free (&frame);
        return -EAGAIN;
    }
    put (sim, self->link, SIM_UP, frame);
    return 0;
}

int
sim_send_down (sim_t *sim, uint32_t number, sim_frame_t *frame)
{
    dn_check (number >= 1 && number <= sim->links);
    sim_link_t *link = &sim->link[number];
    int         rc = 0;

    if (link->boot != sim->manager.boot)
        sim_fail (sim, "network: the manager sends over a connection of an earlier one");
    if (link->known)
        rc = -EHOSTUNREACH;
    else if (!sim->healed && sim_chance (sim, sim->refuse))
        rc = -EAGAIN;
    if (rc == 0) {
        put (sim, number, SIM_DOWN, frame);
        return 0;
    }
    sim_note (sim, link->node, "refused down", number, 0, frame->header, frame->header_bytes);
    sim_frame_free (&frame);
    return rc;
}

/*  ---- what goes wrong ---- */

void
sim_net_reset (sim_t *sim, uint32_t node)
{
    uint32_t number = sim->node[node].socket.link;

    if (!number)
        return;
    cut (sim, number, SIM_UP, sim_dice (sim, 3) ? 0 : sim_between (sim, 0, LATE_MAX_US));
    cut (sim, number, SIM_DOWN, 0);
    sim->link[number].left = true;
    if (sim_dice (sim, 4))
        sim_at (sim, sim->link[number].way[SIM_UP].last_us, learn_left, number, 0);
    break_socket (sim, node);
}

void
sim_net_half (sim_t *sim, uint32_t node, bool up, bool down)
{
    uint32_t number = sim->node[node].socket.link;

    if (number && up)
        cut (sim, number, SIM_UP, 0);
    if (number && down)
        cut (sim, number, SIM_DOWN, 0);
}

/*  One that is dead in one way only would not stay so: the system gives it up
 * at last. */
static void
break_half_dead (sim_t *sim, uint32_t node)
{
    uint32_t number = sim->node[node].socket.link;
    if (number && sim->link[number].way[SIM_UP].dead != sim->link[number].way[SIM_DOWN].dead)
        sim_net_reset (sim, node);
}

void
sim_net_unblock (sim_t *sim)
{
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        for (int way = 0; way < SIM_WAYS; way++)
            sim->node[i].blocked_us[way] = 0;
        break_half_dead (sim, i);
    }
    for (uint32_t number = 1; number <= sim->links; number++)
        for (int way = 0; way < SIM_WAYS; way++)
            arm (sim, number, way);
}

void
sim_net_manager_gone (sim_t *sim)
{
    for (uint32_t number = 1; number <= sim->links; number++) {
        sim_link_t *link = &sim->link[number];
        close_way (sim, number, SIM_UP);
        if (link->boot != sim->manager.boot)
            continue;
        if (link->left || link->way[SIM_DOWN].dead)
            continue; /* its peer learns nothing */
        cut (sim, number, SIM_DOWN, 0);
        sim_node_t *node = &sim->node[link->node];
        if (node->alive && node->socket.link == number)
            break_socket (sim, link->node);
    }
    sim_queue_clear (&sim->manager.in[0]);
    sim_queue_clear (&sim->manager.in[1]);
}

void
sim_net_clear (sim_t *sim)
{
    sim_frame_t *frame;
    while ((frame = LIST_FIRST (&sim->frames)))
        sim_frame_free (&frame);
}
