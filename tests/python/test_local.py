# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""LocalCluster: where it finds the programs, and what it says of one that does not start."""

from __future__ import annotations

import os

import pytest

import denim
from denim import local


@pytest.fixture
def alone(monkeypatch):
    """As after an installation: nothing but the package's place says where programs are."""
    monkeypatch.delenv("DENIM_BIN")
    monkeypatch.setenv("PATH", "")


@pytest.mark.parametrize(
    ("package", "programs"),
    [
        ("build/python/denim", "build/bin"),
        ("usr/local/lib/denim/python/denim", "usr/local/bin"),
        ("venv/lib/python3.11/site-packages/denim", "venv/bin"),
        ("some/denim", "some/denim/bin"),
    ],
)
def test_programs_are_found_from_the_place_of_the_package(
    alone, monkeypatch, tmp_path, package, programs
):
    program = tmp_path / programs / "denimd"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    monkeypatch.setattr(local, "__file__", str(tmp_path / package / "local.py"))
    assert local.find_program("denimd") == str(program)


def test_a_program_that_is_nowhere_is_told_with_the_places(alone, monkeypatch, tmp_path):
    monkeypatch.setattr(local, "__file__", str(tmp_path / "a/b/c/d/denim/local.py"))
    with pytest.raises(denim.DenimError, match="PATH.*DENIM_BIN") as caught:
        local.find_program("denimd")
    assert str(tmp_path / "a/bin") in str(caught.value)
    assert os.pardir not in str(caught.value)


@pytest.mark.skipif("DENIM_BIN" not in os.environ, reason="the programs are not built")
def test_a_worker_that_ends_at_once_is_told_with_its_own_words():
    with pytest.raises(denim.DenimError, match="w1 ended.*exit code 78") as caught:
        denim.LocalCluster(app="denim_has_no_such_module")
    assert "denim_has_no_such_module" in str(caught.value)
