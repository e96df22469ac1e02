"""The node id: the same from run to run, and nothing that could be traced back."""

import pytest

from discoveryd import identity
from discoveryd.identity import node_id
from discoveryd.protocol.parameters import MAX_ID, is_word


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Stand for /etc/machine-id, which is not there at first."""
    path = tmp_path / "machine-id"
    monkeypatch.setattr(identity, "MACHINE_ID", str(path))
    return path


def test_it_is_derived_from_the_machine_id_but_does_not_show_it(machine, tmp_path):
    secret = "0123456789abcdef" * 2
    machine.write_text(secret + "\n")
    found, doubt = node_id(str(tmp_path / "state"))
    assert doubt == ""
    assert is_word(found, MAX_ID)
    assert found not in secret
    assert node_id("/nowhere") == (found, "")
    machine.write_text("f" + secret[1:])
    assert node_id(str(tmp_path / "state"))[0] != found
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", [None, "", "uninitialized\n", "0" * 31, "g" * 32, "\udcff", "0" * 33])
def test_without_a_machine_id_it_is_kept_in_the_state_directory(machine, tmp_path, text):
    if text is not None:
        machine.write_text(text, errors="surrogateescape")
    state = tmp_path / "state" / "deep"
    found, doubt = node_id(str(state))
    assert doubt == ""
    assert is_word(found, MAX_ID)
    assert (state / "node-id").read_text() == found + "\n"
    assert node_id(str(state)) == (found, "")
    assert node_id(str(tmp_path / "other"))[0] != found


@pytest.mark.parametrize("text", ["0" * 32, "f" * 32, "F" * 32, "deadbeef" * 4, "88544b92092430bc5d3fbbffc12a2f04"])
def test_a_placeholder_is_no_machine_id(machine, tmp_path, text):
    machine.write_text(text + "\n")
    state = str(tmp_path / "state")
    found, doubt = node_id(state)
    assert doubt == ""
    assert node_id(state) == (found, "")
    assert node_id(str(tmp_path / "other"))[0] != found  # two machines of this image are not one
    assert identity.placeholder(state) == (
        f"{machine} is {text.lower()}, as on many machines: an id made up is kept in {state}/node-id instead"
    )
    (tmp_path / "file").touch()
    assert node_id(str(tmp_path / "file" / "state"))[1].startswith(f"{machine} is a placeholder, and ")


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0123456789abcdef" * 2])
def test_of_no_id_and_of_a_good_one_nothing_is_said(machine, tmp_path, text):
    machine.write_text(text)
    assert identity.placeholder(str(tmp_path)) == ""


def test_a_spoilt_file_is_replaced(machine, tmp_path):
    (tmp_path / "node-id").write_text("half a li")
    found, doubt = node_id(str(tmp_path))
    assert doubt == ""
    assert node_id(str(tmp_path)) == (found, "")


def test_where_nothing_can_be_kept_it_lasts_for_the_run_and_says_what_to_do(machine, tmp_path):
    (tmp_path / "file").touch()
    state = str(tmp_path / "file" / "state")
    found, doubt = node_id(state)
    assert is_word(found, MAX_ID)
    assert str(machine) in doubt
    assert f"{state}/node-id cannot be written (Not a directory)" in doubt
    assert doubt.endswith("set node.id or paths.state")
    assert node_id(state)[0] != found


def test_reset_chooses_another_for_good(machine, tmp_path):
    machine.write_text("0123456789abcdef" * 2 + "\n")
    before, _ = node_id(str(tmp_path / "state"))
    fresh = identity.reset(str(tmp_path / "state"))
    assert fresh != before
    assert is_word(fresh, MAX_ID)
    assert node_id(str(tmp_path / "state")) == (fresh, "")
    assert identity.reset(str(tmp_path / "state")) != fresh


def test_daemons_on_loopback_are_no_clones_of_each_other(tmp_path):
    ids = {node_id(str(tmp_path), loopback)[0] for loopback in ("", "127.0.0.2", "127.0.0.3")}
    assert len(ids) == 3
    assert node_id(str(tmp_path), "127.0.0.2") == node_id(str(tmp_path), "127.0.0.2")
