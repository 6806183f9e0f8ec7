# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The documentation says what is so: options, keys and outcomes are all there, examples run.

In a page of docs/ each block that is fenced as `python` runs, in the order of the page, in one
namespace; a block of `text` right behind it is what it prints. A block whose first line is
`# NAME.py` is a module for the workers; one cluster serves those of all pages. What cannot run
here, such as another product's code, is fenced as `py`. A block of `c` is a program.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import denim
import denim.client

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MAN = DOCS / "man"
BIN = Path(os.environ["DENIM_BIN"])
ASAN = "DENIM_TEST_ASAN" in os.environ
TIMEOUT_S = 60

PAGES = sorted(MAN.glob("*.[1-9]"))
MARKDOWN = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
DAEMONS = {"denimd": "denimd.8", "denim-worker": "denim-worker.8"}


def c_environment(**more):
    """For programs that hold no Python: without what pytest has for the address sanitizer."""
    kept = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASAN_OPTIONS")}
    return {**kept, **more}


def run(*command, **options):
    options.setdefault("env", c_environment())
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, **options)


@functools.cache
def help_of(*command):
    done = run(BIN / command[0], *command[1:], "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


def options_of(text):
    """Every option in a --help, as mdoc's Fl has it: --listen is "-listen", -f is "f"."""
    return {option[1:] for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)}


def flags_of(page):
    """Every option that a manual page names."""
    flags = set()
    for line in page.splitlines():
        if re.match(r"\.(It |Op |Nm |Pq )*Fl\b", line) or " Fl " in line:
            flags |= set(re.findall(r"(?:^\.|[ |])Fl (-?[A-Za-z][a-z-]*)", line))
    return flags


# --- manual pages --------------------------------------------------------------------------------


def test_there_is_a_page_for_each_program_file_and_library():
    assert {page.name for page in PAGES} == {
        "denimd.8",
        "denim-worker.8",
        "denim.1",
        "denimd.conf.5",
        "denim-worker.conf.5",
        "libdenim.3",
    }


@pytest.mark.parametrize("program", DAEMONS)
def test_the_page_of_a_daemon_has_its_options_and_no_others(program):
    page = (MAN / DAEMONS[program]).read_text()
    wanted = options_of(help_of(program).partition("\nA flag beats")[0])
    assert wanted == flags_of(page)
    for option in wanted:
        assert re.search(rf"^\.It Fl (\w , Fl )?{re.escape(option)}\b", page, re.M) or re.search(
            rf"^\.It Fl {re.escape(option)} , ", page, re.M
        ), option


@pytest.mark.parametrize("program", DAEMONS)
def test_the_page_of_a_daemon_has_its_environment(program):
    page = (MAN / DAEMONS[program]).read_text()
    names = re.findall(r"\bDENIM_\w+", help_of(program))
    assert names
    for name in names:
        assert f".It Ev {name}\n" in page


def test_the_page_of_the_command_has_every_verb_and_option_and_no_others():
    page = (MAN / "denim.1").read_text()
    verbs = re.findall(r"^  ([a-z]+) {2,}", help_of("denim"), re.M)
    texts = [help_of("denim"), *(help_of("denim", verb) for verb in verbs)]
    assert len(verbs) > 4
    assert re.findall(r"^\.Ss denim (\w+)$", page, re.M) == verbs
    assert set().union(*map(options_of, texts)) | {"-help"} == flags_of(page)


def test_the_page_of_the_command_has_every_exit_code():
    header = (ROOT / "src/cli/cli.h").read_text()
    codes = re.findall(r"DN_EXIT_\w+ = (\d+)", header)
    assert len(codes) > 5
    section = (MAN / "denim.1").read_text().partition(".Sh EXIT STATUS")[2]
    assert re.findall(r"^\.It (\d+)$", section, re.M) == codes


def keys_of(sample):
    """section/key, its default, and the comment above it, of each key of a sample file."""
    section, comment = "", ""
    for line in sample.splitlines():
        key = re.match(r"    (\w+) = (.*)", line)
        if key:
            yield f"{section}/{key[1]}", key[2].strip('"'), comment
            comment = ""
        elif re.match(r"\w+$", line):
            section, comment = line, ""
        elif line.startswith("    #"):
            comment += line.strip(" #") + "\n"


@pytest.mark.parametrize("name", ["denimd.conf", "denim-worker.conf"])
def test_the_page_of_a_file_has_each_key_with_default_range_flag_and_variable(name):
    page = (MAN / f"{name}.5").read_text()
    parts = re.split(r"^\.It Ic (\S+)\n", page, flags=re.M)[1:]
    told = {key: " ".join(text.split()) for key, text in zip(parts[::2], parts[1::2])}
    keys = list(keys_of((ROOT / "conf" / name).read_text()))
    assert len(keys) > 10
    assert list(told) == [key for key, _, _ in keys]
    for key, default, comment in keys:
        shown = default or r"\&" + '"' + r"\&" + '"'
        assert f" Default: {shown}." in told[key], key
        limits = re.search(r"from (\S+) to ([\dKMG]+)", comment)
        if limits:
            assert re.search(rf"From {limits[1]} to {limits[2]}\b", told[key]), key
        for flag in re.findall(r"Flag: --([\w-]+)", comment):
            assert f"Flag: .Fl -{flag} ." in told[key], key
        for variable in re.findall(r"Environment: (\w+)", comment):
            assert f"Environment: .Ev {variable} ." in told[key], key


def rows_of(table):
    header = (ROOT / "include/denim.h").read_text()
    body = re.search(rf"#define DENIM_{table}_MAP\(X\)(.*?)\n\n", header, re.S)[1]
    return re.findall(r'X \((-?\d+), (\w+),(?: (true|false),)? "(.*?)"\)', body)


@pytest.mark.parametrize(
    ("table", "prefix"),
    [("OUTCOME", "DENIM_"), ("REASON", "DENIM_REASON_"), ("ERROR", "DENIM_ERR_")],
)
def test_the_page_of_the_library_has_each_row_of_the_tables(table, prefix):
    page = (MAN / "libdenim.3").read_text()
    rows = rows_of(table)
    assert len(rows) > 10
    for number, name, again, text in rows:
        shown = number.replace("-", r"\-")
        row = f".It Dv {prefix}{name} No {shown}\n{text[0].upper()}{text[1:]}.\n"
        row += "Tried again.\n" if again == "true" else ""
        assert row in page, row
    assert page.count(f".It Dv {prefix}") >= len(rows)


def test_the_page_of_the_library_has_each_function_and_option():
    header = (ROOT / "include/denim.h").read_text()
    page = (MAN / "libdenim.3").read_text()
    functions = set(re.findall(r"^(?:DENIM_EXPORT .*?)?\b(denim_[a-z_]+) \(", header, re.M))
    synopsis = page.partition(".Sh DESCRIPTION")[0]
    assert functions == set(re.findall(r"^\.F[no] (denim_\w+)", synopsis, re.M))
    options = re.search(r"typedef struct \{([^}]*)\} denim_options_t", header)[1]
    for field in re.findall(r"(\w+);", re.sub(r"/\*.*?\*/", "", options, flags=re.S)):
        assert re.search(rf"^\.It Fa .*\b{field}\b", page, re.M), field


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_free_of_warnings(page):
    if shutil.which("mandoc"):
        done = run("mandoc", "-T", "lint", "-W", "warning", page)
    elif shutil.which("groff"):
        done = run("groff", "-mandoc", "-ww", "-z", page)
    elif shutil.which("man"):
        done = run("man", "--warnings", "-l", page)
        done.stdout = ""
    else:
        pytest.skip("neither mandoc nor groff nor man is installed")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- docs/*.md -----------------------------------------------------------------------------------


def test_the_protocol_page_is_what_the_program_prints():
    page = (DOCS / "protocol.md").read_text()
    printed = run(BIN / "denim", "protocol").stdout
    assert page.endswith(f"\n```text\n{printed}```\n"), "run `make docs`"


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def commands_of(text):
    """Words of the commands that start a daemon: in indented blocks, in backquotes, after `.Dl`.

    Those with a file that is not here, and sentences that look like one, are left out.
    """
    begin = r"(?: {4,}|\.Dl |.*`)(?:build/bin/)?((?:denimd|denim-worker)(?!\S)[^`\n]*)(?:`|$)"
    for command in re.findall(begin, text, re.M):
        words = shlex.split(command, comments=True)
        if "-f" not in words and all(re.match(r"[\w:/.*@-]+$", word) for word in words):
            yield tuple(words)


def test_commands_that_start_daemons_have_options_that_exist():
    commands = {words for page in [*MARKDOWN, *PAGES] for words in commands_of(page.read_text())}
    assert len(commands) > 8
    for program, *words in sorted(commands):
        done = run(BIN / program, *words, "-t")
        assert done.returncode == 0, f"{program} {words}: {done.stderr}"


def blocks_of(page):
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.M | re.S)


def module_of(block):
    """The name of the module that a block is."""
    name = re.match(r"# (\w+)\.py\n", block)
    return name and name[1]


def modules():
    """The modules that the pages' examples call, by name; the same name means the same module."""
    found = {}
    for page in MARKDOWN:
        for kind, text in blocks_of(page):
            if kind == "python" and module_of(text):
                assert found.setdefault(module_of(text), text) == text, page.name
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Serves the modules, and is the one that $DENIM_MANAGER names."""
    folder = tmp_path_factory.mktemp("docs")
    sources = modules()
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        with denim.LocalCluster(slots=2, app=list(sources), allow_pickle=True) as running:
            patch.setenv("DENIM_MANAGER", running.address)
            yield running
    for name in sources:
        sys.modules.pop(name, None)


def run_blocks(blocks):
    """Run them one after the other, each with what it is to print (or None)."""
    names = {"__name__": "docs"}
    try:
        for source, wanted in blocks:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(source, "docs", "exec"), names)
            assert wanted is None or printed.getvalue() == wanted, source
    finally:
        for value in names.values():
            if isinstance(value, denim.Client):
                value.close()
        denim.client._set_default(None)


PYTHON_PAGES = [page for page in MARKDOWN if any(kind == "python" for kind, _ in blocks_of(page))]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_python_examples_run_and_print_what_the_page_says(page, cluster):
    blocks = blocks_of(page)
    examples = [
        (text, following[1] if following[0] == "text" else None)
        for (kind, text), following in zip(blocks, [*blocks[1:], ("", "")])
        if kind == "python" and not module_of(text)
    ]
    assert examples
    run_blocks(examples)


def test_the_steps_of_the_readme_run(cluster):
    text = (ROOT / "README.md").read_text()
    source, example = map(textwrap.dedent, re.findall(r"((?:^ {7}.*\n)+)", text, re.M))
    run_blocks([(source + "assert add(2, 3) == 5\n", ""), (example, "5\n")])
    assert source.strip() in modules()["myapp"]
    command = re.search(r"`build/bin/denim (call [^`]*)`", text)[1]
    assert run(BIN / "denim", *command.split()).stdout == "5\n"


# --- examples in C and for the shell -------------------------------------------------------------


def without_layout(source):
    """C without comments and blanks."""
    return re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", source, flags=re.S))


def compile_and_link(source, program):
    done = run(
        os.environ.get("CC", "cc"), "-std=gnu11", "-Wall", "-Wextra", "-Werror", source,
        f"-I{ROOT / 'include'}", f"-L{BIN.parent / 'lib'}", f"-Wl,-rpath,{BIN.parent / 'lib'}",
        *(["-fsanitize=address,undefined"] if ASAN else []), "-ldenim", "-ljansson", "-o", program,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_example_of_the_manual_page_is_that_of_the_docs():
    example = [text for kind, text in blocks_of(DOCS / "c-client.md") if kind == "c"][0]
    body = (MAN / "libdenim.3").read_text().partition(".Sh EXAMPLES\n.Bd -literal\n")[2]
    shown = body.partition("\n.Ed")[0].replace(r"\e", "\\")
    assert without_layout(shown) == without_layout(example)


def test_examples_in_c_run(tmp_path, cluster):
    examples = [text for kind, text in blocks_of(DOCS / "c-client.md") if kind == "c"]
    for number, (source, wanted) in enumerate(zip(examples, ["5\n", "42\n"], strict=True)):
        (tmp_path / f"{number}.c").write_text(source)
        compile_and_link(tmp_path / f"{number}.c", tmp_path / f"{number}")
        done = run(tmp_path / f"{number}")
        assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_examples_for_the_shell_run(cluster):
    page = (MAN / "denim.1").read_text()
    calls = re.findall(r"^\$ denim (call .*)\n(.*)\n", page, re.M)
    assert len(calls) == 3
    for words, wanted in calls:
        assert run(BIN / "denim", *shlex.split(words)).stdout == f"{wanted}\n", words
