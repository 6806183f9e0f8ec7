# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The Pythons of this machine, for tests that go through all of them."""

from __future__ import annotations

import glob
import os
import sys

PLACES = (
    "/usr/bin/python3.{}",
    "/usr/local/bin/python3.{}",
    "~/.pyenv/versions/3.{}.*/bin/python3",
)


def _installed(minors: tuple[str, ...], first: tuple[str, ...] = ()) -> list[str]:
    """`first`, then all with such a minor version (patterns); each file once."""
    found = {os.path.realpath(path): path for path in first}
    for minor in minors:
        for place in PLACES:
            for path in sorted(glob.glob(os.path.expanduser(place.format(minor)))):
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def interpreters() -> list[str]:
    """This one, and every other CPython from 3.11 on that is installed where one would look."""
    return _installed(("1[1-9]",), (sys.executable,))


def older_interpreters() -> list[str]:
    """Those before 3.11."""
    return _installed(("[0-9]", "10"))
