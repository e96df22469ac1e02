"""The settings of a machine for a program that is a node itself."""

import pytest

from discoveryd import Discovery, DiscoveryError, machine_settings, machine_token
from discoveryd.daemon import main
from discoveryd.errors import ConfigError, QueryError


def test_a_node_speaks_as_the_daemons_around_it(tmp_path):
    assert main(["keygen", str(tmp_path / "a.key")]) == 0
    file = tmp_path / "c.yaml"
    file.write_text("hello: {realm: lab, loopback: 127.0.7.1}\nsecurity: {mode: require, keys: [a.key]}\n")
    settings = machine_settings(str(file), {})
    assert (settings["parameters"].realm, settings["keyring"].mode) == ("lab", "require")
    assert settings["parameters"].last_will is False
    node = Discovery(name="renderer", **settings)
    assert node.look(lambda engine, _: engine.keyring.send_with) == settings["keyring"].keys[0].id


def test_without_a_configuration_it_is_the_defaults(tmp_path, monkeypatch):
    monkeypatch.setattr("discoveryd.config.DEFAULT_PATH", str(tmp_path / "none"))
    settings = machine_settings(environ={"DISCOVERYD_HELLO__REALM": "x"})
    assert (settings["parameters"].realm, settings["keyring"].keys) == ("x", ())


def test_every_fault_is_told(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("security: {mode: require, keys: [none.key]}\n")
    with pytest.raises(ConfigError, match=r"none\.key"):
        machine_settings(str(file), {})


def test_the_token_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("discoveryd.files.token.DEFAULT_PATH", str(tmp_path / "control.token"))
    monkeypatch.setattr("discoveryd.files.directories.RUNTIME", str(tmp_path))
    with pytest.raises(QueryError, match="no control token at"):
        machine_token()
    (tmp_path / "control.token").write_text("ab" * 32)
    assert machine_token() == "ab" * 32


def test_a_port_that_is_taken_is_an_error_of_both_kinds():
    with pytest.raises(DiscoveryError) as caught, Discovery(**taken()), Discovery(**taken()):
        pass
    assert isinstance(caught.value, OSError)
    assert "is taken by" in str(caught.value)


def taken():
    return machine_settings(environ={"DISCOVERYD_HELLO__LOOPBACK": "127.0.7.8", "DISCOVERYD_HELLO__PORT": "34119"})
