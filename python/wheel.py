# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Pack what was built into a wheel: `make wheel` calls it.

    python3 wheel.py --build DIR --out DIR --version X.Y.Z

Only Python's own library and `strip`: no network, no packaging tool. Owns the layout of the wheel:

    denim/                          the package and its extension modules, to site-packages
    denim-V.data/scripts/           the programs, as they are, to the environment's bin/
    denim-V.data/data/lib/denim/    the package once more, where denim-worker looks for it when the
                                    tasks run in another Python than the wheel was installed in
    denim-V.data/data/share/man/    the manual pages

So an environment with the wheel has the places of `make install PREFIX=...`, and site-packages. The
programs need the system's libzmq, libczmq and libjansson, so the tag is that of the plain platform
and never that of a manylinux. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

PROGRAMS = ("denimd", "denim-worker", "denim-slot", "denim")
MODULE_SUFFIXES = (".py", ".pyi", ".so")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file knows
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

METADATA = """\
Metadata-Version: 2.1
Name: denim
Version: {version}
Summary: Distributed computing in Python, written in C: bounded, fair, safe against crashes
Author: the denim authors
License: MPL-2.0
Platform: linux
Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: C
Classifier: Programming Language :: Python :: 3
Classifier: Programming Language :: Python :: Implementation :: CPython
Classifier: Topic :: System :: Distributed Computing
Classifier: Typing :: Typed
Requires-Python: >=3.11
Requires-External: libzmq (>=4.3)
Requires-External: libczmq (>=4.2)
Requires-External: libjansson (>=2.13)
License-File: LICENSE
Description-Content-Type: text/markdown

"""


class Wheel:
    """A wheel under construction."""

    def __init__(self, path: str, name: str) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self._info = f"{name}.dist-info"
        self._rows: list[str] = []

    def add(self, name: str, content: bytes, is_program: bool = False) -> None:
        """Add a file, and its row in RECORD."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self._rows.append(f"{name},sha256={digest},{len(content)}\n")
        self._write(name, content, is_program)

    def add_info(self, name: str, text: str) -> None:
        self.add(f"{self._info}/{name}", text.encode())

    def close(self) -> None:
        """RECORD names every file, itself without a hash."""
        record = f"{self._info}/RECORD"
        self._write(record, "".join([*self._rows, f"{record},,\n"]).encode(), False)
        self._zip.close()

    def _write(self, name: str, content: bytes, is_program: bool) -> None:
        entry = zipfile.ZipInfo(name, ZIP_EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100755 if is_program else 0o100644) << 16
        self._zip.writestr(entry, content)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def stripped(path: str) -> bytes:
    """A program or module without what only a debugger reads."""
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        tool = os.environ.get("STRIP") or "strip"
        subprocess.run([tool, "--strip-unneeded", "-o", copy, path], check=True)
        return read(copy)


def package_files(build: str) -> dict[str, bytes]:
    """What the package consists of, by name below `denim/`."""
    folder = os.path.join(build, "python", "denim")
    names = sorted(n for n in os.listdir(folder) if n.endswith(MODULE_SUFFIXES) or n == "py.typed")
    paths = {name: os.path.join(folder, name) for name in names}
    return {n: stripped(path) if n.endswith(".so") else read(path) for n, path in paths.items()}


def man_pages() -> dict[str, bytes]:
    """The manual pages, by their place below `share/man/`."""
    folder = os.path.join(ROOT, "docs", "man")
    names = sorted(n for n in os.listdir(folder) if n[-1:].isdigit())
    return {f"man{name[-1]}/{name}": read(os.path.join(folder, name)) for name in names}


def pack(build: str, out: str, version: str) -> str:
    """Write the wheel; its path."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag = f"cp311-abi3-{platform}"
    name = f"denim-{version}"
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, f"{name}-{tag}.whl")
    package = package_files(build)
    wheel = Wheel(path, name)
    for place in ("denim", f"{name}.data/data/lib/denim/python/denim"):
        for file, content in package.items():
            wheel.add(f"{place}/{file}", content)
    for program in PROGRAMS:
        content = stripped(os.path.join(build, "bin", program))
        wheel.add(f"{name}.data/scripts/{program}", content, is_program=True)
    for page, content in man_pages().items():
        wheel.add(f"{name}.data/data/share/man/{page}", content)
    readme = read(os.path.join(ROOT, "README.md")).decode()
    wheel.add_info("LICENSE", read(os.path.join(ROOT, "LICENSE")).decode())
    wheel.add_info("METADATA", METADATA.format(version=version) + readme)
    wheel.add_info(
        "WHEEL",
        f"Wheel-Version: 1.0\nGenerator: denim {version}\nRoot-Is-Purelib: false\nTag: {tag}\n",
    )
    wheel.close()
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description="Pack what was built into a wheel.")
    parser.add_argument("--build", required=True, help="the folder that make has built into")
    parser.add_argument("--out", required=True, help="the folder for the wheel")
    parser.add_argument("--version", required=True)
    options = parser.parse_args()
    print(pack(options.build, options.out, options.version))
    return 0


if __name__ == "__main__":
    sys.exit(main())
