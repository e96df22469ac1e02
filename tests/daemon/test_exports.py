"""The exports as a part of the daemon: off unless configured, changed by a reload, and without commands of others."""

import os
import subprocess
import sys
from dataclasses import replace
from queue import SimpleQueue
from time import monotonic, sleep

import pytest

from discoveryd.config import Config
from discoveryd.config.export_rule import ExportRule
from discoveryd.config.exports import ExportSection
from discoveryd.config.sections import PathsSection
from discoveryd.daemon.exports import ExportsPart
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import CONNECTED, info
from tests.protocol.samples import ETH0

NAMES = ExportRule(format="template", template="{name}")


class Daemon:
    """The part, a node that is not started, and a configuration."""

    def __init__(self, directory, *rules):
        self.discovery = Discovery(Parameters(loopback="127.0.0.2"), name="anna")
        self.discovery.look(lambda node, now: node.set_links((ETH0,), now))  # without a link a node is isolated
        self.source = directory / "c.yaml"
        self.source.write_text("")
        self.config = Config(paths=PathsSection(runtime=str(directory)), source=str(self.source), export=ExportSection(files=rules))
        self.notices = SimpleQueue()
        self.part = ExportsPart(self.config, self.discovery, self.notices.put)
        self.file = directory / "export/peers.txt"

    def reload(self, *rules):
        self.part.reload(replace(self.config, export=ExportSection(files=rules)))

    def reads(self, text):
        deadline = monotonic() + 15
        while not self.file.exists() or self.file.read_text() != text:
            assert monotonic() < deadline, self.part.status()
            sleep(0.01)


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path, NAMES)
    yield made
    made.part.stop()


def test_this_node_is_in_the_file_and_a_change_of_it_is_seen(daemon):
    daemon.part.start()
    daemon.reads("anna\n")
    daemon.part.look()
    daemon.discovery.set_record(name="berta", tags={}, services=())
    daemon.part.look()
    daemon.reads("berta\n")


def test_a_notice_that_all_are_heard_again_counts(daemon):
    daemon.part.start()
    daemon.reads("anna\n")
    daemon.file.unlink()
    daemon.part.hear(info("something else"))
    daemon.part.hear(info(CONNECTED))
    daemon.reads("anna\n")


def test_a_reload_changes_the_files(daemon):
    daemon.part.start()
    daemon.reads("anna\n")
    daemon.reload(ExportRule(format="template", template="{name}!"))
    daemon.reads("anna!\n")
    daemon.reload()
    deadline = monotonic() + 15
    while daemon.file.exists():
        assert monotonic() < deadline
        sleep(0.01)
    assert daemon.part.status() == []


def test_without_files_there_is_no_part_and_nothing_of_before(tmp_path):
    daemon = Daemon(tmp_path)
    daemon.part.start()
    daemon.part.look()
    assert daemon.part.status() is None
    daemon.part.stop()
    daemon.file.parent.mkdir()
    daemon.file.write_text("of a daemon before")
    daemon.part.start()
    deadline = monotonic() + 15
    while daemon.file.exists():
        assert monotonic() < deadline
        sleep(0.01)
    daemon.part.stop()


def test_a_command_that_others_may_have_written_is_not_run(tmp_path):
    daemon = Daemon(tmp_path, replace(NAMES, command=("/bin/false",)))
    daemon.source.chmod(0o666)
    daemon.part.start()
    notice = daemon.notices.get(timeout=15)
    assert (notice.text, notice.fields["why"].partition(": ")[2]) == ("export commands are not run", f"chmod go-w {daemon.source}")
    daemon.reads("anna\n")
    daemon.part.stop()
    assert daemon.part.status()[0]["runs"] == 0


def test_a_daemon_without_exports_imports_nothing_of_them():
    code = "import sys, discoveryd.daemon.run; print(sorted(name for name in sys.modules if '.exports.' in name or 'formats.' in name or 'export_' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ, timeout=30)
    assert done.stdout == "[]\n"
