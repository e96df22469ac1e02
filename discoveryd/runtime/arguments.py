"""The arguments of a Discovery: one of another type would fail later, and elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.wire.record import Service
from discoveryd.query.address import check_address

_WANTED: dict[str, tuple[Any, str]] = {
    "parameters": (Parameters | None, "a Parameters or None"),
    "name": (str | None, "a text or None"),
    "tags": (Mapping | None, "a mapping of text to text"),
    "node_id": (str, "a text"),
    "keyring": (Keyring, "a Keyring"),
}


def checked_services(services: object, query: object, metrics: object, **given: object) -> list[Service]:
    """Return the services, if all arguments are of the types they must be.

    Raises:
        ConfigError: with each argument of another type, or an address that is none.
    """
    listed = list(services) if isinstance(services, Iterable) and not isinstance(services, str | bytes) else [None]
    offered = [service for service in listed if isinstance(service, Service)]
    wrong = {key: value for key, value in given.items() if not isinstance(value, _WANTED[key][0])}
    problems = [f"{key}: must be {_WANTED[key][1]}, not {value!r:.80}" for key, value in wrong.items()]
    if len(offered) < len(listed):
        problems.append(f'services: must be several Service, such as [Service("http", 80)], not {services!r:.80}')
    if problems:
        raise ConfigError(*problems)
    for key, address in (("query", query), ("metrics", metrics)):
        if address is not None:
            check_address(key, address, least=0)
    return offered
