# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Calls that a client holds back itself: they go on when places come, and not when a task ends.

The tasks run for as long as the test wants, so a call that waited for one would wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import DEADLINE_S, local_cluster, until, write

import denim


class Held:
    """A task that runs until it is told to end."""

    def __init__(self, client: denim.Client, folder: Path, name: str) -> None:
        self.begun, self.end = folder / f"{name}.begun", folder / f"{name}.end"
        self.future = client.submit("sysapp:hold", str(self.begun), str(self.end))

    def await_begun(self) -> None:
        until(self.begun.exists, "a task")

    def finish(self) -> None:
        write(self.end, "")
        assert self.future.result(DEADLINE_S) == "released"


@pytest.fixture
def single(folder: Path) -> Iterator[denim.LocalCluster]:
    """One worker with one slot, and none that has joined before."""
    with local_cluster(folder / "logs", slots=1) as running:
        yield running


def refused_and_granted(client: denim.Client, folder: Path, *names: str) -> list[Held]:
    """Calls of which the first runs, all were refused but for an earlier one, and nobody else has
    any: the slot was granted to its client alone."""
    before = Held(client, folder, "before")
    before.await_begun()
    calls = [Held(client, folder, name) for name in names]
    until(lambda: client.status()["counters"]["rejected"].get("BUSY"), "a refusal")
    before.finish()
    calls[0].await_begun()
    return calls


def test_a_call_beside_a_long_task_goes_to_a_worker_that_joined(single, folder):
    with single.client() as client:
        (long,) = refused_and_granted(client, folder, "long")
        single.add_worker()
        assert client.submit("sysapp:add", 1, 2).result(DEADLINE_S) == 3
        assert not long.future.done()
        long.finish()


def test_calls_held_behind_a_long_task_go_to_workers_that_join(single, folder):
    with single.client() as client:
        calls = refused_and_granted(client, folder, "first", "second", "third")
        single.add_worker()
        single.add_worker()
        for call in calls:
            call.await_begun()
        assert not any(call.future.done() for call in calls)
        for call in calls:
            call.finish()
