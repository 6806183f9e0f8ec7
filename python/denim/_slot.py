# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A slot: imports the app, then runs one task at a time for its supervisor, `denim-worker`.

Owns what is opinion: which functions can be called and why others cannot, how an app is imported,
what becomes of exceptions. Must never know descriptors, packets and signals: `denim._channel`, in
C, calls `run` for each task and is told the outcome.

What a slot inherits is listed in the sources' `wire/heritage.h`. A *zygote* is the same program
that imports the app once and is then forked into slots.
"""

from __future__ import annotations

import difflib
import functools
import gc
import importlib
import inspect
import os
import platform
import sys
import traceback
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from . import client, critical, nesting, payload
from .errors import CodecError, NotAllowed, SoftTimeLimit
from .progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from ._channel import Channel

    Answer = tuple[int, int, list[Any], str]  # outcome, codec, frames, a sentence

__all__ = ["SoftCancel", "main", "on_slot_start"]

H = TypeVar("H", bound="Callable[[], object]")

EXIT_USE, EXIT_CONFIG = 64, 78
SERVICES_MAX = 256  # that READY can name
NAME_MAX = 127  # bytes of a service's name
TEXT_MAX = 1000  # bytes of a sentence
PLACE_MAX = 63  # bytes of a worker's name, or of a host's

channel: Channel | None = None  # of this process, when it is a slot


class SoftCancel(BaseException):
    """Raised inside a task whose caller has cancelled it, or whose deadline has passed. No
    `Exception`, as SoftTimeLimit is none."""


# --- start hooks ---------------------------------------------------------------------------------

_start_hooks: list[Callable[[], object]] = []


def on_slot_start(function: H) -> H:
    """Have a function called in every slot, after the app is imported and before the first task.

    A slot is forked from a process that has imported the app: what must not be shared over a fork,
    such as connections and random generators of one's own, is made here.
    """
    _start_hooks.append(function)
    return function


# --- what is inherited ---------------------------------------------------------------------------


class Heritage(NamedTuple):
    """What the supervisor says, through variables that only this process sees."""

    zygote: bool
    apps: list[str]
    only_decorated: bool
    allow_pickle: bool
    service: str
    worker: str
    parent: int
    home: str
    payload_max: int
    app_path: list[str]

    @staticmethod
    def take(environ: MutableMapping[str, str]) -> Heritage:
        """Take it out of the environment, so that a task's children do not see it."""
        text = {
            name: environ.pop(f"DENIM_SLOT_{name}", "")
            for name in ("ROLE", "APPS", "FLAGS", "NAME", "PARENT", "HOME", "PAYLOAD_MAX")
        }
        app_path = environ.pop("DENIM_APP_PATH", "")
        if text["ROLE"] not in ("slot", "zygote"):
            print("denim._slot is started by denim-worker, not by hand", file=sys.stderr)
            raise SystemExit(EXIT_USE)
        flags = text["FLAGS"].split()
        service = [flag.partition("=")[2] for flag in flags if flag.startswith("service=")]
        return Heritage(
            zygote=text["ROLE"] == "zygote",
            apps=text["APPS"].split(),
            only_decorated="only_decorated" in flags,
            allow_pickle="allow_pickle" in flags,
            service=service[0] if service else "",
            worker=_clean(text["NAME"], PLACE_MAX),
            parent=int(text["PARENT"]),
            home=text["HOME"],
            payload_max=int(text["PAYLOAD_MAX"] or 0),
            app_path=[entry for entry in app_path.split(":") if entry],
        )


def set_path(path: list[str], app_path: list[str], home: str) -> None:
    """Give `sys.path` its order: the working directory as `python -m` has it, the app's, ...,
    denim's.

    The start-up line has put `home` at the end; it goes when it was there anyway.
    """
    if home in path[:-1] and path[-1] == home:
        path.pop()
    first = 0
    if path and path[0] == "":
        first = 1
        try:
            path[0] = os.getcwd()
        except OSError:  # it has been removed
            pass
    entries = dict.fromkeys(os.path.abspath(entry) for entry in app_path)
    path[first:first] = [entry for entry in entries if entry not in path]


# --- what can be called --------------------------------------------------------------------------

_FUNCTIONS = (FunctionType, type(functools.lru_cache(lambda: None)))


def refusal(module: ModuleType, name: str, only_decorated: bool) -> str | None:
    """Why `name` of an app module cannot be called, as a sentence; None when it can."""
    if name not in vars(module):
        return f"{module.__name__} has no function {name!r}"
    value = vars(module)[name]
    kind = type(value)  # never value.__class__: that of a proxy runs code
    listed = vars(module).get("__all__")
    if listed is not None and name not in listed:
        return f"{name!r} is not in __all__ of {module.__name__}, which lists what can be called"
    if listed is None and name.startswith("_"):
        return f"{name!r} is private: names that begin with _ cannot be called"
    if issubclass(kind, type):
        return f"{name!r} is a class, and only functions can be called"
    if kind not in _FUNCTIONS and kind.__name__ != "cython_function_or_method":
        return f"{name!r} is an object of type {kind.__name__}, and only functions can be called"
    origin = getattr(value, "__module__", None)
    if listed is None and origin != module.__name__:
        there = f"{origin}:{getattr(value, '__name__', name)}"
        return f"{name!r} was imported into {module.__name__}; it is {there}"
    if only_decorated and not hasattr(value, "__denim_task__"):
        return f"{name!r} is not decorated with @denim.task, and this worker serves nothing else"
    return None


def apply(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The task "denim:apply": call a function that came along."""
    return as_plain(function)(*args, **kwargs)


class Catalogue:
    """What this slot can run, and what it says of all else.

    functions: by the names of tasks. modules: that are served, by name. services: to be announced.
    """

    def __init__(self, heritage: Heritage) -> None:
        self.only_decorated = heritage.only_decorated
        self.service = heritage.service
        self.modules = _served(heritage.apps)
        self.functions: dict[str, Callable[..., Any]] = {}
        found = [name for name in self.modules if self._add(name) or name in heritage.apps]
        self.services = [heritage.service] if heritage.service else found
        if heritage.allow_pickle:
            self.functions["denim:apply"] = apply
            self.services.append("denim")
        if len(self.services) > SERVICES_MAX:
            left_out = self.services[SERVICES_MAX:]
            del self.services[SERVICES_MAX:]
            print(
                f"denim: {SERVICES_MAX} services can be announced; "
                f"not announced: {' '.join(left_out)}",
                file=sys.stderr,
            )

    def _add(self, module_name: str) -> bool:
        """Whether it has anything that can be called."""
        module = self.modules[module_name]
        any_there = False
        for name in list(vars(module)):
            if refusal(module, name, self.only_decorated) is None:
                function = as_plain(vars(module)[name])
                self.functions[f"{module_name}:{name}"] = function
                if self.service:
                    self.functions.setdefault(f"{self.service}:{name}", function)
                any_there = True
        return any_there

    def explain(self, task: str) -> str:
        """Why there is no such task, and the nearest that there are."""
        module_name, colon, name = task.partition(":")
        module = self.modules.get(module_name)
        if not colon:
            why = f"{task!r} is no task: write module:function"
        elif module is not None:
            why = refusal(module, name, self.only_decorated) or f"{name!r} cannot be called"
            if "." in name:
                why += ", and only functions at the top of a module can be called"
        elif module_name in self.services:
            why = f"{module_name} has no function {name!r}"
        else:
            why = f"{module_name!r} is not served here, only {', '.join(self.services)}"
        near = self._near(module_name, name if colon else task)
        return f"{why}; did you mean {' or '.join(near)}?" if near else f"{why}."

    def _near(self, module_name: str, name: str) -> list[str]:
        """Tasks with a name like that: in its module, or in any if that is not served."""
        known = any(task.startswith(f"{module_name}:") for task in self.functions)
        of = module_name if known else ""
        tasks: dict[str, str] = {}
        for task in self.functions:
            owner, _, own_name = task.partition(":")
            if of in ("", owner):
                tasks.setdefault(own_name, task)
        return [tasks[near] for near in difflib.get_close_matches(name, tasks, 3, 0.6)]


def _served(apps: list[str]) -> dict[str, ModuleType]:
    """The app modules, then those below them that they have themselves imported by now."""
    names = list(apps)
    below = tuple(f"{app}." for app in apps)
    loaded = list(sys.modules)
    names += sorted(name for name in loaded if name.startswith(below) and name not in apps)
    served = {}
    for name in names:
        module = sys.modules.get(name)
        fits = len(name.encode("utf-8", "replace")) <= NAME_MAX
        if fits and module is not None and issubclass(type(module), ModuleType):
            served[name] = module
    return served


# --- coroutines ----------------------------------------------------------------------------------


def as_plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that may make coroutines as one that runs them to their end; any other as it is.
    """
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        import asyncio  # noqa: F401 (so that no task waits for it)

        return functools.partial(run_coroutine, function)
    return function


def run_coroutine(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function and, if that gives a coroutine, run it in a loop of its own.

    A soft limit or cancel is raised in it while it computes, and cancels it while it waits.
    """
    import asyncio

    own: asyncio.Task[Any] | None = None
    held: list[BaseException] = []

    def interrupt(error: BaseException) -> BaseException | None:
        if own is not None and (own.done() or asyncio.current_task(own.get_loop()) is own):
            return error
        held.append(error)
        if own is not None:
            own.get_loop().call_soon_threadsafe(own.cancel)
        return None

    async def body(made: Any) -> Any:
        nonlocal own
        own = asyncio.current_task()
        if held:  # it came while the loop was being made
            made.close()
            raise held[0]
        return await made

    if inspect.iscoroutinefunction(function):
        _interrupt.coroutine = interrupt
    try:
        made = function(*args, **kwargs)
        if not inspect.iscoroutine(made):  # what decorates it has run it
            return made
        _interrupt.coroutine = interrupt
        return asyncio.run(body(made))
    except asyncio.CancelledError:
        if not held:
            raise
    finally:
        _interrupt.coroutine = None
    raise held[0]


class _Interrupt:
    """What the channel asks when a signal meant for the running task has come."""

    coroutine: Callable[[BaseException], BaseException | None] | None = None

    def __call__(self, wish: int) -> BaseException | None:
        """The exception to raise in the task now, or None."""
        from . import _channel

        if wish == _channel.WISH_CANCEL:
            error: BaseException = SoftCancel(
                "the caller has cancelled the task, or its deadline has passed"
            )
        else:
            error = SoftTimeLimit("the task has run for longer than its soft limit")
        return error if self.coroutine is None else self.coroutine(error)


_interrupt = _Interrupt()


# --- one task ------------------------------------------------------------------------------------


def run_chunk(
    function: Callable[..., Any], items: payload.Chunk, kwargs: dict[str, Any]
) -> list[Any]:
    """Many calls in one task; the first exception ends it."""
    return [function(*item, **kwargs) for item in items]


def make_run(
    channel: Channel, catalogue: Catalogue, allow_pickle: bool
) -> Callable[[str, int, list[Any]], Answer]:
    """Make what the channel calls for each task. It never raises, as far as that can be."""
    from . import _channel

    functions = catalogue.functions
    call = channel.call
    decode_call, encode_value = payload.decode_call, payload.encode_value
    chunk = payload.Chunk
    value_outcome = _channel.VALUE
    pid = os.getpid()

    def raised(error: BaseException) -> Answer:
        if os.getpid() != pid:
            _end_child(error)
        if isinstance(error, SoftCancel) and channel.wish() == _channel.WISH_CANCEL:
            return _channel.CANCELLED, payload.JSON, [], "cancelled while it ran"
        return _channel.EXCEPTION, payload.JSON, payload.encode_exception(error), ""

    def run(name: str, codec: int, frames: list[Any]) -> Answer:
        try:
            function = functions.get(name)
            if function is None:
                return _channel.UNKNOWN_TASK, codec, [], catalogue.explain(name)
            try:
                args, kwargs = decode_call(frames, codec, allow_pickle=allow_pickle)
            except NotAllowed as error:
                return _channel.NOT_ALLOWED, codec, [], str(error)
            except CodecError as error:
                return _channel.CODEC, codec, [], str(error)
            if type(args) is chunk:
                function, args, kwargs = run_chunk, (function, args, kwargs), {}
            value = call(function, args, kwargs)
            try:
                return value_outcome, codec, encode_value(value, codec), ""
            except CodecError as error:
                return _channel.CODEC, codec, [], str(error)
        except BaseException as error:
            return raised(error)

    return run


def _end_child(error: BaseException) -> NoReturn:
    """A child that a task has forked came out of the task: end it as Python ends."""
    code = 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1 if error.code else 0
    else:
        traceback.print_exception(error)
    _leave(code)


# --- start ---------------------------------------------------------------------------------------


def main() -> None:
    """Run a slot, or a zygote and then the slots that it is forked into; see `wire/heritage.h`."""
    heritage = Heritage.take(os.environ)
    from . import _channel

    if not _channel.settle(heritage.parent, heritage.zygote):
        _leave(0)  # the supervisor died meanwhile
    sys.argv[:] = ["denim-slot"]
    set_path(sys.path, heritage.app_path, heritage.home)
    for file in (sys.stdout, sys.stderr):
        if hasattr(file, "reconfigure"):
            file.reconfigure(line_buffering=True)

    make_channel = functools.partial(
        _channel.Channel,
        heritage.payload_max,
        worker=heritage.worker,
        host=_clean(os.uname().nodename, PLACE_MAX),
    )
    opened = make_channel(has_page=not heritage.zygote)
    for app in heritage.apps:
        try:
            importlib.import_module(app)
        except BaseException as error:
            _fail(opened, app, error)
    catalogue = Catalogue(heritage)
    gc.collect()
    gc.freeze()  # what the app has made stays: the collector need not look, nor copy its pages
    if heritage.zygote:
        _announce(opened, catalogue)
        _flush()
        if opened.zygote() is None:
            _leave(0)
        opened = make_channel()
        _reseed()
    _serve(opened, catalogue, heritage.allow_pickle)


def _serve(opened: Channel, catalogue: Catalogue, allow_pickle: bool) -> None:
    global channel
    channel = nesting.channel = opened
    progress._send = _say_progress
    for hook in _start_hooks:
        try:
            hook()
        except BaseException as error:
            _fail(opened, getattr(hook, "__module__", "") or "", error)
    _announce(opened, catalogue)
    run = make_run(opened, catalogue, allow_pickle)
    opened.serve(run, _interrupt, critical.places())
    client._close_all()  # before Python's end, which waits for threads, which may wait for calls


def _say_progress(done: int, total: int, text: str) -> None:
    if channel is not None:
        channel.progress(min(done, 2**64 - 1), min(total, 2**64 - 1), _clean(text, 255))


def _announce(opened: Channel, catalogue: Catalogue) -> None:
    opened.ready(
        len(os.listdir("/proc/self/task")),
        platform.python_version(),
        _clean(sys.executable or "", TEXT_MAX),
        _clean(_library(), TEXT_MAX),
        catalogue.services,
    )


@functools.cache  # forks need not look again
def _library() -> str:
    """The file of the shared libpython that this process runs in; empty when there is none."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.rstrip("\n")[73:]
            if os.path.basename(path).startswith("libpython"):
                return path
    return ""


def _reseed() -> None:
    """numpy's global state is the same in every fork; Python has seen to its own `random`."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _fail(opened: Channel, module: str, error: BaseException) -> NoReturn:
    """The app cannot be run: say so to whoever started the worker, and end."""
    entry = error.__traceback__
    folders = (os.path.dirname(__file__), os.path.dirname(importlib.__file__))
    ours = (*(folder + os.sep for folder in folders), "<frozen importlib")
    while entry is not None and entry.tb_frame.f_code.co_filename.startswith(ours):
        entry = entry.tb_next  # none is left when the module is not there or does not parse
    text = "".join(traceback.format_exception(type(error), error, entry))
    line = traceback.format_exception_only(type(error), error)[-1].strip()
    if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
        line += f"; looked first in {sys.path[0]}"
    opened.failed(_clean(module, 255), _clean(line, TEXT_MAX), _clean(text, 2**20))
    _leave(EXIT_CONFIG)


def _clean(text: str, bytes_max: int) -> str:
    """As UTF-8 that a header can carry: no lone surrogates, no NUL, cut at a character."""
    if text.isascii() and len(text) <= bytes_max and "\0" not in text:
        return text
    cut = text.replace("\0", " ").encode("utf-8", "replace")[:bytes_max]
    return cut.decode("utf-8", "ignore")


def _flush() -> None:
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except (AttributeError, OSError, ValueError):
            pass


def _leave(code: int) -> NoReturn:
    _flush()
    os._exit(code)
