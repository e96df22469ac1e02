"""Services from files: what is announced, what is refused, and how a person is told."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from discoveryd.config import Config
from discoveryd.config.dropin import MAX_BYTES, read
from discoveryd.daemon.services_d import MAX_ENTRIES, MAX_FILES, MAX_PROBLEMS, OWNER, ServicesPart
from discoveryd.protocol.wire.record import MAX_RECORD, Record, Service, service_length
from discoveryd.runtime.announcement import merged, replaced
from discoveryd.runtime.notices import Notice
from tests.conftest import no_descriptors

SAMPLES = Path(__file__).parents[2] / "config" / "services.d"
SSH = Service(name="ssh", port=22)


class Directory:
    """A directory of service files, and what its drop-ins said and announced."""

    def __init__(self, path):
        self.path = path
        self.path.mkdir(mode=0o755)
        self.told = []
        self.offered = []
        self.others = ()  # services of somebody else in the record
        self.work = SimpleQueue()
        self.part = ServicesPart(str(path), offer=self._offer, put=self._put)

    def _offer(self, owner, services):
        announced = replaced(replaced({}, "config", self.others), owner, services)
        Record(name="anna", services=merged(announced))
        self.offered.append(tuple(services))

    def _put(self, message):
        if isinstance(message, Notice):
            fields = {key: self.short(value) for key, value in message.fields.items()}
            self.told.append((message.level, message.text, fields))
        else:
            self.work.put(message)

    def short(self, value):
        return value.replace(f"{self.path}/", "") if isinstance(value, str) else value

    def write(self, name, text="name: ssh\nport: 22\n", mode=0o644):
        (self.path / name).write_text(text)
        (self.path / name).chmod(mode)

    def look(self):
        """Look; give the names announced now, and what was told of it."""
        self.told.clear()
        self.part.look()
        return self.names(), [(text, fields.get("problem") or fields.get("why")) for _, text, fields in self.told]

    def verdict(self):
        """Wait for the next verdict; give the names announced after it, and what was told of it."""
        work = self.work.get(timeout=10)
        self.told.clear()
        work()
        return self.names(), [(text, fields.get("why")) for _, text, fields in self.told]

    def names(self):
        return [one.name for one in self.offered[-1]] if self.offered else []

    def states(self):
        return {self.short(one["file"]): one["state"] for one in self.part.status()}


@pytest.fixture
def directory(tmp_path):
    made = Directory(tmp_path / OWNER)
    yield made
    made.part.stop()
    made.part.stop()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
def test_a_service_file_that_cannot_be_read_now_stays_announced(directory, monkeypatch, number):
    directory.write("a.yaml", service_file("web"))
    assert directory.look()[0] == ["web"]
    directory.write("a.yaml", service_file("shop"))
    directory.write("b.yaml", service_file("ssh", 22))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusal(number))
        why = f"a.yaml cannot be read now: {os.strerror(number)}"
        assert directory.look() == (["web"], [("service files ignored", why)])
        assert directory.look() == (["web"], []), "it is told once"
    assert sorted(directory.look()[0]) == ["shop", "ssh"]


def test_a_directory_that_cannot_be_read_now_keeps_its_services(directory):
    directory.write("a.yaml", service_file("web"))
    directory.look()
    with no_descriptors():
        names, told = directory.look()
    assert (names, [text for text, _ in told]) == (["web"], ["service files ignored"])
    directory.write("b.yaml", service_file("ssh", 22))
    assert directory.look()[0] == ["web", "ssh"]


def test_checks_that_cannot_start_now_are_started_later(directory, monkeypatch):
    directory.part.start()
    directory.write("a.yaml", service_file("web", more="health:\n  command: [/bin/true]\n"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert [text for text, _ in directory.look()[1]] == ["services are not checked now"]
        assert directory.look() == ([], [])
    directory.look()
    assert directory.verdict()[0] == ["web"]


def refusal(number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    return refuse


def no_thread(_):
    raise RuntimeError("can't start new thread")


def service_file(name, port=1, more=""):
    return f"name: {name}\nport: {port}\n{more}"


# --- a directory --------------------------------------------------------------------------------------


def test_services_follow_files_that_come_change_and_go(directory):
    assert directory.look() == ([], [])
    directory.write("b.yaml", service_file("web", 80))
    directory.write("a.yaml")
    assert directory.look() == (["ssh", "web"], [("service announced", None)] * 2)  # in the order of their files
    assert directory.look() == (["ssh", "web"], [])
    directory.write("b.yaml", service_file("web", 8080))
    assert directory.look() == (["ssh", "web"], [("service announced", None)])
    assert directory.offered[-1][1].port == 8080
    (directory.path / "a.yaml").unlink()
    assert directory.look() == (["web"], [("service withdrawn", "its file is gone")])


def test_a_look_at_what_has_not_changed_opens_and_offers_nothing(directory, monkeypatch):
    directory.write("a.yaml")
    directory.look()
    offers = len(directory.offered)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened a file"))
    directory.look()
    assert len(directory.offered) == offers


def test_the_directory_of_services_may_come_and_go(directory):
    directory.path.rmdir()
    assert directory.look() == ([], [])
    directory.path.mkdir()
    directory.write("a.yaml")
    assert directory.look()[0] == ["ssh"]
    (directory.path / "a.yaml").unlink()
    directory.path.rmdir()
    assert directory.look()[0] == []


def test_a_bad_service_file_is_told_once_and_the_others_stay(directory):
    directory.write("a.yaml")
    directory.write("bad.yaml", "name: web\nport: http\n")
    told = ("service file refused", "bad.yaml:2: port: must be a whole number, not 'http'")
    assert directory.look() == (["ssh"], [("service announced", None), told])
    assert directory.look() == (["ssh"], [])
    directory.write("c.yaml", service_file("other"))
    assert directory.look() == (["ssh", "other"], [("service announced", None)])
    directory.write("bad.yaml", "name: web\nport: https\n")  # a change, and a fault again
    assert directory.look()[1] == [(told[0], told[1].replace("'http'", "'https'"))]
    assert directory.states() == {"a.yaml": "announced", "bad.yaml": "refused", "c.yaml": "announced"}
    directory.write("bad.yaml", service_file("web", 80))
    assert directory.look() == (["ssh", "web", "other"], [("service announced", None)])


def test_a_file_that_turns_bad_withdraws_its_service(directory):
    directory.write("a.yaml")
    directory.look()
    directory.write("a.yaml", "nonsense")
    names, told = directory.look()
    assert (names, told[0][0]) == ([], "service file refused")


def test_a_reload_reads_and_tells_everything_again(directory):
    directory.write("a.yaml")
    directory.write("bad.yaml", "port: 1\n")
    directory.look()
    directory.told.clear()
    directory.part.reload(Config())
    assert [text for _, text, _ in directory.told] == ["service file refused"]
    assert directory.names() == ["ssh"]


def test_five_faults_of_a_file_are_told_and_the_rest_counted(directory):
    directory.write("a.yaml", "".join(f"key{number}: 1\n" for number in range(20)))
    told = directory.look()[1]
    assert len(told) == MAX_PROBLEMS + 1
    assert told[-1] == ("service file refused", "a.yaml: and 16 more")
    assert directory.part.status()[0]["why"].endswith("(and 5 more)")


@pytest.mark.parametrize("name", [".a.yaml", ".#a.yaml", "#a.yaml#", "a.yaml~", "a.yaml.bak", "a.yaml.example", "a.yaml.dpkg-new", "README"])
def test_hidden_files_and_backups_are_passed_over(directory, name):
    directory.write(name, "nonsense")
    assert directory.look() == ([], [])
    assert directory.part.status() == []


def test_a_pipe_or_directory_is_no_service_and_not_waited_for(directory):
    os.mkfifo(directory.path / "a.yaml")
    (directory.path / "b.yaml").mkdir()
    (directory.path / "c.yaml").symlink_to("nowhere")
    directory.write("d.yaml", "#" * (MAX_BYTES + 1))
    directory.write("e.yml")
    told = [
        "a.yaml: it is no regular file; remove it",
        "b.yaml: it is no regular file; remove it",
        "c.yaml: cannot be read: No such file or directory",
        "d.yaml: over 16 KiB is no service; remove it",
        "e.yml: the name must end in .yaml; rename it",
    ]
    assert directory.look() == ([], [("service file refused", one) for one in told])
    assert directory.look() == ([], [])


def test_a_link_to_a_service_file_is_followed(directory, tmp_path):
    (tmp_path / "real").write_text(service_file("web"))
    (directory.path / "a.yaml").symlink_to(tmp_path / "real")
    assert directory.look()[0] == ["web"]
    (tmp_path / "real").write_text(service_file("mail"))
    assert directory.look()[0] == ["mail"]


def test_the_number_of_service_files_is_bounded(directory):
    for number in range(MAX_FILES + 1):
        directory.write(f"{number:03}.yaml", "nonsense")
    told = directory.look()[1]
    assert told[0] == ("service files ignored", f"has {MAX_FILES + 1} files; only the first {MAX_FILES} by name are read")
    assert len(directory.part.status()) == 1 + MAX_FILES
    assert directory.look()[1] == []
    (directory.path / "000.yaml").unlink()
    assert len(directory.look()[1]) == 1  # of the one that comes in
    assert len(directory.part.status()) == MAX_FILES


def test_the_number_of_directory_entries_is_bounded(directory):
    for number in range(MAX_ENTRIES + 1):
        (directory.path / f"{number}").touch()
    assert directory.look()[1] == [("service files ignored", f"has more than {MAX_ENTRIES} entries; remove what is no service")]


def test_an_unreadable_directory_keeps_the_announced_services(directory, monkeypatch):
    directory.write("a.yaml")
    directory.look()

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        assert directory.look() == (["ssh"], [("service files ignored", "cannot be read: Permission denied")])
        assert directory.look() == (["ssh"], [])
        directory.part.reload(Config())
        assert directory.names() == ["ssh"]
    assert directory.look() == (["ssh"], [])


# --- together too long --------------------------------------------------------------------------------


def test_a_service_that_does_not_fit_is_told_with_its_bytes(directory):
    base = len(Record(name="anna", services=(SSH,)).encoded) - service_length(SSH)
    directory.write("a.yaml", service_file("a", more=f"tags: {{x: '{'y' * 250}', z: '{'y' * 250}'}}\n"))
    directory.write("b.yaml", service_file("b", more=f"tags: {{x: '{'y' * 250}'}}\n"))
    directory.write("c.yaml", service_file("c"))
    names, told = directory.look()
    assert names == ["a", "c"]
    a, b = (service_length(read(name, (directory.path / name).read_bytes()).service) for name in ("a.yaml", "b.yaml"))
    left = MAX_RECORD - base - a
    assert told[1] == (
        "service not announced",
        f"{b - left} bytes too much: it takes {b}, and of the {MAX_RECORD} that fit into a HELLO {left} are left; shorten it, or remove another",
    )
    assert directory.states() == {"a.yaml": "announced", "b.yaml": "refused", "c.yaml": "announced"}
    assert directory.look() == (["a", "c"], [])  # once per change


def test_every_byte_of_the_record_is_used(directory):
    base = len(Record(name="anna", services=(SSH,)).encoded) - service_length(SSH)
    room = MAX_RECORD - base
    for spare, fits in ((0, True), (1, False)):
        sizes = (270, room - 270 + spare)
        for name, size in zip("ab", sizes, strict=True):
            tags = dict.fromkeys("pqr", "y")
            for key in tags:
                short = service_length(Service(name=name, port=1, tags=tags))
                tags[key] += "y" * min(254, size - short)
            assert service_length(Service(name=name, port=1, tags=tags)) == size
            directory.write(f"{name}.yaml", service_file(name, more=f"tags: {tags}\n"))
        assert (directory.look()[0] == ["a", "b"]) is fits


def test_room_in_the_record_is_used_at_the_next_look(directory):
    directory.others = (Service(name="x", port=1, tags={"a": "y" * 250, "b": "y" * 250}),)
    directory.write("a.yaml", service_file("a", more=f"tags: {{x: '{'y' * 200}'}}\n"))
    assert directory.look()[0] == []
    directory.others = ()
    assert directory.look() == (["a"], [("service announced", None)])


def test_services_make_room_for_the_configuration(directory):
    directory.write("a.yaml", service_file("a", more=f"tags: {{x: '{'y' * 250}', z: '{'y' * 250}'}}\n"))
    directory.look()
    directory.others = (Service(name="x", port=1, tags={"a": "y" * 250}),)
    directory.told.clear()
    directory.part.reload(Config())
    assert (directory.names(), [text for _, text, _ in directory.told]) == ([], ["service withdrawn"])


# --- who may write what is run ------------------------------------------------------------------------

CHECKED = "name: ssh\nport: 22\nhealth: {command: [/bin/true]}\n"


@pytest.mark.parametrize(("file", "above"), [(0o664, 0o755), (0o646, 0o755), (0o644, 0o775), (0o644, 0o1777)])
def test_a_check_in_a_file_that_others_may_write_is_refused(directory, file, above):
    directory.path.chmod(above)
    directory.write("a.yaml", CHECKED, file)
    directory.write("b.yaml", service_file("web"), file)  # nothing of it is run
    names, told = directory.look()
    assert names == ["web"]
    where = f"{directory.path}" if above != 0o755 else "a.yaml"
    assert told[0] == (
        "service file refused",
        f"a.yaml: has a health command, which is run, but {where} is writable by group or others: chmod go-w {where}",
    )
    directory.path.chmod(0o755)
    (directory.path / "a.yaml").chmod(0o644)
    directory.look()
    assert directory.states()["a.yaml"] == "checking"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_check_in_the_file_of_another_user_is_refused(directory):
    directory.write("a.yaml", CHECKED)
    os.chown(directory.path / "a.yaml", 12345, -1)
    assert "a.yaml belongs to uid 12345" in directory.look()[1][0][1]


def test_a_check_linked_from_a_writable_directory_is_refused(directory, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (loose / "real").write_text(CHECKED)
    (loose / "real").chmod(0o644)
    (directory.path / "a.yaml").symlink_to(loose / "real")
    assert f"{loose} is writable by group or others" in directory.look()[1][0][1]


# --- health -------------------------------------------------------------------------------------------


def checked(command, interval="100ms", more=""):
    return f"name: ssh\nport: 22\n{more}health: {{command: '{command}', interval: {interval}}}\n"


def test_a_checked_service_is_announced_while_its_check_succeeds(directory, tmp_path):
    flag = tmp_path / "flag"
    directory.write("a.yaml", checked(f"echo looking for it; test -e {flag}"))
    directory.write("b.yaml", service_file("web"))
    directory.look()
    directory.part.start()
    assert (directory.names(), directory.states()["a.yaml"]) == (["web"], "checking")
    assert directory.verdict() == (["web"], [("service not announced", "exit 1: looking for it")])
    assert directory.states()["a.yaml"] == "failing"
    assert directory.part.status()[0]["why"] == "exit 1: looking for it"
    assert directory.verdict() == (["web"], [])  # once per change
    flag.touch()
    while not (told := directory.verdict()[1]):
        pass
    assert (directory.names(), told) == (["ssh", "web"], [("service announced", None)])
    assert (directory.states()["a.yaml"], directory.part.status()[0]["why"]) == ("announced", None)
    flag.unlink()
    while not (told := directory.verdict()[1]):
        pass
    assert (directory.names(), told) == (["web"], [("service withdrawn", "exit 1: looking for it")])


def test_an_unchanged_check_keeps_its_result(directory):
    directory.part.start()
    directory.write("a.yaml", checked("true", "1h"))
    directory.look()
    assert directory.verdict()[0] == ["ssh"]
    directory.write("a.yaml", checked("true", "1h", "tags: {a: b}\n"))
    assert directory.look()[0] == ["ssh"]
    directory.write("a.yaml", checked("exit 0", "1h"))  # another check, which has not been run yet
    assert directory.look() == ([], [("service withdrawn", "its check is a new one")])
    assert directory.verdict()[0] == ["ssh"]


def test_the_result_of_a_changed_check_does_not_count(directory):
    directory.part.start()
    directory.write("a.yaml", checked("true", "1h"))
    directory.look()
    late = directory.work.get(timeout=10)
    directory.write("a.yaml", checked("false", "1h"))
    directory.look()
    late()
    assert directory.names() == []
    assert directory.verdict()[1] == [("service not announced", "exit 1")]
    (directory.path / "a.yaml").unlink()
    directory.look()
    late()
    assert directory.names() == []


# --- cost ---------------------------------------------------------------------------------------------


def test_without_files_neither_yaml_nor_processes_are_imported(tmp_path):
    code = (
        "import sys; from discoveryd.daemon.services_d import ServicesPart\n"
        f"ServicesPart({str(tmp_path)!r}, offer=print, put=print).look()\n"
        "assert not {'yaml', 'subprocess'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
