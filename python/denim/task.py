# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""`@denim.task`: options and short forms for a function that workers run.

Owns the decorator. The function itself stays what it is, the very object: called directly it runs
here, `inspect` and `pickle` see a plain function, and so does a slot. It gets an attribute
`__denim_task__`, its Task, and the short forms `submit`, `call`, `map`, `starmap` and `options`,
which go through `denim.default_client()`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from .client import default_client
from .future import Future
from .options import Options, task_name

__all__ = ["Task", "task"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Task(Generic[P, R]):
    """What `@denim.task` makes of a function, as type checkers see it.

    function: the function. declared: its options. name: what workers know it by, "module:qualname".

    A caller's own options go before the declared ones: `client.options(hard_limit=5).call(task)`.
    """

    def __init__(self, function: Callable[P, R], declared: Options) -> None:
        self.function = function
        self.declared = declared

    @property
    def name(self) -> str:
        """Raises ValueError when workers cannot know it: a lambda, a nested function, __main__."""
        return task_name(self.function)

    @property
    def __denim_task__(self) -> Task[P, R]:
        return self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here."""
        return self.function(*args, **kwargs)

    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def submit(self, /, *args: Any, **kwargs: Any) -> Any:
        """`Client.submit` of the default client."""
        return default_client().submit(self, *args, **kwargs)

    @overload
    def call(self: Task[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """`Client.call` of the default client."""
        return default_client().call(self, *args, **kwargs)

    def map(self, /, *iterables: Iterable[Any], **options: Any) -> Iterator[Any]:
        """`Client.map` of the default client."""
        return default_client().map(self, *iterables, **options)

    def starmap(self, items: Iterable[Iterable[Any]], /, **options: Any) -> Iterator[Any]:
        """`Client.starmap` of the default client."""
        return default_client().starmap(self, items, **options)

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
    ) -> Task[P, R]:
        """The same short forms with these options, as in `Client.options`."""
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
        return Task(self.function, said.over(self.declared))

    def __repr__(self) -> str:
        name = f"{self.function.__module__}:{self.function.__qualname__}"
        return f"<denim.Task {name} {self.declared!r}>"


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
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
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a task, with options (see `Client.options`) for all its calls.

    The function stays callable and keeps its signature. What is called by its name alone, as
    "myapp:thumbnail", has no options from here: they belong to the caller.

    >>> @task(hard_limit=30, idempotent=True)
    ... def thumbnail(path, size=128):
    ...     return f"{path}@{size}"
    >>> thumbnail("a.png")
    'a.png@128'

        thumbnail.submit("a.png").result()
        thumbnail.options(deadline=2).call("a.png", size=64)
    """
    declared = Options(**options)
    if function is None:
        return lambda function: _mark(function, declared)
    return _mark(function, declared)


def _mark(function: Callable[P, R], declared: Options) -> Task[P, R]:
    if not callable(function):
        raise TypeError(f"@denim.task is for functions, not {function!r}")
    made = Task(function, declared)
    marked = cast(Any, function)
    try:
        marked.__denim_task__ = made
        for name in ("submit", "call", "map", "starmap", "options"):
            setattr(marked, name, getattr(made, name))
    except AttributeError:
        sentence = f"@denim.task is for functions, and {function!r} takes no attributes"
        raise TypeError(sentence) from None
    return cast("Task[P, R]", marked)
