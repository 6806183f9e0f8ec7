# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Chaos with real processes: a load, faults from a seed, and a judgement of what came of it.

    run.py [--seed N] [--kills N] [--seconds N] [--only VERB-VICTIM,...] [--keep]

Exit code 0, or 1 when a promise was broken; then the seed and the last faults are printed. The same
seed gives the same faults at the same times; what the programs do in between is theirs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "system")]

import network  # noqa: E402
from checker import Verdict, check  # noqa: E402
from cluster import Cluster  # noqa: E402
from faults import KINDS, Event, Performer, make_plan  # noqa: E402
from report import (  # noqa: E402
    Span,
    print_counts,
    print_delays,
    print_failure,
    print_resumption,
    print_standstill,
)

import denim  # noqa: E402

TURN_S = 0.005
SETTLE_BEATS = 60  # after which nothing of any call may be left: a dead client is known for 30
MEMORY_BEATS = 15  # of silence: a worker is gone after 10, and the manager settles for 3
PATIENCE_BEATS = 25  # a client is forgotten after 30 of silence, which may begin before its fault
SECONDS_PER_KILL = 2.0
LATE_FACTOR = 2.0  # faults that had to wait may take so much longer than planned


def main() -> int:
    options = parse()
    reason = network.enter() if options.network else "it was asked for"
    skipped = {"cut"} if reason else set()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    print(f"chaos       seed {seed}, {options.kills} kills of the manager and as many of workers,"
          f" {options.workers} workers of {options.slots} slots, {options.clients} clients,"
          f" a heartbeat of {options.heartbeat_ms} ms")  # fmt: skip
    if reason:
        print(f"SKIPPED     cut links: {reason}")
    sys.stdout.flush()
    plan = make_plan(seed, options.kills, options.seconds, options.longest, skipped)
    if options.only:
        plan = [fault for fault in plan if str(fault.kind).replace(" ", "-") in options.only]
    cluster = Cluster(options, seed, not reason)
    try:
        broken = play(cluster, plan, options)
    finally:
        cluster.close()
    if broken:
        print(f"FAILED      with seed {seed}")
    if options.keep:
        print(f"kept        {cluster.folder}")
    return int(broken)


def parse() -> Any:
    words = argparse.ArgumentParser(description="chaos with real processes")
    words.add_argument("--seed", type=int, help="of the faults; a random one by default")
    words.add_argument("--kills", type=int, default=50, help="of the manager, and of workers")
    words.add_argument("--seconds", type=float, help="that the faults are spread over")
    words.add_argument("--longest", type=float, default=10.0, help="seconds of one fault, at most")
    words.add_argument("--calm", type=float, default=5.0, help="seconds before the faults")
    words.add_argument("--workers", type=int, default=3)
    words.add_argument("--slots", type=int, default=3)
    words.add_argument("--clients", type=int, default=3)
    words.add_argument("--window", type=int, default=12, help="calls outstanding, per client")
    words.add_argument("--pause-ms", type=float, default=8.0, help="between two calls of a client")
    words.add_argument("--patience", type=float, default=30.0,
                       help="seconds after the faults in which every call must end")  # fmt: skip
    words.add_argument("--heartbeat-ms", type=int, default=200)
    words.add_argument("--no-network", dest="network", action="store_false",
                       help="no namespaces, so no cut links")  # fmt: skip
    words.add_argument("--only", type=lambda text: set(text.split(",")),
                       help="kinds of faults: " + ",".join(f"{k.verb}-{k.victim}" for k in KINDS))
    words.add_argument("--keep", action="store_true", help="keep logs, at debug, and histories")
    options = words.parse_args()
    if options.seconds is None:
        options.seconds = options.kills * SECONDS_PER_KILL
    return options


def play(cluster: Cluster, plan: list[Any], options: Any) -> bool:
    """The whole run. True when a promise was broken."""
    cluster.start()
    calm = time.monotonic()
    while time.monotonic() < calm + options.calm:
        cluster.look()
        time.sleep(TURN_S)

    faults = time.monotonic()
    performer = Performer(cluster, plan)
    end_at = faults + options.seconds * LATE_FACTOR + 30
    while performer.turn():
        cluster.look()
        if time.monotonic() > end_at:
            cluster.complaints.append(f"{performer.left()} faults found no victim in time")
            break
        time.sleep(TURN_S)
    healed = time.monotonic()

    cluster.stop_clients()
    rest = settle(cluster)
    quiet = time.monotonic()
    cluster.stop_programs()
    history = cluster.history()
    history.hurts, history.away = performer.hurts("worker"), performer.hurts("client")
    history.memory = MEMORY_BEATS * options.heartbeat_ms / 1000
    history.patience = PATIENCE_BEATS * options.heartbeat_ms / 1000
    verdict = check(history)

    print(f"time        {faults - calm:.1f} s calm, {healed - faults:.1f} s with"
          f" {len(performer.events)} faults, {quiet - healed:.1f} s until all was settled")
    if rest:
        verdict.violations.append(("unexpected", "-", f"the manager still knows of {rest}"))
    broken = bool(verdict.violations or cluster.complaints)
    groups = [frozenset(m.name for m in group) for group in (cluster.workers, cluster.clients)]
    tell(verdict, history, performer.events, (Span(calm, faults), Span(faults, healed)), groups)
    if options.keep:
        lines = (f"{event.begin:.3f} {event.end or 0:.3f} {event}\n" for event in performer.events)
        (cluster.folder / "faults").write_text("".join(lines))
    if broken:
        print_failure(verdict, history, performer.events, cluster.complaints)
    return broken


def settle(cluster: Cluster) -> str:
    """Wait until the manager has no task any more; what it still has after that time."""
    end_at = time.monotonic() + SETTLE_BEATS * cluster.options.heartbeat_ms / 1000
    while True:
        cluster.look()
        try:
            status = cluster.status()
            left = {name: status[name] for name in ("tasks", "busy", "waiting") if status[name]}
        except denim.ManagerUnavailable:
            left = {"questions without an answer": 1}
        if not left:
            return ""
        if time.monotonic() > end_at:
            return ", ".join(f"{number} {name}" for name, number in left.items())
        time.sleep(0.05)


def tell(
    verdict: Verdict, history: Any, events: list[Event], spans: tuple[Span, Span],
    groups: list[frozenset[str]],
) -> None:  # fmt: skip
    print_counts(verdict, history)
    print_resumption(events, history, groups)
    print_standstill(events, history, spans[1], groups)
    print_delays(events, history, *spans)


if __name__ == "__main__":
    sys.exit(main())
