# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The processes of a chaos run, each started again under its name after it was ended.

Whatever happens, `close` ends all of them by their process ids.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checker import History
from history import read_calls, read_runs
from network import Network
from programs import SANITIZER, Program, c_environment, until

import denim
from denim.local import _children, _is_zygote, _slots_of

HERE = Path(__file__).resolve().parent
PORTS = range(20000, 32000)  # below those that the system gives to those who connect
LEAVE_S = 15.0  # from SIGTERM to the end of a program; then it is too slow
CONFIG = "manager\n    heartbeat_ms = {heartbeat_ms}\n    log_level = {level}\n"
WORKER_CONFIG = "worker\n    log_level = {level}\n"


class Daemon(Program):
    """A program whose log is not needed any more once it has been read."""

    def forget(self) -> None:
        self._log.unlink(missing_ok=True)


class Member:
    """A manager, worker or client. There is one process at a time; generation counts them.

    fault: what is being done to it now; None: nothing. since: when it was last let go, was started
    or, later than that, was ready.
    """

    def __init__(self, cluster: Cluster, role: str, name: str) -> None:
        self.cluster = cluster
        self.role = role
        self.name = name
        self.generation = 0
        self.program: Any = None
        self.fault: Any = None
        self.since = 0.0
        self.ready = False

    @property
    def process_name(self) -> str:
        return f"{self.name}.{self.generation}"

    @property
    def pid(self) -> int:
        return int(self.program.pid)

    def start(self) -> None:
        self.generation += 1
        self.since = time.monotonic()
        self.ready = False
        self.program = getattr(self.cluster, f"start_{self.role}")(self)

    def ended(self) -> bool:
        return self.program.process.poll() is not None

    def look(self) -> None:
        """Note when its process has come so far that it works."""
        if not self.ready and (self.role == "client" or "event=ready" in self.program.said()):
            self.ready = True
            self.since = time.monotonic()

    def signal(self, number: int) -> None:
        self.program.process.send_signal(number)

    def kill(self) -> None:
        self.program.process.kill()
        self.program.process.wait()
        self.cluster.bury(self.program)

    def slots(self) -> list[int]:
        return _slots_of(self.pid)

    def zygotes(self) -> list[int]:
        return [pid for pid in _children(self.pid) if _is_zygote(pid)]


class Cluster:
    """One manager, some workers and some clients, each in a namespace of its own if there are any.

    complaints: what a program did that none may do, such as ending by itself.
    """

    def __init__(self, options: Any, seed: int, network: bool) -> None:
        self.options = options
        self.complaints: list[str] = []
        self.killed: set[str] = set()
        self._dice = random.Random(seed)
        self._clients: list[str] = []
        self._stopping = False
        self.folder = Path(tempfile.mkdtemp(prefix="denim-chaos-", dir="/tmp"))
        level = "debug" if options.keep else "info"
        heartbeat = {"heartbeat_ms": options.heartbeat_ms, "level": level}
        (self.folder / "denimd.conf").write_text(CONFIG.format(**heartbeat))
        (self.folder / "worker.conf").write_text(WORKER_CONFIG.format(level=level))
        self.manager = Member(self, "manager", "manager")
        self.workers = [Member(self, "worker", f"w{n + 1}") for n in range(options.workers)]
        self.clients = [Member(self, "client", f"c{n + 1}") for n in range(options.clients)]
        self.port = 5570 if network else free_port()
        self.network: Network | None = None
        if network:
            try:
                self.network = Network(member.name for member in (*self.workers, *self.clients))
            except BaseException:
                self.close()
                raise

    def members(self) -> list[Member]:
        return [self.manager, *self.workers, *self.clients]

    def address(self, member: Member | None = None) -> str:
        host = self.network.host(member.name) if self.network and member else "127.0.0.1"
        return f"tcp://{host}:{self.port}"

    # --- starting ---

    def start_manager(self, member: Member) -> Daemon:
        host = "*" if self.network else "127.0.0.1"
        place = ["--listen", f"tcp://{host}:{self.port}", "--insecure"]
        config = str(self.folder / "denimd.conf")
        empty = self.folder / "manager-cwd"
        empty.mkdir(exist_ok=True)
        return Daemon(self.folder, "denimd", *place, "-f", config, cwd=empty)

    def start_worker(self, member: Member) -> Daemon:
        environment = c_environment(
            CHAOS_RUNS=str(self.folder / "runs"), CHAOS_WORKER=member.process_name
        )
        options = ["--manager", self.address(member), "--name", member.name]
        options += ["--slots", str(self.options.slots), "--python", sys.executable]
        options += ["-f", str(self.folder / "worker.conf"), "chaosapp"]
        prefix = self.network.prefix(member.name) if self.network else ()
        return Daemon(
            self.folder, "denim-worker", *options, prefix=prefix, cwd=HERE, env=environment
        )

    def start_client(self, member: Member) -> Client:
        config = {
            "address": self.address(member),
            "name": member.process_name,
            "seed": self._dice.randrange(2**32),
            "window": self.options.window,
            "pause_s": self.options.pause_ms / 1000,
            "patience_s": self.options.patience,
            "history": str(self._history(member.process_name)),
        }
        self._clients.append(member.process_name)
        prefix = self.network.prefix(member.name) if self.network else ()
        return Client([*prefix, sys.executable, str(HERE / "loadclient.py"), json.dumps(config)])

    def start(self) -> None:
        """All of it; returns when each client has had an answer."""
        self.manager.start()
        self.manager.program.await_said("event=ready")
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.program.await_said("event=ready")
        for client in self.clients:
            client.start()
        for client in self.clients:
            until(lambda: self._has_answer(client), f"an answer for {client.name}")

    def _has_answer(self, client: Member) -> bool:
        path = self._history(client.process_name)
        return path.exists() and '"end"' in path.read_text()

    def _history(self, client: str) -> Path:
        return self.folder / f"{client}.history"

    # --- watching ---

    def look(self) -> None:
        """Complain of programs that have ended, and start them again."""
        for member in self.members():
            if member.fault or (member.role == "client" and self._stopping):
                continue
            member.look()
            if member.ended():
                code = member.program.process.returncode
                said = member.program.said()[-3000:]
                self.complaints.append(f"{member.process_name} ended with {code}:\n{said}")
                self.bury(member.program)
                if member.role == "client":
                    self.killed.add(member.process_name)
                member.start()

    def bury(self, program: Any) -> None:
        """Its log is read for the last time."""
        said = program.said()
        if SANITIZER.search(said):
            self.complaints.append(said[-3000:])
        if not self.options.keep:
            program.forget()

    def status(self) -> dict[str, Any]:
        with denim.Client(self.address()) as client:
            return client.status()

    # --- the end ---

    def stop_clients(self) -> None:
        """Let them wait for what is open, and end; the others go on being watched."""
        self._stopping = True
        for client in self.clients:
            client.program.let_go()
        end_at = time.monotonic() + self.options.patience + 30
        while not all(client.ended() for client in self.clients):
            self.look()
            if time.monotonic() > end_at:
                self.complaints.append("a client does not end")
                break
            time.sleep(0.01)
        for client in self.clients:
            self.bury(client.program)

    def stop_programs(self) -> None:
        """SIGTERM, the workers first: all must leave well."""
        for group in (self.workers, [self.manager]):
            for member in group:
                member.signal(signal.SIGTERM)
            for member in group:
                try:
                    code: Any = member.program.process.wait(LEAVE_S)
                except subprocess.TimeoutExpired:
                    code = f"nothing, {LEAVE_S:g} s after SIGTERM"
                if code != 0:
                    said = member.program.said()[-3000:]
                    self.complaints.append(f"{member.process_name} ended with {code}:\n{said}")
                self.bury(member.program)

    def history(self) -> History:
        """What is known of all calls so far."""
        history = History(killed=set(self.killed))
        for name in self._clients:
            read_calls(history, self._history(name), name)
        read_runs(history, self.folder / "runs")
        return history

    def close(self) -> None:
        for member in self.members():
            if member.program and not member.ended():
                member.program.process.kill()
                member.program.process.wait()
        if self.network:
            self.network.close()
        if not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """A process of loadclient.py; it stops at the end of its standard input."""

    def __init__(self, command: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, env=_python()
        )
        self.pid = self.process.pid

    def let_go(self) -> None:
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def said(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def forget(self) -> None:
        self.let_go()
        self._said.close()


def _python() -> dict[str, str]:
    """For a Python process: as this one, and it finds denim where this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def free_port() -> int:
    """One of two neighbours that nobody uses now."""
    for port in random.sample(PORTS, len(PORTS)):
        try:
            for number in (port, port + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port
    raise OSError("no port is free")
