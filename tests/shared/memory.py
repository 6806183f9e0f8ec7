# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""How much memory denimd may take: the formula of denimd(8), MEMORY, as a function.

    bound(clients=16, window=20, workers=1, places=32, arguments=MIB)
"""

from __future__ import annotations

import re
from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20

# What the manual lists, by the same names, in bytes. Rows of tables: at the start for each that is
# allowed (*_max), and in use.
COSTS = {
    "fixed": 11 * MIB,  # program, libraries, stacks, effects and buffers of a turn, small tables
    "clients_max": 168,
    "workers_max": 72,
    "tasks_max": 24,
    "services_max": 576,
    "client": 96 * KIB,  # its connection: two queues, two buffers; its row and waiters
    "worker": 100 * KIB,  # the same; what it is told to let go of
    "task": 256,
    "service": 256,
    "message": 20 * KIB,  # one that waits: its header, and the buffer that it was read into
    "unplaced": 1 * MIB,  # payloads of a client of ours that are on their way in
    "ahead": 65,  # messages that are read ahead of a client: libzmq's mark, and one in its hand
    "records": 4000,  # tasks of one client
}
ALLOCATOR = 1.25  # what comes and goes leaves gaps


def parts(
    *,
    clients: int,
    callers: int | None = None,
    window: int = 1000,
    workers: int = 1,
    places: int = 0,
    arguments: int = 0,
    values: int = 0,
    stuck: int = 0,
    outbox: int = 64 * MIB,
    flooding: int = 0,
    payload_max: int = 64 * MIB,
    services: int = 1,
    clients_max: int = 2000,
    workers_max: int = 256,
    tasks_max: int = 65536,
    services_max: int = 1024,
) -> dict[str, int]:
    """Bytes at most, by what they are for.

    clients, workers: connected. callers: the clients that call; None: all. window: calls of one
    that have not ended, at most. places: slots, and tasks that stand by, of all workers.
    arguments, values: bytes of the largest. stuck: callers that do not read their answers.
    flooding: clients of another make, on top, that keep to no window. outbox: of each worker. The
    rest: the settings of those names.
    """
    cost = COSTS
    callers = clients if callers is None else callers
    message = cost["message"]
    calls = min(window, cost["records"])
    at_once = min(window, cost["ahead"], max(1, cost["unplaced"] // max(arguments, 1)))
    records = min(tasks_max, callers * calls)
    answers = places + min(tasks_max, stuck * calls)
    moving = {
        "arguments on their way in": callers * at_once * (arguments + message),
        "arguments on their way out": places * (arguments + message),
        "values": answers * message
        + min(answers * values, places * values + workers * outbox),
        "floods": flooding * cost["ahead"] * (payload_max + MIB),
    }
    return {
        "program": cost["fixed"],
        "tables": clients_max * cost["clients_max"]
        + workers_max * cost["workers_max"]
        + tasks_max * cost["tasks_max"]
        + services_max * cost["services_max"]
        + records * cost["task"]
        + services * (cost["service"] + workers_max // 8),
        "connections": (clients + flooding) * cost["client"] + workers * cost["worker"],
        **{name: int(ALLOCATOR * n) for name, n in moving.items()},
    }


def bound(**load: int) -> int:
    """Bytes of denimd's memory, at most."""
    return sum(parts(**load).values())


def memory_of(pid: int, field: str = "VmHWM") -> int:
    """Bytes of a process: at most so far, or VmRSS: now."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found, field
    return int(found[1]) * KIB
