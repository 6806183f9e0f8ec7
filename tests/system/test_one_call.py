# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Real processes on this machine, and all is well: a manager, workers, slots and a client."""

import subprocess
import sys
import time

import pytest
from programs import DEADLINE_S, ROOT, Manager, Worker, c_environment, local_cluster, run

import denim


def test_call_over_ipc_returns_the_value(client):
    assert client.call("sysapp:add", 2, 3) == 5


def test_map_keeps_order_and_all_values(client):
    assert list(client.map("sysapp:add", range(500), range(500))) == [2 * i for i in range(500)]


def test_a_reply_says_how_long_its_task_waited_at_the_worker_and_ran(folder, monkeypatch):
    """The last of many short tasks stands by behind the others, on one slot."""
    told = []
    for place in ("denim.client.value_of", "denim.answers.value_of"):
        monkeypatch.setattr(place, lambda reply, plan: told.append((reply.wait_us, reply.run_us)))
    with local_cluster(folder, slots=1) as running, running.client() as client:
        client = client.options(deadline=DEADLINE_S)
        client.call("sysapp:nap", 0.05)
        assert told[0][1] >= 50_000
        begun = time.monotonic()
        futures = [client.submit("sysapp:nap", 0.002) for _ in range(200)]
        for future in futures:
            future.result(DEADLINE_S)
        length_us = (time.monotonic() - begun) * 1e6
    assert all(run_us >= 2000 for _, run_us in told)
    waits_us = [wait_us for wait_us, _ in told]
    assert 0 < min(waits_us) and 2000 < max(waits_us) < length_us, sorted(waits_us)


def test_submit_gives_a_future(client):
    futures = [client.submit("sysapp:add", i, i) for i in range(50)]
    assert [future.result(DEADLINE_S) for future in futures] == [2 * i for i in range(50)]


@pytest.mark.parametrize(
    ("left", "right"), [((1,), (2,)), (b"a" * 70000, b"b"), (2**70, 1), ("ä", "\0"), ([], [None])]
)
def test_values_keep_their_types(client, left, right):
    value = client.call("sysapp:add", left, right)
    assert (type(value), value) == (type(left), left + right)


def test_call_over_tcp(folder):
    with Manager(folder) as manager, Worker(manager, folder, "sysapp"):
        with denim.Client(manager.address) as client:
            assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


def test_clients_in_tasks_find_the_manager_of_their_worker(folder):
    elsewhere = c_environment() | {"DENIM_MANAGER": "tcp://192.0.2.1"}
    with Manager(folder) as manager, Worker(manager, folder, "sysapp", env=elsewhere):
        with denim.Client(manager.address) as client:
            found = client.options(deadline=DEADLINE_S).call("sysapp:manager_of_tasks")
            assert found == manager.address


def test_denim_knows_its_words():
    assert run("denim", "version").stdout == run("denim", "--version").stdout
    golden = (ROOT / "tests/golden/protocol.txt").read_text()
    assert run("denim", "protocol").stdout == golden


def test_the_main_job_on_a_tenth_of_the_corpus():
    done = subprocess.run(
        [sys.executable, ROOT / "docs/examples/demo.py", "--part", "10"],
        text=True, capture_output=True, timeout=4 * DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal" in done.stdout
