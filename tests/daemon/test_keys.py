"""Key files: how they are made, found and refused; and that no secret is ever shown."""

import errno
import os
import re
import stat
from base64 import b64encode
from pathlib import Path

import pytest

from discoveryd.config import Config, SecuritySection, load
from discoveryd.daemon import FAILED, OK, USAGE, commands, keys, main
from discoveryd.daemon.keys import MAX_FILE, read_keyring, write_key
from discoveryd.errors import ConfigError
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring

OLD, NEW = Key(bytes(range(32))), Key(bytes(range(1, 33)))


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """A directory with a configuration to be beside of; the umask is one that shows everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "DEFAULT_PATH", str(tmp_path / "default" / "discoveryd.yaml"))
    before = os.umask(0)
    yield tmp_path
    os.umask(before)


def put(path, key=OLD, text=None, mode=0o600):
    path = Path(path)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if text is not None else b"discoveryd-key-1 %b\n" % b64encode(key.secret))
    path.chmod(mode)
    return str(path)


def read(*names, credentials="", **section):
    config = Config(security=SecuritySection(keys=names, **section), source="c.yaml", directory=os.getcwd())
    return read_keyring(config, {"CREDENTIALS_DIRECTORY": credentials} if credentials else {})


def problems(*names, **section):
    with pytest.raises(ConfigError) as caught:
        read(*names, **section)
    for secret in (OLD.secret, NEW.secret):
        for shown in (secret.hex(), b64encode(secret).decode(), b64encode(secret).decode()[:12]):
            assert shown not in str(caught.value)
            assert shown not in repr(caught.value)
    assert caught.value.__cause__ is None
    return list(caught.value.problems)


# --- keygen -------------------------------------------------------------------------------------------


def test_keygen_makes_a_key_that_is_read_again(directory, capsys):
    assert main(["keygen", "my.key"]) == OK
    [key] = read("my.key").keys
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"key {key.id} is in {directory}/my.key, readable for you alone\n")
    assert "keys: [my.key]}; discoveryd check; systemctl reload discoveryd" in out
    assert stat.S_IMODE(os.stat("my.key").st_mode) == 0o600
    text = Path("my.key").read_text()
    secret = b64encode(key.secret).decode()
    assert re.fullmatch(f"# discoveryd, key id {key.id}\\. .*\ndiscoveryd-key-1 {re.escape(secret)}\n", text)
    assert secret not in out
    assert key.secret.hex() not in out


def test_keygen_never_makes_the_same_key_twice():
    assert [main(["keygen", name]) for name in ("a", "b")] == [OK, OK]
    assert len({key.secret for key in read("a", "b").keys}) == 2


def test_keygen_without_a_name_names_the_file_by_its_id(directory, capsys):
    (directory / "default").mkdir()
    assert main(["keygen"]) == OK
    [path] = (directory / "default").iterdir()
    assert read(str(path)).send_with == path.stem
    assert f"{path.stem} is in {path}," in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "directory"])
def test_keygen_overwrites_nothing(directory, capsys, kind):
    target = directory / "target"
    if kind != "dangling":
        target.write_text("dear")
    path = directory / "my.key"
    if kind == "file":
        path.write_text("dear")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(target)
    assert main(["keygen", "my.key"]) == FAILED
    assert capsys.readouterr().err == (
        f"discoveryd: {path}: is there already, and a key is never overwritten; name another file\n"
    )
    assert kind == "directory" or (path.read_text() if target.exists() else "dear") == "dear"
    assert target.exists() is (kind != "dangling")


def test_keygen_refuses_a_name_that_is_no_file_name(capsys):
    assert main(["keygen", "a\0b"]) == FAILED
    assert re.search("embedded null .*; name a file in a directory", capsys.readouterr().err)


def test_a_key_file_has_mode_600_under_any_umask():
    os.umask(0o777)
    write_key("a.key", OLD)
    assert stat.S_IMODE(os.stat("a.key").st_mode) == 0o600


def test_a_failed_write_leaves_no_key_file_behind(directory, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_key("a.key", OLD)
    assert list(directory.iterdir()) == []


# --- what is read -------------------------------------------------------------------------------------


def test_without_names_no_keys_are_read():
    assert read() is NO_KEYS


def test_keys_are_read_in_their_order():
    put("old.key"), put("new.key", NEW)
    assert read("old.key", "new.key") == Keyring(keys=(OLD, NEW), send_with=OLD.id)
    assert read("new.key", "old.key", mode="require") == Keyring(keys=(NEW, OLD), send_with=NEW.id, mode="require")


@pytest.mark.parametrize("wanted", ["sub/new.key", "new.key", NEW.id])
def test_send_with_is_an_id_a_name_or_a_file_name(wanted):
    put("old.key"), put("sub/new.key", NEW)
    assert read("old.key", "sub/new.key", send_with=wanted, mode="accept").sends == NEW.id


def test_send_with_names_a_key_that_is_not_listed():
    put("old.key"), put("new.key", NEW)
    assert problems("old.key", "new.key", send_with="newer.key") == [
        f"c.yaml: security.send_with: newer.key is none of security.keys, which are old.key (66b37b47), new.key ({NEW.id})"
    ]


@pytest.mark.parametrize("source", ["c.yaml", "else/c.yaml", "{directory}/else/c.yaml"])
def test_a_relative_key_file_is_beside_the_configuration(directory, source):
    source = source.format(directory=directory)
    put(Path(source).with_name("a.key"))
    Path(source).write_text("security: {keys: [a.key]}\n")
    assert read_keyring(load(source, {}), {}).keys == (OLD,)


def test_a_relative_key_file_is_found_without_a_configuration():
    with pytest.raises(ConfigError, match=r"^defaults: security.keys: /etc/discoveryd/none.key: no such file"):
        read_keyring(load(environ={"DISCOVERYD_SECURITY__KEYS": "[none.key]"}), {})


def test_credentials_are_read_first_whatever_their_mode():
    put("creds/a.key", NEW, mode=0o444), put("a.key", OLD), put("b.key", OLD)
    assert read("a.key", "b.key", credentials=os.path.abspath("creds")).keys == (NEW, OLD)
    assert read(os.path.abspath("creds/a.key"), credentials=os.path.abspath("creds")).keys == (NEW,)


def test_only_credentials_may_be_readable_by_others():
    put("creds/b.key"), put("a.key", mode=0o440)
    assert problems("a.key", credentials=os.path.abspath("creds")) == [
        (f"c.yaml: security.keys: {os.path.abspath('a.key')}: its mode 0440 lets others at it; chmod 600 it, and change "
        "the key if others could read it")
    ]


@pytest.mark.parametrize("mode", [0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o777])
def test_a_key_file_open_to_others_is_refused(mode):
    put("a.key", mode=mode)
    assert f"its mode {mode:04o} lets others at it" in problems("a.key")[0]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_file_open_to_its_owner_is_read(mode):
    put("a.key", mode=mode)
    assert read("a.key").keys == (OLD,)


@pytest.mark.parametrize(
    "text",
    [b"discoveryd-key-1 %b", b"\n\n# c\n  # d\ndiscoveryd-key-1 %b\n# e", b"discoveryd-key-1   %b  \r\n\r\n", b"# \xff\ndiscoveryd-key-1 %b"],
)
def test_forms_of_a_key_file(text):
    put("a.key", text=text % b64encode(OLD.secret))
    assert read("a.key").keys == (OLD,)


SECRET = b64encode(OLD.secret)
FORM = "it is one line `discoveryd-key-1 KEY` as discoveryd keygen writes it"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", f": 0 lines besides comments, not 1; {FORM}"),
        (b"# discoveryd-key-1 " + SECRET, f": 0 lines besides comments, not 1; {FORM}"),
        (b"discoveryd-key-1 %b\n" % SECRET * 2, f": 2 lines besides comments, not 1; {FORM}"),
        (SECRET, f":1: does not begin with discoveryd-key-1; {FORM}"),
        (b"\n\ndiscoveryd-key-2 " + SECRET, f":3: does not begin with discoveryd-key-1; {FORM}"),
        (b"discoveryd-key-1", ":1: the key has 0 bytes, not 32; copy the file again"),
        (b"discoveryd-key-1 " + SECRET[:-4], ":1: the key has 30 bytes, not 32; copy the file again"),
        (b"discoveryd-key-1 " + b64encode(OLD.secret + b"x"), ":1: the key has 33 bytes, not 32; copy the file again"),
        (b"discoveryd-key-1 " + SECRET[:-1], ":1: the key is not base 64; copy the file again"),
        (b"discoveryd-key-1 " + SECRET + b" x", ":1: the key is not base 64; copy the file again"),
        (b"discoveryd-key-1 \xff" + SECRET[1:], ":1: the key is not base 64; copy the file again"),
        (b"#" * (MAX_FILE + 1), f": over 4096 bytes is no key file; {FORM}"),
    ],
)
def test_a_file_that_holds_no_key_is_refused(text, problem):
    path = os.path.abspath(put("a.key", text=text))
    assert problems("a.key") == [f"c.yaml: security.keys: {path}{problem}"]


def test_a_path_that_is_no_key_file_is_refused(directory):
    (directory / "d").mkdir(mode=0o700)
    os.mkfifo(directory / "pipe", 0o600)
    here = str(directory)
    assert problems("d", "pipe", "gone", "/dev/null") == [
        f"c.yaml: security.keys: {here}/d: it is no regular file; name a key file",
        f"c.yaml: security.keys: {here}/pipe: it is no regular file; name a key file",
        f"c.yaml: security.keys: {here}/gone: no such file; copy the key there, or make one with discoveryd keygen",
        "c.yaml: security.keys: /dev/null: it is no regular file; name a key file",
    ]
    assert problems("gone", credentials="/creds") == [
        f"c.yaml: security.keys: /creds/gone and {here}/gone: no such file; copy the key there, or make one with discoveryd keygen"
    ]


def test_an_error_of_the_kernel_is_told_with_its_remedy(directory):
    (directory / "loop").symlink_to("loop")
    assert problems("loop") == [
        f"c.yaml: security.keys: {directory}/loop: Too many levels of symbolic links; let the user of the daemon read it"
    ]


def test_a_key_that_the_service_may_not_read_has_its_place(directory, monkeypatch):
    def forbid(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    put("a.key")
    monkeypatch.setattr(keys.trusted, "open_file", forbid)
    monkeypatch.setattr("discoveryd.daemon.ports.is_service", lambda: True)
    [problem] = problems("a.key")
    assert problem.startswith(f"c.yaml: security.keys: {directory}/a.key: Permission denied; as root move it to /etc/credstore/")
    assert problem.endswith("name discoveryd.key under security.keys, and restart the service")


def test_a_key_that_is_listed_twice_is_refused():
    put("a.key"), put("b.key"), put("c.key", NEW)
    assert problems("a.key", "c.key", "b.key") == ["c.yaml: security.keys: b.key is the same key as a.key: remove one"]
    assert problems("a.key", "a.key") == ["c.yaml: security.keys: a.key is the same key as a.key: remove one"]


# --- the configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"mode": "on"}, "security.mode: must be one of off, accept, require, not 'on'"),
        ({"mode": "accept"}, "security.mode: accept needs a key: make one with discoveryd keygen, list it in keys"),
        ({"keys": tuple("abcdefghi")}, "security.keys: 9 files, at most 8: remove those no longer in use"),
        ({"keys": ("a\0b",)}, "security.keys: 'a\\x00b' is no file name"),
        ({"keys": ("",)}, "security.keys: '' is no file name"),
    ],
)
def test_a_wrong_security_section_is_refused(section, problem):
    with pytest.raises(ConfigError) as caught:
        SecuritySection(**section)
    assert list(caught.value.problems) == [problem]


def test_a_fault_of_the_security_section_names_its_line(directory):
    (directory / "c.yaml").write_text("security:\n  keys: [a]\n  mode: yes\n")
    with pytest.raises(ConfigError, match=r"^c.yaml:3: security.mode: must be one of off, accept, require, not 'yes'$"):
        load("c.yaml", {})


def test_check_reads_the_keys_and_shows_none(directory, capsys):
    put("a.key")
    (directory / "c.yaml").write_text("security: {mode: require, keys: [a.key]}\n")
    assert main(["check", "--config", "c.yaml"]) == OK
    out = capsys.readouterr().out
    assert 'keys: ["a.key"]' in out
    assert SECRET.decode() not in out
    (directory / "a.key").chmod(0o644)
    assert main(["check", "--config", "c.yaml"]) == USAGE
    assert "its mode 0644 lets others at it" in capsys.readouterr().err


def test_a_security_section_reads_back(directory):
    section = SecuritySection(mode="accept", keys=("a.key", "/b c/é.key"), send_with="a.key")
    (directory / "c.yaml").write_text(Config(security=section).to_yaml(), encoding="utf-8")
    assert load("c.yaml", {}).security == section


def test_keygen_makes_the_configuration_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keys, "DEFAULT_PATH", str(tmp_path / "etc" / "discoveryd.yaml"))
    former = os.umask(0o077)
    try:
        assert main(["keygen"]) == 0
    finally:
        os.umask(former)
    (file,) = (tmp_path / "etc").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o755)
    assert str(file) in capsys.readouterr().out


def test_keygen_says_how_to_make_a_missing_directory(tmp_path, capsys):
    assert main(["keygen", str(tmp_path / "new" / "a.key")]) == 1
    assert f"No such file or directory; make its directory first: mkdir -p {tmp_path}/new" in capsys.readouterr().err


def test_keygen_calls_a_full_disk_a_full_disk(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keys.trusted, "create", full)
    assert main(["keygen", str(tmp_path / "a.key")]) == 1
    assert "No space left on device; the disk is full: free some space on it" in capsys.readouterr().err


@pytest.mark.parametrize("is_named", [True, False], ids=["systemd-252", "systemd-257"])
def test_a_reload_without_the_credentials_skips_the_keys(tmp_path, capsys, monkeypatch, is_named):
    (tmp_path / "c.yaml").write_text("security: {mode: require, keys: [a.key]}\n")
    (credentials := tmp_path / "credentials").mkdir()
    monkeypatch.setenv(keys.CREDENTIALS, str(credentials))
    words = ["check", "--quiet", "--config", str(tmp_path / "c.yaml")]
    assert main(words) == USAGE
    assert f"{credentials}/a.key and {tmp_path}/a.key: no such file" in capsys.readouterr().err
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(credentials) and may(path, mode))
    if not is_named:
        monkeypatch.delenv(keys.CREDENTIALS)
        assert main(words) == USAGE  # somebody's own check
        monkeypatch.setattr(commands, "is_service", lambda: True)
    assert main(words) == OK
    (tmp_path / "c.yaml").write_text("security: {mode: required, keys: [a.key]}\n")
    assert main(words) == USAGE
