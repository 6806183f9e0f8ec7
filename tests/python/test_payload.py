# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The codecs: what comes out is what went in, and nothing bad comes of bad bytes."""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import doctest
import enum
import json
import math
import pathlib
import pickle
import random
import struct
import sys
import uuid
import zoneinfo
from fractions import Fraction

import pytest

import denim.tags
from denim import CodecError, NotAllowed, payload

try:
    import numpy
except ImportError:
    numpy = None

UTC = datetime.timezone.utc
needs_numpy = pytest.mark.skipif(numpy is None, reason="numpy is not installed")


def receive(frames):
    """Frames as they arrive: other memory, writable views."""
    return [memoryview(bytearray(frame)) for frame in frames]


def carry(value, codec=payload.JSON):
    """A value after the journey."""
    frames = receive(payload.encode_value(value, codec))
    return payload.decode(frames, codec, allow_pickle=codec == payload.PICKLE)


def print_of(value):
    """A text that tells type and value all the way down; NaN is NaN, -0.0 is not 0.0."""
    kind = type(value).__name__
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, complex):
        return f"complex({value.real.hex()},{value.imag.hex()})"
    if isinstance(value, (list, tuple)):
        return f"{kind}({','.join(map(print_of, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{kind}({','.join(sorted(map(print_of, value)))})"
    if isinstance(value, dict):
        return f"{kind}({','.join(print_of(k) + ':' + print_of(v) for k, v in value.items())})"
    if isinstance(value, datetime.datetime | datetime.time):
        return f"{kind}({value.isoformat()},{value.fold},{value.tzinfo!r})"
    if isinstance(value, memoryview):
        return f"{kind}({value.tobytes()},{value.format},{value.shape})"
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        dtype = numpy.lib.format.dtype_to_descr(value.dtype)
        raw = value if value.dtype.char == "g" else value.tobytes()  # long doubles have padding
        return f"{kind}({dtype},{value.shape},{raw})"
    return f"{kind}({value!r})"


def same(a, b):
    return print_of(a) == print_of(b)


VALUES = [
    None, True, False, 0, -1, 2**63, -(2**64), 10**639, -(10**700), 10**4299, 10**5000, 3**20000,
    0.0, -0.0, 1.5, 1e308, 5e-324, math.inf, -math.inf, math.nan,
    "", "x", "\0", "\x7f\u2028é", "\U0001f600", "\ud800", "\udfff\ud800", "\ud83d\ude00",
    "~", '"~',
    [], [1, [2, [3]]], {}, {"a": {"b": []}}, {"": None}, {"\ud800": 1},
    (), (1,), (1, (2, [3, ()])), [()], {"t": ()}, set(), {1, 2}, frozenset(),
    frozenset({"a", (1,)}),
    b"", b"\0\xff", bytearray(b"abc"), bytearray(), memoryview(b"abc"), memoryview(b""),
    1j, complex(-0.0, math.nan), complex(math.inf, -2.5),
    datetime.date(1, 1, 1), datetime.date(9999, 12, 31),
    datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.datetime(2024, 1, 1, tzinfo=UTC),
    datetime.datetime(2024, 1, 1, 5, fold=1),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-5.5))),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(0), "Z\0é")),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(microseconds=1))),
    datetime.time(), datetime.time(23, 59, 59, 999999, UTC), datetime.time(1, fold=1),
    datetime.timedelta(0), datetime.timedelta.max, datetime.timedelta.min,
    decimal.Decimal("0"), decimal.Decimal("-0.00"), decimal.Decimal("1E+999999"),
    decimal.Decimal("NaN"), decimal.Decimal("-sNaN123"), decimal.Decimal("Infinity"),
    uuid.UUID(int=0), uuid.UUID(int=2**128 - 1),
    {1: 2}, {None: 1, True: 2, "a": 3}, {(1, 2): {3: 4}}, {1.5: [b"x"]}, {b"k": {}},
    {"~": 1}, {"~tuple": [1]}, {"~~tuple": [1]}, {"~bytes": 1}, {"~x": 1, "~y": 2},
    {"~x": {"~y": ()}},
    [{"~tuple": [1]}, ({"~": ()},)], {1: {"~dict": []}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_arrives_with_its_type(value):
    assert same(carry(value), value)
    assert same(carry([value, {"k": value}]), [value, {"k": value}])


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_arguments_arrive_as_they_were_given(value):
    frames = receive(payload.encode((value, 1), {"name": value, "more": [value]}))
    args, kwargs = payload.decode_call(frames)
    assert same(args, (value, 1))
    assert same(kwargs, {"name": value, "more": [value]})


def test_keyword_arguments_that_look_like_a_tag_arrive():
    frames = receive(payload.encode((), {"~tuple": [1]}))
    assert payload.decode_call(frames) == ((), {"~tuple": [1]})


@pytest.mark.skipif(not zoneinfo.TZPATH or "Europe/Berlin" not in zoneinfo.available_timezones(),
                    reason="no time zone database")  # fmt: skip
def test_a_time_zone_arrives_by_its_key():
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    value = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=1)
    arrived = carry(value)
    assert same(arrived, value)
    assert arrived.tzinfo is berlin
    assert carry(datetime.time(1, tzinfo=berlin)).tzinfo is berlin


# --- random values -------------------------------------------------------------------------------


def random_text(rng):
    alphabet = ["a", "~", '"', "\\", "\0", "\n", "é", "\ud800", "\udc00", "\U0001f600", "\u007e"]
    return "".join(rng.choices(alphabet, k=rng.randrange(6)))


def random_scalar(rng, hashable=False):
    makers = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.randrange(-5, 5),
        lambda: rng.getrandbits(rng.choice([8, 64, 300, 3000, 20000])) * rng.choice([1, -1]),
        lambda: struct.unpack("d", rng.randbytes(8))[0],
        lambda: rng.choice([math.inf, -math.inf, -0.0, 1.0]),
        lambda: random_text(rng),
        lambda: rng.randbytes(rng.choice([0, 3, 100, 4096, 4097])),
        lambda: complex(rng.random(), rng.choice([0.0, -0.0, math.inf])),
        lambda: uuid.UUID(int=rng.getrandbits(128)),
        lambda: decimal.Decimal((rng.randrange(2), (1, rng.randrange(10)), rng.randrange(-9, 9))),
        lambda: datetime.timedelta(rng.randrange(-1000, 1000), rng.randrange(90000), 7),
        lambda: datetime.date.fromordinal(rng.randrange(1, 3_000_000)),
        lambda: datetime.datetime.fromtimestamp(
            rng.randrange(4_000_000_000), rng.choice([None, UTC])
        ),
        lambda: datetime.time(rng.randrange(24), rng.randrange(60), fold=rng.randrange(2)),
    ]
    if not hashable:
        makers.append(lambda: bytearray(rng.randbytes(rng.choice([0, 5, 5000]))))
    return rng.choice(makers)()


def random_value(rng, depth=4, hashable=False):
    if depth == 0 or rng.random() < 0.3:
        return random_scalar(rng, hashable)
    items = [random_value(rng, depth - 1, hashable) for _ in range(rng.randrange(4))]
    if hashable:
        return rng.choice([tuple, frozenset])(items)
    kind = rng.randrange(6)
    if kind == 0:
        return items
    if kind == 1:
        return tuple(items)
    if kind == 2:
        return {random_text(rng): item for item in items}
    keys = [random_value(rng, depth - 1, hashable=True) for _ in items]
    if kind == 3:
        return dict(zip(keys, items, strict=True))
    return set(keys) if kind == 4 else frozenset(keys)


@pytest.mark.parametrize("seed", range(20))
def test_random_values_arrive(seed):
    rng = random.Random(seed)
    for _ in range(100):
        value = random_value(rng)
        frames = payload.encode_value(value)
        assert len(frames) <= 64
        assert same(payload.decode(receive(frames)), value)


@pytest.mark.parametrize("seed", range(20))
def test_random_plain_json_from_elsewhere_is_plain_values(seed):
    rng = random.Random(seed)

    def plain(depth):
        kind = rng.randrange(8 if depth else 6)
        if kind == 6:
            return [plain(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 7:
            return {random_text(rng).lstrip("~"): plain(depth - 1) for _ in range(rng.randrange(4))}
        scalars = [None, True, rng.getrandbits(70), rng.random(), random_text(rng), ""]
        return scalars[kind]

    for _ in range(100):
        value = plain(4)
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only, indent=rng.choice([None, 1]))
            arrived = payload.decode([text.encode("utf-8", "surrogatepass")])
            assert same(arrived, json.loads(text))


def test_plain_values_are_plain_json():
    assert payload.encode((2, 3)) == [b"[[2,3]]"]
    assert payload.encode((2, 3), {}) == [b"[[2,3]]"]
    assert payload.encode((), {"a": [1, {"b": None}]}) == [b'[[],{"a":[1,{"b":null}]}]']
    assert payload.encode_value("é") == ['"é"'.encode()]


# --- calls ---------------------------------------------------------------------------------------


def test_a_call_may_come_as_plain_json():
    for text in (b"[[2,3]]", b" [ [2, 3] , {} ]\n"):
        assert payload.decode_call([text]) == ((2, 3), {})
    assert payload.decode_call([b'[[1],{"y":2}]']) == ((1,), {"y": 2})


def test_a_call_without_payload_has_no_arguments():
    assert payload.decode_call([]) == ((), {})
    assert payload.decode_call([b""]) == ((), {})


@pytest.mark.parametrize(
    "text",
    [b"5", b"{}", b"[]", b"[1]", b'["ab"]', b"[[],[]]", b"[[],{},[],1]", b"[[],{},3]",
     b"[[],{},[3]]", b"[[], 0]", b'[[],{"~dict":[[1,2]]}]'],
)  # fmt: skip
def test_what_is_no_call_is_refused(text):
    with pytest.raises(CodecError):
        payload.decode_call([text])


def test_many_calls_travel_as_one():
    args, kwargs = payload.decode_call(receive(payload.encode_chunk([(1, 2), ((3,), b"x" * 5000)])))
    assert type(args) is payload.Chunk
    assert args == [[1, 2], [(3,), b"x" * 5000]]
    assert kwargs == {}
    args, _ = payload.decode_call([b"[[0],{},[[1],[2]]]"])
    assert args == [[0, 1], [0, 2]]


# --- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_large_buffers_are_frames_and_are_not_copied(kind):
    small, large = kind(b"s" * 4096), kind(b"l" * 4097)
    frames = payload.encode_value([small, large])
    assert len(frames) == 2
    assert frames[1] is large
    assert same(payload.decode(receive(frames)), [small, large])


def test_a_large_memoryview_arrives_as_a_view_of_its_frame():
    frames = receive(payload.encode_value(memoryview(b"x" * 5000)))
    arrived = payload.decode(frames)
    arrived[0] = 1
    assert frames[1][0] == 1


def test_memoryviews_keep_format_and_shape():
    view = memoryview(bytes(range(24))).cast("h").cast("B").cast("i", [2, 3])
    arrived = carry(view)
    assert arrived.format == "i" and arrived.shape == (2, 3) and arrived == view
    assert carry(memoryview(b"abcdef")[::2]) == memoryview(b"ace")


def test_more_than_63_buffers_stay_in_the_document():
    value = [bytes([n]) * 5000 for n in range(100)]
    frames = payload.encode_value(value)
    assert len(frames) == 64
    assert payload.decode(receive(frames)) == value


def test_a_frame_is_named_once_and_each_is_named():
    big = b"x" * 100_000
    for text, frames in [
        (b'[{"~bytes":1},{"~bytes":1}]', [big]),  # a bomb if it were allowed
        (b'{"~bytes":2}', [big]),
        (b'{"~bytes":0}', [big]),
        (b'{"~bytes":-1}', [big]),
        (b'{"~bytes":true}', [big]),
        (b'{"~bytes":1.0}', [big]),
        (b"5", [big]),
        (b'{"~bytes":1}', [big, big]),
    ]:
        with pytest.raises(CodecError):
            payload.decode([text, *frames])


# --- refusals ------------------------------------------------------------------------------------


class Colour(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        (object(), "args[1]", "<class 'object'>"),
        ({"x": [0, 1, {Colour.RED}]}, "args[1]['x'][2]", "set of <enum 'Colour'> (pass its"),
        ([Point(1, 2)], "args[1][0]", "a subclass of tuple (pass tuple(...))"),
        (collections.OrderedDict(), "args[1]", "a subclass of dict"),
        ({1: {"a": Fraction(1)}}, "args[1][1]['a']", "Fraction"),
        ({Colour.RED: 1}, "args[1].key(<Colour.RED: 1>)", "Colour"),
        ((pathlib.Path("/"),), "args[1][0]", "pass os.fspath(...)"),
        (len, "args[1]", "builtin_function_or_method"),
    ],
)
def test_a_refusal_names_the_path_and_the_way_out(value, path, says):
    with pytest.raises(CodecError) as caught:
        payload.encode((0, value))
    assert str(caught.value).startswith(f"{path}: cannot carry ")
    assert says in str(caught.value)
    assert "pickle" in str(caught.value)
    assert caught.value.path == path


def test_a_refusal_names_keyword_and_value():
    with pytest.raises(CodecError, match=r"^kwargs\['size'\]\[0\]: cannot carry"):
        payload.encode((), {"size": [object()]})
    with pytest.raises(CodecError, match=r"^value\['a'\]: cannot carry"):
        payload.encode_value({"a": object()})


@pytest.mark.parametrize("make", [list, tuple, dict])
def test_depth_is_limited(make):
    def nest(levels):
        value = make()
        for _ in range(levels - 1):
            value = {"a": value} if make is dict else make([value])
        return value

    assert same(carry(nest(100)), nest(100))
    for levels in (500, 100_000):
        with pytest.raises(CodecError, match="nest"):
            payload.encode_value(nest(levels))


def test_what_contains_itself_is_refused():
    a: list = [1]
    a.append({"self": (a,)})
    with pytest.raises(CodecError, match="contains itself"):
        payload.encode_value(a)
    b: dict = {}
    b["x"] = b
    with pytest.raises(CodecError, match="contains itself"):
        payload.encode((b,))
    shared = [1]
    assert carry([shared, shared]) == [[1], [1]]


@pytest.mark.parametrize("limit", [0, 640, 100_000])
def test_integers_do_not_depend_on_the_digit_limit(limit):
    before = sys.get_int_max_str_digits()
    values = [10**600, 10**1000, 10**4200, 10**6000]
    try:
        sys.set_int_max_str_digits(limit)
        frames = payload.encode_value(values)
    finally:
        sys.set_int_max_str_digits(before)
    assert payload.decode(frames) == values


# --- hostile documents ---------------------------------------------------------------------------

HOSTILE = [
    b"", b"\xff\xfe", b"nonsense", b"[", b"[1,", b"{1:2}", b'"\\ud800', b"[" * 200_000,
    b'{"a":' * 100_000, b"1" * 5000, b"[[1]] x", b'"\x00"', b"\xef\xbb\xbf[]",
    b'{"~nothing":1}', b'{"~":1}', b'{"~tuple":1}', b'{"~tuple":"ab"}', b'{"~set":[[]]}',
    b'{"~set":[{"~set":[]}]}', b'{"~frozenset":{}}', b'{"~dict":[1]}', b'{"~dict":[[1]]}',
    b'{"~dict":[[[],1]]}', b'{"~dict":"ab"}', b'{"~bytes":"*"}', b'{"~bytes":"AA"}',
    b'{"~bytes":null}',
    b'{"~bytes":1e0}', b'{"~bytearray":5}', b'{"~memoryview":["AAAA","O",[1]]}',
    b'{"~memoryview":["AAAA","i",[-1]]}', b'{"~memoryview":["AAAA","i",[1,1,1e9]]}',
    b'{"~int":5}', b'{"~int":"xyz"}', b'{"~int":""}', b'{"~float":"1"}', b'{"~float":[]}',
    b'{"~float":{}}', b'{"~complex":[1]}', b'{"~complex":["1",2]}', b'{"~complex":[true,2]}',
    b'{"~decimal":"x"}', b'{"~decimal":1}', b'{"~decimal":"1e9999999999999999999999"}',
    b'{"~date":"2024-13-01"}', b'{"~date":5}', b'{"~datetime":"x"}',
    b'{"~datetime":["2024-01-01",5,null]}',
    b'{"~datetime":["2024-01-01",0,"../../etc/passwd"]}',
    b'{"~datetime":["2024-01-01",0,"/etc/passwd"]}',
    b'{"~datetime":["2024-01-01",0,"No/Where"]}', b'{"~datetime":["2024-01-01",0,[9,0,0]]}',
    b'{"~datetime":["2024-01-01",0,[0,0,0,5]]}', b'{"~time":["01:00",0]}', b'{"~time":{}}',
    b'{"~timedelta":[1e999,0,0]}', b'{"~timedelta":[999999999999999,0,0]}', b'{"~uuid":"x"}',
    b'{"~uuid":[]}', b'{"~ndarray":[]}', b'{"~ndarray":["O",[1],"C","AAAA"]}',
    b'{"~ndarray":["|O8",[1],"C","AAAAAAAAAAA="]}', b'{"~ndarray":["<f8",[-1],"C",""]}',
    b'{"~ndarray":["<f8",[1099511627776,1099511627776],"C",""]}',
    b'{"~ndarray":["<f8",[1],"C","AAAA"]}',
    b'{"~ndarray":["<f8",[0,4611686018427387904],"C",""]}', b'{"~ndarray":["<V0",[1],"C",""]}',
    b'{"~ndarray":["|S0",[99999999999],"C",""]}', b'{"~ndarray":["f8,O",[1],"C",""]}',
    b'{"~ndarray":["__import__",[1],"C",""]}',
    b'{"~ndarray":[[8,[["a","|O8",0,[]]]],[1],"C","AAAAAAAAAAA="]}',
    b'{"~ndarray":[[8,[["a","<f8",4,[]]]],[1],"C","AAAAAAAAAAA="]}',
    b'{"~ndarray":[[0,[]],[],"C",""]}',
    b'{"~ndarray":[[8,[["a","<f8",0,[99999999999]]]],[1],"C","AAAAAAAAAAA="]}',
    b'{"~numpy":["<f8","AAAA"]}', b'{"~numpy":["<M8[zz]","AAAAAAAAAAA="]}', b'{"~numpy":{}}',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:50]))
def test_a_hostile_document_is_a_codec_error_and_imports_nothing(text, monkeypatch):
    def no_import(name, *rest):
        raise AssertionError(f"imports {name}")

    real_import = builtins.__import__
    fixed = {"zoneinfo", "numpy"}  # not named by the message
    told = None
    with monkeypatch.context() as patch:  # pytest itself imports when the test is over
        patch.setattr(
            builtins,
            "__import__",
            lambda name, *rest: real_import(name, *rest) if name in fixed else no_import(name),
        )
        try:
            payload.decode([text])
        except CodecError as error:
            told = str(error)
    assert told


@pytest.mark.parametrize("seed", range(10))
def test_damaged_documents_give_a_value_or_a_codec_error(seed):
    rng = random.Random(seed)
    for _ in range(150):
        frames = [bytearray(frame) for frame in payload.encode_value(random_value(rng))]
        for _ in range(rng.randrange(1, 6)):
            frame = rng.choice(frames)
            if frame:
                frame[rng.randrange(len(frame))] = rng.choice(b'"~[]{}:,0129eE+-\x00\xff') & 0xFF
        try:
            payload.decode(frames)
        except CodecError:
            pass


@pytest.mark.parametrize("seed", range(10))
def test_shuffled_tags_give_a_value_or_a_codec_error(seed):
    rng = random.Random(seed)
    tags = list(denim.tags._READERS)

    def hostile(depth):
        kind = rng.randrange(7) if depth else 6
        if kind < 3:
            return {rng.choice(tags): hostile(depth - 1)}
        if kind < 5:
            return [hostile(depth - 1) for _ in range(rng.randrange(5))]
        return rng.choice([0, 1, -1, 2**70, 1.5, "", "AAAA", "<f8", "C", "2024-01-01", None, "~"])

    for _ in range(400):
        frames = [json.dumps(hostile(4)).encode(), *[b"\0" * 8] * rng.randrange(2)]
        try:
            payload.decode(frames)
        except CodecError:
            pass


# --- numpy ---------------------------------------------------------------------------------------


@needs_numpy
@pytest.mark.parametrize(
    "dtype",
    ["?", "i1", "u2", ">i4", "<u8", "f2", "f4", ">f8", "c8", "c16", "S5", "U3", "V7", "M8[ns]",
     "M8[D]", "m8[25s]", "M8", "longdouble"],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3), (50, 41)])
def test_arrays_arrive(dtype, shape):
    rng = random.Random(f"{dtype}{shape}")
    kind = numpy.dtype(dtype)
    count = math.prod(shape)
    raw = bytes(rng.choices(range(2 if dtype == "?" else 120), k=count * kind.itemsize))
    if dtype == "longdouble":
        raw = numpy.arange(count, dtype=kind).tobytes()
    if kind.kind == "U":  # code points
        raw = bytes(byte if place % 4 == 0 else 0 for place, byte in enumerate(raw))
    array = numpy.frombuffer(raw, kind).reshape(shape) if count else numpy.empty(shape, kind)
    arrived = carry(array)
    assert same(arrived, array)
    assert arrived.flags.writeable
    if count and array.ndim == 2:
        for view in (array.T, array[:, ::2], array[::-1], numpy.asfortranarray(array)):
            assert same(carry(view), view)
        assert carry(array.T).flags.f_contiguous == array.T.flags.f_contiguous
    for item in array.ravel()[:3]:
        assert same(carry(item), item)


@needs_numpy
def test_structured_arrays_arrive():
    inner = numpy.dtype([("p", "<f4", (2, 2)), ("q", "S3")])
    dtype = numpy.dtype([("a", ">i2"), ("b", inner), ("c", "M8[us]")], align=False)
    array = numpy.zeros(7, dtype)
    array["a"] = range(7)
    array["b"]["p"] = 1.5
    assert same(carry(array), array)
    assert same(carry(array[2]), array[2])
    padded = numpy.zeros(3, numpy.dtype([("a", "i1"), ("b", "f8")], align=True))
    assert same(carry(padded), padded)


@needs_numpy
def test_a_large_array_is_not_copied_on_either_side():
    array = numpy.arange(10_000.0)
    frames = payload.encode_value({"x": array})
    assert len(frames) == 2
    assert numpy.shares_memory(numpy.frombuffer(frames[1], "u1"), array)
    received = receive(frames)
    arrived = payload.decode(received)["x"]
    assert same(arrived, array)
    assert numpy.shares_memory(arrived, numpy.frombuffer(received[1], "u1"))
    arrived[0] = 5.0


@needs_numpy
@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("make", ["object", "void0", "matrix", "masked", "record", "titles"])
def test_arrays_that_cannot_be_carried_are_refused(make):
    value = {
        "object": lambda: numpy.array([object()]),
        "void0": lambda: numpy.zeros(2, "V0"),
        "matrix": lambda: numpy.matrix([[1]]),
        "masked": lambda: numpy.ma.array([1], mask=[True]),
        "record": lambda: numpy.rec.array([(1,)], dtype=[("a", int)]),
        "titles": lambda: numpy.zeros(1, [(("title", "a"), "i4")]),
    }[make]()
    with pytest.raises(CodecError, match=r"^value\[0\]: cannot carry"):
        payload.encode_value([value])


@needs_numpy
def test_an_array_is_refused_where_there_is_no_numpy(monkeypatch):
    frames = payload.encode_value(numpy.zeros(3))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(CodecError, match="numpy cannot be imported here"):
        payload.decode(frames)
    assert carry([1, (2,)]) == [1, (2,)]
    with pytest.raises(CodecError, match="cannot carry"):
        payload.encode_value(numpy.zeros(3))


# --- pickle --------------------------------------------------------------------------------------


def test_pickle_carries_what_json_does_not():
    for value in (Colour.RED, Point(1, 2), Fraction(1, 3), {"a": {1, 2}}):
        assert same(carry(value, payload.PICKLE), value)
    frames = payload.encode((Fraction(1, 2),), {"b": Point(3, 4)}, payload.PICKLE)
    args, kwargs = payload.decode_call(frames, payload.PICKLE, allow_pickle=True)
    assert (args, kwargs) == ((Fraction(1, 2),), {"b": Point(3, 4)})
    chunk = payload.encode_chunk([(1,), (2,)], payload.PICKLE)
    args, _ = payload.decode_call(chunk, payload.PICKLE, allow_pickle=True)
    assert type(args) is payload.Chunk and args == [[1], [2]]


def test_pickle_is_refused_unless_allowed(monkeypatch):
    frames = payload.encode_value(1, payload.PICKLE)

    def loads(*args, **kwargs):
        raise AssertionError("it was unpickled")

    monkeypatch.setattr(pickle, "loads", loads)
    with pytest.raises(NotAllowed, match="--allow-pickle"):
        payload.decode(frames, payload.PICKLE)
    with pytest.raises(NotAllowed):
        payload.decode_call(frames, payload.PICKLE)
    with pytest.raises(CodecError):
        payload.decode(frames, payload.JSON)


@needs_numpy
def test_pickled_arrays_are_frames():
    array, read_only = numpy.arange(5000), numpy.arange(5000)
    read_only.flags.writeable = False
    frames = payload.encode_value([array, read_only, numpy.arange(3)], payload.PICKLE)
    assert len(frames) == 2  # read-only ones stay in place, to arrive as such
    arrived = payload.decode(receive(frames), payload.PICKLE, allow_pickle=True)
    assert [same(a, b) for a, b in zip(arrived, [array, read_only, numpy.arange(3)], strict=True)]
    assert arrived[0].flags.writeable and not arrived[1].flags.writeable


def test_what_cannot_be_pickled_is_a_codec_error():
    with pytest.raises(CodecError, match="cannot pickle"):
        payload.encode_value(sys._getframe(), payload.PICKLE)
    with pytest.raises(CodecError, match="cannot unpickle"):
        payload.decode([b"junk"], payload.PICKLE, allow_pickle=True)
    with pytest.raises(CodecError, match="codec 9"):
        payload.decode([b"5"], 9)
    with pytest.raises(ValueError, match="codec"):
        payload.encode_value(5, 9)


# --- exceptions ----------------------------------------------------------------------------------


def raised_by(function):
    try:
        function()
    except BaseException as error:
        return error


def test_an_exception_document_tells_type_message_args_and_traceback():
    error = raised_by(lambda: {}["missing"])
    told = payload.decode_exception(receive(payload.encode_exception(error)))
    assert told.type_name == told.qualname == "KeyError"
    assert told.module == "builtins"
    assert told.message == "'missing'"
    assert told.args == ("missing",)
    assert told.make_args is None
    assert told.traceback_text.startswith("Traceback")
    assert told.traceback_text.rstrip().endswith("KeyError: 'missing'")
    assert json.loads(bytes(payload.encode_exception(error)[0]))["type"] == "KeyError"


def test_denims_own_frames_are_left_out_of_the_traceback():
    error = raised_by(lambda: payload.decode([b"?"]))
    text = payload.decode_exception(payload.encode_exception(error)).traceback_text
    assert "test_payload.py" in text  # outermost frames only: this one called denim
    assert "payload.py" in text
    inside = payload.decode_exception(payload.encode_exception(error.with_traceback(
        error.__traceback__.tb_next.tb_next))).traceback_text  # fmt: skip
    assert 'File "' not in inside


def test_an_exception_whose_args_cannot_be_carried_is_told_without():
    told = payload.decode_exception(payload.encode_exception(ValueError(object())))
    assert told.args is None and "object" in told.message
    told = payload.decode_exception(payload.encode_exception(ValueError("x" * 300_000)))
    assert told.args is None and len(told.message) < 10_000
    told = payload.decode_exception(payload.encode_exception(ValueError(b"x" * 5000)))
    assert told.args == (b"x" * 5000,)


def test_an_awkward_exception_is_told_all_the_same():
    class Awkward(Exception):
        def __str__(self):
            raise RuntimeError("no")

        args = property(lambda self: 1 / 0)

    told = payload.decode_exception(payload.encode_exception(Awkward()))
    assert told.type_name == "Awkward" and told.args is None
    recursive = ValueError("deep")
    recursive.__context__ = recursive
    assert payload.encode_exception(recursive)


def test_a_malformed_exception_document_is_a_codec_error():
    for text in (b"", b"5", b"{}", b'{"type":5}', b"[]"):
        with pytest.raises(CodecError):
            payload.decode_exception([text])
    odd = b'{"type":"X","args":"?","make_args":7,"message":[],"traceback":null}'
    assert payload.decode_exception([odd]) == ("X", "", "", "", "", None, None)


@pytest.mark.parametrize("module", [payload, denim.tags])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0
