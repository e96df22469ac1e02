"""Files of peers: written soon, as a whole, only when they change, and not emptied by a daemon that knows too little."""

import json
import os
import stat
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic

import pytest

from discoveryd.config.export_rule import ExportRule
from discoveryd.exports import exporter as exporting
from discoveryd.exports.exporter import Exporter
from discoveryd.query.findings import findings
from discoveryd.query.request import Filter
from tests.query.samples import STATUS, peer

OWN = peer(id="own", name="me", boot="me", address="10.0.0.1", addresses=["10.0.0.1"], services=[], tags={})
NAMES = ExportRule(format="template", template="{name}")
BETA = peer(id="77", name="beta", boot="b")


class Stage:
    """A table of peers that is played, and the files that are made of it."""

    def __init__(self, directory):
        self.peers = [peer()]
        self.asked = []
        self.is_cut_off = False
        self.turns = 0
        self.now = 1000.0
        self.notices = SimpleQueue()
        self.directory = directory
        self.path = directory / "peers.txt"
        self.exporter = Exporter(
            str(directory), listing=self._listing, look=lambda at: at(self, self.now), notify=self.notices.put, failed=self._failed
        )

    def _listing(self, chosen):
        self.asked.append(chosen)
        return json.dumps({"ok": True, "peers": self.peers, "self": OWN}).encode()

    def _failed(self, name, error):
        self.notices.put(error)

    def interval(self, now):
        self.turns += 1
        return 0.8

    def ttl(self, interval):
        return 4.0

    def is_isolated(self, now):
        return self.is_cut_off

    def keep(self, *rules):
        self.exporter.replace(rules, 5.0)

    def changed(self, *peers):
        self.peers = list(peers)
        self.exporter.wake()

    def until(self, holds, what=""):
        """Wait until something holds; each turn of the exporter may make it so."""
        deadline = monotonic() + 15
        while not holds():
            assert monotonic() < deadline, f"{what}: {self.exporter.status()}"
            self.wait()

    def wait(self):
        with suppress(Empty):
            self.notices.get(timeout=0.02)

    def reads(self, text, path=None):
        path = path or self.path
        self.until(lambda: path.exists() and path.read_text() == text, text)

    def told(self):
        """Wait for the next notice."""
        notice = self.notices.get(timeout=15)
        return notice.text, notice.fields.get("why", "")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "GATHER", 0.02)
    monkeypatch.setattr(exporting, "RETRY", 0.1)
    made = Stage(tmp_path / "export")
    made.exporter.start()
    yield made
    made.exporter.stop()


def test_a_file_follows_the_peers(stage):
    stage.keep(NAMES)
    stage.reads("alpha\nme\n")
    stage.changed(peer(), BETA)
    stage.reads("beta\nalpha\nme\n")
    assert stage.exporter.status()[0] | {"written_s": 0} == {
        "format": "template", "path": str(stage.path), "writes": 2, "bytes": 14, "held": False, "error": None, "written_s": 0,
        "runs": 0, "failures": 0, "fault": None,
    }  # fmt: skip


def test_everybody_may_read_whatever_the_umask(stage):
    before = os.umask(0o077)
    try:
        stage.keep(NAMES, ExportRule(format="dnsmasq"))
        stage.until((stage.directory / "dnsmasq/peers").exists)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(place.stat().st_mode) for place in (stage.path, stage.directory, stage.directory / "dnsmasq")]
    assert modes == [0o644, 0o755, 0o755]
    assert sorted(os.listdir(stage.directory / "dnsmasq")) == ["peers"]


def test_a_file_that_says_the_same_is_not_touched(stage):
    stage.keep(NAMES)
    stage.reads("alpha\nme\n")
    before = stage.path.stat()
    asked = len(stage.asked)
    stage.changed(peer(last_heard_s=0.1))
    stage.until(lambda: len(stage.asked) > asked)
    assert (stage.path.stat().st_ino, stage.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_somebody_removed_comes_back(stage):
    stage.keep(NAMES)
    stage.reads("alpha\nme\n")
    stage.path.unlink()
    stage.exporter.wake()
    stage.reads("alpha\nme\n")


def test_filters_are_asked_for_once_and_self_may_be_left_out(stage):
    chosen = Filter(tags={"role": "gpu"})
    rules = [ExportRule(format="template", template="{name}", chosen=chosen, with_self=False), ExportRule(format="hosts", chosen=chosen)]
    stage.keep(*rules)
    stage.until((stage.directory / "hosts").exists)
    assert stage.path.read_text() == "alpha\n"
    assert "me.peers.internal" in (stage.directory / "hosts").read_text()
    assert stage.asked[0] == chosen
    assert len(stage.asked) <= 2  # a turn each, however many files


def test_what_a_former_daemon_wrote_is_kept_for_a_ttl(stage):
    stage.directory.mkdir()
    stage.path.write_text("alpha\nbeta\nme\n")
    stage.keep(NAMES, ExportRule(format="hosts"))
    stage.until((stage.directory / "hosts").exists)  # what was not there is written at once
    assert stage.path.read_text() == "alpha\nbeta\nme\n"
    assert [one["held"] for one in stage.exporter.status()] == [True, False]
    stage.now += 4.0
    stage.exporter.wake()
    stage.reads("alpha\nme\n")


def test_no_file_is_emptied_while_isolated(stage):
    stage.keep(NAMES)
    stage.reads("alpha\nme\n")
    stage.is_cut_off = True
    stage.changed()
    stage.until(lambda: stage.exporter.status()[0]["held"])
    assert stage.path.read_text() == "alpha\nme\n"
    stage.is_cut_off = False
    before = stage.turns
    stage.changed(BETA)
    stage.until(lambda: stage.turns > before)
    assert stage.path.read_text() == "alpha\nme\n"  # all others are heard again within two intervals
    stage.now += 1.6
    stage.exporter.wake()
    stage.reads("beta\nme\n")


def test_a_file_that_cannot_be_written_is_told_once(stage, tmp_path):
    path = tmp_path / "elsewhere" / "names"
    stage.keep(ExportRule(format="template", template="{name}", path=str(path)), NAMES)
    text, why = stage.told()
    assert (text, why) == ("export not written", f"No such file or directory; make the directory: mkdir {path.parent}")
    stage.reads("alpha\nme\n")  # others are written all the same
    (found,) = findings(STATUS | {"exports": stage.exporter.status()})
    assert (found.code, found.subject) == ("export-not-written", str(path))
    assert found.text == f"{path} (template) is not written: {why}"
    path.parent.mkdir()
    assert stage.told()[0] == "export written again"
    assert path.read_text() == "alpha\nme\n"


def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(stage, tmp_path):
    (tmp_path / "secret").write_text("kept")
    stage.directory.mkdir()
    (stage.directory / ".peers.txt.new").symlink_to(tmp_path / "secret")
    stage.path.symlink_to(tmp_path / "secret")
    stage.now += 4.0
    stage.keep(NAMES)
    stage.until(lambda: not stage.path.is_symlink())
    assert (tmp_path / "secret").read_text() == "kept"


def test_a_command_runs_after_each_change(stage, tmp_path):
    log = tmp_path / "log"
    script = f'echo "$DISCOVERYD_EXPORT_FORMAT $DISCOVERYD_EXPORT" >> {log}; grep -q beta "$DISCOVERYD_EXPORT" && echo no beta && exit 3; true'
    stage.keep(ExportRule(format="template", template="{name}", command=("/bin/sh", "-c", script)))
    stage.until(lambda: [one["runs"] for one in stage.exporter.status()] == [1])
    assert log.read_text() == f"template {stage.path}\n"
    stage.changed(BETA)
    assert stage.told() == ("export command failed", "exit 3: no beta")
    (found,) = findings(STATUS | {"exports": stage.exporter.status()})
    assert (found.code, found.text) == ("export-command-failed", f"the command after a change of {stage.path} failed: exit 3: no beta")
    stage.changed(peer())
    assert stage.told()[0] == "export command works again"
    assert stage.exporter.status()[0]["failures"] == 1


def test_a_command_that_hangs_is_ended(stage):
    rule = ExportRule(format="template", template="{name}", command=("/bin/sleep", "60"))
    stage.exporter.replace([rule], 0.05)
    assert stage.told() == ("export command failed", "took more than 0.05 s, and was ended")


def test_a_command_that_is_not_there_is_told(stage):
    stage.keep(ExportRule(format="template", template="{name}", command=("/nonexistent",)))
    assert stage.told() == ("export command failed", "cannot be run: No such file or directory")


def test_what_is_no_longer_kept_goes(stage, tmp_path):
    stage.directory.mkdir()
    (stage.directory / "peers.csv").write_text("of a former daemon")
    elsewhere = ExportRule(format="template", template="{name}", path=str(tmp_path / "names"))
    stage.keep(NAMES, elsewhere)
    stage.until((tmp_path / "names").exists)
    stage.keep()
    stage.until(lambda: not stage.path.exists())
    assert (tmp_path / "names").exists()  # it may be somebody's by now
    assert not (stage.directory / "peers.csv").exists()


def test_what_changes_on_and_on_is_written_now_and_then(stage):
    stage.keep(NAMES)
    stage.reads("alpha\nme\n")
    before, began = len(stage.asked), monotonic()
    while monotonic() < began + 0.5:
        stage.exporter.wake()
        stage.wait()
    assert 1 <= len(stage.asked) - before <= 0.5 / 0.02 + 2
