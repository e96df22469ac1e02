"""SIGHUP: what a running daemon takes over from its configuration, and what it refuses."""

import json
import signal
import time

BEFORE = """\
node:
  tags: {role: cpu}
hello:
  interval: 800ms
log:
  level: info
  format: logfmt
"""
AFTER = """\
node:
  tags: {role: gpu}
  services: [{name: http, port: 8080}]
hello:
  interval: 200ms
  ttl: 3s
  realm: other
limits:
  routed: 7
log:
  level: warning
  format: json
"""


def test_sighup_takes_over_what_can_change_and_names_what_cannot(make, observer):
    daemon = make(config=BEFORE).run()
    assert dict(observer.until("joined", lambda peer: peer.tags).tags) == {"role": "cpu"}
    boot = daemon.ask("status")["node"]["boot"]
    daemon.log_until("discoveryd started")
    daemon.config.write_text(AFTER, encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    assert 'event="needs a restart" key=hello.realm now=default wanted=other' in daemon.log_until("restart")[-1]
    for _ in range(2):  # and still does, when nothing has changed since; in the new form by now
        daemon.kill(signal.SIGHUP)
        line = json.loads(daemon.log_until("needs a restart")[-1])
        assert (line["key"], line["now"], line["wanted"]) == ("hello.realm", "default", "other")
    peer = observer.until("updated", lambda peer: peer.tags == {"role": "gpu"})
    assert [(service.name, service.port) for service in peer.services] == [("http", 8080)]
    status = daemon.ask("status")
    assert status["hello"] == {"port": daemon.port, "interval_s": 0.2, "ttl_s": 3.0}
    assert (status["node"]["realm"], status["node"]["boot"]) == ("default", boot)
    assert status["table"]["routed_limit"] == 7
    daemon.end()
    assert daemon.log_rest() == []  # level warning: the goodbye is no news


def test_sighup_with_a_broken_configuration_changes_nothing(make, observer):
    daemon = make(config=BEFORE).run()
    observer.until("joined")
    daemon.log_until("discoveryd started")
    daemon.config.write_text("node:\n  tags: {role: gpu}\nhello:\n  interval: 5\n", encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    refused, kept = daemon.log_until("the former configuration stays in force")[-2:]
    assert 'level=error event="configuration refused"' in refused
    assert f"{daemon.config}:4: " in refused
    assert "hello.interval" in refused
    assert "level=warning" in kept
    status = daemon.ask("status")
    assert (status["node"]["tags"], status["hello"]["interval_s"]) == ({"role": "cpu"}, 0.8)
    daemon.config.unlink()
    daemon.kill(signal.SIGHUP)
    assert "No such file" in daemon.log_until("stays in force")[-2]
    daemon.config.write_text(BEFORE.replace("cpu", "tpu"), encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    daemon.log_until("configuration reloaded")
    assert daemon.ask("status")["node"]["tags"] == {"role": "tpu"}


def test_the_last_will_ends_at_once_and_begins_with_a_restart(make):
    daemon = make(config=BEFORE).run()
    daemon.log_until("discoveryd started")
    assert wait_for(daemon, "watching", 3)
    daemon.config.write_text(BEFORE.replace("hello:", "hello:\n  last_will: off"), encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    daemon.log_until("configuration reloaded")
    assert wait_for(daemon, "watching", 0)
    daemon = make(config=BEFORE.replace("hello:", "hello:\n  last_will: off")).run()
    daemon.log_until("discoveryd started")
    assert wait_for(daemon, "off", 0)
    daemon.config.write_text(BEFORE, encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    assert 'event="needs a restart" key=hello.last_will now=off wanted=on' in daemon.log_until("restart")[-1]


def wait_for(daemon, witness, datagrams, within=10.0):
    """Ask again and again until the will is so; the sender writes it a moment later."""
    deadline = time.monotonic() + within
    while daemon.ask("status")["last_will"] != {"witness": witness, "datagrams": datagrams}:
        if time.monotonic() > deadline:
            return False
    return True
