# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A lazy map over many items, in a process of its own: how far ahead it reads, and its memory.

    longmap.py ADDRESS TASK COUNT [--early N] [--window 1000] [--chunksize 1] [--unordered]

Prints JSON: the items read ahead of the value that was asked for, at most; bytes of memory after
`early` items and after all of them; seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import denim


def rss() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def measure(client: denim.Client, options: argparse.Namespace) -> dict[str, float]:
    yielded = ahead = early = 0
    begun = time.monotonic()

    def items() -> Iterator[int]:
        nonlocal ahead
        for n in range(options.count):
            ahead = max(ahead, n - yielded)
            yield n

    values = client.map(
        options.task, items(), chunksize=options.chunksize, ordered=not options.unordered
    )
    total = 0
    for value in values:
        total += value
        yielded += 1
        if yielded == options.early:
            early = rss()
    assert total == sum(range(options.count))
    return {"ahead": ahead, "early": early, "late": rss(), "seconds": time.monotonic() - begun}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("task", help="gives back its one argument")
    parser.add_argument("count", type=int)
    parser.add_argument("--early", type=int, default=0)
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--chunksize", type=int, default=1)
    parser.add_argument("--unordered", action="store_true")
    options = parser.parse_args()
    with denim.Client(options.address, window=options.window) as client:
        print(json.dumps(measure(client, options)))


if __name__ == "__main__":
    main()
