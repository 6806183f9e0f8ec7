# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The manager's memory keeps below the formula of its manual, which is not far above it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import Any

import memory
import pytest
from memory import KIB, MIB
from programs import DEADLINE_S, ROOT, Manager, Worker
from raw_peer import DEALER, RawDealer, RawSocket

import denim

PAGE = (ROOT / "docs/man/denimd.8").read_text().partition(".Sh MEMORY\n")[2].partition("\n.Sh ")[0]
UNITS = {"B": 1, "KiB": KIB, "MiB": MIB}
SLOTS, TASK_S = 4, 0.02
CALLERS, WINDOW = 4, 10  # ten times as many calls as slots
STANDBY = 2  # 10 ms of work, in tasks of TASK_S, of all slots
CALLS = 60  # of each caller
IDLE, WORDS = 200, 300  # connections without calls, and messages that each has had

needs_plain_build = pytest.mark.skipif(
    "DENIM_TEST_ASAN" in os.environ,
    reason="a sanitizer takes more memory than denimd does: `make system` measures it",
)


# --- the manual ----------------------------------------------------------------------------------


def test_the_manual_has_every_cost():
    listed = re.findall(r"^    (\w+) +(\d+)(?: (B|KiB|MiB))? +[a-z]", PAGE, re.M)
    assert {name: int(number) * UNITS[unit or "B"] for name, number, unit in listed} == memory.COSTS
    assert set(re.findall(r"\d\.\d+(?= \*)", PAGE)) == {str(memory.ALLOCATOR)}


def example(name: str) -> int:
    found = re.search(rf"^    {name} .* (\d+\.\d)$", PAGE, re.M)
    assert found, name
    return round(float(found[1]) * 10)


def test_the_manual_adds_up_its_example():
    load: dict[str, Any] = {
        "clients": 100, "window": 20, "workers": 4, "places": 36, "arguments": MIB,
        "values": 100 * KIB,
    }  # fmt: skip
    for part, size in {**memory.parts(**load), "all": memory.bound(**load)}.items():
        if size:
            assert example(part) == round(size / MIB * 10), part


def test_limits_in_the_formula_are_those_of_the_source():
    def define(name: str, path: str) -> str:
        found = re.search(rf"#define {name} +(.*?) +/\*", (ROOT / path).read_text())
        assert found
        return found[1]

    costs = memory.COSTS
    assert define("RECEIVE_MAX_CLIENT", "src/io/manager.c") == str(costs["ahead"] - 1)
    assert define("DN_CLIENT_TASKS_MAX", "src/core/manager.h") == str(costs["records"])
    assert define("DN_UNPLACED_BYTES", "src/core/session.h") == "(1u << 20)"
    assert costs["unplaced"] == 1 << 20


# --- the program ---------------------------------------------------------------------------------


@contextmanager
def idle_connections(address: str) -> Iterator[None]:
    """Clients that have nothing to do, and have been there for long enough to fill their queues."""
    with ExitStack() as stack:
        owner = stack.enter_context(RawSocket(DEALER))
        peers = [
            stack.enter_context(RawDealer(address, of=owner)) for _ in range(IDLE)
        ]
        sessions = [os.urandom(16) for _ in peers]
        for link in range(1, WORDS + 1):
            for peer, session in zip(peers, sessions, strict=True):
                peer.say("CLIENT_HELLO", major=1, session=session, link=link)
            for peer in peers:
                peer.receive_upto("WELCOME")
        yield


def call_often(address: str) -> int:
    """Calls of a client with 1 MiB each way: how many came back whole."""
    load = bytes(MIB)
    with denim.Client(address, window=WINDOW) as client:
        calls = client.options(deadline=DEADLINE_S)
        values = calls.map("sysapp:carry", repeat(load, CALLS), repeat(TASK_S))
        return sum(value == load for value in values)


@needs_plain_build
def test_memory_is_below_the_formula_and_not_far_below(folder):
    with (
        Manager(folder) as manager,
        Worker(manager, folder, "sysapp", slots=SLOTS) as worker,
        idle_connections(manager.address),
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        worker.await_ready()
        done = list(pool.map(call_often, repeat(manager.address, CALLERS)))
        most = memory.memory_of(manager.pid)
    assert done == [CALLS] * CALLERS
    bound = memory.bound(
        clients=IDLE + CALLERS, callers=CALLERS, window=WINDOW, workers=1, places=SLOTS + STANDBY,
        arguments=MIB, values=MIB,
    )  # fmt: skip
    print(f"{most / MIB:.1f} MiB, {bound / MIB:.1f} by the formula")
    assert most <= bound <= 3 * most
