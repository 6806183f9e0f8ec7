# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The same visit with every Python that a user may have, as client and as worker."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from interpreters import interpreters, older_interpreters
from programs import DEADLINE_S, HERE, Manager, Worker, c_environment, run, write
from wire_probe import library_of

DEBIAN = "/usr/bin/python3"
NOBODY = "tcp://127.0.0.1:1"  # where no manager is


def debian():
    if not os.path.exists(DEBIAN):
        pytest.skip(f"there is no {DEBIAN} here")
    return DEBIAN


def others():
    """Those that are not Debian's; one row to be skipped when there are none."""
    known = os.path.realpath(DEBIAN)
    found = [python for python in interpreters() if os.path.realpath(python) != known]
    return found or [None]


def identity(python):
    """What an interpreter says of itself."""
    code = "import sys; print(sys.prefix); print(sys.executable); print(*sys.version_info[:3])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    prefix, executable, version = done.stdout.splitlines()
    return {
        "prefix": prefix,
        "executable": executable,
        "version": [int(part) for part in version.split()],
    }


def worker_environment(python, **more):
    """As for a C program; but an interpreter without a library is a slot itself, and needs what any
    Python needs below a sanitizer."""
    environment = c_environment(**more)
    environment.pop("VIRTUAL_ENV", None)
    environment.update(more)
    if "DENIM_TEST_ASAN" in environment and not library_of(python)[0]:
        for name in ("LD_PRELOAD", "ASAN_OPTIONS"):
            environment[name] = os.environ[name]
    return environment


def visit(folder, python, named=True, **environment):
    """A call, a map, an exception and a killed slot, with that interpreter on both sides.

    named: whether the worker is told which one, or finds it in its environment.
    """
    with Manager(folder) as manager:
        chosen = python if named else None
        env = worker_environment(python, **environment)
        with Worker(manager, folder, "sysapp", python=chosen, env=env) as worker:
            done = subprocess.run(
                [python, HERE / "visit.py", manager.address, tempfile.mkdtemp(dir=folder)],
                text=True, capture_output=True, timeout=2 * DEADLINE_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr + worker.said()
    found = json.loads(done.stdout)
    for side in found.values():
        side.pop("pid")
    assert found == {"worker": identity(python), "client": identity(python)}
    return worker.said()


def test_debians_python(folder):
    visit(folder, debian())


def test_a_virtual_environment_of_it(folder):
    environment = folder / "venv"
    subprocess.run([debian(), "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin/python")
    said = visit(folder, python, named=False, VIRTUAL_ENV=str(environment), PATH="/usr/bin:/bin")
    assert f"executable={python} " in said


def test_a_shim_that_is_first_on_the_path(folder):
    shims = folder / "shims"
    shims.mkdir()
    shim = write(shims / "python3", f'#!/bin/sh\nexec {debian()} "$@"\n')
    shim.chmod(0o755)
    said = visit(folder, str(shim), named=False, PATH=f"{shims}:/bin")
    assert f"executable={DEBIAN} " in said


@pytest.mark.parametrize("python", others())
def test_another_python(folder, python):
    if python is None:
        pytest.skip("there is no CPython from 3.11 on but Debian's where one would look")
    visit(folder, python)


def fake_python(folder, kind, version):
    """A program that answers as an interpreter of that kind and version."""
    numbers = ", ".join(version.split("."))
    code = f"import sys; sys.version_info = ({numbers}); sys.implementation.name = '{kind}'"
    fake = write(
        folder / "python3", f'#!/bin/sh\nexec {sys.executable} -c "{code}\n$2"\n'
    )
    fake.chmod(0o755)
    return str(fake)


def assert_refused(python, *words):
    done = run("denim-worker", "--manager", NOBODY, "--python", python, "sysapp")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"denim-worker: {python} ") and done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("python", older_interpreters() or [None])
def test_an_older_python_is_refused_in_a_sentence(python):
    if python is None:
        pytest.skip("there is no Python before 3.11 here; a false one is refused all the same")
    version = ".".join(map(str, identity(python)["version"]))
    assert_refused(python, f"is CPython {version};", "denim runs CPython 3.11 or newer")


@pytest.mark.parametrize("version", ["3.10.9", "2.7.18", "4.0.0"])
def test_what_says_that_it_is_another_version_is_refused_in_a_sentence(folder, version):
    python = fake_python(folder, "cpython", version)
    assert_refused(python, f"is CPython {version};", "denim runs CPython 3.11 or newer")


def test_another_implementation_is_refused_in_a_sentence(folder):
    python = fake_python(folder, "pypy", "3.11.1")
    assert_refused(python, "is pypy 3.11.1;", "denim runs CPython 3.11 or newer")


@pytest.mark.parametrize("body", ["exit 3", "echo hello", "kill -9 $$"])
def test_a_program_that_is_no_python_is_refused_in_a_sentence(folder, body):
    program = write(folder / "python3", f"#!/bin/sh\n{body}\n")
    Path(program).chmod(0o755)
    assert_refused(str(program), "does not answer like a Python 3 interpreter")
