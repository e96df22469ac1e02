"""What this node offers: services from several sources, each of which may change or go alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from discoveryd.protocol.wire.record import Service


class AnnouncedServices:
    """The services by who offers them: ``config``, ``services.d``, ``connection 7``. A value, never changed.

    >>> from discoveryd.protocol.wire.record import Service
    >>> from discoveryd.runtime.announced_services import AnnouncedServices
    >>> offers = AnnouncedServices().replaced("config", [Service(name="http", port=80)])
    >>> offers = offers.replaced("connection 1", [Service(name="http", port=80), Service(name="ssh", port=22)])
    >>> [service.name for service in offers.services()]
    ['http', 'ssh']
    >>> [service.name for service in offers.replaced("connection 1", ()).services()]
    ['http']
    """

    def __init__(self, by_owner: Mapping[str, tuple[Service, ...]] | None = None) -> None:
        self._by_owner = by_owner or {}

    @property
    def owners(self) -> tuple[str, ...]:
        """Who offers something."""
        return tuple(self._by_owner)

    def replaced(self, owner: str, services: Iterable[Service]) -> AnnouncedServices:
        """Give what is offered when this owner offers this instead; nothing takes the owner out."""
        found = {**self._by_owner, owner: tuple(services)}
        return AnnouncedServices({one: offered for one, offered in found.items() if offered})

    def services(self) -> tuple[Service, ...]:
        """Give all services, each (name, port and proto) once: of equal ones the one that says more in its tags.

        So whatever an owner takes back, what is left is never longer than before, and always fits.
        """
        merged: dict[tuple[str, int, str], Service] = {}
        for services in self._by_owner.values():
            for one in services:
                key = one.name, one.port, one.proto
                if key not in merged or _length(one) > _length(merged[key]):
                    merged[key] = one
        return tuple(merged.values())


def _length(service: Service) -> int:
    """Count the bytes that its tags take in a record."""
    return len(json.dumps(dict(service.tags), separators=(",", ":")).replace("|", "\\u007c"))
