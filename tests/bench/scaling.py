"""`make bench-scaling`: throughput grows with the number of workers.

1, 2, 3 and 4 workers of 8 slots each, and tasks that sleep: they hold a slot and no CPU, so that
the cores of the machine are not what is measured. Exit code 1 when a ratio is missed.

    scaling.py [--quick] [--runs 3] [--publish]
"""

import argparse
import statistics
import sys

import chart
from cluster import Table, cluster, loaded, machine, publish, spread

SLOTS = 8
TASK_MS = 100
WORKERS = (1, 2, 3, 4)

ABOUT = f"""# One more worker

Throughput with 1 to 4 workers of {SLOTS} slots each, as `make bench-scaling` printed it: the middle
of the rounds, and their range. Twice as many calls are outstanding as there are slots. Tasks sleep
{TASK_MS} ms: they hold a slot and no CPU, so that the cores are not what is measured."""


def measure(workers: int, seconds: float) -> float:
    """Tasks a second with twice as many calls outstanding as slots."""
    with cluster(workers=workers, slots=SLOTS) as running:
        report = running.load("closed", callers=4, outstanding=workers * SLOTS // 2,
                              task_ms=TASK_MS, seconds=seconds)
    return report["goodput"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 s a point, once")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--publish", action="store_true",
                        help="write docs/scaling.md and its picture")
    options = parser.parse_args()
    runs, seconds = (1, 4) if options.quick else (options.runs, 20)
    print(f"{machine()}, load {loaded():.1f}; {SLOTS} slots a worker, tasks that sleep "
          f"{TASK_MS} ms, {runs} x {seconds} s a point")
    points = {n: [] for n in WORKERS}
    for _ in range(runs):
        for n in WORKERS:
            points[n].append(measure(n, seconds))
    table = Table()
    rate = {n: statistics.median(points[n]) for n in WORKERS}
    for n in WORKERS:
        table.add(f"{n} worker{'s' * (n > 1)}, {n * SLOTS} slots",
                  f"{rate[n]:.1f} tasks/s {spread(points[n])}")
    three, four = rate[3] / rate[2], rate[4] / rate[1]
    table.add("3 workers over 2", f"{three:.3f}", "1.48 to 1.52", 1.48 <= three <= 1.52)
    table.add("4 workers over 1", f"{four:.3f}", ">= 3.9", four >= 3.9)
    if options.publish:
        publish("scaling", ABOUT, table, chart.page([chart.scaling(rate)], columns=1))
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
