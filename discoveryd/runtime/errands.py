"""What the thread that sends HELLOs does besides: it renews the will, follows the machine's name, resolves seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from discoveryd.protocol.hosts import is_unicast, parse_seed
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.record import Record
from discoveryd.query.seed_status import SeedState
from discoveryd.runtime.announcement import Announcement
from discoveryd.runtime.driver import Driver
from discoveryd.runtime.last_will import LastWill
from discoveryd.runtime.notices import Notify

if TYPE_CHECKING:
    from discoveryd.runtime.seed_names import SeedNames


class Errands:
    """The errands of one node.

    Args:
        driver: of the node.
        announcement: of the node.
        announce: announces the record that a function returns, which it calls with the lock held.
        notify: told what changed.
        clock: seconds.
    """

    def __init__(
        self, driver: Driver, announcement: Announcement, announce: Callable[[Callable[[], Record]], None],
        notify: Notify, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._driver = driver
        self._will = LastWill(driver)
        self._announcement = announcement
        self._announce = announce
        self._notify = notify
        self._clock = clock
        self._names: SeedNames | None = None
        self._families: tuple[str, ...] = ()

    def run(self) -> float:
        """Do what is due; return the seconds until this is to be called again at the latest."""
        longest = min(
            self._will.renew(), self._announcement.follow_machine(self._clock(), self._announce, self._notify)
        )
        return longest if self._names is None else min(longest, self._names.poll(self._clock()))

    def resolve(self, parameters: Parameters, *, is_local: bool) -> None:
        """Resolve the names among the seeds from now on.

        Args:
            parameters: with the seeds, and the families of addresses that are spoken.
            is_local: whether addresses of loopback are those of other nodes, as all are on this machine.
        """
        self._families = ("ipv4",) if is_local else parameters.families
        hosts = [seed.host for seed in map(parse_seed, parameters.seeds) if seed.is_name]
        if self._names is None:
            if not hosts:
                return
            # only where a seed has a name
            from discoveryd.net.resolve import resolve  # noqa: PLC0415
            from discoveryd.runtime.seed_names import SeedNames  # noqa: PLC0415

            self._names = SeedNames(
                self._take, self._notify, wake=self._driver.touch, failed=self._driver.fail,
                hears=self._hears, links=lambda: tuple(self._driver.network.links),
                find=lambda name: resolve(name, self._families),
                is_usable=lambda address: is_unicast(address, is_local=is_local),
            )  # fmt: skip
        self._names.set(hosts)

    def seed_states(self) -> Mapping[str, SeedState]:
        """Return what is known of the names of seeds."""
        return {} if self._names is None else self._names.states

    def _hears(self, addresses: tuple[str, ...]) -> bool:
        return self._driver.change(lambda node, now: node.hears(addresses, now))

    def _take(self, host: str, addresses: tuple[str, ...]) -> None:
        def resolved(node: Node, now: float) -> None:
            node.resolve_seed(host, addresses, now)

        self._driver.change(resolved)
