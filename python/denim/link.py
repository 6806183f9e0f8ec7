# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What a client, the views that its options make, and its thread share: one connection.

Owns its life: the first use, the end, what becomes of it in a child of a fork. Must never know the
verbs, and what is called.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

from .answers import Answers
from .errors import DenimError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._denim import Client as Handle
    from .mapping import Mapping

__all__ = ["Link"]

_FORKED = (
    "this denim.Client was made before a fork, and a connection cannot be shared between processes:"
    " make a new one in the child"
)


class _Gone:
    """Stands for the handle of a link that is closed, or on the wrong side of a fork."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence

    def __getattr__(self, name: str) -> NoReturn:
        raise DenimError(self._sentence)

    def close(self) -> None:
        pass


class Link:
    """What a client, its views and its thread share: the handle, and whether it still works."""

    def __init__(self, make: Callable[[], Handle], submit_timeout: float | None) -> None:
        self.submit_timeout = submit_timeout
        self.used = False
        self.closed = False
        self.forked = False
        self._make = make
        self._left: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self.handle: Any = self._make()
        self._lock = threading.Lock()
        self._answers = Answers(self.handle)
        self._maps: weakref.WeakSet[Mapping] = weakref.WeakSet()

    def use(self) -> Any:
        """The handle; the first use starts the thread. Raises DenimError when it is gone."""
        if not self.used:
            with self._lock:
                if not self.used and not self.closed and not self.forked:
                    self._answers.start()
                    self.used = True
        return self.handle

    def keep(self, running: Mapping) -> None:
        """Have a map closed with the link."""
        self._maps.add(running)

    def begin_close(self) -> None:
        """Cancel what is outstanding and let go of the connection, without waiting.

        Whoever comes a second time, as after an exception of a signal, or meanwhile in another
        thread, does the same again, which is harmless, until all of it is done.
        """
        if self.closed or self.forked:
            return
        for running in list(self._maps):
            running.abandon()
        self.handle.close()
        self._answers.end()
        self.handle = _Gone("this denim.Client is closed")
        self.closed = True

    def finish_close(self, timeout: float = 5.0) -> None:
        """Wait until the futures have ended, at most `timeout` seconds."""
        if self.used and not self.forked:
            self._answers.join(timeout)

    def after_fork(self) -> None:
        """In the child: nothing of it may be touched again, least of all be freed.

        Where it was not used yet, as of a client that an app makes when it is imported, all is made
        anew.
        """
        self._left.append(self.handle)
        if not self.used and not self.closed and not self.forked:
            try:
                self._begin()
                return
            except Exception:  # no memory or descriptor: there is none, and its next use says so
                pass
        self.handle = _Gone(_FORKED)
        self.forked = True

    def state(self) -> str:
        """For repr: asks nobody."""
        if self.forked:
            return "left behind by a fork"
        try:
            info = self.handle.info()
        except (DenimError, RuntimeError):
            return "closed"
        return "{state}, {in_flight} in flight, {waiting} waiting".format(**info)
