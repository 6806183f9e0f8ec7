# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""denim's programs as children of a test: started, waited for, and ended by their own process id.

What a program says goes to a file, and nothing waits without a deadline. In a build with sanitizers
a program that is stopped must have nothing to report.

    with Manager(folder) as manager, Worker(manager, folder, "sysapp"):
        with denim.Client(manager.address) as client:
            client.call("sysapp:add", 2, 3)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import denim
from denim.local import child_environment

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = Path(os.environ["DENIM_BIN"])
DEADLINE_S = 60  # until a wait is a failure; nothing waits that long when all is well
POLL_S = 0.01  # between two looks at a condition
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:")


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Look until it holds, and give what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} does not come about"
        time.sleep(POLL_S)
    return found


def assert_sane(text: str) -> None:
    """No sanitizer has said anything in a program's log."""
    assert not SANITIZER.search(text), text


def c_environment(**more: str) -> dict[str, str]:
    """For a C program: without what pytest's own Python needs below a sanitizer."""
    return {**child_environment(), **more}


def run(
    program: str | Path, *options: Any, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end: one of denim's by its name, any other by its path."""
    more.setdefault("env", c_environment())
    done = subprocess.run(
        [BIN / program, *options], text=True, capture_output=True, timeout=DEADLINE_S, **more
    )
    assert_sane(done.stderr)
    return done


@contextmanager
def started(*command: Any, **popen: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that ends by itself; it is killed when the block ends before it does."""
    popen.setdefault("env", c_environment())
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **popen)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Program:
    """A child that runs until it is stopped.

    prefix: words before the command, such as those that enter a network namespace.
    place: where the program is.
    """

    def __init__(
        self,
        folder: Path,
        program: str,
        *options: Any,
        prefix: Any = (),
        place: Path = BIN,
        **popen: Any,
    ) -> None:
        self._log = folder / f"{program}-{time.monotonic_ns()}.log"
        popen.setdefault("env", c_environment())
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, place / program, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **popen,
            )
        self.pid = self.process.pid

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def await_said(self, pattern: str) -> re.Match[str]:
        """What matches in its log, as soon as that is there; a failure when it ends before."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.said())
            assert found or not ended, f"ended with {self.process.returncode}: {self.said()}"
            return found

        found: re.Match[str] = until(look, f"{pattern!r} in {self._log}")
        return found

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def stop(self) -> None:
        """End it as a service manager does; it must leave well."""
        self.process.terminate()
        assert self.wait() == 0, self.said()
        assert_sane(self.said())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


class Manager(Program):
    """A denimd that is ready, at a free port of this host unless the options say another place."""

    def __init__(self, folder: Path, *options: Any, **popen: Any) -> None:
        options = options or ("--listen", "tcp://127.0.0.1:0")
        super().__init__(folder, "denimd", *options, **popen)
        try:
            self.address = self.await_said(r"event=ready address=(\S+)")[1]
        except BaseException:
            self.__exit__(BaseException)
            raise


class Worker(Program):
    """A denim-worker of the app `sysapp` or another one; what imports it has `tests/system` first.

    python: the interpreter; None: what the worker finds by itself.
    """

    def __init__(
        self,
        manager: Manager | str,
        folder: Path,
        *apps: str,
        slots: int = 1,
        python: str | None = sys.executable,
        **popen: Any,
    ) -> None:
        address = manager if isinstance(manager, str) else manager.address
        options = ["--manager", address, "--slots", str(slots)]
        if python is not None:
            options += ["--python", python]
        popen.setdefault("cwd", HERE)
        super().__init__(folder, "denim-worker", *options, *apps, **popen)

    def await_ready(self) -> None:
        self.await_said("event=ready")


@contextmanager
def local_cluster(folder: Path, **options: Any) -> Iterator[denim.LocalCluster]:
    """A LocalCluster of `sysapp`, whose programs must have nothing to report to a sanitizer."""
    options.setdefault("app", ["sysapp"])
    folder.mkdir(exist_ok=True)
    cluster = denim.LocalCluster(log=folder, ready_timeout=DEADLINE_S, **options)
    with cluster:
        yield cluster
    for log in folder.glob("*.log"):
        assert_sane(log.read_text(errors="replace"))


def write(path: Path, text: str) -> Path:
    """A file with that text."""
    path.write_text(text)
    return path
