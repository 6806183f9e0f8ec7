# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Tasks of a millisecond beside tasks of seconds: no short one waits for a long one to end.

The long ones run for as long as the test wants. So what is counted, short tasks that end while a
long one runs, holds on a slow machine as well, and the one bound in time is far from both. How long
the short ones waited is printed (`-s` shows it); `make bench-overload` holds it below 50 ms.
"""

import time
from contextlib import contextmanager

import pytest
from histogram import histogram
from programs import DEADLINE_S, local_cluster, until, write

import denim

LONG_S = 2.0  # of a long task where it is not held
SHORT = "sysapp:nap", 0.001
COUNT = 100

LONG_APP = """
import sysapp

def hold(begun, end):
    return sysapp.hold(begun, end)

def nap(seconds):
    return sysapp.nap(seconds)
"""


@pytest.fixture(scope="module", params=[(1, 2), (2, 1)], ids=["1 worker", "2 workers"])
def bimodal(request, tmp_path_factory):
    """Two slots in all, and two services: sysapp and longapp."""
    folder = tmp_path_factory.mktemp("bimodal")
    write(folder / "longapp.py", LONG_APP)
    workers, slots = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        apps = ["sysapp", "longapp"]
        with local_cluster(folder, workers=workers, slots=slots, app=apps) as running:
            yield running


@pytest.fixture
def calls(bimodal):
    """A client whose short tasks are known to be short."""
    with bimodal.client() as client:
        client = client.options(deadline=DEADLINE_S)
        for _ in client.map("sysapp:nap", [0.001] * 30):
            pass
        yield client


@contextmanager
def held(client, service, folder, number=0):
    """A long task, under way or about to begin; it goes on to the end of the block."""
    begun, end = folder / f"begun{number}", folder / f"end{number}"
    future = client.submit(f"{service}:hold", str(begun), str(end))
    try:
        yield begun
        until(begun.exists, "the start of the long task")
        assert not future.done()
    finally:
        end.touch()
    assert future.result(DEADLINE_S) == "released"


@pytest.mark.parametrize("service", ["sysapp", "longapp"])
def test_short_tasks_one_by_one_pass_a_long_one(bimodal, calls, folder, service):
    waits = []
    with held(calls, service, folder) as begun:
        until(begun.exists, "the start of the long task")
        for _ in range(COUNT):
            begin = time.monotonic()
            run = calls.call(*SHORT)
            waits.append(time.monotonic() - begin - run)
    print(f"\n{COUNT} tasks of 1 ms beside a long one of {service} waited\n"
          + histogram(1000 * wait for wait in waits))
    assert max(waits) < LONG_S / 2


@pytest.mark.parametrize("service", ["sysapp", "longapp"])
def test_a_burst_of_short_tasks_with_a_long_one_in_it_passes_that(calls, folder, service):
    before = [calls.submit(*SHORT) for _ in range(COUNT)]
    with held(calls, service, folder):
        after = [calls.submit(*SHORT) for _ in range(COUNT)]
        assert not denim.wait(before + after, DEADLINE_S).not_done
    assert {future.result() for future in before + after} == {0.001}


@pytest.mark.parametrize("service", ["sysapp", "longapp"])
def test_another_clients_short_tasks_pass_a_long_one(bimodal, calls, folder, service):
    with held(calls, service, folder) as begun, bimodal.client() as other:
        until(begun.exists, "the start of the long task")
        values = list(other.options(deadline=DEADLINE_S).map("sysapp:nap", [0.001] * COUNT))
    assert values == [0.001] * COUNT


@pytest.mark.parametrize("service", ["sysapp", "longapp"])
def test_when_every_slot_is_long_short_tasks_go_as_soon_as_one_is_free(calls, folder, service):
    with held(calls, service, folder, 1):
        with held(calls, service, folder, 2) as begun:
            until(begun.exists, "the start of the long task")
            until((folder / "begun1").exists, "the start of the other one")
            futures = [calls.submit(*SHORT) for _ in range(COUNT)]
        assert not denim.wait(futures, DEADLINE_S).not_done


def test_short_tasks_around_two_long_ones_end_about_when_those_do(calls):
    """Both slots are taken for the time of a long task, not for that of two."""
    begin = time.monotonic()
    futures = [calls.submit(*SHORT) for _ in range(COUNT)]
    futures += [calls.submit("sysapp:nap", LONG_S) for _ in range(2)]
    futures += [calls.submit(*SHORT) for _ in range(COUNT)]
    assert not denim.wait(futures, DEADLINE_S).not_done
    assert LONG_S < time.monotonic() - begin < 2 * LONG_S
    assert sum(future.result() == LONG_S for future in futures) == 2
