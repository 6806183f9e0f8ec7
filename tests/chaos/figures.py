# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The figures of the worst night, each with the bound that is promised for it.

    figures.py [--only PART,...]        parts: manager, slot, drain, nobody

Each line is printed as it is measured; exit code 1 when a bound was passed. Everything runs on this
machine's loopback, with the settings that denim has by default.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "system")]

from checker import History, Run  # noqa: E402
from cluster import HERE, free_port  # noqa: E402
from history import read_runs  # noqa: E402
from programs import Program, c_environment, until  # noqa: E402

import denim  # noqa: E402
from denim.local import _slots_of  # noqa: E402

HEARTBEAT_S = 1.0  # these three are defaults of denimd
LIVENESS = 3
DOWN_S = (0.2, 2.0, 10.0)  # a killed manager
WORKERS, SLOTS = 4, 16
CALLS = 1000
NAP_S = 0.5
LATE_BEATS = 2  # an answer, after its task's end and the manager's return
LOST_BEATS = LIVENESS + 2  # the start of a task whose SUBMIT was lost, after the manager's return
TOLD_MS = 100  # a slot that was killed: its caller knows
BACK_MS = 50  # and the next task runs there
KILLS = 20
GRACE_S = 60.0  # until a wait is a failure


class Bounds:
    """What was promised, and whether it held."""

    def __init__(self) -> None:
        self.broken = 0

    def tell(self, what: str, found: str, holds: bool, bound: str) -> None:
        self.broken += not holds
        mark = "" if holds else "BROKEN, "
        print(f"  {what:46} {found:24} {mark}must be {bound}")
        sys.stdout.flush()


class Place:
    """A manager and workers in a folder, and the executions of their tasks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.manager: Any = None
        self.workers: list[Program] = []
        self.cwd = folder / "cwd"
        self.cwd.mkdir()
        self._runs = folder / "runs"

    def start_manager(self) -> float:
        """When it was ready."""
        self.manager = Program(self.folder, "denimd", "--listen", self.address, cwd=self.cwd)
        self.manager.await_said("event=ready")
        return time.monotonic()

    def start_workers(self, count: int, slots: int) -> None:
        environment = c_environment(CHAOS_RUNS=str(self._runs))
        for number in range(count):
            name = f"w{number + 1}"
            options = ["--manager", self.address, "--slots", str(slots), "--name", name]
            options += ["--python", sys.executable, "chaosapp"]
            more = {"cwd": HERE, "env": {**environment, "CHAOS_WORKER": name}}
            self.workers.append(Program(self.folder, "denim-worker", *options, **more))
        for worker in self.workers:
            worker.await_said("event=ready")
            until(lambda: len(_slots_of(worker.pid)) == slots, "all slots")

    def runs(self) -> dict[str, list[Run]]:
        history = History()
        read_runs(history, self._runs)
        return history.runs

    def kill_manager(self) -> float:
        self.manager.process.kill()
        self.manager.process.wait()
        return time.monotonic()

    def files_of_manager(self) -> list[str]:
        """What it has written or has open, besides its log and standard input."""
        found = [str(path) for path in self.cwd.iterdir()]
        for entry in Path(f"/proc/{self.manager.pid}/fd").iterdir():
            target = os.readlink(entry)
            if entry.name not in ("0", "1", "2") and target.startswith("/"):
                found.append(target)
        return [path for path in found if not path.startswith(("/dev/", "/proc/"))]

    def close(self) -> None:
        for program in (self.manager, *self.workers):
            if program and program.process.poll() is None:
                program.process.kill()
                program.process.wait()


@contextmanager
def place(workers: int, slots: int) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="denim-chaos-", dir="/tmp") as folder:
        made = Place(Path(folder))
        try:
            made.start_manager()
            made.start_workers(workers, slots)
            yield made
        finally:
            made.close()


class Calls:
    """Futures by key, and when each of them ended."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.futures: dict[str, Any] = {}
        self.ended: dict[str, float] = {}

    def submit(self, key: str, task: str, *args: Any) -> Any:
        future = self._client.submit(f"chaosapp:{task}", key, *args)
        self.futures[key] = future
        future.add_done_callback(lambda _: self.ended.setdefault(key, time.monotonic()))
        return future

    def wait(self) -> int:
        """How many gave the value that is theirs."""
        denim.wait(self.futures.values(), GRACE_S)
        return sum(1 for key, future in self.futures.items() if _value(future) == key)


def _value(future: Any) -> Any:
    try:
        return future.result(0)
    except Exception as error:
        return error


# --- the manager is killed -----------------------------------------------------------------------


def manager_is_killed(bounds: Bounds) -> None:
    for down_s in DOWN_S:
        busy = WORKERS * SLOTS
        print(f"manager killed, {busy} slots busy, {CALLS} calls, back after {down_s:g} s")
        with place(WORKERS, SLOTS) as here, denim.Client(here.address) as client:
            busy_when_killed(here, Calls(client), down_s, bounds)
            submits_lost(here, Calls(client), down_s, bounds)


def busy_when_killed(here: Place, calls: Calls, down_s: float, bounds: Bounds) -> None:
    for number in range(CALLS):
        calls.submit(f"busy{number}", "nap", NAP_S)
    until(lambda: _is_in_full_swing(here), "all slots busy")
    files = here.files_of_manager()
    killed = here.kill_manager()
    time.sleep(down_s)
    back = here.start_manager()
    answers = calls.wait()
    runs = here.runs()
    once = sum(1 for key in calls.futures if len(runs.get(key, ())) == 1)
    late = [
        (calls.ended[key] - max(run[0].done, back)) / HEARTBEAT_S
        for key, run in runs.items()
        if run[0].at < killed and run[0].done and run[0].done > killed and key in calls.ended
    ]
    files += here.files_of_manager()
    bounds.tell("executed once", f"{once}/{CALLS}", once == CALLS, "all")
    bounds.tell("answered with the value", f"{answers}/{CALLS}", answers == CALLS, "all")
    longest = max(late, default=99.0)
    what = f"answer of those {len(late)} that ran, after the return"
    found = f"{longest:.2f} heartbeats"
    bounds.tell(what, found, longest <= LATE_BEATS, f"{LATE_BEATS} at most")
    bounds.tell("files of the manager", ", ".join(files) or "none", not files, "none")


def submits_lost(here: Place, calls: Calls, down_s: float, bounds: Bounds) -> None:
    """The manager is stopped first, so that it is killed with all of them unread."""
    here.manager.process.send_signal(signal.SIGSTOP)
    for number in range(WORKERS * SLOTS):
        calls.submit(f"unread{number}", "short")
    time.sleep(0.1)
    here.kill_manager()
    time.sleep(down_s)
    back = here.start_manager()
    answers = calls.wait()
    runs = here.runs()
    starts = [runs[key][0].at - back for key in calls.futures if key in runs]
    once = sum(1 for key in calls.futures if len(runs.get(key, ())) == 1)
    number = len(calls.futures)
    longest = max(starts, default=99.0) / HEARTBEAT_S
    bounds.tell("SUBMIT lost: executed once", f"{once}/{number}", once == number, "all")
    bounds.tell("SUBMIT lost: answers", f"{answers}/{number}", answers == number, "all")
    bounds.tell("SUBMIT lost: start after the return", f"{longest:.2f} heartbeats",
                longest <= LOST_BEATS, f"{LOST_BEATS} at most")  # fmt: skip


def _is_in_full_swing(here: Place) -> bool:
    """Some rounds are over, and all slots run the next one."""
    done = _done(here)
    return done >= 2 * WORKERS * SLOTS and len(here.runs()) - done >= WORKERS * SLOTS


def _done(here: Place) -> int:
    return sum(1 for found in here.runs().values() if found[0].done)


# --- a slot is killed ----------------------------------------------------------------------------


def slot_is_killed(bounds: Bounds) -> None:
    print(f"slot killed, {KILLS} times")
    told, back = [], []
    with place(1, 1) as here, denim.Client(here.address) as client:
        calls = Calls(client)
        calls.submit("first", "short").result(GRACE_S)
        for number in range(KILLS):
            future = calls.submit(f"victim{number}", "nap", GRACE_S)
            (run,) = until(lambda: here.runs().get(f"victim{number}"), "the start of the task")
            after = calls.submit(f"after{number}", "short")
            time.sleep(0.05)
            os.kill(run.pid, signal.SIGKILL)
            killed = time.monotonic()
            error = _wait_for_error(future)
            assert isinstance(error, denim.WorkerLost) and error.signal == signal.SIGKILL, error
            after.result(GRACE_S)
            told.append((calls.ended[f"victim{number}"] - killed) * 1000)
            back.append((here.runs()[f"after{number}"][0].at - killed) * 1000)
    for what, found, bound in (
        ("its caller knows", told, TOLD_MS),
        ("the next task runs there", back, BACK_MS),
    ):
        middle = median(found)
        bounds.tell(what, f"{middle:.1f} ms, longest {max(found):.1f}", middle <= bound,
                    f"{bound} ms at most, in the middle")  # fmt: skip


def _wait_for_error(future: Any) -> Any:
    return future.exception(GRACE_S)


# --- a worker leaves -----------------------------------------------------------------------------


def worker_drains(bounds: Bounds) -> None:
    print("worker asked to end (SIGTERM) under load")
    with place(2, 4) as here, denim.Client(here.address) as client:
        calls = Calls(client)
        for number in range(400):
            calls.submit(f"drain{number}", "nap", 0.02 if number % 2 else 0.1)
        until(lambda: _done(here) >= 40, "some work")
        leaving = here.workers[0]
        leaving.process.terminate()
        code = leaving.wait()
        answers = calls.wait()
        runs = here.runs()
        again = sum(1 for found in runs.values() if len(found) > 1)
        number = len(calls.futures)
        bounds.tell("lost", str(number - answers), answers == number, "0")
        bounds.tell("repeated", str(again), not again, "0")
        bounds.tell("exit code", str(code), code == 0, "0")


# --- there is no manager -------------------------------------------------------------------------


def nobody_is_there(bounds: Bounds) -> None:
    print("no manager, a deadline of 2 s")
    with denim.Client(f"tcp://127.0.0.1:{free_port()}") as client:
        begin = time.monotonic()
        try:
            client.options(deadline=2).call("chaosapp:short", "nobody")
            found = "a value"
        except denim.DenimError as error:
            found = type(error).__name__
        spent = time.monotonic() - begin
    bounds.tell("ends as", found, found == "ManagerUnavailable", "ManagerUnavailable")
    bounds.tell("after", f"{spent:.3f} s", abs(spent - 2) <= 0.1, "2.0 s, 0.1 more or less")


PARTS = {
    "manager": manager_is_killed,
    "slot": slot_is_killed,
    "drain": worker_drains,
    "nobody": nobody_is_there,
}


def main() -> int:
    words = argparse.ArgumentParser(description="the figures of the worst night")
    words.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS))
    bounds = Bounds()
    for part in words.parse_args().only:
        PARTS[part](bounds)
    return int(bounds.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
