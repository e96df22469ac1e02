"""The history of a real daemon: it outlives a kill, and is asked for by every program."""

import signal
import sys
from time import monotonic, sleep

from discoveryd.errors import QueryError
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery

WAIT = 20.0


def until(ask, holds):
    deadline = monotonic() + WAIT
    while True:
        try:
            found = ask()
        except QueryError as error:  # not up yet, or the history has not begun
            found = error
        else:
            if holds(found):
                return found
        assert monotonic() < deadline, found
        sleep(0.05)


def test_a_killed_daemon_goes_on_with_its_history(make, observer):
    daemon, other = make().run(), make().run()
    client = Client(daemon.query)
    until(lambda: client.history(), lambda found: len(found["stays"]) == 2)
    other.end()
    until(lambda: client.history("node-3"), lambda found: [one["event"] for one in found["events"]][-1:] == ["left"])
    daemon.end(signal.SIGKILL)
    daemon.close()
    daemon.run()
    found = until(lambda: client.history("observer"), lambda found: len(found["stays"]) == 2)
    assert [one["ended"] for one in found["stays"]] == ["unknown", None]
    assert [one["kind"] for one in found["absences"]] == ["killed"]
    assert found["peers"][0]["name"] == "observer"
    [peer] = client.availability(name="obs*")["peers"]
    assert (peer["state"], peer["downs"]) == ("up", 0)
    [peer] = client.availability("node-3")["peers"]
    assert (peer["state"], peer["downs"]) == ("left", 0)
    status = daemon.ask("status")["history"]
    assert (status["on"], status["error"], status["lost"]) == (True, None, 0)


HOOK = """#!/bin/sh
list=$({python} -m discoveryd.ctl list --address {address} --only name | tr '\\n' ' ')
echo "$DISCOVERYD_EVENT $DISCOVERYD_PEER: $list" >> {log}
"""


def test_hooks_wait_for_a_peer_with_grace_and_see_the_truth(make, tmp_path, port):
    """A phone leaves, another peer comes meanwhile, and only then is it told that the phone is gone."""
    daemon = make(config='grace:\n  - {name: "ph*", for: 4s}\n')
    log = tmp_path / "log"
    log.write_text("")
    hook = tmp_path / "hooks.d/10-log"
    hook.parent.mkdir()
    hook.write_text(HOOK.format(python=sys.executable, address=f"{daemon.query[0]}:{daemon.query[1]}", log=log))
    hook.chmod(0o755)
    daemon.run()

    def told():
        return [line.strip() for line in log.read_text().splitlines() if not line.startswith("suspect")]

    def node(name, last):
        return Discovery(Parameters(port=port, loopback=f"127.0.0.{last}"), name=name, node_id=name)

    with node("phone", 201):
        until(told, lambda lines: lines == ["joined phone: phone"])
        until(lambda: daemon.ask("list")["peers"], lambda peers: peers[0]["two_way"])  # it answered a PING
    with node("other", 202):
        lines = until(told, lambda lines: len(lines) == 3)
        assert lines == ["joined phone: phone", "joined other: other", "left phone: other"]
        assert daemon.ask("status")["grace"] == {"rules": 1, "waiting": 0, "maintenance": []}
