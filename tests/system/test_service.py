# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A C service: docs/examples/service.c, as it is built here and as a user builds it."""

import os
import re
import shutil
import subprocess

import pytest
from programs import BIN, DEADLINE_S, ROOT, Manager, Worker, assert_sane, c_environment, write

COUNT = 100
SERVICE = ROOT / "docs/examples/service.c"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined"] if "DENIM_TEST_ASAN" in os.environ else []

MYAPP = """
import os

def add(x, y):
    if x == 3:
        raise ValueError("no threes")
    if x == 4:
        os._exit(7)
    return x + y
"""

EXPECTED = {f"{n} -> {2 * n}" for n in range(1, COUNT + 1) if n not in (3, 4)}
EXPECTED.add("3 raised ValueError: no threes")


def assert_serves(program, folder, place=BIN, **environment):
    """Fed with numbers it prints what `myapp:add` makes of each, whatever becomes of the task."""
    write(folder / "myapp.py", MYAPP)
    with Manager(folder, place=place) as manager:
        with Worker(manager, folder, "myapp", slots=2, place=place, cwd=folder):
            done = subprocess.run(
                [program],
                input="".join(f"{n}\n" for n in range(1, COUNT + 1)),
                env=c_environment(DENIM_MANAGER=manager.address, **environment),
                text=True, capture_output=True, timeout=DEADLINE_S,
            )  # fmt: skip
    assert_sane(done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    answers = done.stdout.splitlines()
    (lost,) = [answer for answer in answers if answer.startswith("4 ")]
    assert lost.startswith("4 failed, POISON: ")
    assert sorted(answers) == sorted(EXPECTED | {lost})


def test_the_example_serves(folder):
    assert_serves(BIN.parent / "examples/service", folder)


# --- installed -----------------------------------------------------------------------------------


def words(*command, **environment):
    """The words that a command prints."""
    done = subprocess.run(
        command, env={**c_environment(), **environment}, text=True, capture_output=True, check=True
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The folder below which `make install` has put everything, for /usr/local of some host."""
    if not shutil.which("make"):
        pytest.skip("there is no make here")
    folder = tmp_path_factory.mktemp("stage")
    environment = {k: v for k, v in c_environment().items() if not k.startswith(("MAKE", "MFLAGS"))}
    # What is built is taken as it is: -o all, since flags of another build are not known here.
    done = subprocess.run(
        ["make", "-o", "all", f"BUILD={BIN.parent}", f"DESTDIR={folder}", "PREFIX=/usr/local",
         "install"],
        cwd=ROOT, env=environment, text=True, capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def pkg_config(staged, *options):
    """What pkg-config says of the installed library; the stage stands for the root of the host."""
    if not shutil.which("pkg-config"):
        pytest.skip("there is no pkg-config here")
    return words(
        "pkg-config", *options, PKG_CONFIG_PATH=f"{staged}/usr/local/lib/pkgconfig",
        PKG_CONFIG_SYSROOT_DIR=str(staged),
    )  # fmt: skip


def compile_service(folder, *flags):
    """Compile service.c as its head says, and without a warning."""
    program = folder / "service"
    compiler = os.environ.get("CC", "cc")
    command = [compiler, *WARNINGS, *SANITIZERS, SERVICE, *flags, "-o", program]
    done = subprocess.run(
        command, env=c_environment(), text=True, capture_output=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    return program


def needed(program):
    """The shared libraries of denim that a program needs."""
    dynamic = subprocess.check_output(["readelf", "-dW", program], text=True)
    return re.findall(r"\(NEEDED\).*\[(libdenim.*)\]", dynamic)


def test_a_service_compiled_with_the_installed_shared_library_serves(staged, folder):
    flags = pkg_config(staged, "--cflags", "--libs", "libdenim")
    program = compile_service(folder, *flags)
    assert needed(program) == ["libdenim.so.0"]
    place = staged / "usr/local/bin"
    assert_serves(program, folder, place, LD_LIBRARY_PATH=f"{staged}/usr/local/lib")


def test_a_service_compiled_with_the_installed_archive_serves(staged, folder):
    flags = pkg_config(staged, "--cflags", "libdenim")
    flags += [f"{staged}/usr/local/lib/libdenim.a", "-pthread"]
    flags += words("pkg-config", "--libs", "libzmq", "libczmq", "jansson")
    program = compile_service(folder, *flags)
    assert needed(program) == []
    assert_serves(program, folder, staged / "usr/local/bin")


def test_manual_pages_are_installed_under_their_sections(staged):
    pages = list((ROOT / "docs/man").glob("*.[1-9]"))
    installed = staged / "usr/local/share/man"
    for page in pages:
        copy = installed / f"man{page.suffix[1:]}" / page.name
        assert copy.read_bytes() == page.read_bytes()
    assert len(list(installed.glob("*/*"))) == len(pages)


def test_the_installed_version_is_told_everywhere(staged):
    version = words(BIN / "denim", "version")[1]
    assert pkg_config(staged, "--modversion", "libdenim") == [version]
    for program in ("denimd", "denim-worker", "denim"):
        assert version in words(staged / "usr/local/bin" / program, "--version")
    library = (staged / "usr/local/lib/libdenim.so").resolve()
    assert library.name == f"libdenim.so.{version}"
