# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""`denim status` where no manager answers: what the workers of this host say of themselves.

Other workers of this user may run on the host, so each test looks at its own, by their process ids.
"""

import json
import os
import re
import signal
import socket

import pytest
from programs import DEADLINE_S, Worker, local_cluster, run, until, write

NOBODY = "tcp://127.0.0.1:1"  # where no manager is
GIVE_UP_S = "0.3"  # of a manager that is not there


def ask(*words, address=NOBODY):
    """The output of `denim status`, which must find no manager, and must say so."""
    done = run("denim", "--manager", address, "status", "--timeout", GIVE_UP_S, *words)
    assert done.returncode == 69
    assert done.stderr.startswith(f"denim: no manager at {address} within {GIVE_UP_S} s")
    assert done.stderr.count("\n") == 1
    return done.stdout


def told_by(pid, address=NOBODY):
    """What the worker of that process says; None while it is not listed."""
    workers = json.loads(ask("--json", address=address))["host_workers"]
    return {worker["pid"]: worker for worker in workers}.get(pid)


def await_told(pid, condition, what, address=NOBODY):
    """What it says as soon as that is so; a host with much to do may make it miss its second."""

    def look():
        told = told_by(pid, address)
        return told and "error" not in told and condition(told) and told

    return until(look, what)


def row_of(pid, address=NOBODY):
    """Its line in the table: the cells."""
    lines = ask(address=address).splitlines()
    assert lines[:2] == ["workers on this host:", ""]
    titles = "WORKER PID STATE SLOTS BUSY LENT STANDBY ANSWERS BYTES MANAGER SERVICES"
    assert lines[2].split() == titles.split()
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines[3:]]
    return next(row for row in cells if str(pid) in row[:2])


def test_a_worker_that_lost_its_manager_says_so_and_keeps_its_task(folder):
    begun, end = folder / "begun", folder / "end"
    with local_cluster(folder / "logs", slots=2) as cluster, cluster.client() as client:
        (pid,) = cluster.worker_pids
        future = client.options(deadline=DEADLINE_S).submit("sysapp:hold", str(begun), str(end))
        until(begun.exists, "the start of the task")
        cluster.kill_manager()

        address = cluster.address
        lost = "the loss of the manager"
        told = await_told(pid, lambda told: not told["connected"], lost, address)
        assert told.pop("unreachable_ms") >= 0
        assert told == {
            "name": "w1", "pid": pid, "manager": address, "connected": False, "draining": False,
            "services": ["sysapp"], "slots": 2, "busy": 1, "lent": 0, "standby": 0, "answers": 0,
            "answer_bytes": 0,
        }  # fmt: skip
        name, _, state, *numbers, manager, services = row_of(pid, address)
        assert (name, manager, services) == ("w1", address[:63], "sysapp")
        assert re.fullmatch(r"unreachable \d+ s", state)
        assert numbers == ["2", "1", "0", "0", "0", "0"]

        write(end, "")
        kept = await_told(pid, lambda told: told["answers"], "the task's answer", address)
        assert (kept["busy"], kept["answers"]) == (0, 1) and kept["answer_bytes"] > 0

        cluster.restart_manager()
        assert future.result(DEADLINE_S) == "released"
        back = await_told(
            pid, lambda told: told["connected"] and not told["answers"], "the manager's return"
        )
        assert back["unreachable_ms"] is None
        assert row_of(pid)[2] == "connected"


def test_a_worker_that_has_never_had_a_manager_is_unreachable(folder):
    with Worker(NOBODY, folder, "sysapp") as worker:
        told = await_told(worker.pid, lambda told: told["services"], "the import of the app")
        assert (told["connected"], told["manager"]) == (False, NOBODY)
        assert told["unreachable_ms"] >= 0
    assert told_by(worker.pid) is None  # its name is gone with it


def test_a_worker_that_is_frozen_is_listed_without_an_answer(cluster):
    (pid,) = cluster.worker_pids
    os.kill(pid, signal.SIGSTOP)
    try:
        assert told_by(pid) == {"pid": pid, "error": "does not answer"}
        assert row_of(pid) == [str(pid), "does not answer", "-", "-", "-", "-", "-", "-"]
    finally:
        os.kill(pid, signal.SIGCONT)
    await_told(pid, lambda told: told["connected"], "the worker's answer")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_worker_says_nothing_to_another_user(cluster):
    (pid,) = cluster.worker_pids

    def hear(user):
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(DEADLINE_S)
            os.seteuid(user)
            try:
                asker.connect(f"\0denim-worker-0-{pid}")
            finally:
                os.seteuid(0)
            return asker.recv(1)

    assert hear(user=65534) == b""
    assert hear(user=0) == b"{"


def test_a_worker_answers_many_and_those_who_leave_cost_it_nothing(cluster):
    (pid,) = cluster.worker_pids
    name = f"\0denim-worker-{os.geteuid()}-{pid}"

    def connect():
        asker = socket.socket(socket.AF_UNIX)
        asker.settimeout(DEADLINE_S)
        until(lambda: asker.connect_ex(name) == 0, "room for one more")
        return asker

    for _ in range(100):
        connect().close()
    askers = [connect() for _ in range(40)]  # more than a turn's
    for asker in askers:
        with asker, asker.makefile() as answer:
            assert json.load(answer)["pid"] == pid
    with cluster.client() as client:
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5
