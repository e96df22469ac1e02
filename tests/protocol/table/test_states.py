"""The table of transitions: each pair is used by a row, any other pair is an error, and only a row changes its state."""

import ast
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

import discoveryd
from discoveryd.protocol.table.peer import LIVE, STATES
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.states import TRANSITIONS, Cause
from tests.protocol.samples import ProvedTable, boot, hello, row_of, source

PAIRS = list(product(STATES, get_args(Cause)))


def row_in(state):
    """Give a row in a state, brought there by causes alone."""
    row = Row(kind="node", id="web1", boot=boot(1), now=0.0)
    for cause in {"up": (), "suspect": ("overdue",), "down": ("expired",), "left": ("goodbye",)}[state]:
        row.become(cause, 1.0)
    assert row.state == state
    return row


@pytest.mark.parametrize(("state", "cause"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_a_transition_of_the_table_is_followed(state, cause):
    row = row_in(state)
    stamp = row.stamp
    row.become(cause, 2.0)
    assert row.state == TRANSITIONS[state, cause]
    assert row.stamp > stamp  # what was expected of it ends
    assert row.leaving == (cause == "doubted")


@pytest.mark.parametrize(("state", "cause"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_any_other_transition_is_an_error(state, cause):
    row = row_in(state)
    with pytest.raises(KeyError):
        row.become(cause, 2.0)
    assert row.state == state


def test_the_table_names_known_states_and_causes():
    assert set(TRANSITIONS) <= set(PAIRS)
    assert set(TRANSITIONS.values()) <= set(STATES)
    assert {cause for _, cause in TRANSITIONS} == set(get_args(Cause))


def test_each_state_is_reached_and_left():
    reached = {after for (before, _), after in TRANSITIONS.items() if after != before}
    assert reached == set(STATES)
    assert {before for (before, _), after in TRANSITIONS.items() if after != before} == set(STATES)


def test_being_heard_makes_every_row_up():
    assert {TRANSITIONS[state, "heard"] for state in STATES} == {"up"}


def test_a_gone_row_only_comes_back():
    assert {cause for state, cause in TRANSITIONS if state not in LIVE} == {"heard"}


def test_only_the_row_changes_its_state():
    package = Path(discoveryd.__file__).parent / "protocol"
    writers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "state" and isinstance(node.ctx, ast.Store)
    }
    assert writers == {"table/row.py"}


# --- what a change of state entails -----------------------------------------------------------------


def test_a_row_that_left_was_heard_last_when_it_left():
    row = row_in("up")
    row.become("goodbye", 3.0)
    assert (row.last_heard, row.expires) == (3.0, 3.0)


def test_a_gone_row_forgets_what_answers_told():
    table = ProvedTable()
    table.heard(hello(), source(), now=0.0)
    row = row_of(table)
    table.answered(row, source(), 0.001, 0.1, two_way=True, now=0.1)
    [path] = row.paths
    assert path.two_way
    row.become("expired", 5.0)
    assert path.two_way is None


def test_a_suspect_is_probed_from_the_start():
    table = ProvedTable()
    table.heard(hello(), source(), now=0.0)
    row = row_of(table)
    [path] = row.paths
    path.probes = 3
    row.become("overdue", 2.0)
    assert (row.probe_at, path.probes) == (2.0, 0)


def test_its_hellos_are_due_from_when_it_came_back():
    row = row_in("down")
    row.become("heard", 9.0)
    assert row.beats_from == 9.0
