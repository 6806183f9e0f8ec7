# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""numpy's arrays and scalars in the json codec, where numpy is installed.

Owns the tags ~ndarray and ~numpy and the form of a dtype. Must never need numpy: it is imported
when the first array arrives, and looked for among the loaded modules before one can be sent.

    ~ndarray   [DTYPE, shape, order, BUFFER]     order "C" or "F": of the bytes
    ~numpy     [DTYPE, BUFFER]                   a scalar
    DTYPE      numpy's short text, or [itemsize, [[name, DTYPE, offset, shape], ...]]
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

from .unfit import Unfit, as_int, as_list, as_str, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tags import Reader, Writer

__all__ = ["is_array", "read_array", "read_scalar", "writer_of"]


def is_array(value: object) -> bool:
    """Whether it is an array, of a subclass perhaps."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def writer_of(value: object) -> Callable[[Writer, Any], Any] | None:
    """What writes an array or scalar; None for everything else, subclasses of arrays too."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if type(value) is numpy.ndarray:
        return _write_array
    return _write_scalar if isinstance(value, numpy.generic) else None


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise Unfit("a numpy array, and numpy cannot be imported here") from None
    return numpy


def _write_array(writer: Writer, value: Any) -> Any:
    dtype = _write_dtype(value.dtype)
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    rows = value.T if order == "F" else value  # reshape copies what is not contiguous
    flat = memoryview(rows.reshape(-1).view("u1")) if value.size else b""
    return {"~ndarray": [dtype, list(value.shape), order, writer.buffer(flat, value.nbytes)]}


def _write_scalar(writer: Writer, value: Any) -> Any:
    array = _numpy().asarray(value)
    dtype = _write_dtype(array.dtype)
    if type(array[()]) is not type(value):
        raise Unfit(f"cannot carry {type(value)!r}")
    return {"~numpy": [dtype, writer.buffer(array.tobytes(), array.nbytes)]}


def _write_dtype(dtype: Any) -> Any:
    """The form of a dtype; only one from which _read_dtype makes an equal one is carried."""
    form: Any = dtype.str
    try:
        if dtype.fields is not None:
            form = [dtype.itemsize, [_write_field(dtype, name) for name in dtype.names]]
        again = _read_dtype(_numpy(), form)
    except (Unfit, TypeError, ValueError):
        again = None
    if again is None or again != dtype or again.type is not dtype.type:
        raise Unfit(f"cannot carry a numpy array of dtype {short(dtype)}")
    return form


def _write_field(dtype: Any, name: str) -> list[Any]:
    field, offset, *title = dtype.fields[name]
    if title:
        raise Unfit("cannot carry a numpy array whose fields have titles")
    return [name, _write_dtype(field.base), offset, list(field.shape)]


def read_array(reader: Reader, value: Any) -> Any:
    """An array on the memory of its buffer."""
    numpy = _numpy()
    form, shape, order, data = as_list(value, 4)
    dtype = _read_dtype(numpy, form)
    lengths = [as_int(length) for length in as_list(shape)]
    view = reader.buffer(data)
    if order not in ("C", "F") or len(lengths) > 32 or min(lengths, default=0) < 0:
        raise Unfit("an array of a wrong shape")
    if math.prod(lengths) * dtype.itemsize != view.nbytes:
        raise Unfit("an array whose shape does not fit its bytes")
    if not view.nbytes:
        return numpy.empty(lengths, dtype, order)
    return numpy.frombuffer(view, dtype).reshape(lengths, order=order)


def read_scalar(reader: Reader, value: Any) -> Any:
    numpy = _numpy()
    form, data = as_list(value, 2)
    dtype = _read_dtype(numpy, form)
    view = reader.buffer(data)
    if view.nbytes != dtype.itemsize:
        raise Unfit("a numpy scalar of a wrong size")
    return numpy.frombuffer(view, dtype)[0]


# No "O": a dtype from a message never holds pointers.
_DTYPE = re.compile(
    r"[<>|][biufc][0-9]{1,2}|[<>|][SUV][1-9][0-9]{0,8}|[<>][mM]8(?:\[[0-9]{0,9}[A-Za-z]{1,2}\])?"
)


def _read_dtype(numpy: Any, form: Any) -> Any:
    if type(form) is str:
        if not _DTYPE.fullmatch(form):
            raise Unfit(f"an array of an unknown dtype {short(form)}")
        return numpy.dtype(form)
    size, fields = as_list(form, 2)
    names, formats, offsets = [], [], []
    for field in as_list(fields):
        name, dtype, offset, shape = as_list(field, 4)
        lengths = tuple(as_int(length) for length in as_list(shape))
        base = _read_dtype(numpy, dtype)
        names.append(as_str(name))
        formats.append((base, lengths) if lengths else base)
        offsets.append(as_int(offset))
    if not names or not 0 < as_int(size) < 1 << 31:
        raise Unfit("an array of a dtype without fields or size")
    return numpy.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})
