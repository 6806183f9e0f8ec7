"""`make bench-acks`: what acknowledgements cost while nothing gets lost.

The build in DENIM_BIN beside one of the same sources with acknowledgements off (no-acks.patch): no
ACK, no SETTLED, nothing kept once it is sent. Each ratio is the median over interleaved pairs, each
with clusters of its own; who goes first changes from pair to pair. Exit code 1 when throughput is
missed.

    acks.py [--pairs 7] [--seconds 3]
"""

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import run
from cluster import BIN, HERE, Table, loaded, machine, spread

ROOT = HERE.parents[1]
PATCH = HERE / "no-acks.patch"
COPIED = ("Makefile", "bin", "include", "python", "src", "tests/bench")
LEAST = 0.9
WINDOW = 512
WARMUP_S = 0.2  # and half a second that each run does not count


def command(*argv: object, cwd: Path) -> None:
    done = subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise SystemExit(f"{argv[0]} failed: {said[-2000:]}")


def build_without(folder: Path) -> Path:
    """A copy of the sources, patched and built; with the variables that this make was given."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.so")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=unwanted)
        else:
            shutil.copy(source, target)
    command("patch", "-p1", "--forward", "-s", "-i", PATCH, cwd=folder)
    build = folder / "build"
    command("make", f"-j{os.cpu_count()}", f"BUILD={build}", "all", f"{build}/bench/calls",
            cwd=folder)
    return build


def process_cpu_s(pid: int) -> float:
    """User and system time, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_cpu_s() -> float:
    """Of the programs that this one has started and that have ended: its clients."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Figures:
    """One number for each run."""

    tasks_per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # for each task


class Side(run.Cluster):
    """A cluster of one build, its slots started."""

    def __init__(self, build: Path) -> None:
        self.build = build
        super().__init__(workers=1, slots=2)
        self.load(WARMUP_S)

    def start(self, name: str, *options: object) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(self.build / "python")}
        program = subprocess.Popen(
            [str(self.build / "bin" / name), *map(str, options)], stderr=subprocess.PIPE,
            text=True, cwd=HERE, env=environment,
        )
        self.programs.append(program)
        return program

    def cpu_s(self) -> float:
        """Manager, worker, and clients; not the slots, which acknowledgements do not reach."""
        return sum(process_cpu_s(p.pid) for p in self.programs) + ended_cpu_s()

    def load(self, seconds: float) -> dict:
        return run.run_json(self.build / "bench/calls", "--manager", self.address,
                            "--seconds", seconds, "--window", WINDOW)

    def measure(self, seconds: float, figures: Figures) -> None:
        before = self.cpu_s()
        done = self.load(seconds)
        figures.tasks_per_s.append(done["tasks_per_s"])
        figures.cpu_us.append((self.cpu_s() - before) / done["total"] * 1e6)


def measure_pair(pair: list[tuple[Path, Figures]], seconds: float) -> None:
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(contextlib.closing(Side(build))) for build, _ in pair]
        for side, (_, figures) in zip(sides, pair):
            side.measure(seconds, figures)


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs)]


def report(on: Figures, off: Figures) -> int:
    table = Table()
    for name, side in (("on", on), ("off", off)):
        table.add(f"acknowledgements {name}",
                  f"{statistics.median(side.tasks_per_s):,.0f} tasks/s "
                  f"{spread(side.tasks_per_s, ',.0f')}")
        table.add("  CPU of manager, worker, client",
                  f"{statistics.median(side.cpu_us):.2f} us a task {spread(side.cpu_us, '.2f')}")
    rate = ratios(on.tasks_per_s, off.tasks_per_s)
    cpu = ratios(on.cpu_us, off.cpu_us)
    ratio = statistics.median(rate)
    table.add("throughput, on over off", f"{ratio:.3f} {spread(rate, '.3f')}",
              f"must be >= {LEAST}", ratio >= LEAST)
    table.add("CPU a task, on over off", f"{statistics.median(cpu):.3f} {spread(cpu, '.3f')}")
    return 1 if table.missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs must be at least 1")
    with tempfile.TemporaryDirectory(prefix="denim-no-acks-") as folder:
        built = build_without(Path(folder))
        print(f"{machine()}, load {loaded():.1f}; window {WINDOW}, {options.pairs} pairs of "
              f"{options.seconds:g} s", flush=True)
        on, off = (BIN.parent, Figures()), (built, Figures())
        for pair in range(options.pairs):
            measure_pair([on, off] if pair % 2 == 0 else [off, on], options.seconds)
    return report(on[1], off[1])


if __name__ == "__main__":
    sys.exit(main())
