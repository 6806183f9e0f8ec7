"""The Python client in the benchmarks: one line of JSON, as tests/bench/echo.c prints.

    pycalls.py map|call ADDRESS SECONDS
"""

import itertools
import json
import sys
import time

import denim

WARMUP_S = 0.5


def run_map(client: denim.Client, seconds: float) -> dict:
    begin = time.monotonic() + WARMUP_S
    calls, start, now = 0, 0.0, 0.0
    for value in client.map("benchapp:add", itertools.repeat(2), itertools.repeat(3)):
        assert value == 5
        calls += 1
        if calls % 512 == 0:
            now = time.monotonic()
            if now < begin or not start:
                calls, start = 0, now
            elif now - start > seconds:
                break
    return {"tasks_per_s": calls / (now - start), "count": calls}


def run_call(client: denim.Client, seconds: float) -> dict:
    begin = time.monotonic() + WARMUP_S
    took = []
    while (now := time.monotonic()) < begin + seconds:
        assert client.call("benchapp:add", 2, 3) == 5
        if now > begin:
            took.append(time.monotonic() - now)
    took.sort()
    return {
        "tasks_per_s": len(took) / sum(took),
        "count": len(took),
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[len(took) * 99 // 100] * 1e6,
    }


def main() -> None:
    verb, address, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with denim.Client(address) as client:
        print(json.dumps({"map": run_map, "call": run_call}[verb](client, seconds)))


if __name__ == "__main__":
    main()
