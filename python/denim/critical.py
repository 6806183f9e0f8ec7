# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Where no soft limit or cancel is raised: what it would break there outlives the task.

An exception that a signal raises comes between any two instructions, and most code is ready for
that: `with` and `finally` are. Two kinds are not:

* Python code that takes a lock, or gives it back, for others: behind the call that has taken it,
  and before the one that gives it back, no `with` stands yet, or any more. It is held for ever.
* What the interpreter calls by itself, dropping what is raised: callbacks of weak references and
  finalizers. The limit would be lost, and they would stop half-way. Each `__del__` is known by its
  name, also to `denim._channel`, which looks at all this when a signal has come, and puts it off.

Owns the list. Must never know signals, and which exception it is.
"""

from __future__ import annotations

import concurrent.futures._base
import dis
import importlib
import logging
import sys
import threading
import weakref
from types import CodeType
from typing import Any

__all__ = ["Place", "places"]

Place = tuple[CodeType, int, int]  # a function, and where in it raising does no harm: begin, end

_PLACES = {  # what another version of Python has not is passed over
    threading: (
        "Condition.__enter__",
        "Condition.__exit__",
        "Condition._release_save",
        "Condition._acquire_restore",
    ),
    concurrent.futures._base: ("_AcquireFutures.__enter__", "_AcquireFutures.__exit__"),
    logging: ("Handler.acquire", "Handler.release", "_acquireLock", "_releaseLock"),
    importlib._bootstrap: (  # type: ignore[attr-defined]
        "_ModuleLockManager.__enter__",
        "_ModuleLockManager.__exit__",
        "_ImportLockContext.__enter__",
        "_ImportLockContext.__exit__",
    ),
    weakref: ("finalize.__call__",),
}
_IF_IMPORTED = {  # by the app, or by what it imports
    "multiprocessing.synchronize": (
        "SemLock.__enter__",
        "SemLock.__exit__",
        "Condition.__enter__",
        "Condition.__exit__",
    )
}
_CALLBACKS = (weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)


def places() -> tuple[Place, ...]:
    """The functions that these are, as `Channel.serve` takes them."""
    found = [_find(module, path) for module, paths in _PLACES.items() for path in paths]
    for name, paths in _IF_IMPORTED.items():
        found += [_find(sys.modules.get(name), path) for path in paths]
    found += [_find(kind(), "_remove") for kind in _CALLBACKS]
    codes = [function.__code__ for function in found if hasattr(function, "__code__")]
    return (*((code, 0, 0) for code in codes), *_waiting(threading.Condition.wait))


def _find(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name, None)
    return owner


def _waiting(function: Any) -> list[Place]:
    """A function that gives its lock back, waits in its first `try`, and takes it again: to be
    interrupted there, and nowhere else.
    """
    entries = getattr(dis.Bytecode(function), "exception_entries", ())
    return [(function.__code__, entry.start, entry.end) for entry in entries[:1]]
