"""The arguments of a Discovery: one of another type would fail later, and elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.wire.record import Service
from discoveryd.query.address import check_address


def checked_services(
    services: object,
    *,
    parameters: object,
    name: object,
    tags: object,
    node_id: object,
    keyring: object,
    **addresses: object,
) -> list[Service]:
    """Return the services, if all arguments are of the types they must be.

    Raises:
        ConfigError: with each argument of another type, or an address that is none.
    """
    for key, address in addresses.items():
        if address is not None:
            check_address(key, address, least=0)
    listed = list(services) if isinstance(services, Iterable) and not isinstance(services, (str, bytes)) else [None]
    offered = [one for one in listed if isinstance(one, Service)]
    checks = (
        ("parameters", isinstance(parameters, Parameters | None), "a Parameters or None", parameters),
        ("name", isinstance(name, str | None), "a text or None", name),
        ("tags", isinstance(tags, Mapping | None), "a mapping of text to text", tags),
        ("services", len(offered) == len(listed), 'several Service, such as [Service("http", 80)]', services),
        ("node_id", isinstance(node_id, str), "a text", node_id),
        ("keyring", isinstance(keyring, Keyring), "a Keyring", keyring),
    )
    problems = [f"{key}: must be {wanted}, not {given!r:.80}" for key, holds, wanted, given in checks if not holds]
    if problems:
        raise ConfigError(*problems)
    return offered
