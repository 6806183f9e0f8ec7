# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The client: call, submit and map tasks from any program.

Owns the verbs, the end of all clients with the process, and the default client. Must never know
how payloads are encoded, or sockets: those are `denim.payload` and the extension `denim._denim`.

A connection has one *link*, shared by its client, the views that `options` makes, and one thread:

    call     asks the extension and waits there
    submit   hands the future over as token; the thread (`denim.answers`) ends it
    map      has a handle of its own and receives in the caller's thread (`denim.mapping`)
"""

from __future__ import annotations

import atexit
import concurrent.futures
import functools
import json
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload

from . import mapping, nesting, payload
from .answers import VALUE, Again, value_of
from .errors import DenimError, ManagerUnavailable, Rejected, from_reply
from .future import Future
from .link import Link
from .options import Options, Plan, task_name

if TYPE_CHECKING:
    from types import TracebackType

    from ._denim import Client as Handle
    from ._denim import Reply

__all__ = ["Caller", "Client", "default_client"]

P = ParamSpec("P")
T = TypeVar("T")

class Caller:
    """The verbs, with options. A `Client` is one; `options` makes more on its connection."""

    _link: Link
    _options: Options
    _plan: Plan
    _plans: dict[Options, Plan]

    def _client(self) -> Client:
        raise NotImplementedError

    def _set_options(self, options: Options) -> None:
        self._options = options
        self._plan = options.plan()
        self._plans = {}

    def options(
        self,
        *,
        service: str | None = None,
        deadline: float | None = None,
        soft_limit: float | None = None,
        hard_limit: float | None = None,
        priority: str | None = None,
        idempotent: bool | None = None,
        codec: str | None = None,
        retries: int | None = None,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        retry_backoff: float | None = None,
    ) -> Caller:
        """The same verbs with these options; None leaves one as it is here.

        service: where it is to run; by default the part of the task's name before ":".
        deadline: seconds until the call must have ended, else it ends as `DeadlineExceeded` (or
            `Rejected`, when nothing ran). None: no end.
        soft_limit, hard_limit: seconds of run time, after which `SoftTimeLimit` is raised in the
            task, and its slot is killed (`TimeLimit`).
        priority: "high", "normal" or "low".
        idempotent: it may run twice: after a lost worker it is submitted again.
        codec: "json" or "pickle" (the workers must have been started with --allow-pickle).
        retries, retry_on, retry_backoff: call again, at most so often, when the task raised one of
            these exceptions (by default any), after so many seconds (by default 0.5), doubled each
            time.

            client.options(deadline=2.0, priority="high").call("myapp:add", 2, 3)
        """
        said = Options(
            service,
            deadline,
            soft_limit,
            hard_limit,
            priority,
            idempotent,
            codec,
            retries,
            retry_on,
            retry_backoff,
        )
        return _View(self._client(), said.over(self._options))

    @overload
    def call(
        self, task: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def call(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def call(self, task: str, /, *args: Any, **kwargs: Any) -> Any: ...
    def call(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run a task on a worker and return its value.

        task: "module:function", or a function that stands for it.

        Raises what the task raised, and everything in `denim.errors`. Ctrl-C leaves it within
        100 ms and cancels the call.

            client.call("myapp:add", 2, 3)      # 5
        """
        if type(task) is str and ":" in task:
            plan = self._plan
        else:
            task, plan = self._known(task)
        if nesting.channel is not None:
            plan = nesting.plan(plan)
        frames = payload.encode(args, kwargs, plan.codec)
        handle = self._link.use()
        reply = self._ask(handle, task, frames, plan.codec, plan.tail)
        if reply.outcome == VALUE:
            return value_of(reply, plan)
        if plan.retry is None:
            raise from_reply(reply, task)
        return self._call_again(handle, task, Again(plan, frames), reply)

    def _ask(
        self, handle: Handle, task: str, frames: Sequence[Any], codec: int, tail: tuple[Any, ...]
    ) -> Reply:
        """Make a call and wait for its reply."""
        try:
            if nesting.channel is None:
                return handle.call(task, frames, codec, *tail)
            return nesting.wait(handle.call, task, frames, codec, *tail)
        except RuntimeError as error:
            raise DenimError(str(error), task=task) from None

    def _call_again(self, handle: Handle, task: str, again: Again, reply: Reply) -> Any:
        """Call until there is a value, or no further attempt."""
        while reply.outcome != VALUE:
            failure = from_reply(reply, task)
            pause = again.pause(reply, failure)
            if pause is None:
                raise failure
            time.sleep(pause)
            again.attempts += 1
            reply = self._ask(handle, task, again.frames, again.plan.codec, again.tail())
        return value_of(reply, again.plan)

    @overload
    def submit(
        self, task: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def submit(self, task: str, /, *args: Any, **kwargs: Any) -> Future[Any]: ...
    def submit(self, task: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Like call, but return at once, with a future.

        Waits while the window is full (as many calls are outstanding as the client allows), at most
        the client's submit_timeout seconds; then raises `Rejected`, reason "WINDOW_FULL". Large
        buffers among the arguments are copied before it returns.

            future = client.submit("myapp:add", 2, 3)
            future.result()                     # 5
        """
        if type(task) is str and ":" in task:
            plan = self._plan
        else:
            task, plan = self._known(task)
        if nesting.channel is not None:
            plan = nesting.plan(plan)
        frames = payload.encode(args, kwargs, plan.codec)
        link = self._link
        handle = link.use()
        future: Future[Any] = Future(task, plan, handle, self._client())
        if plan.retry is not None:
            future._again = Again(plan, frames)
        call, timeout = (task, frames, plan.codec, future), link.submit_timeout
        try:
            if nesting.channel is None:
                number = handle.submit(*call, timeout, *plan.tail)
            else:
                number = nesting.wait_if_needed(handle.submit, call, timeout, *plan.tail)
        except RuntimeError as error:
            raise DenimError(str(error), task=task) from None
        if not number:
            raise Rejected(
                f"{task}: the window stayed full for {link.submit_timeout} s: as many calls are"
                " outstanding as this client allows; nothing ran",
                reason="WINDOW_FULL",
                why="WINDOW_FULL",
                task=task,
            )
        future._id = number
        return future

    def map(
        self,
        task: str | Callable[..., T],
        /,
        *iterables: Iterable[Any],
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
        timeout: float | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> Iterator[Any]:
        """Like the built-in map, on the workers: values in the order of the items, lazily.

        At most `buffersize` items (by default the client's window) are taken from the iterables
        ahead of the value that is asked for, so they may be endless. The first of them are
        submitted at once. Closing the iterator, or leaving a loop over it, cancels what is
        outstanding.

        chunksize: so many items travel as one task, which pays for tiny ones. A chunk fails as one.
        ordered: False: values in the order in which they come.
        timeout: seconds from now, after which the iterator raises TimeoutError.
        progress: show a bar on stderr (a line for every tenth when that is no terminal).
        return_exceptions: give what a task raised as its value, instead of raising it, which ends
            the iterator.

            list(client.map("myapp:add", range(3), range(3)))       # [0, 2, 4]
        """
        total = mapping.length(iterables) if progress else None
        return self._map(
            task, zip(*iterables), total, chunksize, buffersize, ordered, timeout, progress,
            return_exceptions,
        )  # fmt: skip

    def starmap(
        self,
        task: str | Callable[..., T],
        items: Iterable[Iterable[Any]],
        /,
        *,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
        timeout: float | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> Iterator[Any]:
        """Like map, with one iterable of argument lists.

            list(client.starmap("myapp:add", [(1, 2), (3, 4)]))     # [3, 7]
        """
        total = mapping.length((items,)) if progress else None
        return self._map(
            task, map(tuple, items), total, chunksize, buffersize, ordered, timeout, progress,
            return_exceptions,
        )  # fmt: skip

    def _map(
        self,
        task: Any,
        items: Iterator[tuple[Any, ...]],
        total: int | None,
        chunksize: int,
        buffersize: int | None,
        ordered: bool,
        timeout: float | None,
        progress: bool,
        return_exceptions: bool,
    ) -> Generator[Any, None, None]:
        name, plan = self._known(task)
        if chunksize < 1:
            raise ValueError(f"chunksize must be 1 or more, not {chunksize!r}")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize must be 1 or more, not {buffersize!r}")
        handle = self._link.use()
        running = mapping.Mapping(
            handle.dup(),
            name,
            nesting.plan(plan),
            items,
            chunksize=chunksize,
            buffersize=buffersize or handle.info()["window"],
            ordered=ordered,
            end_at=None if timeout is None else time.monotonic() + timeout,
            return_exceptions=return_exceptions,
        )
        self._link.keep(running)
        values = running.values(self._client(), total, progress)
        next(values)  # submits the first ones
        return values

    def _known(self, task: Any) -> tuple[str, Plan]:
        """Name and plan of a task; what `@denim.task` declares holds where this says nothing."""
        declared = getattr(task, "__denim_task__", None)
        if declared is None:
            return task_name(task), self._plan
        options = declared.declared
        plan = self._plans.get(options)
        if plan is None:
            plan = self._plans[options] = self._options.over(options).plan()
        return declared.name, plan

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a denim.Client cannot be pickled: make one in each process, from its .address"
        )


class Client(Caller):
    """A client of a manager; connects at the first call. Any thread may use it.

    address: "tcp://HOST[:PORT]" or "ipc://PATH"; None is $DENIM_MANAGER, else tcp://127.0.0.1.
        Raises ValueError when it is none.
    window: calls outstanding at most; more wait in `submit`.
    submit_timeout: seconds that they wait at most; None: for ever.
    connect_timeout: seconds; when the manager is not reached once within it, calls end as
        `ManagerUnavailable`. None: wait for ever. One that was reached and went away is waited for
        until the call's deadline; the logger "denim" warns of it after 3 s.
    codec: "json" or "pickle", for all calls.

    Close it, or use it as a context manager: that cancels what is outstanding.

        with denim.Client("tcp://host") as client:
            client.call("myapp:add", 2, 3)
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        window: int = 1000,
        submit_timeout: float | None = None,
        connect_timeout: float | None = 10.0,
        codec: str = "json",
        name: str | None = None,
    ) -> None:
        said = Options(codec=codec)
        self._set_options(Options() if codec == "json" else said)  # json is what is not said
        address = address or os.environ.get("DENIM_MANAGER") or "tcp://127.0.0.1"
        make = functools.partial(
            _extension().Client, address, window=window, connect_timeout=connect_timeout, name=name
        )
        self._link = Link(make, submit_timeout)
        self._address: str = self._link.handle.info().get("address") or address
        _clients.add(self)

    def _client(self) -> Client:
        return self

    @property
    def address(self) -> str:
        """The manager's address."""
        return self._address

    @property
    def closed(self) -> bool:
        """Whether it cannot be used any more: it was closed, or a fork left it behind."""
        return self._link.closed or self._link.forked

    def gather(
        self,
        *futures: concurrent.futures.Future[Any],
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """The values of futures, in their order. Raises an exception as soon as there is one.

        timeout: seconds, after which it raises TimeoutError. The others go on in either case.
        return_exceptions: put exceptions into the list instead.

            client.gather(client.submit("myapp:add", 1, 2), client.submit("myapp:add", 3, 4))
        """
        when = "ALL_COMPLETED" if return_exceptions else "FIRST_EXCEPTION"
        done, waiting = concurrent.futures.wait(futures, timeout, when)
        if not return_exceptions:
            for future in futures:
                if future in done and (future.cancelled() or future.exception() is not None):
                    future.result()  # raises it
        if waiting:
            raise TimeoutError(f"{len(waiting)} of {len(futures)} futures are not done")
        return [_outcome(future) if return_exceptions else future.result() for future in futures]

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """The manager's view of clients, workers and services; raises ManagerUnavailable.

        Keys: version, epoch, uptime_ms, draining, clients, waiting, slots, busy, tasks; workers and
        services, a list each; counters.

            client.status()["slots"]
        """
        try:
            text = self._link.use().status(timeout)
        except (ConnectionError, TimeoutError) as error:
            raise ManagerUnavailable(f"{self._address}: {error}") from None
        except RuntimeError as error:
            raise DenimError(str(error)) from None
        answer: dict[str, Any] = json.loads(text)
        return answer

    def close(self) -> None:
        """Cancel what is outstanding and disconnect; twice is fine. Takes some seconds at most."""
        self._link.begin_close()
        self._link.finish_close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        link = self.__dict__.get("_link")  # missing when __init__ raised
        if link is None or link.closed or link.forked:
            return
        if link.used:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        link.begin_close()

    def __repr__(self) -> str:
        return f"<denim.Client {self._address} {self._link.state()}>"


class _View(Caller):
    """A client with options."""

    def __init__(self, client: Client, options: Options) -> None:
        self._owner = client
        self._link = client._link
        self._set_options(options)

    def _client(self) -> Client:
        return self._owner

    def __repr__(self) -> str:
        return f"<{self._options!r} of {self._owner!r}>"


def _outcome(future: concurrent.futures.Future[Any]) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error


def _extension() -> Any:
    """The C extension; imported here, so that slots that never call do not load its libraries."""
    try:
        from . import _denim
    except ImportError as error:
        raise ImportError(
            f"denim's C extension cannot be loaded ({error}): in a source tree run `make` and set"
            " PYTHONPATH=build/python"
        ) from error
    return _denim


# --- the default client, forks and the end -------------------------------------------------------

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_default: Client | None = None
_default_lock = threading.Lock()


def default_client() -> Client:
    """The client that `@denim.task` functions use, made on first use from $DENIM_MANAGER.

    One for each process: a child of a fork makes its own, or goes on with one not used yet.

        denim.default_client().call("myapp:add", 2, 3)
    """
    global _default
    client = _default
    if client is None or client.closed:
        with _default_lock:
            client = _default
            if client is None or client.closed:
                client = _default = Client()
    return client


def _set_default(client: Client | None) -> Client | None:
    """Put another client in its place; returns the one that was there. For tests."""
    global _default
    with _default_lock:
        client, _default = _default, client
    return client


def _after_fork() -> None:
    global _default_lock
    for client in list(_clients):
        client._link.after_fork()
    _default_lock = threading.Lock()


def _close_all() -> None:
    """At exit: all begin before the first is waited for, so the time is that of one."""
    links = [client._link for client in list(_clients)]
    for link in links:
        link.begin_close()
    for link in links:
        link.finish_close(2.0)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_close_all)
