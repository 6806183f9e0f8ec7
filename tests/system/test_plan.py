# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""`denim plan`: Erlang's formulas for a load that is given, and for what a manager sees."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from programs import DEADLINE_S, ROOT, Manager, Worker, run, until, write

import denim

USE, UNAVAILABLE = 64, 69  # exit codes
ROWS = ("now", "one_more", "for_target")


def plan(*options: Any) -> list[dict[str, Any]]:
    done = run("denim", "plan", "--json", *map(str, options))
    assert (done.returncode, done.stderr) == (0, "")
    plans: list[dict[str, Any]] = json.loads(done.stdout)["plans"]
    return plans


def given(rate: float, time_ms: float, *options: Any) -> dict[str, Any]:
    (only,) = plan("--rate", rate, "--time", time_ms, *options)
    return only


def refused(slots: int, load: float) -> float:
    """Erlang B."""
    share = 1.0
    for n in range(1, slots + 1):
        share = load * share / (n + load * share)
    return share


def waits(slots: int, load: float) -> float:
    """Erlang C."""
    share = refused(slots, load)
    return share / (1 - load / slots * (1 - share))


# --- a load that is given ------------------------------------------------------------------------


def test_figures_are_those_of_erlang():
    one = given(50, 120, "--slots", 8, "--worker-slots", 4)
    assert (one["known"], one["load"], one["target"], one["notes"]) == (True, 6, 0.01, [])
    assert [one[row]["slots"] for row in ROWS] == [8, 12, 13]
    for row in (one[row] for row in ROWS):
        slots, share = row["slots"], waits(row["slots"], 6)
        assert row["utilisation"] == pytest.approx(6 / slots)
        assert row["headroom"] == pytest.approx((slots - 6) / 0.12)
        assert row["refused"] == pytest.approx(refused(slots, 6))
        assert refused(slots, row["rate_max"] * 0.12) == pytest.approx(0.01)
        assert (row["stable"], row["wait"]) == (True, pytest.approx(share))
        assert row["mean_wait_ms"] == pytest.approx(share * 120 / (slots - 6))
    assert one["now"]["p99_wait_ms"] == pytest.approx(214.5, abs=0.1)  # 60 ms times ln 35.7
    assert one["for_target"]["p99_wait_ms"] == 0  # less than one in a hundred waits


def test_people_get_a_table():
    done = run("denim", "plan", "--rate", "50", "--time", "120", "--slots", "8")
    assert (done.returncode, done.stderr) == (0, "")
    head, _, titles, these, more, target = done.stdout.splitlines()
    assert head == "50.00 tasks/s of 120 ms are a load of 6.00 slots"
    assert titles.split()[:4] == ["WITH", "SLOTS", "USED", "HEADROOM"]
    assert these.split()[-8:] == ["12.2", "%", "35.7", "%", "21.4", "ms", "215", "ms"]
    assert more.startswith("one more worker (+1)")
    assert target.startswith("at most 1 % refused")


def test_the_page_shows_what_is_printed():
    page = (ROOT / "docs/planning.md").read_text()
    examples = re.findall(r"^    \$ denim (plan .*)\n((?:    .*\n|\n(?=    ))+)", page, re.M)
    assert examples
    for words, shown in examples:
        assert run("denim", *shlex.split(words)).stdout == re.sub("^    ", "", shown, flags=re.M)


def test_slots_need_not_be_known():
    one = given(50, 120, "--refuse", 0.1)
    assert "now" not in one and "one_more" not in one
    slots = one["for_target"]["slots"]
    assert refused(slots, 6) <= 0.001 < refused(slots - 1, 6)


def test_too_much_load_says_that_waiting_grows():
    one = given(100, 120, "--slots", 12)
    assert (one["now"]["stable"], one["now"]["headroom"]) == (False, 0)
    assert not {"wait", "mean_wait_ms", "p99_wait_ms"} & set(one["now"])
    assert one["one_more"]["stable"]
    assert "grows without end; 13 slots or more keep up" in one["notes"][0]
    said = run("denim", "plan", "--rate", "100", "--time", "120", "--slots", "12").stdout
    assert said.count("grows") == 3 and one["notes"][0] in said


def test_ten_thousand_slots_are_planned_as_ten():
    one = given(99_000, 100, "--slots", 10_000)
    assert one["now"]["refused"] == pytest.approx(0.0028581268)
    assert one["for_target"]["slots"] == 9870


def test_more_slots_than_can_be_counted_are_said():
    one = given(1e9, 1e9, "--slots", 4)
    assert "for_target" not in one
    assert "needs more than 1000000 slots" in one["notes"][-1]


@pytest.mark.parametrize(
    "options",
    [
        "--rate 5", "--time 5", "--slots 5", "--rate 5 --slots 5", "--rate 0 --time 5",
        "--rate nan --time 5", "--rate 5 --time -1", "--rate 5 --time 5 --slots 0",
        "--rate 5 --time 5 --slots 1.5", "--rate 5 --time 5 --slots -1", "--refuse 0",
        "--rate 5 --time 5 --slots 1000001", "--refuse 100", "--refuse 1% --rate 5 --time 5",
        "--rate 5 --time 5 --service a", "--worker-slots 0", "--timeout x", "--rate", "--what", "a",
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_a_line(options):
    done = run("denim", "plan", *options.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (USE, "", 1)
    assert done.stderr.startswith("denim: ")


def test_help_knows_the_verb():
    assert "\n  plan " in run("denim", "--help").stdout
    assert "--refuse PERCENT" in run("denim", "plan", "--help").stdout


# --- what a manager sees -------------------------------------------------------------------------


def test_no_manager_is_unavailable(folder):
    done = run("denim", "--manager", f"ipc://{folder}/none", "plan", "--timeout", "0.1")
    assert (done.returncode, done.stdout) == (UNAVAILABLE, "")
    assert "no manager at ipc://" in done.stderr


def test_a_new_manager_knows_no_service(folder):
    with Manager(folder) as manager:
        assert plan("--manager", manager.address) == []
        said = run("denim", "plan", "--manager", manager.address)
        assert said.stdout.startswith("no service is known")
        done = run("denim", "plan", "--manager", manager.address, "--service", "sysapp")
        assert (done.returncode, done.stdout) == (UNAVAILABLE, "")
        assert 'no worker has offered service "sysapp"' in done.stderr


def comes(what: str, address: str, *options: str, **wanted: Any) -> dict[str, Any]:
    """The first plan, as soon as it has a load or other fields that are wanted."""

    def look() -> dict[str, Any] | None:
        first = next(iter(plan("--manager", address, *options)), {})
        has_all = all(first.get(key) == value for key, value in wanted.items())
        return first if has_all and (wanted or first.get("load")) else None

    found: dict[str, Any] = until(look, what)
    return found


def test_plan_of_a_running_service(folder):
    with Manager(folder) as manager, Worker(manager, folder, "sysapp", slots=2) as worker:
        one = comes("the slots", manager.address, slots=2)
        assert (one["known"], one["services"]) == (False, ["sysapp"])
        assert "too little is known (ended tasks: 0 of 8)" in one["notes"][0]
        said = run("denim", "plan", "--manager", manager.address).stdout
        assert said.startswith("sysapp: workers 1, slots 2\ntoo little is known")

        with denim.Client(manager.address) as client:
            assert list(client.map("sysapp:add", range(100), range(100)))[99] == 198
        one = comes("a load", manager.address)
        assert (one["known"], one["workers"]) == (True, 1)
        assert one["rate"] * one["mean_run_ms"] / 1000 == pytest.approx(one["load"])
        assert (one["now"]["slots"], one["one_more"]["slots"]) == (2, 4)
        for row in (one[row] for row in ROWS):
            assert row["refused"] == pytest.approx(refused(row["slots"], one["load"]))
        (one,) = plan("--manager", manager.address, "--worker-slots", "30")
        assert one["one_more"]["slots"] == 32
        said = run("denim", "plan", "--manager", manager.address).stdout
        assert said.startswith("sysapp: workers 1, slots 2; ") and "one more worker (+2)" in said

        worker.stop()
        one = comes("the worker's end", manager.address, slots=0)
        assert "now" not in one and "for_target" in one
        assert one["notes"][0] == "no worker offers it now"


def test_services_that_share_slots_are_planned_together(folder):
    for name in ("one", "two", "three"):
        write(folder / f"{name}.py", "def same(x):\n    return x\n")
    with (
        Manager(folder) as manager,
        Worker(manager, folder, "one", "two", slots=2, cwd=folder) as both,
        Worker(manager, folder, "three", slots=3, cwd=folder) as alone,
    ):
        both.await_ready()
        alone.await_ready()
        comes("two slots", manager.address, "--service", "one", slots=2)
        comes("three slots", manager.address, "--service", "three", slots=3)
        with denim.Client(manager.address) as client:
            for name in ("one:same", "two:same"):
                assert list(client.map(name, range(20))) == list(range(20))
        one = comes("a load", manager.address, "--service", "two")
        assert (sorted(one["services"]), one["slots"]) == (["one", "two"], 2)
        all_plans = plan("--manager", manager.address)
        assert sorted((each["slots"], sorted(each["services"])) for each in all_plans) == [
            (2, ["one", "two"]),
            (3, ["three"]),
        ]

        with Worker(manager, folder, "two", slots=1, cwd=folder) as half:
            half.await_ready()
            one = comes("a third slot", manager.address, "--service", "one", slots=3)
            assert (one["workers"], one["one_more"]["slots"]) == (2, 5)
            assert "not every worker has all of these services" in one["notes"][-1]


def test_waiting_tasks_are_said(folder):
    begun, end = folder / "begun", folder / "end"
    with Manager(folder) as manager, Worker(manager, folder, "sysapp") as worker:
        worker.await_ready()
        with denim.Client(manager.address) as client:
            assert list(client.map("sysapp:add", range(9), range(9)))[8] == 16
            held = [client.submit("sysapp:hold", str(begun), str(end)) for _ in range(50)]

            def look() -> dict[str, Any] | None:
                (one,) = plan("--manager", manager.address)
                return one if one["waiting"] else None

            try:
                one = until(look, "a waiting task")
                assert f"tasks that wait in clients: {one['waiting']};" in one["notes"][0]
            finally:
                write(end, "")
            assert {future.result(DEADLINE_S) for future in held} == {"released"}
