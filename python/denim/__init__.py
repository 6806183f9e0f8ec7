# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""denim: call Python functions on other machines and get their values back.

    # myapp.py, importable on the workers:          def add(x, y): return x + y
    # on one host:                                  denimd
    # on any number of hosts:                       denim-worker --manager tcp://host myapp

    import denim

    with denim.Client("tcp://host") as client:
        client.call("myapp:add", 2, 3)              # 5
        future = client.submit("myapp:add", 2, 3)   # a concurrent.futures.Future
        for value in client.map("myapp:add", range(10), range(10)):
            print(value)

Without servers at hand, `denim.LocalCluster(app="myapp")` starts them on this machine. Importing
this package starts nothing, connects to nothing and does not load the C library; the first Client
does.
"""

from __future__ import annotations

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, as_completed, wait
from typing import TYPE_CHECKING, Any

from .client import Client, _extension, default_client
from .errors import (
    CodecError,
    DeadlineExceeded,
    DenimError,
    ManagerUnavailable,
    NestingTooDeep,
    NotAllowed,
    PayloadTooLarge,
    PoisonTask,
    ProtocolMismatch,
    Rejected,
    RemoteError,
    SoftTimeLimit,
    TaskCancelled,
    TimeLimit,
    UnknownTask,
    WorkerLost,
)
from .future import Future
from .progress import progress
from .task import Task, task

if TYPE_CHECKING:
    from .local import LocalCluster

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Client",
    "CodecError",
    "DeadlineExceeded",
    "DenimError",
    "Future",
    "LocalCluster",
    "ManagerUnavailable",
    "NestingTooDeep",
    "NotAllowed",
    "PayloadTooLarge",
    "PoisonTask",
    "ProtocolMismatch",
    "Rejected",
    "RemoteError",
    "SoftTimeLimit",
    "Task",
    "TaskCancelled",
    "TimeLimit",
    "UnknownTask",
    "WorkerLost",
    "as_completed",
    "default_client",
    "progress",
    "task",
    "wait",
]

# Names that need more than the rest; their modules are imported when they are asked for.
_LATER = {"LocalCluster": "local"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _extension().VERSION
    if name in _LATER:
        import importlib

        found = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
