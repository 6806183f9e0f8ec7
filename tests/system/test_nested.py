# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Tasks that call tasks: whoever waits lends its slot, so that nested calls never block each other.

No test needs more slots than its cluster has: each would hang until its deadline if places were not
lent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import DEADLINE_S, Manager, Worker, local_cluster, until, write

import denim
from denim.client import Caller

NEST = {"app": ["nestapp"]}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[denim.LocalCluster]:
    """One worker with one slot."""
    with local_cluster(tmp_path_factory.mktemp("single"), slots=1, **NEST) as running:
        yield running


@pytest.fixture
def client(single: denim.LocalCluster) -> Iterator[Caller]:
    with single.client() as client:
        yield client.options(deadline=DEADLINE_S)


def worker_row(client: denim.Client) -> dict:
    (row,) = client.status()["workers"]
    return row


def test_recursion_as_deep_as_the_bound_ends_on_one_slot(client):
    for depth in (1, 5, 8):
        assert client.call("nestapp:count", depth) == depth


def test_a_call_beyond_the_bound_raises_nesting_too_deep_in_its_task(client):
    level, is_recursion_error, text = client.call("nestapp:dive")
    assert (level, is_recursion_error) == (8, True)
    assert "9 levels deep, and 8 are the bound" in text
    with pytest.raises(denim.RemoteError) as caught:
        client.call("nestapp:count", 9)  # nobody on the way has caught it
    assert caught.value.type_name == "NestingTooDeep"


def test_a_tree_of_calls_ends_on_one_slot(client):
    assert client.call("nestapp:fib", 8) == 21


def test_every_way_to_wait_lends_the_slot(client):
    squares = [i * i for i in range(7)]
    found = client.call("nestapp:ways", 7)
    assert found.pop("exception") == [None] * 7
    assert found == {name: squares for name in found}


def test_clients_of_a_task_s_own_lend_the_slot_too(single, client):
    assert client.call("nestapp:call_with_client", single.address, "nestapp:square", 3) == 9


def test_a_client_that_the_app_makes_when_it_is_imported_can_be_used(client):
    assert client.call("nestapp:double", 3) == 18


def test_many_callers_that_nest_all_end(single):
    with single.client() as client:
        calls = [client.options(deadline=DEADLINE_S).submit("nestapp:fib", 5) for _ in range(20)]
        assert client.gather(*calls) == [5] * 20


@pytest.mark.parametrize(("workers", "slots"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_many_trees_of_calls_end_on_few_slots(folder, workers, slots):
    """Whatever of each other's places they have: as many slots for each level, and no more."""
    wanted = [0, 1, 1, 2, 3, 5, 8, 13, 21]
    options = {"workers": workers, "slots": slots, **NEST}
    with local_cluster(folder, **options) as cluster, cluster.client() as client:
        limited = client.options(deadline=DEADLINE_S)
        trees = [i * 7 % 9 for i in range(40)]
        futures = [limited.submit("nestapp:fib", n) for n in trees]
        assert client.gather(*futures) == [wanted[n] for n in trees]
        assert len(cluster.slot_pids) <= workers * slots * 9


def test_a_lent_slot_is_not_given_to_fresh_calls(single, folder):
    begun, end = folder / "begun", folder / "end"
    with single.client() as client, single.client() as other:
        waiting = client.submit("nestapp:call", "nestapp:hold", str(begun), str(end))
        until(begun.exists, "the nested task")
        fresh = other.submit("nestapp:square", 3)
        row = until(lambda: (r := worker_row(client))["lent"] and r, "the lent slot in status")
        assert (row["slots"], row["busy"], row["lent"]) == (1, 1, 1)
        assert not fresh.done()
        write(end, "")
        assert waiting.result(DEADLINE_S)
        assert fresh.result(DEADLINE_S) == 9
        until(lambda: worker_row(client)["lent"] == 0, "the end of the lending")


def test_a_nested_task_that_crashes_ends_only_its_own_call(client):
    name, text = client.call("nestapp:call_and_say", "nestapp:crash")
    assert name == "WorkerLost" and "SIGSEGV" in text
    assert client.call("nestapp:count", 3) == 3


def test_a_soft_limit_reaches_a_task_that_waits(client, folder):
    begun, end = folder / "begun", folder / "end"
    limited = client.options(soft_limit=0.5)
    args = ("nestapp:hold", str(begun), str(end))
    assert limited.call("nestapp:call_until_told", *args) == "SoftTimeLimit"
    until(begun.exists, "the nested task") if begun.exists() else None
    assert client.call("nestapp:square", 2) == 4  # the nested call was cancelled with it


def test_a_task_that_waits_can_be_cancelled_and_killed(single, folder):
    for kill in (False, True):
        begun, end = folder / f"begun{kill}", folder / f"end{kill}"
        with single.client() as client:
            future = client.submit("nestapp:call", "nestapp:hold", str(begun), str(end), 5.0)
            until(begun.exists, "the nested task")
            future.kill() if kill else future.cancel()
            with pytest.raises(denim.TaskCancelled):
                future.result(DEADLINE_S)
            write(end, "")
            assert client.options(deadline=DEADLINE_S).call("nestapp:count", 2) == 2


def test_a_thread_that_outlives_its_task_does_not_disturb_the_next_one(client, folder):
    begun, end = folder / "begun", folder / "end"
    client.call("nestapp:leave_thread", "nestapp:hold", str(begun), str(end))
    until(begun.exists, "the nested task")
    write(end, "")
    assert client.call("nestapp:count", 4) == 4


def test_tasks_call_the_manager_of_their_worker(folder):
    with Manager(folder) as manager, Worker(manager, folder, "nestapp"):
        with denim.Client(manager.address) as client:
            assert client.options(deadline=DEADLINE_S).call("nestapp:manager") == manager.address


def test_where_nothing_is_lent_callers_that_hold_all_places_are_told_of_a_deadlock(folder):
    config = write(folder / "worker.conf", "worker\n    nesting = 0\n")
    options = {"slots": 1, "worker_args": ["-f", str(config)], **NEST}
    with local_cluster(folder / "logs", **options) as cluster, cluster.client() as client:
        limited = client.options(deadline=DEADLINE_S)
        call = ("nestapp:call", "nestapp:square", 3)
        with pytest.raises(denim.RemoteError, match="Rejected.*held by callers that wait for"):
            limited.call("nestapp:call_for", 4.0, *call[1:])
        waiting = limited.submit(*call)
        until(lambda: client.status()["counters"]["rejected"].get("DEADLOCK", 0) > 1, "a refusal")
        cluster.add_worker()
        assert waiting.result() == 9


def test_nested_calls_survive_a_manager_that_is_killed(folder):
    begun, end = folder / "begun", folder / "end"
    with local_cluster(folder / "logs", slots=1, **NEST) as cluster, cluster.client() as client:
        limited = client.options(deadline=DEADLINE_S)
        outer = limited.submit("nestapp:call", "nestapp:call", "nestapp:hold", str(begun), str(end))
        until(begun.exists, "the innermost task")
        cluster.kill_manager()
        cluster.restart_manager()
        write(end, "")
        assert outer.result()
        assert limited.call("nestapp:count", 5) == 5


def test_processes_of_lent_slots_end_when_they_are_not_needed(folder):
    with local_cluster(folder / "logs", slots=1, **NEST) as cluster, cluster.client() as client:
        assert client.options(deadline=DEADLINE_S).call("nestapp:count", 3) == 3
        assert len(cluster.slot_pids) > 1
        until(lambda: len(cluster.slot_pids) == 1, "the end of the spare processes")
        assert client.options(deadline=DEADLINE_S).call("nestapp:count", 3) == 3


def test_where_each_slot_is_started_anew_places_are_lent_all_the_same(folder):
    config = write(folder / "worker.conf", "slot\n    preload = false\n")
    options = {"slots": 1, "worker_args": ["-f", str(config)], **NEST}
    with local_cluster(folder / "logs", **options) as cluster, cluster.client() as client:
        assert client.options(deadline=DEADLINE_S).call("nestapp:count", 3) == 3


def test_short_nested_calls_need_no_process_more(folder):
    """Both slots are free for them, and each takes less time than a place is kept."""
    with local_cluster(folder / "logs", slots=2, **NEST) as cluster, cluster.client() as client:
        limited = client.options(deadline=DEADLINE_S)
        limited.call("nestapp:count", 1)  # connects
        before = time.monotonic()
        for _ in range(50):
            assert limited.call("nestapp:count", 1) == 1
        assert time.monotonic() - before < DEADLINE_S
        assert Path(f"/proc/{cluster.worker_pids[0]}").exists()
