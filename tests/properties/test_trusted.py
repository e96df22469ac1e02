"""Files in a directory of a less trusted user: whatever that user put there, nothing outside is read, written or waited for."""

import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.errors import UntrustedFile
from discoveryd.files import trusted

NOBODY, THIRD = 65534, 12345
SECRET, OWN = b"for root alone", b"written by its owner"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")

found = st.sampled_from(("nothing", "file", "link", "link to nothing", "link to a pipe", "pipe", "socket", "directory", "second name"))
verbs = st.lists(st.sampled_from(("check", "read", "write", "lock")), min_size=1, max_size=4)


def put(kind, path, precious, owner):
    """Put something at a path, as a user would who owns the directory."""
    match kind:
        case "nothing":
            return
        case "file":
            path.write_bytes(OWN)
        case "link":
            path.symlink_to(precious)
        case "link to nothing":
            path.symlink_to(precious.with_name("created"))
        case "link to a pipe":
            os.mkfifo(path.with_name("other"))
            path.symlink_to("other")
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case "directory":
            path.mkdir()
        case "second name":
            os.link(precious, path)
            return  # it has the owner of the first name
    os.chown(path, owner, owner, follow_symlinks=False)


def use(verb, path):
    """Use the path as a command of root does; return what was read or written."""
    if verb == "check":
        trusted.check(str(path))
    elif verb == "read":
        return trusted.read(str(path), 64, owners=trusted.beside(str(path)))
    elif verb == "write":
        trusted.write(str(path), b"ours", to_owner=True)
    else:
        descriptor = trusted.open_in_place(str(path))
        os.write(descriptor, b"ours")
        os.close(descriptor)
    return b""


@given(kind=found, owner=st.sampled_from((0, NOBODY, THIRD)), keeper=st.sampled_from((0, NOBODY)), verbs=verbs)
def test_what_a_less_trusted_user_made_is_refused_or_its_own(kind, owner, keeper, verbs):
    with tempfile.TemporaryDirectory() as root:
        precious, theirs = Path(root, "precious"), Path(root, "theirs")
        precious.write_bytes(SECRET)
        precious.chmod(0o600)
        theirs.mkdir()
        os.chown(theirs, keeper, keeper)
        path = theirs / "node-id"
        put(kind, path, precious, owner)
        before = precious.stat()
        is_ours = False  # once root replaced it whole
        for verb in verbs:
            with suppress(UntrustedFile, FileNotFoundError, IsADirectoryError):
                read = use(verb, path)
                assert kind == "second name" or SECRET not in read
                assert is_ours or kind != "file" or owner in (0, keeper) or verb == "write", "a third user's file was used"
                is_ours = is_ours or verb == "write"
        after = precious.stat()
        assert precious.read_bytes() == SECRET
        assert (after.st_uid, after.st_mode, after.st_mtime_ns) == (before.st_uid, before.st_mode, before.st_mtime_ns)
        assert not precious.with_name("created").exists()
        assert set(os.listdir(theirs)) <= {"node-id", "other"}, "nothing half written stays"
