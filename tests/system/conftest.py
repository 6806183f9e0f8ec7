# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What the system tests share: a cluster for each module that wants one, and a client of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import DEADLINE_S, ROOT, local_cluster

import denim
from denim.client import Caller

sys.path.append(str(ROOT / "tests/python"))  # wire_probe and interpreters are there
sys.path.append(str(ROOT / "tests/shared"))  # what the benchmarks have as well


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[denim.LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster"), slots=2) as running:
        yield running


@pytest.fixture
def client(cluster: denim.LocalCluster) -> Iterator[Caller]:
    with cluster.client() as client:
        yield client.options(deadline=DEADLINE_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For logs and sockets of one test."""
    return tmp_path
