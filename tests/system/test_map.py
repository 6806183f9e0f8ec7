# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A map over many items: it reads no further ahead than it may, and keeps nothing of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from programs import DEADLINE_S, ROOT

COUNT, EARLY, WINDOW = 20_000, 2_000, 100
MARGIN_BYTES = 1 << 20


def environment() -> dict[str, str]:
    """A sanitizer must not keep what is freed: its queue would count as the map's memory."""
    options = os.environ.get("ASAN_OPTIONS")
    if options is None:
        return {**os.environ}
    quick = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    return {**os.environ, "ASAN_OPTIONS": f"{options}:{quick}"}


def test_a_map_over_large_values_is_not_refused_for_its_share_of_the_outbox(cluster):
    with cluster.client() as client:
        calls = client.options(deadline=DEADLINE_S)

        def refused_in(count):
            for value in calls.map("sysapp:blob", [1 << 20] * count):
                assert len(value) == 1 << 20
            return client.status()["counters"]["rejected"].get("OVER_SHARE", 0)

        for _ in calls.map("sysapp:same", range(100)):
            pass  # tasks of its service are known to be short, and may stand by
        first = refused_in(100)  # and those of this client are known to be large
        assert refused_in(200) == first


@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_a_lazy_map_takes_constant_memory(cluster, order):
    done = subprocess.run(
        [
            sys.executable, ROOT / "tests/shared/longmap.py", cluster.address, "sysapp:same",
            str(COUNT), "--early", str(EARLY), "--window", str(WINDOW),
            *(["--unordered"] if order == "unordered" else []),
        ],
        env=environment(), text=True, stdout=subprocess.PIPE, timeout=4 * DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0
    print(done.stdout)
    found = json.loads(done.stdout)
    assert 0 < found["ahead"] <= WINDOW
    assert 0 < found["late"] <= found["early"] + MARGIN_BYTES
