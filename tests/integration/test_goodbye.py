"""A daemon that is stopped says why, where its unit has told it."""

RUN = "2f6c1d0a9b8e47f5a3c2d1e0f9a8b7c6"
SERVICE = """
import sys
from discoveryd.daemon import goodbye, main
goodbye.JOBS = sys.argv[1]
sys.exit(main(["run"]))
"""


def test_a_daemon_that_is_stopped_for_a_reboot_says_so(make, observer, tmp_path):
    daemon = make()
    daemon.environment |= {"INVOCATION_ID": RUN}
    daemon.run(SERVICE, str(tmp_path / "jobs"))
    observer.until("joined")
    daemon.log_until("discoveryd started")
    (tmp_path / "jobs").write_text(f"discoveryd.service {RUN}\n 90 reboot.target start waiting\n 91 discoveryd.service stop running\n")
    assert daemon.end()[0] == 0
    assert observer.until("left").goodbye_reason == "reboot"
