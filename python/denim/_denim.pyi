# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The C extension: libdenim for Python. It moves bytes and has no opinions.

The rest of the package is built on exactly what stands here. What a payload means, which exception
an outcome becomes and what a future is, is decided in Python.

Rules for all of it:

* Times are seconds (float); None means "no limit". Sizes are bytes.
* Every method may be called from any thread, except that one handle is received from by one thread
  at a time. Every method that waits releases the GIL and lets Python's signal handlers run at least
  every 100 ms; when a handler raises, the exception leaves the method.
* Arguments of a wrong type raise TypeError, values out of range ValueError. A method of a handle
  that is closed, or that was made before a fork, raises RuntimeError with a sentence (close() and
  `del` never do). What happens to a *call* is never an exception: it is a Reply.
* Arguments are positional-only, so that they cost nothing to pass.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, final

Buffer: TypeAlias = Any  # whatever has the buffer protocol and is contiguous

# Name to number, in the order of the tables in denim.h.
OUTCOMES: Final[dict[str, int]]  # VALUE, EXCEPTION, REJECTED, UNAVAILABLE, UNKNOWN_TASK, ...
REASONS: Final[dict[str, int]]  # NONE, FULL, BUSY, DRAINING, NO_WORKER, NO_SERVICE, ...
CODECS: Final[dict[str, int]]  # json, pickle
PRIORITIES: Final[dict[str, int]]  # high, normal, low
VERSION: Final[str]  # of libdenim, as "0.1.0"

@final
class Reply:
    """How one call ended. Never made by hand, never changed."""

    @property
    def token(self) -> Any: ...  # what submit() was given; None after call()
    @property
    def id(self) -> int: ...
    @property
    def outcome(self) -> int: ...  # one of OUTCOMES
    @property
    def reason(self) -> int: ...  # one of REASONS; 0 if none
    @property
    def text(self) -> str: ...  # a sentence, or "" when there is a payload
    @property
    def codec(self) -> int: ...  # one of CODECS, of the frames
    @property
    def frames(self) -> list[memoryview]: ...
    # The payload: [0] is the document, [1:] its buffers. Each is a writable, C-contiguous view of
    # unsigned bytes that keeps its memory alive by itself, beyond the reply and the client. The
    # list is the same object each time.
    @property
    def worker(self) -> str: ...  # name of the worker, "" if none was involved
    @property
    def host(self) -> str: ...  # name of its host, likewise
    @property
    def signal(self) -> int: ...  # that ended the slot; 0: none did
    @property
    def exit_code(self) -> int: ...  # of the slot; -1: it did not exit
    @property
    def oom(self) -> bool: ...  # it was killed for the memory it used
    @property
    def started(self) -> bool: ...  # the task has run, or may have
    @property
    def attempts(self) -> int: ...  # 1, and one more for each LOST that was repeated
    @property
    def run_us(self) -> int: ...  # microseconds in the slot
    @property
    def wait_us(self) -> int: ...  # microseconds at the worker before that

@final
class Client:
    """One handle on a connection to a manager. Connects at the first call that needs it."""

    def __init__(
        self,
        address: str | None,
        /,
        *,
        window: int = 1000,
        connect_timeout: float | None = 10.0,
        name: str | None = None,
    ) -> None: ...
    # None as address: $DENIM_MANAGER, else tcp://127.0.0.1. ValueError, with a sentence that quotes
    # it, when it is no address; nothing is looked up or connected. `name` is shown in status; None:
    # host name and pid.

    def dup(self) -> Client: ...
    # Another handle on the same connection: same window, answers and descriptor of its own.

    def submit(
        self,
        task: str,
        frames: Sequence[Buffer],
        codec: int,
        token: object = None,
        timeout: float | None = None,
        service: str | None = None,
        deadline: float | None = None,
        soft_limit: float | None = None,
        hard_limit: float | None = None,
        priority: int = 1,
        idempotent: bool = False,
        depth: int = 0,
        parent: bytes | None = None,
        /,
    ) -> int: ...
    # The id of the call (> 0). Waits while the window is full, at most `timeout` seconds (0: not at
    # all); 0 when it stayed full. The Reply comes out of recv() of this handle, exactly once for
    # each id, also when the call was cancelled; the handle refers to `token` until then. `frames`
    # are 1 to 64 contiguous buffers; their bytes are copied (or, of `bytes` objects, referred to)
    # before submit() returns, so that the caller may change them afterwards. The window counts
    # calls that have not ended; an ended call whose Reply nobody has received does not count.
    # `depth` is 0, or 1 more than that of the task that makes the call, 255 at most; `parent` are
    # the 24 bytes that name this task, as denim._channel gives them.

    def call(
        self,
        task: str,
        frames: Sequence[Buffer],
        codec: int,
        service: str | None = None,
        deadline: float | None = None,
        soft_limit: float | None = None,
        hard_limit: float | None = None,
        priority: int = 1,
        idempotent: bool = False,
        depth: int = 0,
        parent: bytes | None = None,
        /,
    ) -> Reply: ...
    # Submit and wait, in the window as well. When a signal handler raises, the call is cancelled,
    # its answer is dropped and the exception goes on. When the handle is closed meanwhile:
    # CANCELLED.

    def recv(self, max: int, timeout: float | None, /) -> list[Reply]: ...
    # Up to `max` answers of calls that were submitted through this handle, in the order in which
    # they ended. Waits until there is one, at most `timeout` seconds (0: not at all). An empty
    # list: the time is over, or the handle was closed and all its answers have been received.
    # recv() works on a closed handle.

    def fileno(self) -> int: ...
    # Readable while recv() has something to give. For poll, epoll and select only.

    def cancel(self, id: int, kill: bool = False, /) -> bool: ...
    # True: it had not been handed to the manager and ended at once, as CANCELLED (its Reply comes
    # out of recv() all the same). False: the wish is on its way, or the call has ended, or there is
    # none.

    def running(self, id: int, /) -> bool: ...
    # True when a worker is known to have the call, and it has not ended.

    def progress(self, id: int, /) -> tuple[int, int, str] | None: ...
    # (done, total, text) as the task last said it, total 0 when it is not known; None before that,
    # and once the Reply has been received.

    def status(self, timeout: float, /) -> str: ...
    # The manager's status as JSON text. ConnectionError when no manager is reached within the time,
    # TimeoutError when it does not answer.

    def info(self) -> dict[str, Any]: ...
    # What this client knows of itself, asking nobody: address (str, as resolved from None), state
    # ("idle", "connecting", "connected", "lost"), window, in_flight (calls not ended, of all
    # handles), waiting (those of them that are held here: refused, or not yet sent), epoch (int).

    def close(self) -> None: ...
    # Twice is fine. The calls of this handle that have not ended end as CANCELLED, waiting threads
    # return; the connection goes with its last handle, within a second. In a child of a fork it
    # only forgets.
