# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The tagged types of the json codec: what JSON cannot say, as objects with one name `~...`.

Owns the table of tags, both directions, and which buffers become frames. Must never know where
documents come from; `denim.payload` is its only user, and describes the whole codec.

    ~tuple ~set ~frozenset   [items]            ~dict        [[key, value], ...] (keys not all str)
    ~bytes ~bytearray        BUFFER             ~memoryview  BUFFER, or [BUFFER, format, shape]
    ~int                     hexadecimal        ~float       "nan", "inf", "-inf"
    ~complex                 [real, imag]       ~decimal     text
    ~date                    ISO                ~datetime ~time   ISO, or [ISO, fold, ZONE]
    ~timedelta               [days, s, us]      ~uuid        hexadecimal
    ~ndarray ~numpy          arrays and scalars of numpy, see `denim.arrays`
    ~~name                   an object of the user whose one name is ~name

    BUFFER  base64 text, or the number of the frame that holds it; no frame is named twice
    ZONE    null, a key of the time zone database, or [days, s, us] or [days, s, us, name] of UTC
"""

from __future__ import annotations

import binascii
import dataclasses
import datetime
import decimal
import enum
import math
import os
import re
import sys
import uuid
from typing import TYPE_CHECKING, Any

from . import arrays
from .unfit import Unfit, as_int, as_list, as_str, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["DEPTH_MAX", "FRAMES_MAX", "INLINE_MAX", "Reader", "Writer"]

DEPTH_MAX = 200  # containers inside one another; more is refused
FRAMES_MAX = 64  # frames of one payload, the document included; buffers beyond that go in place
INLINE_MAX = 4096  # bytes of a buffer that goes into the document; larger ones are frames

# The shortest limit that sys.set_int_max_str_digits takes is 640 digits; integers that are shorter
# are written and read as decimals everywhere.
_DECIMAL_BITS_MAX = 2126

_NATIVE_FORMATS = frozenset("bBhHiIlLqQnNfd?c")  # of memoryviews that can be cast back


def cannot_carry(value: object) -> Unfit:
    """An Unfit that names the value's type and the nearest way out."""
    return Unfit(f"cannot carry {type(value)!r}{_way_out(value)}")


def _way_out(value: object) -> str:
    kind = type(value)
    if isinstance(value, enum.Enum):
        return " (pass its .value)"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return " (pass dataclasses.asdict(...))"
    if isinstance(value, os.PathLike):
        return " (pass os.fspath(...))"
    for base in kind.__mro__[1:]:
        if base in _WRITERS or base in (str, int, float):
            return f", a subclass of {base.__name__} (pass {base.__name__}(...))"
    if callable(value):
        return ""
    if arrays.is_array(value):
        return " (pass numpy.asarray(...))"
    return ""


# --- writing -------------------------------------------------------------------------------------


class Writer:
    """Turns one document into plain values, and collects the buffers that are frames of their own.

    frames: buffers, of which the first is frame 1.
    """

    def __init__(self, frames_max: int = FRAMES_MAX) -> None:
        self.frames: list[Any] = []
        self._room = frames_max - 1
        self._inside: set[int] = set()  # ids of the containers around the value in hand

    def tag(self, value: Any) -> Any:
        """The plain form of any value. Raises Unfit."""
        writer = _WRITERS.get(type(value))
        if writer is None:
            writer = arrays.writer_of(value)
            if writer is None:
                raise cannot_carry(value)
        return writer(self, value)

    def items(self, values: Iterable[Any]) -> list[Any]:
        """The plain form of a sequence's items."""
        plain: list[Any] = []
        tag = self.tag
        try:
            for value in values:
                plain.append(tag(value))
        except Unfit as unfit:
            unfit.steps.append(f"[{len(plain)}]")
            raise
        return plain

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The plain form of a dictionary whose keys are all strings."""
        plain: dict[str, Any] = {}
        for name, value in values.items():
            try:
                plain[name] = self.tag(value)
            except Unfit as unfit:
                unfit.steps.append(f"[{name!r}]")
                raise
        if len(plain) == 1 and name[:1] == "~":
            return {"~" + name: plain[name]}
        return plain

    def buffer(self, value: Any, size: int) -> str | int:
        """In place as base64, or as the number of a new frame."""
        if size <= INLINE_MAX or len(self.frames) >= self._room:
            return binascii.b2a_base64(value, newline=False).decode("ascii")
        self.frames.append(value)
        return len(self.frames)

    def enter(self, container: Any) -> None:
        if id(container) in self._inside:
            raise Unfit(f"cannot carry a {type(container).__name__} that contains itself")
        if len(self._inside) >= DEPTH_MAX:
            raise Unfit(f"cannot carry more than {DEPTH_MAX} levels of nesting")
        self._inside.add(id(container))

    def leave(self, container: Any) -> None:
        self._inside.discard(id(container))


def _write_plain(writer: Writer, value: Any) -> Any:
    return value


def _write_int(writer: Writer, value: int) -> Any:
    return value if value.bit_length() <= _DECIMAL_BITS_MAX else {"~int": format(value, "x")}


def _write_float(writer: Writer, value: float) -> Any:
    return value if math.isfinite(value) else {"~float": repr(value)}


def _write_list(writer: Writer, value: list[Any]) -> Any:
    writer.enter(value)
    plain = writer.items(value)
    writer.leave(value)
    return plain


def _write_tuple(writer: Writer, value: tuple[Any, ...]) -> Any:
    writer.enter(value)
    plain = writer.items(value)
    writer.leave(value)
    return {"~tuple": plain}


def _write_set(writer: Writer, value: set[Any] | frozenset[Any]) -> Any:
    name = type(value).__name__
    writer.enter(value)
    try:
        plain = writer.items(value)
    except Unfit as unfit:  # items of a set have no place that could be named
        unfit.steps.pop()
        unfit.what = unfit.what.replace("carry ", f"carry {name} of ", 1)
        raise
    writer.leave(value)
    return {"~" + name: plain}


def _write_dict(writer: Writer, value: dict[Any, Any]) -> Any:
    writer.enter(value)
    if _STRINGS.issuperset(map(type, value)):
        plain: Any = writer.named(value)
    else:
        plain = {"~dict": [_pair(writer, key, item) for key, item in value.items()]}
    writer.leave(value)
    return plain


def _pair(writer: Writer, key: Any, value: Any) -> list[Any]:
    try:
        name = writer.tag(key)
    except Unfit as unfit:
        unfit.steps.append(f".key({short(key)})")
        raise
    try:
        return [name, writer.tag(value)]
    except Unfit as unfit:
        unfit.steps.append(f"[{short(key)}]")
        raise


def _write_bytes(writer: Writer, value: bytes | bytearray) -> Any:
    return {"~" + type(value).__name__: writer.buffer(value, len(value))}


def _write_memoryview(writer: Writer, value: memoryview) -> Any:
    flat: memoryview | bytes
    flat = value.cast("B") if value.c_contiguous and value.nbytes else value.tobytes()
    data = writer.buffer(flat, value.nbytes)
    if value.format == "B" and value.ndim == 1:
        return {"~memoryview": data}
    if value.format not in _NATIVE_FORMATS or not value.nbytes:
        raise Unfit(f"cannot carry a memoryview of format {value.format!r}, shape {value.shape}")
    return {"~memoryview": [data, value.format, list(value.shape or ())]}


def _write_complex(writer: Writer, value: complex) -> Any:
    return {"~complex": [_write_float(writer, value.real), _write_float(writer, value.imag)]}


def _write_decimal(writer: Writer, value: decimal.Decimal) -> Any:
    return {"~decimal": str(value)}


def _write_date(writer: Writer, value: datetime.date) -> Any:
    return {"~date": value.isoformat()}


def _write_clock(writer: Writer, value: datetime.datetime | datetime.time) -> Any:
    name = "~" + type(value).__name__
    zone = _write_zone(value.tzinfo)
    if not value.fold and (zone is None or (type(zone) is list and zone[2:] == [0])):
        return {name: value.isoformat()}
    return {name: [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, zone]}


def _write_zone(zone: datetime.tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [offset.days, offset.seconds, offset.microseconds, *name]
    zoneinfo = sys.modules.get("zoneinfo")
    if zoneinfo is not None and type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    raise Unfit(
        f"cannot carry a tzinfo of {type(zone)!r} (pass value.astimezone(datetime.timezone.utc),"
        " or use zoneinfo)"
    )


def _write_timedelta(writer: Writer, value: datetime.timedelta) -> Any:
    return {"~timedelta": [value.days, value.seconds, value.microseconds]}


def _write_uuid(writer: Writer, value: uuid.UUID) -> Any:
    return {"~uuid": value.hex}


_STRINGS = frozenset([str])
_WRITERS: dict[type, Callable[[Writer, Any], Any]] = {
    type(None): _write_plain,
    bool: _write_plain,
    str: _write_plain,
    int: _write_int,
    float: _write_float,
    list: _write_list,
    dict: _write_dict,
    tuple: _write_tuple,
    set: _write_set,
    frozenset: _write_set,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    memoryview: _write_memoryview,
    complex: _write_complex,
    decimal.Decimal: _write_decimal,
    datetime.date: _write_date,
    datetime.datetime: _write_clock,
    datetime.time: _write_clock,
    datetime.timedelta: _write_timedelta,
    uuid.UUID: _write_uuid,
}


# --- reading -------------------------------------------------------------------------------------


class Reader:
    """Turns tagged objects of one document back, as the JSON decoder meets them, inner ones first.

    frames: the buffers of the payload after the document. `hook` may raise anything for a document
    that is wrong; whoever runs the decoder makes a CodecError of it.
    """

    def __init__(self, frames: Sequence[Any]) -> None:
        self._frames: list[Any] = list(frames)

    def hook(self, found: dict[str, Any]) -> Any:
        """For json's object_hook."""
        if len(found) != 1:
            return found
        ((name, value),) = found.items()
        if name[:1] != "~":
            return found
        if name[1:2] == "~":
            return {name[1:]: value}
        reader = _READERS.get(name)
        if reader is None:
            raise Unfit(f"an unknown tag {short(name)}")
        return reader(self, value)

    def buffer(self, value: Any) -> memoryview:
        """The bytes of a BUFFER, writable where the received frame is."""
        if type(value) is str:
            return memoryview(bytearray(binascii.a2b_base64(value, strict_mode=True)))
        index = as_int(value) - 1
        if not 0 <= index < len(self._frames) or self._frames[index] is None:
            raise Unfit(f"frame {value}, which is not there or was named before")
        view = memoryview(self._frames[index])
        self._frames[index] = None
        return view

    def finish(self) -> None:
        """Raise Unfit when a frame was not used."""
        left = sum(frame is not None for frame in self._frames)
        if left:
            raise Unfit(f"{left} frames that the document does not name")


def _read_tuple(reader: Reader, value: Any) -> Any:
    return tuple(as_list(value))


def _read_set(reader: Reader, value: Any) -> Any:
    return set(as_list(value))


def _read_frozenset(reader: Reader, value: Any) -> Any:
    return frozenset(as_list(value))


def _read_dict(reader: Reader, value: Any) -> Any:
    return {key: item for key, item in (as_list(pair, 2) for pair in as_list(value))}


def _read_bytes(reader: Reader, value: Any) -> Any:
    return bytes(reader.buffer(value))


def _read_bytearray(reader: Reader, value: Any) -> Any:
    return bytearray(reader.buffer(value))


def _read_memoryview(reader: Reader, value: Any) -> Any:
    if type(value) is not list:
        return reader.buffer(value)
    data, form, shape = as_list(value, 3)
    if form not in _NATIVE_FORMATS:
        raise Unfit("a memoryview of an unknown format")
    return reader.buffer(data).cast(form, [as_int(length) for length in as_list(shape)])


def _read_int(reader: Reader, value: Any) -> Any:
    return int(as_str(value), 16)


def _read_float(reader: Reader, value: Any) -> Any:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[as_str(value)]


def _read_complex(reader: Reader, value: Any) -> Any:
    real, imag = as_list(value, 2)
    if type(real) not in (int, float) or type(imag) not in (int, float):
        raise Unfit("a complex number whose parts are none")
    return complex(real, imag)


def _read_decimal(reader: Reader, value: Any) -> Any:
    return decimal.Decimal(as_str(value))


def _read_date(reader: Reader, value: Any) -> Any:
    return datetime.date.fromisoformat(as_str(value))


def _read_datetime(reader: Reader, value: Any) -> Any:
    if type(value) is str:
        return datetime.datetime.fromisoformat(value)
    text, fold, zone = as_list(value, 3)
    clock = datetime.datetime.fromisoformat(as_str(text))
    return clock.replace(tzinfo=_read_zone(zone), fold=as_int(fold))


def _read_time(reader: Reader, value: Any) -> Any:
    if type(value) is str:
        return datetime.time.fromisoformat(value)
    text, fold, zone = as_list(value, 3)
    clock = datetime.time.fromisoformat(as_str(text))
    return clock.replace(tzinfo=_read_zone(zone), fold=as_int(fold))


def _read_zone(zone: Any) -> datetime.tzinfo | None:
    if zone is None:
        return None
    if type(zone) is list:
        days, seconds, microseconds, *name = as_list(zone, 3, 4)
        offset = datetime.timedelta(as_int(days), as_int(seconds), as_int(microseconds))
        return datetime.timezone(offset, *map(as_str, name))
    key = as_str(zone)
    import zoneinfo

    # Only files of the system's database: ZoneInfo goes on to look for the package tzdata.
    if not _ZONE_KEY.fullmatch(key) or not any(
        os.path.isfile(os.path.join(folder, key)) for folder in zoneinfo.TZPATH
    ):
        raise Unfit(f"the time zone {short(key)}, which this system's database does not have")
    return zoneinfo.ZoneInfo(key)


_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")


def _read_timedelta(reader: Reader, value: Any) -> Any:
    days, seconds, microseconds = as_list(value, 3)
    return datetime.timedelta(as_int(days), as_int(seconds), as_int(microseconds))


def _read_uuid(reader: Reader, value: Any) -> Any:
    return uuid.UUID(hex=as_str(value))


_READERS: dict[str, Callable[[Reader, Any], Any]] = {
    "~tuple": _read_tuple,
    "~set": _read_set,
    "~frozenset": _read_frozenset,
    "~dict": _read_dict,
    "~bytes": _read_bytes,
    "~bytearray": _read_bytearray,
    "~memoryview": _read_memoryview,
    "~int": _read_int,
    "~float": _read_float,
    "~complex": _read_complex,
    "~decimal": _read_decimal,
    "~date": _read_date,
    "~datetime": _read_datetime,
    "~time": _read_time,
    "~timedelta": _read_timedelta,
    "~uuid": _read_uuid,
    "~ndarray": arrays.read_array,
    "~numpy": arrays.read_scalar,
}
