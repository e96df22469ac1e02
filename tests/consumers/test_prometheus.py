"""Prometheus itself: it discovers by the file, scrapes, and keeps its targets through a restart of the daemon."""

import json
import subprocess

import yaml

from discoveryd.query.formats.exports import ExportOptions, export_text
from tests.consumers.conftest import ROOT
from tests.netns.daemons import asking, names, until
from tests.query.formats.contracts import HOSTILE
from tests.query.samples import peer

ASK = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9090/api/v1/targets", timeout=5).read().decode())
"""
PAGE = (ROOT / "docs/exports.md").read_text(encoding="utf-8")


def configuration(path):
    """Give the configuration that the page shows, for a file elsewhere."""
    text = PAGE.partition("## Prometheus\n")[2].partition("```yaml\n")[2].partition("```")[0]
    found = yaml.safe_load(text)
    found["global"] = {"scrape_interval": "1s"}
    found["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(path)]
    return yaml.safe_dump(found)


def test_promtool_accepts_what_hostile_peers_say(tool, tmp_path):
    promtool = tool("promtool", "prometheus")
    evils = [peer(id=f"id{number}", boot=str(number), name=evil, tags={evil: evil, "role": evil},
                  services=[{"name": evil, "port": 80, "proto": evil, "tags": {evil: evil}}])
             for number, evil in enumerate(HOSTILE)]  # fmt: skip
    (tmp_path / "sd.json").write_text(export_text("prometheus", evils, None, ExportOptions()))
    (tmp_path / "c.yaml").write_text(configuration(tmp_path / "sd.json"))
    subprocess.run([promtool, "check", "config", tmp_path / "c.yaml"], check=True, timeout=30, capture_output=True)
    done = subprocess.run(
        [promtool, "check", "service-discovery", tmp_path / "c.yaml", "nodes", "--timeout=2s"],
        check=True, timeout=30, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert len(found) == len(evils)
    for target in found:
        assert target["labels"]["__address__"] == "10.0.0.2:80"
        assert target["labels"]["__scheme__"] == "http"
        assert target["labels"]["__metrics_path__"] == "/metrics"
        assert target["labels"]["instance"] == target["discoveredLabels"]["__meta_discoveryd_name"]


def test_prometheus_keeps_its_targets_through_a_restart(lab, tool, tmp_path):
    prometheus = tool("prometheus", "prometheus")
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    path = tmp_path / "a/export/prometheus.json"
    environment = {
        "DISCOVERYD_PATHS__RUNTIME": str(tmp_path / "a"), "DISCOVERYD_EXPORT__FILES": "[{format: prometheus, port: 9341, self: off}]",
        "DISCOVERYD_HELLO__TTL": "1600ms",  # for which the file is kept after a start
    }  # fmt: skip
    b.discoveryd(env={"DISCOVERYD_METRICS__LISTEN": "10.77.0.2:9341"})
    daemon = a.discoveryd(env=environment)
    with asking(a) as on_a:
        until(on_a, names("b"))
        until(on_a, lambda _: path.exists() and json.loads(path.read_text()))
    (tmp_path / "c.yaml").write_text(configuration(path))
    a.popen(prometheus, f"--config.file={tmp_path}/c.yaml", f"--storage.tsdb.path={tmp_path}/data", "--web.listen-address=127.0.0.1:9090")
    with asking(b) as on_b:

        def targets():
            """Return instance and health of each target; None until Prometheus answers."""
            done = a.python(ASK, check=False)
            if done.returncode:
                return None
            return [(one["labels"]["instance"], one["health"]) for one in json.loads(done.stdout)["data"]["activeTargets"]]

        until(on_b, lambda _: targets() == [("b", "up")])
        before = path.stat()
        daemon.terminate()
        daemon.wait(20)
        assert [instance for instance, _ in targets()] == ["b"]
        a.discoveryd(env=environment)
        until(on_b, lambda peers: [one for one in peers if one["name"] == "a" and one["first_seen_s"] < 60])
        with asking(a) as on_a:
            until(on_a, names("b"))
            until(on_a, lambda _: on_a.request("status")["exports"][0]["held"] is False)  # a ttl later it follows again
        after = path.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # nobody noticed
        assert targets() == [("b", "up")]


WEB = (ROOT / "docs/web.md").read_text(encoding="utf-8")


def http_configuration(token):
    """Give the configuration that the page shows, for services of one name, with a token."""
    text = WEB.partition("## Prometheus\n")[2].partition("```yaml\n")[2].partition("```")[0]
    found = yaml.safe_load(text)
    found["global"] = {"scrape_interval": "1s"}
    [job] = found["scrape_configs"]
    [discovery] = job["http_sd_configs"]
    discovery |= {"url": "http://10.77.0.1:3480/sd/prometheus?port=3480", "refresh_interval": "500ms"}
    job["authorization"] = discovery["authorization"] = {"type": "Bearer", "credentials_file": str(token)}  # without a type this one sends none
    return yaml.safe_dump(found)


def test_prometheus_discovers_and_scrapes_by_one_listener(lab, tool, tmp_path):
    """Through a restart of the daemon that it asks, with a token, its targets stay."""
    prometheus = tool("prometheus", "prometheus")
    token = tmp_path / "web.token"
    token.write_text("0123456789abcdef0123\n")
    token.chmod(0o600)
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    environment = {"DISCOVERYD_WEB__TOKEN_FILE": str(token), "DISCOVERYD_HELLO__TTL": "1600ms"}  # for which it answers 503 after a start
    b.discoveryd(env={**environment, "DISCOVERYD_WEB__LISTEN": "10.77.0.2:3480"})
    on_a = {**environment, "DISCOVERYD_WEB__LISTEN": "10.77.0.1:3480"}
    daemon = a.discoveryd(env=on_a)
    (tmp_path / "c.yaml").write_text(http_configuration(token))
    a.popen(prometheus, f"--config.file={tmp_path}/c.yaml", f"--storage.tsdb.path={tmp_path}/data", "--web.listen-address=127.0.0.1:9090")
    everywhere = [("10.77.0.1:3480", "up"), ("10.77.0.2:3480", "up")]
    seen = []

    def targets():
        """Return address and health of each target; None until Prometheus answers."""
        done = a.python(ASK, check=False)
        if done.returncode == 0:
            seen.append(sorted((one["labels"]["instance"], one["health"]) for one in json.loads(done.stdout)["data"]["activeTargets"]))
        return seen[-1] if seen else None

    with asking(b) as on_b:
        until(on_b, lambda _: targets() == everywhere)
        daemon.terminate()
        daemon.wait(20)
        del seen[:]
        a.discoveryd(env=on_a)
        until(on_b, lambda _: [one for one, _ in targets()] == [one for one, _ in everywhere] and on_b.request("show", peer="a")["peers"][0]["boot"])
        until(on_b, lambda _: targets() == everywhere)
    assert {tuple(one for one, _ in found) for found in seen} == {("10.77.0.1:3480", "10.77.0.2:3480")}  # never fewer
