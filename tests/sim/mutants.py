#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Would the simulator see it? Each patch takes one rule out of the cores; a seed must notice.

    tests/sim/mutants.py [--count N] [--seconds T] [NAME ...]

A patch in tests/sim/mutants begins with lines `Rule: ...` and, if need be, `Options: ...`, which go
to the simulator (as `--only lose`, to look where the rule matters). The sources are copied to a
temporary folder; what a patch touches is compiled again there. A seed that the cores as they are
fail with the same options does not count. The exit code is 1 if a patch does not apply or is not
found.
Only the standard library, a compiler, and patch.
"""

import argparse
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("src/base", "src/wire", "src/core", "tests/sim")
NOT_LINKED = ("src/base/log.c", "src/base/text.c")     # what no core uses
CC = shlex.split(os.environ.get("CC", "cc"))
CFLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Isrc", "-Iinclude", "-Itests/sim",
          *shlex.split(os.environ.get("MUTANT_CFLAGS", "-O1 -w"))]


class Mutant:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)[:-len(".patch")]
        with open(path, encoding="utf-8") as stream:
            self.text = stream.read()
        self.rule = self.word("Rule")
        self.options = tuple(self.word("Options").split())
        self.files = re.findall(r"^\+\+\+ b/(\S+)", self.text, re.M)

    def word(self, name):
        found = re.search(rf"^{name}: (.*)$", self.text, re.M)
        return found[1].strip() if found else ""


def run(command, folder, **more):
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, **more)


def sources(folder):
    for part in FOLDERS:
        for name in sorted(os.listdir(os.path.join(folder, part))):
            path = f"{part}/{name}"
            if name.endswith(".c") and path not in NOT_LINKED:
                yield path


def build(folder, changed, pool):
    """Compile what changed (None: all) and link; an error text, or None."""
    everything = changed is None or any(not path.endswith(".c") for path in changed)

    def compile_one(path):
        target = path.replace("/", "_")[:-2] + ".o"
        if not everything and path not in changed:
            return target, None
        done = run([*CC, *CFLAGS, "-c", path, "-o", target], folder)
        return target, done.stderr if done.returncode else None

    results = list(pool.map(compile_one, list(sources(folder))))
    errors = [error for _, error in results if error]
    if errors:
        return errors[0]
    done = run([*CC, *[target for target, _ in results], "-o", "sim"], folder)
    return done.stderr if done.returncode else None


def play(folder, options, count, seconds, known=()):
    """The first seed that fails (0: none) and is not `known` to, and its reason."""
    seed, end = 1, time.monotonic() + seconds
    while seed <= count and time.monotonic() < end:
        done = run(["./sim", "--seed", str(seed), "--count", str(count + 1 - seed), "--seconds",
                    str(end - time.monotonic()), "--last", "0", *options], folder)
        found = re.search(r"^sim: seed (\d+) fails: (.*)$", done.stdout, re.M)
        if not found:
            failed = done.returncode != 0
            return (seed, f"the simulator ended with {done.returncode}") if failed else (0, "")
        if int(found[1]) not in known:
            return int(found[1]), found[2]
        seed = int(found[1]) + 1
    return 0, ""


def play_clean(folder, options, count, seconds):
    """The seeds that the cores as they are fail, each with its reason."""
    known = {}
    while True:
        seed, reason = play(folder, options, count, seconds, known)
        if not seed or reason.startswith("the simulator"):
            return known
        known[seed] = reason


def try_mutant(base, mutant, known, args, pool):
    """What is said of it, and whether it is well."""
    with tempfile.TemporaryDirectory(prefix="denim-mutant-") as folder:
        shutil.copytree(base, folder, dirs_exist_ok=True)
        done = run(["patch", "-p1", "--forward", "-s", "-i", mutant.path], folder)
        if done.returncode:
            return "does not apply: " + (done.stdout + done.stderr).strip().split("\n")[0], False
        error = build(folder, mutant.files, pool)
        if error:
            return "does not compile: " + error.strip().split("\n")[0], False
        seed, reason = play(folder, mutant.options, args.count, args.seconds, known)
        if not seed:
            return f"not found in {args.count} seeds", False
        return f"{seed:6}  {reason[:70]}", True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20000, help="seeds for each (20000)")
    parser.add_argument("--seconds", type=float, default=120, help="and time (120)")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    patches = os.path.join(ROOT, "tests/sim/mutants")
    mutants = [Mutant(os.path.join(patches, name)) for name in sorted(os.listdir(patches))
               if name.endswith(".patch")]
    if args.names:
        mutants = [mutant for mutant in mutants if mutant.name in args.names]
    failed = 0
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="denim-mutants-") as base, \
            concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for part in (*FOLDERS, "include"):
            shutil.copytree(os.path.join(ROOT, part), os.path.join(base, part))
        error = build(base, None, pool)
        if error:
            print(error)
            return 1
        known = {}      # seeds that the cores as they are fail, by options: they say nothing
        for options in sorted({mutant.options for mutant in mutants}):
            known[options] = play_clean(base, options, args.count, args.seconds)
            for seed, reason in known[options].items():
                print(f"mutants: without any patch, with options {' '.join(options) or '(none)'}, "
                      f"seed {seed} fails: {reason}", flush=True)
        print(f"{'mutant':22} {'seeds':>6}  what was seen", flush=True)
        for mutant in mutants:
            text, well = try_mutant(base, mutant, known[mutant.options], args, pool)
            failed += not well
            print(f"{mutant.name:22} {text}", flush=True)
    print(f"mutants: {len(mutants)} tried, {failed} not as they should be")
    return 1 if failed or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
