"""Why this daemon is being stopped, as systemd knows it: what its goodbye says.

``ExecStop=`` of the unit writes the jobs of systemd to a file, before the signal comes: so the goodbye waits for
nothing, and needs no rights. What is there begins with the unit and the invocation that it was written for, so an older
file says nothing of this run. ``discoveryd install`` of another version leaves the invocation that it is about to have
replaced. Without systemd there is neither, and the goodbye says no more than that this daemon stops.
"""

import os
from contextlib import suppress

from discoveryd.files import trusted
from discoveryd.protocol.wire.messages import GoodbyeReason

JOBS = "/run/discoveryd.jobs"
UPGRADE = "/run/discoveryd.upgrade"
REBOOTS = ("reboot.target", "kexec.target", "soft-reboot.target")
POWEROFFS = ("poweroff.target", "halt.target", "exit.target")
"""What systemd starts when the machine goes down, see systemd.special(7)."""
RESTARTS = ("restart", "try-restart")


def goodbye_reason() -> GoodbyeReason:
    """Return why this daemon is being stopped; ``stop`` where that is not certain."""
    invocation = os.environ.get("INVOCATION_ID", "")  # of this run of the unit, see systemd.exec(5)
    return reason_of(_content(JOBS), invocation, _content(UPGRADE)) if invocation else "stop"


def reason_of(jobs: str, invocation: str, upgraded: str) -> GoodbyeReason:
    """Return what the jobs of systemd mean for a unit.

    Args:
        jobs: a line of the unit and its invocation, and lines as ``systemctl list-jobs --no-legend`` prints them.
        invocation: of this daemon.
        upgraded: the invocation that is replaced by another version.
    """
    head, _, rest = jobs.partition("\n")
    unit, _, written_for = head.partition(" ")
    if written_for.strip() != invocation:
        return "stop"
    kinds = {words[1]: words[2] for words in map(str.split, rest.splitlines()) if len(words) > 2}
    for reason, targets in _DOWN:
        if any(kinds.get(target) == "start" for target in targets):
            return reason
    if kinds.get(unit) not in RESTARTS:
        return "stop"
    return "upgrade" if upgraded.strip() == invocation else "restart"


_DOWN: tuple[tuple[GoodbyeReason, tuple[str, ...]], ...] = (("reboot", REBOOTS), ("poweroff", POWEROFFS))


def _content(path: str) -> str:
    with suppress(OSError):
        return trusted.read(path, owners=trusted.ours()).decode("ascii", "replace")
    return ""
