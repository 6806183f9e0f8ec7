# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The checker of histories: what it lets pass, and what it does not."""

import pytest
from checker import Call, End, History, Hurt, Run, check


def history(*ends, ran=1, task="short", idempotent=False, killed=(), hurts=()):
    """Of one call, which was made at 1 and ran from 2 on."""
    made = History(killed=set(killed), hurts=list(hurts))
    made.calls["k"] = Call("k", "c1.1", task, idempotent, 1)
    if ends:
        made.ends["k"] = list(ends)
    if ran:
        made.runs["k"] = [Run(f"w{i}.1", 100 + i, 2 + i) for i in range(1, ran + 1)]
    return made


def kinds(made):
    return [kind for kind, _, _ in check(made).violations]


def group(made):
    counts = check(made).counts
    assert counts.pop("submitted") == 1
    ((name, number),) = counts.items()
    assert number == 1
    return name


VALUE = End("value", 9, "k")
LOST = End("WorkerLost", 9)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (history(VALUE), "value"),
        (history(End("ValueError", 9, "k"), task="fail"), "exception"),
        (history(LOST, ran=0, hurts=[Hurt("w3.1", 3, 4)]), "lost and told"),
        (history(LOST, hurts=[Hurt("w1.1", 3, 4)]), "lost and told"),
        (history(LOST, hurts=[Hurt("101", 8, 8)]), "lost and told"),
        (history(End("TaskCancelled", 9)), "cancelled"),
        (history(End("TaskCancelled", 9), ran=0), "cancelled"),
        (history(End("Rejected", 9), ran=0), "refused and told"),
        (history(End("ManagerUnavailable", 9), ran=0), "refused and told"),
        (history(End("DeadlineExceeded", 9, started=False), ran=0), "refused and told"),
        (history(End("DeadlineExceeded", 9, started=True)), "late"),
        (history(killed=["c1.1"]), "unknown"),
        (history(ran=3, idempotent=True, killed=["c1.1"]), "unknown"),
        (history(End("value", 9, "k", attempts=2), ran=2, idempotent=True), "value"),
    ],
)
def test_what_may_happen_is_counted_in_one_group(made, name):
    assert kinds(made) == []
    assert group(made) == name


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (history(), "hung"),
        (history(ran=0), "hung"),
        (history(killed=["c2.1"]), "hung"),
        (history(VALUE, ran=2), "duplicated"),
        (history(LOST, ran=2, hurts=[Hurt("w1.1", 0, 9)]), "duplicated"),
        (history(End("TaskCancelled", 9), ran=2), "duplicated"),
        (history(ran=2, killed=["c1.1"]), "duplicated"),
        (history(ran=4, idempotent=True, killed=["c1.1"]), "duplicated"),
        (history(End("value", 9, "k", attempts=1), ran=2, idempotent=True), "duplicated"),
        (history(VALUE, ran=0), "unexpected"),
        (history(VALUE, VALUE), "unexpected"),
        (history(End("value", 9, "other")), "unexpected"),
        (history(VALUE, task="fail"), "unexpected"),
        (history(End("ValueError", 9, "k")), "unexpected"),
        (history(End("Rejected", 9)), "unexpected"),
        (history(End("ManagerUnavailable", 9)), "unexpected"),
        (history(End("DeadlineExceeded", 9, started=False)), "unexpected"),
        (history(End("CodecError", 9)), "unexpected"),
        (history(LOST), "groundless"),
        (history(LOST, ran=0), "groundless"),
        (history(LOST, hurts=[Hurt("w2.1", 3, 4)]), "groundless"),
        (history(LOST, hurts=[Hurt("w1.1", 0, 0.5)]), "groundless"),
        (history(LOST, hurts=[Hurt("w1.1", 10, 11)]), "groundless"),
    ],
)
def test_what_may_not_happen_is_named(made, kind):
    assert kinds(made) == [kind]


def test_a_worker_that_died_is_remembered_for_a_while():
    made = history(LOST, ran=0, hurts=[Hurt("w3.1", 0, 0.5)])
    assert kinds(made) == ["groundless"]
    made.memory = 0.6
    assert kinds(made) == []


def test_a_client_that_was_away_for_too_long_is_forgotten():
    made = history(LOST)
    made.away = [Hurt("c1.1", 0.5, 8)]
    assert kinds(made) == ["groundless"]
    made.patience = 7
    assert kinds(made) == []
    for hurt in (Hurt("c1.1", 2, 8), Hurt("c1.1", 10, 18), Hurt("c1.2", 0.5, 8)):
        made.away = [hurt]
        assert kinds(made) == ["groundless"]


def test_a_run_that_nobody_asked_for_is_unexpected():
    made = history(VALUE)
    made.runs["x"] = [Run("w1.1", 7, 3)]
    assert [(kind, key) for kind, key, _ in check(made).violations] == [("unexpected", "x")]


def test_a_call_that_a_task_made_runs_once_at_most():
    made = history(VALUE)
    made.runs["~k.7.1"] = [Run("w1.1", 7, 3)]
    assert kinds(made) == []
    made.runs["~k.7.1"].append(Run("w2.1", 8, 4))
    assert kinds(made) == ["duplicated"]


def test_the_groups_add_up_to_what_was_submitted():
    made = history(VALUE)
    for number, outcome in enumerate(["Rejected", "TaskCancelled", "WorkerLost", "Strange"]):
        made.calls[f"k{number}"] = Call(f"k{number}", "c1.1", "short", False, 1)
        made.ends[f"k{number}"] = [End(outcome, 2)]
    counts = check(made).counts
    assert counts.pop("submitted") == 5 == sum(counts.values())
