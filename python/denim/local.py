# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A small cluster on this machine: a manager and workers as child processes.

For notebooks, tests and first steps. Owns finding and starting the programs, waiting until they are
ready, and ending them. Must never know the protocol: what it knows of the cluster it asks the
manager, as any client does, or /proc.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

from .client import Client
from .errors import DenimError, ManagerUnavailable

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

__all__ = ["LocalCluster"]

READY_TIMEOUT = 30.0  # seconds until a program that was started must be ready
STOP_TIMEOUT = 3.0  # seconds between SIGTERM and SIGKILL at the end
POLL = 0.02  # seconds between two looks
TAIL_BYTES = 4000  # of a program's log, shown when it fails


class LocalCluster:
    """A manager and some workers, running as children of this process until it is closed.

    workers: how many. slots: tasks that each runs at a time; None: one for each processor.
    app: name of the module, or names of those, whose functions can be called. Workers run this
        Python and find modules where this process does (its sys.path).
    allow_pickle: workers accept pickled arguments.
    log: what the programs say: None keeps it until the end (`logs`), "inherit" sends it to this
        process's stderr, a path is a folder that gets a file for each.
    manager_args, worker_args: further options for denimd and denim-worker.

    Sockets lie in a short folder below /tmp, which only this user may enter, and which is removed
    at the end. Children die with the thread that started them, so that none is left over: make it
    in one that lives as long as it.
    Raises DenimError, with what the program said, when one does not start.

        with denim.LocalCluster(workers=2, app="myapp") as cluster:
            with cluster.client() as client:
                client.call("myapp:add", 2, 3)
    """

    def __init__(
        self,
        workers: int = 1,
        slots: int | None = None,
        app: str | ModuleType | Iterable[str | ModuleType] = (),
        allow_pickle: bool = False,
        *,
        log: str | os.PathLike[str] | None = None,
        manager_args: Sequence[str] = (),
        worker_args: Sequence[str] = (),
        ready_timeout: float = READY_TIMEOUT,
    ) -> None:
        self._closed = True  # until there is something to close
        self._owner = os.getpid()  # a child of a fork has no part in it
        if workers < 0:
            raise ValueError(f"workers must be 0 or more, not {workers!r}")
        self._slots = slots
        self._app = _module_names(app)
        self._allow_pickle = allow_pickle
        self._manager_args = [*manager_args]
        self._worker_args = [*worker_args]
        self._ready_timeout = ready_timeout
        self._lock = threading.RLock()
        self._workers: list[_Program] = []
        self._made = 0  # workers so far; numbers their names
        self._folder = tempfile.mkdtemp(prefix="denim-", dir="/tmp")
        self._log = log
        self._address = f"ipc://{self._folder}/m"
        self._closed = False
        _clusters.add(self)
        try:
            self._manager = self._start_manager()
            self._workers = [self._start_worker(slots, self._app) for _ in range(workers)]
            self._wait(_are_ready(self._workers), self._manager, *self._workers)
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """The address for clients and workers."""
        return self._address

    @property
    def manager_pid(self) -> int:
        """Process id of the manager; of the last one when it was killed."""
        return self._manager.pid

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [worker.pid for worker in self._running()]

    @property
    def slot_pids(self) -> list[int]:
        """Process ids of the slots of all workers, as they are now."""
        return [pid for worker in self._running() for pid in _slots_of(worker.pid)]

    def client(self, **options: Any) -> Client:
        """A client of this cluster, to be closed by its user; `options` as for `denim.Client`."""
        return Client(self._address, **options)

    def add_worker(
        self,
        slots: int | None = None,
        app: str | ModuleType | Iterable[str | ModuleType] | None = None,
    ) -> int:
        """Start one more worker, wait until it is ready, and return its process id.

        slots, app: as for the others by default.
        """
        with self._lock:
            self._check_open()
            names = self._app if app is None else _module_names(app)
            worker = self._start_worker(self._slots if slots is None else slots, names)
            self._workers.append(worker)
        self._wait(_are_ready([worker]), self._manager, worker)
        return worker.pid

    def kill_worker(self, index: int = 0) -> int:
        """Kill a worker (SIGKILL), one of `worker_pids`. Returns its process id when it is dead."""
        worker = self._running()[index]
        worker.kill()
        return worker.pid

    def kill_manager(self) -> int:
        """Kill the manager (SIGKILL). Returns its process id, when it is dead."""
        self._manager.kill()
        return self._manager.pid

    def restart_manager(self) -> int:
        """Start the manager again at the same address, after killing it if it still runs.

        Returns its process id, when it answers and all workers are with it.
        """
        with self._lock:
            self._check_open()
            self._manager.kill()
            self._manager = self._start_manager()
        self._wait(lambda status: _are_ready(self._running())(status), self._manager)
        return self._manager.pid

    def status(self) -> dict[str, Any]:
        """What the manager says of itself, as `Client.status`."""
        with self.client() as client:
            return client.status()

    def logs(self) -> dict[str, str]:
        """What each program has said so far, by name: "manager", "w1", ... ("" when inherited)."""
        return {program.name: program.said() for program in (self._manager, *self._workers)}

    def close(self) -> None:
        """End all programs and remove the folder; twice is fine. Takes some seconds at most."""
        with self._lock:
            if self._closed or self._owner != os.getpid():
                return
            self._closed = True
            manager = [self._manager] if hasattr(self, "_manager") else []
        for programs in (self._workers, manager):  # a worker says its last words to the manager
            for program in programs:
                program.terminate()
            end_at = time.monotonic() + STOP_TIMEOUT
            for program in programs:
                program.finish(end_at - time.monotonic())
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._running())} workers"
        return f"<denim.LocalCluster {self._address} {state}>"

    # --- starting ---

    def _start_manager(self) -> _Program:
        command = [find_program("denimd"), "--listen", self._address, *self._manager_args]
        return _Program("manager", command, self._log_path("manager"), child_environment())

    def _start_worker(self, slots: int | None, app: Sequence[str]) -> _Program:
        if not app and not self._allow_pickle:
            raise ValueError("a worker needs something to run: app=..., or allow_pickle=True")
        self._made += 1
        name = f"w{self._made}"
        command = [find_program("denim-worker"), "--manager", self._address, "--name", name]
        if slots is not None:
            command += ["--slots", str(slots)]
        if sys.executable:
            command += ["--python", sys.executable]
        if self._allow_pickle:
            command.append("--allow-pickle")
        environment = child_environment()
        environment["DENIM_APP_PATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
        environment["DENIM_MANAGER"] = self._address  # for tasks that call
        command += [*self._worker_args, *app]
        return _Program(name, command, self._log_path(name), environment, slots or 1)

    def _log_path(self, name: str) -> str | None:
        if self._log == "inherit":
            return None
        folder = self._folder if self._log is None else os.fspath(self._log)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, f"{name}.log")

    # --- waiting ---

    def _wait(self, is_ready: Callable[[dict[str, Any]], bool], *needed: _Program) -> None:
        """Ask the manager until it is so. Raises DenimError when one of the programs that are
        needed for it ends, or time is over.
        """
        end_at = time.monotonic() + self._ready_timeout
        door = self._address.removeprefix("ipc://")
        with self.client(connect_timeout=None) as client:
            while True:
                self._check_programs(needed)
                if os.path.exists(door):
                    try:
                        if is_ready(client.status(timeout=0.25)):
                            return
                    except ManagerUnavailable:
                        pass
                if time.monotonic() > end_at:
                    raise self._failure(f"not ready within {self._ready_timeout:g} s", None)
                time.sleep(POLL)

    def _check_programs(self, needed: Iterable[_Program]) -> None:
        for program in needed:
            code = program.ended_with()
            if code is not None and not program.killed:
                how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
                raise self._failure(f"{program.name} ended ({how})", program)

    def _failure(self, sentence: str, program: _Program | None) -> DenimError:
        programs = [program] if program else [self._manager, *self._workers]
        said = "".join(f"\n--- {one.name}\n{one.said()[-TAIL_BYTES:]}" for one in programs)
        return DenimError(f"denim.LocalCluster: {sentence}{said}")

    def _running(self) -> list[_Program]:
        return [worker for worker in self._workers if worker.ended_with() is None]

    def _check_open(self) -> None:
        if self._closed:
            raise DenimError("this denim.LocalCluster is closed")


def _are_ready(workers: Sequence[_Program]) -> Callable[[dict[str, Any]], bool]:
    """Whether all of them are in a status."""
    return lambda status: all(_is_ready(worker, status) for worker in workers)


def _is_ready(worker: _Program, status: dict[str, Any]) -> bool:
    return any(
        told.get("name") == worker.name
        and told.get("pid", worker.pid) == worker.pid
        and told.get("slots", 0) >= worker.slots
        for told in status.get("workers", ())
    )


class _Program:
    """One child process and its log.

    slots: of a worker, how many it must have to be ready. killed: by this side, on purpose.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: str | None,
        environment: dict[str, str],
        slots: int = 0,
    ) -> None:
        self.name = name
        self.slots = slots
        self.killed = False
        self._log_path = log_path
        log: IO[bytes] | None = open(log_path, "ab") if log_path else None
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for this process
            )
        finally:
            if log is not None:
                log.close()
        self.pid = self._process.pid

    def ended_with(self) -> int | None:
        """Exit code, negative signal, or None while it runs."""
        return self._process.poll()

    def said(self) -> str:
        if self._log_path is None:
            return ""
        try:
            with open(self._log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except OSError:
            return ""

    def kill(self) -> None:
        self.killed = True
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        self.killed = True
        self._process.terminate()

    def finish(self, timeout: float) -> None:
        """Wait until it has ended, and kill it after `timeout` seconds."""
        try:
            self._process.wait(max(timeout, 0.0))
        except subprocess.TimeoutExpired:
            self.kill()


# --- what the system tells -----------------------------------------------------------------------


def find_program(name: str) -> str:
    """Where a program of denim is. Raises DenimError that says where it was looked for.

    In this order: $DENIM_BIN, inside the package, in the build tree beside the package, in the bin
    of the prefix that the package was installed to (PREFIX/lib/python3.11/site-packages/denim, or
    PREFIX/lib/denim/python/denim), PATH.
    """
    package = os.path.dirname(os.path.abspath(__file__))
    beside = [("bin",), (os.pardir, os.pardir, "bin"), (*[os.pardir] * 4, "bin")]
    folders = [os.path.normpath(os.path.join(package, *parts)) for parts in beside]
    if os.environ.get("DENIM_BIN"):
        folders.insert(0, os.environ["DENIM_BIN"])
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    found = shutil.which(name)
    if found is None:
        places = ", ".join([*folders, "PATH"])
        raise DenimError(f"the program {name} is not there (looked in {places}); set DENIM_BIN")
    return found


def child_environment() -> dict[str, str]:
    """The environment for a program that ends when this process does.

    Under the address sanitizer this process holds Python with the sanitizer's library loaded before
    it; the programs have their own, and their own options.
    """
    environment = dict(os.environ)
    environment["DENIM_PARENT_PID"] = str(os.getpid())
    if "DENIM_TEST_ASAN" in environment:
        environment.pop("LD_PRELOAD", None)
        environment.pop("ASAN_OPTIONS", None)
        if "DENIM_TEST_ASAN_C" in environment:
            environment["ASAN_OPTIONS"] = environment["DENIM_TEST_ASAN_C"]
    return environment


def _module_names(app: str | ModuleType | Iterable[str | ModuleType]) -> list[str]:
    modules = [app] if isinstance(app, str) or hasattr(app, "__spec__") else list(app)
    names: list[Any] = [getattr(module, "__name__", module) for module in modules]
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(f"app must be names of modules, not {name!r}")
        if name == "__main__":
            raise ValueError("app: workers cannot import __main__: put the functions in a module")
    return names


def _children(pid: int) -> list[int]:
    """Living children of a process; none when it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
        except OSError:
            continue
    return found


def _is_zygote(pid: int) -> bool:
    """Whether a child of a worker is what slots are forked from; asks what it was started with."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"DENIM_SLOT_ROLE=zygote" in file.read().split(b"\0")
    except OSError:
        return False


def _lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _slots_of(worker: int) -> list[int]:
    """Slots of a worker: children of its zygote, or its own."""
    found: list[int] = []
    for child in _children(worker):
        found += _children(child) if _is_zygote(child) else [child]
    return [pid for pid in found if _lives(pid)]


_clusters: weakref.WeakSet[LocalCluster] = weakref.WeakSet()


def _close_all() -> None:
    for cluster in list(_clusters):
        if cluster._owner == os.getpid():
            cluster.close()


atexit.register(_close_all)
