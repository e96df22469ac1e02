"""Arguments of an embedding program: one of another type would fail later, and elsewhere, often in a thread."""

from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.wire.record import Service
from discoveryd.query.address import check_address
from discoveryd.query.request import MAX_PINGS, MAX_TIMEOUT

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


def check_functions(**given: object) -> None:
    """Refuse arguments that are neither a function nor None.

    Raises:
        ConfigError: with each of them.
    """
    problems = [
        f"{key}: must be a function, not {value!r:.80}"
        for key, value in given.items()
        if value is not None and not callable(value)
    ]
    if problems:
        raise ConfigError(*problems)


def check_ping(peer: object, count: object, timeout: object) -> None:
    """Refuse what cannot be asked of a peer by PINGs.

    Raises:
        ConfigError: with each argument that is wrong.
    """
    problems = []
    if not isinstance(peer, str) or not peer:
        problems.append(f"peer: must be a name, id or address, not {peer!r:.80}")
    if type(count) is not int or not 1 <= count <= MAX_PINGS:
        problems.append(f"count: must be 1 to {MAX_PINGS}, not {count!r:.80}")
    if not isinstance(timeout, int | float) or not 0 < timeout <= MAX_TIMEOUT:
        problems.append(f"timeout: must be more than 0 s, and {MAX_TIMEOUT:g} s at most, not {timeout!r:.80}")
    if problems:
        raise ConfigError(*problems)
