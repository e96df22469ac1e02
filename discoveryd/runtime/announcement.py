"""What this node announces: a name, which may follow that of the machine, tags, and services of several owners."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from discoveryd.errors import ConfigError
from discoveryd.protocol.wire.record import Record, Service, service_length
from discoveryd.runtime.machine import machine_name
from discoveryd.runtime.notices import Notice, Notify, info, warning

CONFIG = "config"
"""The owner of the services of the configuration."""
RENAME = 1.0
LONGEST_RENAME = 2.5
"""Seconds between two readings of the machine's name, where that is announced: the least, and the most while idle."""
LONGEST_WAIT = 3600.0

ByOwner = Mapping[str, tuple[Service, ...]]
"""The announced services of each owner: ``config``, ``services.d``, ``connection 7``."""


def replaced(services: ByOwner, owner: str, by: Iterable[Service]) -> ByOwner:
    """Return what is announced when an owner replaces its services; no services take the owner out.

    >>> from discoveryd.protocol.wire.record import Service
    >>> from discoveryd.runtime.announcement import merged, replaced
    >>> announced = replaced({}, "config", [Service(name="http", port=80)])
    >>> announced = replaced(announced, "connection 1", [Service(name="http", port=80), Service(name="ssh", port=22)])
    >>> [service.name for service in merged(announced)]
    ['http', 'ssh']
    >>> [service.name for service in merged(replaced(announced, "connection 1", ()))]
    ['http']
    """
    found = {**services, owner: tuple(by)}
    return {name: announced for name, announced in found.items() if announced}


def merged(services: ByOwner) -> tuple[Service, ...]:
    """Return all services, each (name, port and proto) once: of equal services the one with the longer tags.

    So whatever an owner withdraws, what is left is never longer than before, and always fits.
    """
    found: dict[tuple[str, int, str], Service] = {}
    for service in chain.from_iterable(services.values()):
        key = service.name, service.port, service.proto
        if key not in found or service_length(service) > service_length(found[key]):
            found[key] = service
    return tuple(found.values())


class Announcement:
    """Makes the record of this node. The lock of the driver guards it, but for `follow_machine`.

    Args:
        name: of the node; the machine's name if empty or None.
        tags: of the node.
        services: of the configuration.

    Attributes:
        record: as it is announced.
        fault: what is wrong with the machine's name at the start, empty if nothing is.
    """

    def __init__(self, name: str | None, tags: Mapping[str, str] | None, services: Iterable[Service]) -> None:
        self._services = replaced({}, CONFIG, services)
        self._follows_machine = not name
        self._refused = ""
        self._due = 0.0
        found, self.fault = (name, "") if name else machine_name()
        self.record = Record(name=found, tags=tags or {}, services=merged(self._services))

    def configured(self, name: str | None, tags: Mapping[str, str], services: Iterable[Service]) -> Record:
        """Return the record after a change of the configuration.

        Raises:
            ConfigError: not allowed, or too long together with other services; nothing has changed then.
        """
        record = self._made(name or machine_name()[0], tags, replaced(self._services, CONFIG, services))
        self._follows_machine = not name
        return record

    def offered(self, owner: str, services: Iterable[Service]) -> Record:
        """Return the record after an owner has replaced its services.

        Raises:
            ConfigError: too long together with the rest; nothing has changed then.
        """
        return self._made(self.record.name, self.record.tags, replaced(self._services, owner, services))

    def follow_machine(self, now: float, announce: Callable[[Callable[[], Record]], None], notify: Notify) -> float:
        """Announce the machine's name if it has changed.

        Args:
            now: the time.
            announce: announces what a function returns, which it calls with the lock held.
            notify: told the other name.

        Returns:
            the seconds until this is to be called again at the latest.
        """
        if not self._follows_machine:
            return LONGEST_WAIT
        if now < self._due:
            return LONGEST_RENAME
        self._due = now + RENAME
        name, fault = machine_name()
        former = self.record.name  # no other change of the record alters the name
        if name not in (former, self._refused):
            try:
                announce(lambda: self._renamed(name))
                self._refused = ""
            except ConfigError as error:
                self._refused, fault = name, str(error)
            notify(of_name(former, name, fault))
        return LONGEST_RENAME

    def _renamed(self, name: str) -> Record:
        if not self._follows_machine:  # another thread has set a name meanwhile
            return self.record
        return self._made(name, self.record.tags, self._services)

    def _made(self, name: str, tags: Mapping[str, str], services: ByOwner) -> Record:
        self.record = Record(name=name, tags=tags, services=merged(services))
        self._services = services
        return self.record


def of_name(former: str, name: str, fault: str) -> Notice:
    """Return the notice that the machine has another name, or an unsuitable one."""
    fields = {"name": name} | ({"former": former} if former else {}) | ({"why": fault} if fault else {})
    tell = warning if fault else info
    return tell("the machine has another name" if former else "the machine's name", **fields)
