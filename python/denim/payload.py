# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What travels in a payload: arguments, values and exceptions, as frames of bytes.

Owns the two codecs and the shape of documents. Must never know sockets, clients, or slots; both
ends use it. A payload is a list of buffers: [0] is the document, the others are large pieces of it,
at most 64 in all.

    a call        [args] or [args, kwargs]: a list, and an object of keyword arguments
    many calls    [args, kwargs, [[...], [...]]]: f(*args, *item, **kwargs) for each item, in order
    a value       the bare value (of many calls: the list of their values)
    an exception  an object, see `encode_exception`; JSON always

**The json codec** is JSON in UTF-8. Plain values (None, bool, int, float, str, list, dict with str
keys) are what they are in JSON, at the speed of the C encoder, and any plain JSON from elsewhere is
such values. Other types are *tagged*: an object with one name, which begins with `~` (the table is
in `denim.tags`):

    {"~tuple": [1, 2]}   {"~bytes": "AAEC"}   {"~bytes": 1}: frame 1   {"~datetime": "2024-..."}

A dictionary of the user that looks like a tag has its name's `~` doubled. A document that holds no
`"~` is decoded without any of this. bytes, bytearray, memoryview and numpy arrays over 4 KiB are
frames of their own, without a copy on the way out; memoryviews and arrays are views of the received
frame on the way in. Types are exact: a subclass (a namedtuple, an Enum) is refused with its path
rather than turned into something else.

**The pickle codec** is protocol 5 with large buffers as frames. Whoever decodes must allow it.

Decoding trusts nothing: whatever the bytes are, it returns a value of the types above or raises
CodecError, imports nothing that a message names (numpy, when an array comes, is all that it ever
imports), and needs memory in proportion to the bytes.

>>> import datetime
>>> decode(encode_value((1, {"when": datetime.date(2024, 2, 29)})))
(1, {'when': datetime.date(2024, 2, 29)})
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import traceback
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import CodecError, NotAllowed, RemoteError
from .tags import DEPTH_MAX, FRAMES_MAX, INLINE_MAX, Reader, Writer
from .unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    Buffer = bytes | bytearray | memoryview | pickle.PickleBuffer
    Frames = Sequence[bytes | bytearray | memoryview]

__all__ = [
    "CODECS",
    "JSON",
    "PICKLE",
    "Chunk",
    "Raised",
    "decode",
    "decode_call",
    "decode_exception",
    "encode",
    "encode_chunk",
    "encode_exception",
    "encode_value",
]

JSON = 1
PICKLE = 2
CODECS = {"json": JSON, "pickle": PICKLE}

PICKLE_ADVICE = (
    'convert it, or let both ends use pickle: client.options(codec="pickle"), and workers started'
    " with --allow-pickle"
)


class Chunk(list[list[Any]]):
    """The argument lists of many calls in one payload, as `decode_call` gives them."""


# --- encoding ------------------------------------------------------------------------------------


def encode(
    args: Sequence[Any], kwargs: Mapping[str, Any] | None = None, codec: int = JSON
) -> list[Buffer]:
    """Encode the arguments of one call. Raises CodecError with the path to what cannot be carried.

    The frames refer to large buffers among the arguments; they are not copied here.

    >>> encode((2, 3))
    [b'[[2,3]]']
    """
    document = [args, kwargs] if kwargs else [args]
    if codec == JSON:
        if _plain_items(args) and (not kwargs or _plain(kwargs, DEPTH_MAX)):
            text = _dump(document)
            if text is not None:
                return [text]
        return _encode_tagged(("args", args), ("kwargs", kwargs or {}))
    return _encode_pickle(document, codec)


def encode_chunk(items: Sequence[Sequence[Any]], codec: int = JSON) -> list[Buffer]:
    """Encode many calls of one task, each an argument list; the slot answers with a list of values.

    >>> encode_chunk([(1,), (2,)])
    [b'[[],{},[[1],[2]]]']
    """
    if codec == JSON:
        if all(map(_plain_items, items)):
            text = _dump([(), {}, items])
            if text is not None:
                return [text]
        return _encode_tagged(("args", ()), ("kwargs", {}), ("items", items))
    return _encode_pickle([(), {}, items], codec)


def encode_value(value: Any, codec: int = JSON) -> list[Buffer]:
    """Encode what a task returned. Raises CodecError.

    >>> encode_value({"sum": 5})
    [b'{"sum":5}']
    """
    if codec == JSON:
        kind = type(value)
        if kind is int and -_SHORT < value < _SHORT:
            return [b"%d" % value]
        if kind in _SCALARS or _plain(value, DEPTH_MAX):
            text = _dump(value)
            if text is not None:
                return [text]
        return _encode_tagged(("value", value))
    return _encode_pickle(value, codec)


_SHORT = 2**63  # integers below it are written without the encoder
_SCALARS = frozenset([type(None), bool, int, float, str])
_all_scalars = _SCALARS.issuperset
_all_str = frozenset([str]).issuperset


def _plain_items(values: Sequence[Any]) -> bool:
    """Whether JSON carries each of these as it is; NaN, infinity and huge integers aside."""
    if _all_scalars(map(type, values)):
        return True
    return all(type(value) in _SCALARS or _plain(value, DEPTH_MAX) for value in values)


def _plain(value: Any, depth: int) -> bool:
    """The same for a container; anything else is not plain. `depth`: levels that may follow."""
    kind = type(value)
    if kind is dict:
        if not _all_str(map(type, value)) or (len(value) == 1 and next(iter(value))[:1] == "~"):
            return False
        value = value.values()
    elif kind is not list:
        return False
    if _all_scalars(map(type, value)):
        return True
    if depth <= 1:
        return False
    for item in value:
        if type(item) not in _SCALARS and not _plain(item, depth - 1):
            return False
    return True


def _dump(document: Any) -> bytes | None:
    """JSON of plain values; None when there is a NaN, an infinity or a huge integer among them."""
    try:
        text = "".join(_encoder(document, 0))
    except (ValueError, TypeError, RecursionError):
        return None
    if len(text) > _DIGITS and sys.get_int_max_str_digits() != _DIGITS:
        return None  # this process may write integers that others do not read
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


_DIGITS = sys.int_info.default_max_str_digits


def _refuse(value: Any) -> Any:
    raise TypeError(value)


def _make_encoder() -> Callable[[Any, int], Sequence[str]]:
    """The C encoder, made once: json.dumps makes one each time, which costs more than its use."""
    if c_make_encoder is not None:
        made: Callable[[Any, int], Sequence[str]] = c_make_encoder(
            None, _refuse, encode_basestring, None, ":", ",", False, False, False
        )
        return made
    slow = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return lambda document, level: (slow.encode(document),)


_encoder = _make_encoder()


def _encode_tagged(*roots: tuple[str, Any]) -> list[Buffer]:
    """Encode with tags; `roots` are the names and values of a call's parts, or of the one value."""
    writer = Writer()
    plain = []
    for name, root in roots:
        try:
            if name == "value":
                plain.append(writer.tag(root))
            elif name == "kwargs":
                plain.append(writer.named(root))
            elif name == "items":
                plain.append([writer.items(item) for item in root])
            else:
                plain.append(writer.items(root))
        except Unfit as unfit:
            path = unfit.path(name)
            raise CodecError(f"{path}: {unfit.what}; {PICKLE_ADVICE}", path=path) from None
        except RecursionError:
            raise CodecError(f"{name}: nested too deeply", path=name) from None
    document = plain[0] if roots[0][0] == "value" else plain
    if len(plain) == 2 and not plain[1]:
        del plain[1]
    text = "".join(_encoder(document, 0))
    return [text.encode("utf-8", "surrogatepass"), *writer.frames]


def _encode_pickle(document: Any, codec: int) -> list[Buffer]:
    if codec != PICKLE:
        raise ValueError(f"no codec has the number {codec!r}")
    buffers: list[Buffer] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        """False: goes as a frame. What is small, not contiguous or read-only goes in place."""
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes <= INLINE_MAX or view.readonly or len(buffers) >= FRAMES_MAX - 1:
            return True
        buffers.append(view)
        return False

    try:
        text = pickle.dumps(document, protocol=5, buffer_callback=keep)
        failure = None
    except Exception as error:
        text, failure = b"__main__", error
    if b"__main__" in text:  # by reference into a program that the other side has not
        by_value = _cloudpickle(document, keep, buffers)
        if by_value is not None:
            return by_value
    if failure is not None:
        sentence = f"cannot pickle it: {failure} (cloudpickle, when installed, carries lambdas too)"
        raise CodecError(sentence) from failure
    return [text, *buffers]


def _cloudpickle(
    document: Any, keep: Callable[[pickle.PickleBuffer], bool], buffers: list[Buffer]
) -> list[Buffer] | None:
    """Pickled by value; None when cloudpickle is not installed."""
    try:
        import cloudpickle  # type: ignore
    except ImportError:
        return None
    buffers.clear()
    try:
        text: bytes = cloudpickle.dumps(document, protocol=5, buffer_callback=keep)
    except Exception as error:
        raise CodecError(f"cannot pickle it: {error}") from error
    return [text, *buffers]


# --- decoding ------------------------------------------------------------------------------------


def decode(frames: Frames, codec: int = JSON, *, allow_pickle: bool = False) -> Any:
    """Decode one document. Raises CodecError, or NotAllowed for a pickle that is not allowed.

    >>> decode([b'[1,{"~tuple":[2,3]}]'])
    [1, (2, 3)]
    """
    if codec == JSON:
        try:
            frame = frames[0]
            text = frame.decode() if type(frame) is bytes else str(frame, "utf-8")
            if len(frames) == 1 and '"~' not in text and "\\u007" not in text:
                value, end = _scan(text, 0)
                if end == len(text):
                    return value
        except Exception:  # said with care below
            pass
        return _decode_tagged(frames)
    return _decode_pickle(frames, codec, allow_pickle)


_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def _decode_tagged(frames: Frames) -> Any:
    try:
        text = str(frames[0], "utf-8", "surrogatepass")
        reader = Reader(frames[1:])
        value = json.JSONDecoder(object_hook=reader.hook).decode(text)
        reader.finish()
        return value
    except Unfit as unfit:
        sentence = f"the document holds {unfit.what}"
    except json.JSONDecodeError as error:
        sentence = f"the document is not JSON: {error}"
    except RecursionError:
        sentence = "the document is nested too deeply"
    except Exception as error:  # of the constructors of the tagged types, all without side effects
        sentence = f"the document holds something malformed: {type(error).__name__}: {error}"
    raise CodecError(f"cannot decode it: {sentence}")


def _decode_pickle(frames: Frames, codec: int, allow_pickle: bool) -> Any:
    if codec != PICKLE:
        raise CodecError(f"cannot decode it: codec {codec!r} is not known here")
    if not allow_pickle:
        raise NotAllowed(
            "a pickle arrived and is refused: the client must ask for codec=\"pickle\", and the"
            " worker must have been started with --allow-pickle"
        )
    try:
        return pickle.loads(frames[0], buffers=frames[1:])
    except Exception as error:
        raise CodecError(f"cannot unpickle it: {type(error).__name__}: {error}") from error


def decode_call(
    frames: Frames, codec: int = JSON, *, allow_pickle: bool = False
) -> tuple[tuple[Any, ...] | Chunk, dict[str, Any]]:
    """Decode what `encode` or `encode_chunk` made: (args, kwargs). Raises like `decode`.

    For many calls, args is a Chunk: the caller runs f(*item, **kwargs) for each item of it, in
    order, and encodes the list of their values; the first exception ends it. No frames, or an
    empty document, is a call without arguments.

    >>> decode_call([b'[[2,3]]'])
    ((2, 3), {})
    >>> decode_call([b'[[],{},[[1],[2]]]'])
    ([[1], [2]], {})
    """
    if not frames or (len(frames) == 1 and not len(frames[0])):
        return (), {}
    document = decode(frames, codec, allow_pickle=allow_pickle)
    if type(document) is list and len(document) == 1 and type(document[0]) is list:
        return tuple(document[0]), {}  # as most are
    if type(document) is not list or not 1 <= len(document) <= 3:
        raise CodecError("cannot decode it: a call is [args], [args, kwargs] or those and a chunk")
    args = document[0]
    kwargs = document[1] if len(document) > 1 else {}
    if type(args) not in (list, tuple):
        raise CodecError("cannot decode it: args are no list")
    if type(kwargs) is not dict or not _all_str(map(type, kwargs)):
        raise CodecError("cannot decode it: kwargs are no object with names")
    if len(document) < 3:
        return tuple(args), kwargs
    items = document[2]
    if type(items) not in (list, tuple) or not all(type(item) in (list, tuple) for item in items):
        raise CodecError("cannot decode it: a chunk is a list of argument lists")
    return Chunk([*args, *item] for item in items), kwargs


# --- exceptions ----------------------------------------------------------------------------------

TRACEBACK_MAX = 32 * 1024  # characters of a traceback; of a longer one the middle is left out
MESSAGE_MAX = 8 * 1024  # characters of a message
ARGS_MAX = 256 * 1024  # characters of an exception's args; larger ones stay behind


class Raised(NamedTuple):
    """What is told of an exception.

    type_name, module, qualname: of its class.
    message: its str(). traceback_text: as Python prints it, with causes.
    args: its args, None when they could not be carried.
    make_args: what its class is called with, None when that is args.
    """

    type_name: str
    module: str
    qualname: str
    message: str
    traceback_text: str
    args: tuple[Any, ...] | None
    make_args: tuple[Any, ...] | None


def encode_exception(error: BaseException) -> list[Buffer]:
    """Encode what a task raised, as JSON (codec JSON, whatever the call's codec). Never raises.

    The frames of denim itself at the outer end of the traceback are left out. What a call that the
    task made has raised, as RemoteError, is told as what it was there.

    >>> decode_exception(encode_exception(KeyError("x")))[:4]
    ('KeyError', 'builtins', 'KeyError', "'x'")
    """
    kind = type(error)
    document: dict[str, Any] = {
        "type": kind.__name__,
        "module": kind.__module__,
        "qualname": kind.__qualname__,
        "message": _cut(_message(error), MESSAGE_MAX),
        "traceback": _cut(_traceback(error), TRACEBACK_MAX),
    }
    if kind is RemoteError and error.type_name:  # type: ignore[attr-defined]
        document["type"] = document["qualname"] = error.type_name  # type: ignore[attr-defined]
        document["module"] = error.module  # type: ignore[attr-defined]
        document["message"] = _cut(error.message, MESSAGE_MAX)  # type: ignore[attr-defined]
        return [json.dumps(document).encode()]  # without args: nobody is to make one of it
    try:
        args = _carried(error.args)
        made: Any = OSError.__reduce__(error)[1] if isinstance(error, OSError) else error.args
        if made != error.args:  # OSError keeps its file names outside args
            document["make_args"] = _carried(made)
        document["args"] = args
    except Exception:  # of a codec that cannot carry them, or of a property of the user's
        document.pop("make_args", None)
    return [json.dumps(document).encode()]


def decode_exception(frames: Frames) -> Raised:
    """Decode what `encode_exception` made. Raises CodecError when it is no such document."""
    document = _decode_outline(frames)
    texts = [document.get(name) for name in ("type", "module", "qualname", "message", "traceback")]
    type_name, module, qualname, message, text = (x if type(x) is str else "" for x in texts)
    if not type_name:
        raise CodecError("cannot decode it: an exception without a type")
    args, make_args = (_brought(document.get(name)) for name in ("args", "make_args"))
    return Raised(type_name, module, qualname, message, text, args, make_args)


def _decode_outline(frames: Frames) -> dict[str, Any]:
    document = decode(frames)
    if type(document) is not dict:
        raise CodecError("cannot decode it: an exception is an object")
    return document


def _carried(args: tuple[Any, ...]) -> str:
    """Args as a document of their own, so that the rest can be read when these cannot."""
    text = "".join(_encoder(Writer(frames_max=1).items(args), 0))
    if len(text) > ARGS_MAX:
        raise CodecError("too large")
    return text


def _brought(text: Any) -> tuple[Any, ...] | None:
    if type(text) is not str:
        return None
    try:
        args = decode([text.encode("utf-8", "surrogatepass")])
    except CodecError:
        return None
    return tuple(args) if type(args) is list else None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a __str__ of the user's
        return "<its __str__ raises>"


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _traceback(error: BaseException) -> str:
    entry: TracebackType | None = error.__traceback__
    while entry is not None and entry.tb_frame.f_code.co_filename.startswith(_HERE):
        entry = entry.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, entry))
    except Exception:  # of a property of the user's, or for want of stack or memory
        return "<the traceback cannot be printed>"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    note = f"\n... {len(text) - limit} characters left out ...\n"
    return text[: limit // 4] + note + text[-limit * 3 // 4 :]
