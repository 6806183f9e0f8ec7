# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Everybody has a turn: calls that nobody waits for any more stand in nobody's way, and short tasks
that stand by keep nobody out.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import DEADLINE_S, local_cluster, until, write

import denim

LEFT = 6  # calls that a task leaves behind
FLOODS = 2
SLOW_CALLS = 5

FAN_APP = """
import uuid
from pathlib import Path

import denim

def leave(count, folder):
    for _ in range(count):
        denim.default_client().submit("fanapp:middle", folder)

def middle(folder):
    denim.default_client().call("fanapp:leaf")
    (Path(folder) / uuid.uuid4().hex).touch()

def leaf():
    pass
"""

SHORT_APP = """
import time

def short(n):
    time.sleep(0.001)
"""

SLOW_APP = """
import time

import denim

def slow():
    time.sleep(0.05)

def nested():
    denim.default_client().call("slowapp:slow")
"""

FLOOD = """
import itertools, sys
import denim

with denim.Client(sys.argv[1]) as client:
    for n, _ in enumerate(client.map("shortapp:short", itertools.count())):
        if n == 200:
            print("flooding", flush=True)
"""


@pytest.mark.parametrize("slots", [1, 2])
def test_calls_that_a_task_has_left_behind_do_not_block_those_of_the_next_one(
    slots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made in the same process, by the same client, and wait for places which the next
    task has."""
    write(tmp_path / "fanapp.py", FAN_APP)
    monkeypatch.syspath_prepend(tmp_path)
    done = tmp_path / "done"
    done.mkdir()
    with (
        local_cluster(tmp_path, slots=slots, app=["fanapp"]) as running,
        running.client() as client,
    ):
        roots = [client.submit("fanapp:leave", LEFT, str(done)) for _ in range(4)]
        for root in roots:
            root.result(timeout=DEADLINE_S)
        until(lambda: len(list(done.iterdir())) == 4 * LEFT, "all calls that were left have run")


@pytest.fixture
def flooded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[denim.LocalCluster, list[subprocess.Popen[str]]]]:
    """Two slots, and programs that keep them and what may stand by behind them full of short
    tasks."""
    write(tmp_path / "shortapp.py", SHORT_APP)
    write(tmp_path / "slowapp.py", SLOW_APP)
    monkeypatch.syspath_prepend(tmp_path)
    with local_cluster(tmp_path, slots=2, app=["shortapp", "slowapp"]) as running:
        floods = [
            subprocess.Popen(
                [sys.executable, "-c", FLOOD, running.address], stdout=subprocess.PIPE, text=True
            )
            for _ in range(FLOODS)
        ]
        try:
            for flood in floods:
                assert flood.stdout and flood.stdout.readline() == "flooding\n"
            yield running, floods
        finally:
            for flood in floods:
                flood.kill()
                flood.communicate()


@pytest.mark.parametrize("task", ["slow", "nested"])
def test_tasks_that_stand_by_keep_no_other_service_and_no_nested_call_out(flooded, task):
    running, floods = flooded
    with running.client() as client:
        for _ in range(SLOW_CALLS):
            client.options(deadline=DEADLINE_S).call(f"slowapp:{task}")
        assert all(flood.poll() is None for flood in floods)


def test_who_has_its_share_of_the_slots_is_passed_over(tmp_path):
    """Of four slots each client may have two. Who has two is not granted the third one that is
    free, to be refused it, and be granted it again."""
    config = write(tmp_path / "manager.conf", "limits\n    client_share = 50\n")
    options = {"slots": 4, "manager_args": ["-f", str(config)]}

    def hold(client, name):
        begun, end = tmp_path / f"{name} begun", tmp_path / f"{name} end"
        call = client.options(deadline=DEADLINE_S).submit("sysapp:hold", str(begun), str(end))
        return begun, end, call

    def release(held):
        held[1].touch()
        held[2].result(DEADLINE_S)

    with (
        local_cluster(tmp_path, **options) as running,
        running.client() as greedy,
        running.client() as two,
        running.client() as one,
    ):
        others = [hold(two, "first"), hold(two, "second"), hold(one, "third")]
        until(lambda: all(begun.exists() for begun, _, _ in others), "three slots are taken")
        wanted = [hold(greedy, f"greedy {i}") for i in range(6)]

        def running_of_them(count):
            begun = [held for held in wanted if held[0].exists() and not held[2].done()]
            return begun if len(begun) == count else None

        until(lambda: running_of_them(1), "the fourth slot is taken")
        release(others[0])
        until(lambda: running_of_them(2), "the client has its share")
        release(others[2])
        for _ in range(100):
            refused = one.status()["counters"]["rejected"].get("OVER_SHARE", 0)
        assert refused < 50
        while left := [held for held in wanted if not held[2].done()]:
            release(until(lambda: [held for held in left if held[0].exists()], "the next")[0])
        release(others[1])
