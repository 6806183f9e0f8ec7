"""`make bench`: denim beside a bare ZeroMQ broker, as ratios.

Each figure is the median over interleaved pairs (one run of denim, one of the bare broker, in
turn), so that a machine whose speed drifts does not decide. A ratio that is missed makes the exit
code 1.

    run.py [--pairs 5] [--seconds 3] [--only NAME]
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster import BENCH, BIN, HERE, MIB, Programs


@dataclass
class Pair:
    """Measured in turn: `denim` and `bare`, each returning one number."""

    name: str
    unit: str
    denim: Callable[[], float]
    bare: Callable[[], float]
    least: float | None = None  # the ratio must be at least this
    most: float | None = None  # or at most this

    def good(self, ratio: float) -> bool:
        return (self.least is None or ratio >= self.least) and (
            self.most is None or ratio <= self.most
        )


def run_json(*argv: object) -> dict:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit(f"{argv[0]} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Cluster(Programs):
    """A manager and workers on free TCP ports of loopback."""

    def __init__(self, workers: int, slots: int) -> None:
        super().__init__()
        self.manager = self.start("denimd", "--listen", "tcp://127.0.0.1:0")
        self.address = self.wait_for(self.manager, r"event=ready address=(\S+)")
        for _ in range(workers):
            worker = self.start("denim-worker", "--manager", self.address, "--slots", slots,
                                "--python", sys.executable, "benchapp")  # fmt: skip
            self.wait_for(worker, r"event=ready (.*)")

    def cpu_s(self) -> float:
        """User and system time of the manager, all its threads."""
        fields = Path(f"/proc/{self.manager.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def cluster(workers: int = 1, slots: int = 2) -> Iterator[Cluster]:
    running = Cluster(workers, slots)
    try:
        yield running
    finally:
        running.close()


def pairs_of(running: Cluster, seconds: float) -> list[Pair]:
    def echo(key: str, *options: object) -> Callable[[], float]:
        return lambda: run_json(BENCH / "echo", "--seconds", seconds, *options)[key]

    def c_client(key: str, *options: object) -> Callable[[], float]:
        return lambda: run_json(
            BENCH / "calls", "--manager", running.address, "--seconds", seconds, *options
        )[key]

    def python(verb: str, key: str) -> Callable[[], float]:
        return lambda: run_json(
            sys.executable, HERE / "pycalls.py", verb, running.address, seconds
        )[key]

    alone = ("--window", 1)
    large = ("--window", 16, "--bytes", MIB)
    echo_large = ("--task", "benchapp:echo", *large)
    return [
        Pair("C client, window 512", "tasks/s", c_client("tasks_per_s"), echo("tasks_per_s"), 0.5),
        Pair("C client, one at a time", "us p50", c_client("p50_us", *alone),
             echo("p50_us", *alone), most=1.5),
        Pair("Python map", "tasks/s", python("map", "tasks_per_s"), echo("tasks_per_s"), 0.15),
        Pair("Python call", "us p50", python("call", "p50_us"), echo("p50_us", *alone), most=1.8),
        Pair("1 MiB echoed", "tasks/s", c_client("tasks_per_s", *echo_large),
             echo("tasks_per_s", *large), 0.25),
    ]


def measure(pair: Pair, count: int) -> bool:
    ours, theirs = [], []
    for _ in range(count):
        ours.append(pair.denim())
        theirs.append(pair.bare())
    ratios = [a / b for a, b in zip(ours, theirs)]
    ratio = statistics.median(ratios)
    bound = f">= {pair.least}" if pair.least is not None else f"<= {pair.most}"
    verdict = "ok" if pair.good(ratio) else "MISSED"
    print(
        f"{pair.name:<24} {statistics.median(ours):>10,.0f} {statistics.median(theirs):>10,.0f} "
        f"{pair.unit:<8} ratio {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"must be {bound}: {verdict}",
        flush=True,
    )
    return pair.good(ratio)


def manager_cpu(running: Cluster, runs: int) -> bool:
    """Manager's CPU for each small task, over 100,000 of them."""
    costs = []
    for _ in range(runs):
        before = running.cpu_s()
        done = run_json(BENCH / "calls", "--manager", running.address, "--count", 100_000)
        costs.append((running.cpu_s() - before) / done["total"] * 1e6)
    cost = statistics.median(costs)
    good = cost <= 12
    print(f"manager CPU              {cost:.1f} us a task ({min(costs):.1f} to {max(costs):.1f}), "
          f"must be <= 12: {'ok' if good else 'MISSED'}", flush=True)
    return good


def idle_manager(seconds: float) -> bool:
    with cluster(workers=4, slots=1) as running:
        before, start = running.cpu_s(), time.monotonic()
        time.sleep(seconds)
        share = (running.cpu_s() - before) / (time.monotonic() - start) * 100
    good = share < 1
    print(f"idle manager, 4 workers  {share:.2f} % of a core over {seconds:.0f} s, must be < 1: "
          f"{'ok' if good else 'MISSED'}", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--idle-seconds", type=float, default=30)
    parser.add_argument("--only", default="", help="figures whose name has this in it")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
          f"denim, bare broker, medians of {options.pairs} pairs of {options.seconds:.0f} s")
    results = []
    with cluster() as running:
        for pair in pairs_of(running, options.seconds):
            if options.only in pair.name:
                results.append(measure(pair, options.pairs))
        if options.only in "manager CPU":
            results.append(manager_cpu(running, options.pairs))
    if options.only in "idle manager":
        results.append(idle_manager(options.idle_seconds))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
