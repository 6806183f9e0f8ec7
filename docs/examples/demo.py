"""The main job of denim, on real input: measure every file of Python's standard library.

Starts a cluster on this machine, has each file analysed by a worker, kills a slot in the middle,
and compares the sum with what a plain loop in this process finds: equal, or exit code 1. Then many
callers ask for more than there is, and all of them are served.

    python3 demo.py [--part N] [--workers N]      --part N: only every N-th file
"""

import argparse
import os
import signal
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import corpus  # noqa: E402  (found beside this file)
import denim  # noqa: E402


def read_files(part: int) -> list[tuple[str, bytes]]:
    """Name and bytes of every part-th `.py` file of the standard library."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in root.rglob("*.py") if "-packages" not in str(path))
    return [(str(path.relative_to(root)), path.read_bytes()) for path in paths[::part]]


def add_up(results) -> dict:
    """The sum of what `corpus.analyse` found in each file."""
    total = {"files": 0, "unparsed": 0, "lines": 0, "functions": 0, "classes": 0, "complex": []}
    for found in results:
        total["files"] += 1
        total["unparsed"] += not found["parses"]
        for key in ("lines", "functions", "classes"):
            total[key] += found[key]
        total["complex"] = corpus.top(total["complex"] + found["complex"])
    return total


def analyse_on_workers(cluster: denim.LocalCluster, files: list) -> tuple[dict, float, int]:
    """The sum, the seconds it took, and the slot that was killed meanwhile."""
    killed = 0

    def results(calls):
        nonlocal killed
        for number, found in enumerate(calls):
            if number == len(files) // 2:
                killed = cluster.slot_pids[0]
                os.kill(killed, signal.SIGKILL)  # as a crash would, or the kernel
            yield found

    with cluster.client() as client:
        # A file may be analysed twice without harm: whoever was in the killed slot is called again.
        calls = client.options(idempotent=True)
        start = time.monotonic()
        total = add_up(results(calls.starmap(corpus.analyse, files, progress=True)))
        return total, time.monotonic() - start, killed


def busy_moment(cluster: denim.LocalCluster, callers: int, calls: int) -> dict:
    """Many callers at once, far more work than slots: what the manager refused, what went wrong."""
    before = refused(cluster)
    errors: list[BaseException] = []

    def caller(number: int) -> None:
        try:
            with cluster.client() as client:
                for _ in client.map(corpus.busy, range(number, number + calls)):
                    pass
        except BaseException as error:  # noqa: BLE001  (it is counted)
            errors.append(error)

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(caller, range(callers)))
    return {
        "callers": callers,
        "calls": callers * calls,
        "refused": refused(cluster) - before,
        "errors": errors,
    }


def refused(cluster: denim.LocalCluster) -> int:
    """REJECTs that the manager has sent so far."""
    with cluster.client() as client:
        return sum(client.status()["counters"]["rejected"].values())


def print_table(total: dict) -> None:
    for key in ("files", "unparsed", "lines", "functions", "classes"):
        print(f"  {key:<10} {total[key]:>10,}")
    print("\n  complexity  function")
    for number, name in total["complex"]:
        print(f"  {number:>10}  {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description="the main job of denim, on real input")
    parser.add_argument("--part", type=int, default=1, help="only every N-th file")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    files = read_files(options.part)
    size = sum(len(source) for _, source in files)
    print(f"{len(files):,} files of Python's standard library, {size / 1e6:.1f} MB")
    with denim.LocalCluster(workers=options.workers, app=["corpus"]) as cluster:
        slots = len(cluster.slot_pids)
        print(f"a manager, {options.workers} workers, {slots} slots")
        total, seconds, killed = analyse_on_workers(cluster, files)
        print(f"\n{len(files) / seconds:,.0f} files/s in {seconds:.2f} s;", end=" ")
        print(f"slot {killed} was killed in the middle\n")
        print_table(total)

        start = time.monotonic()
        local = add_up(corpus.analyse(name, source) for name, source in files)
        print(f"\nthe same in a plain loop: {time.monotonic() - start:.2f} s,", end=" ")
        print("equal" if local == total else "DIFFERENT")

        busy = busy_moment(cluster, callers=4, calls=400 // options.part + 60)
        print(f"\na busy moment: {busy['callers']} callers, {busy['calls']:,} calls,", end=" ")
        print(f"{busy['refused']:,} refusals, {len(busy['errors'])} errors")
        for error in busy["errors"]:
            print(f"  {error!r}", file=sys.stderr)

    good = local == total and killed and busy["refused"] > 0 and not busy["errors"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
