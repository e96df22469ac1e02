"""What the goodbye of a booted machine says: why its daemon stops, as systemd there knows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from discoveryd.errors import QueryError
from tests.netns.daemons import asking
from tests.systemd.machine import Machine, until

POWERED_OFF = 0
"""Exit code of systemd-nspawn --keep-unit when the machine has switched itself off."""
KEPT = 10.0
"""Seconds in which a change is in the history."""


def reasons(teller: Machine, about: str) -> list[str]:
    """Give why a peer left each time, by the history of another machine; nothing while that has none."""
    events = []
    with asking(teller.host) as client, suppress(QueryError):  # it begins some seconds after the start
        events = client.request("history", peer=about, since_s=3600.0)["events"]
    return [one["reason"] for one in sorted(events, key=lambda one: -one["age_s"]) if one["event"] == "left"]


def each_way(a: Machine, b: Machine, until_listed: Callable[[], object]) -> float:
    """Restart and stop a service, reboot a machine and switch it off; give the seconds that the stop took."""
    took = 0.0

    def stop() -> None:
        nonlocal took
        began = monotonic()
        b.run("systemctl", "stop", "discoveryd")
        took = monotonic() - began
        told("said goodbye")
        b.run("systemctl", "start", "discoveryd")

    def power_off() -> None:
        assert b.go_down("poweroff") == POWERED_OFF, b.console()
        told("said goodbye: poweroff")
        b.boot()

    def told(reason: str) -> None:
        until(lambda: reasons(a, "b")[len(before) :] == [reason], f"{reason!r} in the history", KEPT)

    ways = {
        "said goodbye: restart": lambda: b.run("systemctl", "restart", "discoveryd"),
        "said goodbye": stop,
        "said goodbye: reboot": b.reboot,
        "said goodbye: poweroff": power_off,
    }
    for reason, act in ways.items():
        until_listed()
        before = reasons(a, "b")
        act()
        told(reason)
    until_listed()
    return took
