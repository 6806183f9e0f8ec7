"""What the benchmarks of overload and scaling share: a cluster, its load, and the table."""

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(os.environ["DENIM_BIN"])
BENCH = BIN.parent / "bench"
HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
MIB = 1 << 20

Report = dict[str, object]


class Programs:
    """Programs of a test cluster, ended when it is closed."""

    def __init__(self) -> None:
        self.programs: list[subprocess.Popen] = []

    def start(self, name: str, *options: object) -> subprocess.Popen:
        program = subprocess.Popen(
            [str(BIN / name), *map(str, options)], stderr=subprocess.PIPE, text=True, cwd=HERE
        )
        self.programs.append(program)
        return program

    def wait_for(self, program: subprocess.Popen, pattern: str) -> str:
        for line in program.stderr:
            if found := re.search(pattern, line):
                threading.Thread(target=list, args=[program.stderr], daemon=True).start()
                return found[1]
        raise SystemExit(f"{program.args[0]} ended before it was ready")

    def close(self) -> None:
        for program in reversed(self.programs):
            program.terminate()
        for program in self.programs:
            try:
                program.wait(timeout=10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


class Cluster(Programs):
    """A manager and workers on free ports of loopback; the tasks sleep, so that a few cores stand
    for any number of slots."""

    def __init__(self, workers: int = 1, slots: int = 32, standby: bool = True,
                 apps: tuple[str, ...] = ("benchapp",), **limits: int) -> None:
        super().__init__()
        self.apps = apps
        self.folder = tempfile.TemporaryDirectory()
        self.slots = workers * slots
        self.manager = self.start("denimd", "-f", self.conf("limits", **limits),
                                  "--listen", "tcp://127.0.0.1:0")
        self.address = self.wait_for(self.manager, r"event=ready address=(\S+)")
        self.worker_conf = self.conf("worker", **({} if standby else {"standby_max": 0}))
        for _ in range(workers):
            self.add_worker(slots)
        self.warm_up()

    def conf(self, section: str, **keys: int) -> Path:
        path = Path(self.folder.name) / f"{section}.conf"
        path.write_text(f"{section}\n" + "".join(f"    {k} = {v}\n" for k, v in keys.items()))
        return path

    def add_worker(self, slots: int) -> None:
        worker = self.start("denim-worker", "-f", self.worker_conf, "--manager", self.address,
                            "--slots", slots, "--python", sys.executable, *self.apps)
        self.wait_for(worker, r"event=ready (.*)")

    def warm_up(self) -> None:
        """Until all slots have started: twice as many calls as slots, until most of them run."""
        for _ in range(20):
            report = self.load("closed", outstanding=2 * self.slots, task_ms=50, seconds=1)
            if report["goodput"] > 0.8 * self.slots / 0.05:
                return

    def spawn(self, program: str, mode: str, **options: object) -> subprocess.Popen:
        argv = [str(BENCH / program), "--manager", self.address, "--mode", mode]
        for name, value in options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, run: subprocess.Popen) -> Report:
        out, err = run.communicate(timeout=900)
        if run.returncode:
            raise SystemExit(f"{run.args[0]} failed: {err.strip()[:500]}")
        return json.loads(out)

    def load(self, mode: str, **options: object) -> Report:
        return self.finish(self.spawn("load", mode, **options))

    def raw(self, mode: str, **options: object) -> Report:
        return self.finish(self.spawn("raw", mode, **options))

    def rss(self, field_name: str = "VmRSS") -> int:
        """Bytes of the manager."""
        text = Path(f"/proc/{self.manager.pid}/status").read_text()
        return int(re.search(rf"{field_name}:\s+(\d+) kB", text)[1]) * 1024

    def close(self) -> None:
        super().close()
        self.folder.cleanup()


@contextlib.contextmanager
def cluster(**how: int) -> Iterator[Cluster]:
    running = Cluster(**how)
    try:
        yield running
    finally:
        running.close()


@dataclass
class Table:
    """Rows of what was measured, what it must be, and whether it is; printed as they come."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, name: str, value: str, must: str = "", good: bool | None = None) -> None:
        verdict = "" if good is None else "ok" if good else "MISSED"
        self.rows.append((name, value, must, verdict))
        print(f"{name:<44} {value:<34} {must:<24} {verdict}".rstrip(), flush=True)

    @property
    def missed(self) -> int:
        return sum(row[3] == "MISSED" for row in self.rows)

    def markdown(self) -> str:
        lines = ["| measured | is | must be | |", "|---|---|---|---|"]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in self.rows]) + "\n"


def machine() -> str:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return (f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}")


def spread(values: list[float], form: str = ".1f") -> str:
    return f"({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""


def loaded() -> float:
    """The load of the machine in the last minute: what else runs here shows in the figures."""
    return os.getloadavg()[0]


def publish(name: str, about: str, table: Table, picture: str) -> None:
    """Write docs/NAME.md, which begins with what it is about, and docs/NAME.svg."""
    (DOCS / f"{name}.svg").write_text(picture)
    (DOCS / f"{name}.md").write_text(
        f"{about}\n\n{machine()}.\n\n{table.markdown()}\n![{name}, as a picture]({name}.svg)\n")


def wait_line(run: subprocess.Popen, text: str, seconds: float = 60) -> None:
    """Until the program says so on stderr; what it says later is dropped."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = run.stderr.readline()
        if not line:
            raise SystemExit(f"{run.args[0]} ended before it was {text}")
        if text in line:
            return
