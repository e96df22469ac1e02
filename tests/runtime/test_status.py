"""The status of a Discovery has the keys of its type, whatever there is to show."""


import pytest

from discoveryd.net.transport import Outside
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.query.status import Status
from discoveryd.runtime import status as module
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.network import Network
from tests.query.test_status import differences

HERE = Link("eth0", 2, "10.0.0.130", 25, "10.0.0.255")
DOWN = "ENETDOWN: Network is down"


@pytest.mark.parametrize("has_servers", [False, True])
def test_a_status_has_the_keys_of_its_type(monkeypatch, has_servers, port):
    key = Key(b"k" * 32)
    keyring = Keyring(keys=(key,), send_with=key.id, mode="accept")
    address = ("127.0.0.2", 0) if has_servers else None
    monkeypatch.setattr(Network, "outside", lambda _: {("10.0.0.1", 2): Outside(HERE, 0.0, is_near=True)})
    monkeypatch.setattr(Network, "send_errors", lambda _: {("lo", "127.255.255.255"): DOWN})
    monkeypatch.setattr(module, "rp_filter_mode", lambda _: 1)
    parameters = Parameters(loopback="127.0.0.2", port=port)
    with Discovery(parameters, keyring=keyring, query=address, metrics=address) as discovery:
        discovery.look(lambda node, now: node.receive(b"nonsense", Source("127.0.0.3", None), now))
        discovery.report("hooks", lambda: {"running": 0})
        status = discovery.status()
    assert status.pop("hooks") == {"running": 0}
    assert list(differences(status, Status)) == []
    assert all(status[name] for name in ("links", "drops", "outside", "send_errors"))
    assert status["links"][0]["last_error"] == DOWN
    assert status["rp_filter"]["links"] == [{"link": "lo", "mode": 1}]
    assert list(status)[:3] == ["ok", "schema", "node"]


def test_the_error_of_a_former_seed_is_not_shown(monkeypatch, port):
    errors = {("-", "192.0.2.1"): DOWN, ("-", "192.0.2.2"): DOWN}
    monkeypatch.setattr(Network, "send_errors", lambda _: errors)
    discovery = Discovery(Parameters(loopback="127.0.0.2", port=port, seeds=("192.0.2.2",)))
    assert discovery.status()["send_errors"] == [{"link": "-", "target": "192.0.2.2", "error": DOWN}]
