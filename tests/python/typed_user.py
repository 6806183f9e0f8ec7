# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Code of a user, as a type checker sees it. Never run: test_types.py gives it to mypy.

`assert_type` says what a checker must find; a line with `type: ignore[...]` must be an error.
"""

from concurrent.futures import Future
from typing import Any, assert_type

import denim


def add(x: int, y: int) -> int:
    return x + y


@denim.task
def plain(name: str) -> bytes:
    return name.encode()


@denim.task(soft_limit=20, hard_limit=30, idempotent=True)
def shrink(name: str, size: int = 128) -> bytes:
    denim.progress(1, 2, name)
    return plain(name)[:size]


@denim.task
async def fetch(key: str) -> list[int]:
    return [len(key)]


def use(client: denim.Client) -> None:
    assert_type(client.call(add, 1, 2), int)
    assert_type(client.call(shrink, "a.png", size=64), bytes)
    assert_type(client.call(fetch, "key"), list[int])
    assert_type(client.call("myapp:add", 1, y=2), Any)
    client.call(add, 1, "2")  # type: ignore[arg-type]
    client.call(add)  # type: ignore[arg-type, call-arg]

    future = client.submit(add, 1, 2)
    assert_type(future, denim.Future[int])
    assert_type(future.result(timeout=1), int)
    assert_type(future.progress, tuple[int, int, str] | None)
    as_any_other: Future[int] = future
    for done in denim.as_completed([as_any_other]):
        assert_type(done.result(), int)

    for value in client.map(add, [1, 2], [3, 4], chunksize=2):
        assert_type(value, Any)
    for value in client.options(deadline=2.0, priority="high").starmap(add, [(1, 2)]):
        assert_type(value, Any)
    assert_type(client.options(retries=1, retry_on=(OSError,)).call(add, 1, 2), int)
    client.options(deadline="soon")  # type: ignore[arg-type]
    client.options(dead_line=1)  # type: ignore[call-arg]
    assert_type(client.status(), dict[str, Any])


def use_short_forms() -> None:
    assert_type(shrink("a.png"), bytes)
    assert_type(shrink.call("a.png", size=64), bytes)
    assert_type(shrink.submit("a.png"), denim.Future[bytes])
    assert_type(shrink.options(deadline=2).submit("a.png").result(), bytes)
    assert_type(fetch.call("key"), list[int])
    shrink(1)  # type: ignore[arg-type]
    shrink.options(soft=1)  # type: ignore[call-arg]


def on_failure(client: denim.Client) -> str:
    try:
        client.call("myapp:add", 1, 2)
    except denim.WorkerLost as error:
        assert_type(error.signal, int | None)
        return error.host
    except denim.Rejected as error:
        return error.reason
    except TimeoutError:
        return "late"
    return ""


def on_one_machine() -> None:
    with denim.LocalCluster(workers=2, slots=1, app=["myapp"]) as cluster:
        with cluster.client(window=10) as client:
            assert_type(client, denim.Client)
        assert_type(cluster.address, str)
        assert_type(cluster.slot_pids, list[int])
