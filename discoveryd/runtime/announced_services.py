"""The services that this node announces, from several owners, each of which may change or withdraw its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from discoveryd.protocol.wire.record import Service


class AnnouncedServices:
    """The services by owner: ``config``, ``services.d``, ``connection 7``. A value, never changed.

    >>> from discoveryd.protocol.wire.record import Service
    >>> from discoveryd.runtime.announced_services import AnnouncedServices
    >>> announced = AnnouncedServices().replaced("config", [Service(name="http", port=80)])
    >>> announced = announced.replaced("connection 1", [Service(name="http", port=80), Service(name="ssh", port=22)])
    >>> [service.name for service in announced.services()]
    ['http', 'ssh']
    >>> [service.name for service in announced.replaced("connection 1", ()).services()]
    ['http']
    """

    def __init__(self, by_owner: Mapping[str, tuple[Service, ...]] | None = None) -> None:
        self._by_owner = by_owner or {}

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners that announce something."""
        return tuple(self._by_owner)

    def replaced(self, owner: str, services: Iterable[Service]) -> AnnouncedServices:
        """Return what is announced when an owner replaces its services; no services take the owner out."""
        found = {**self._by_owner, owner: tuple(services)}
        return AnnouncedServices({name: announced for name, announced in found.items() if announced})

    def services(self) -> tuple[Service, ...]:
        """Return all services, each (name, port and proto) once: of equal services the one with the longer tags.

        So whatever an owner withdraws, what is left is never longer than before, and always fits.
        """
        merged: dict[tuple[str, int, str], Service] = {}
        for services in self._by_owner.values():
            for service in services:
                key = service.name, service.port, service.proto
                if key not in merged or _length(service) > _length(merged[key]):
                    merged[key] = service
        return tuple(merged.values())


def _length(service: Service) -> int:
    """Return the bytes that the tags take in a record."""
    return len(json.dumps(dict(service.tags), separators=(",", ":")).replace("|", "\\u007c"))
