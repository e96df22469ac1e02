"""Keys of a daemon that runs: read at the start, read again at a reload, and never shown."""

import os
import re
from pathlib import Path

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key

OLD, NEW = Key(b"\1" * 32), Key(b"\2" * 32)


def written(mode, *names):
    listed = ", ".join(f'"{name}"' for name in names)
    return f"security:\n  mode: {mode}\n  keys: [{listed}]\n"


def reload(daemon):
    daemon.process.send_signal(1)
    return daemon.log_until("the former configuration stays" if "broken" in daemon.config.read_text() else "reloaded")


def test_a_reload_with_a_broken_key_file_keeps_the_old_keys(make, tmp_path):
    write_key(str(tmp_path / "old.key"), OLD)
    daemon = make(config=written("require", "old.key"))
    daemon.run().log_until("discoveryd started")
    boot = daemon.ask("status")["node"]["boot"]
    (tmp_path / "broken.key").write_text("discoveryd-key-1 c2VjcmV0IHRoYXQgaXMgdG9vIHNob3J0\n")
    os.chmod(tmp_path / "broken.key", 0o600)
    daemon.config.write_text(written("require", "old.key", "broken.key"))
    said = "\n".join(reload(daemon))
    assert "broken.key:1" in said
    assert "c2Vjcm" not in said
    status = daemon.ask("status")
    assert [key["id"] for key in status["security"]["keys"]] == [OLD.id]
    write_key(str(tmp_path / "new.key"), NEW)
    daemon.config.write_text(written("accept", "new.key", "old.key"))
    reload(daemon)
    status = daemon.ask("status")
    assert status["security"] | {"challenges": {}} == {
        "mode": "accept", "send_with": NEW.id, "keys": [{"id": NEW.id, "peers": 0}, {"id": OLD.id, "peers": 0}],
        "plain_peers": 0, "challenges": {}, "withheld": 0,
    }  # fmt: skip
    assert status["node"]["boot"] == boot


def test_it_does_not_start_with_a_key_that_others_can_read(make, tmp_path):
    write_key(str(tmp_path / "old.key"), OLD)
    os.chmod(tmp_path / "old.key", 0o644)
    daemon = make(config=written("require", "old.key"))
    for command in ("run", "start"):
        done = daemon.command(command)
        assert done.returncode == 2, done
        assert "chmod 600" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_detached_daemon_seals_and_leaves_no_core_file(make, tmp_path):
    write_key(str(tmp_path / "old.key"), OLD)
    daemons = [make(config=written("require", "old.key")) for _ in range(2)]
    try:
        for daemon in daemons:
            done = daemon.command("start")
            assert done.returncode == 0, done.stderr
            pid = re.search(r"\(pid (\d+)\)", done.stdout)[1]
            assert re.search(r"^Max core file size +0 +0 ", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE), "it has keys"
        with daemons[0].client() as client:
            stream = client.watch()
            told = (line.get("peers", [line.get("peer")]) for line in stream if "peers" in line or "peer" in line)
            assert next(peer for peers in told for peer in peers)["key"] == OLD.id
    finally:
        for daemon in daemons:
            daemon.command("stop")
