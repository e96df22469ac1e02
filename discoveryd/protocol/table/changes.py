"""What changed of a peer between two events: name, tags, services and addresses, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from discoveryd.protocol.table.peer import Announced, Change, ChangeKind
from discoveryd.protocol.wire.record import Record, Service

MOST_TOLD = 3
"""Changes that a reason tells one by one."""


def changes_between(before: Announced, after: Announced) -> tuple[Change, ...]:
    """Return the changes of the record and the addresses; none of a record that was not known before."""
    found: list[Change] = []
    if before.record is not None and after.record is not None and before.record is not after.record:
        found += _of_record(before.record, after.record)
    if before.addresses:
        was, now = (dict.fromkeys(one.addresses) for one in (before, after))
        found += _of_mapping("address", {name: name for name in was}, {name: name for name in now})
    return tuple(found)


def told(changes: Iterable[Change]) -> str:
    """Return changes as a clause for people, the first of many."""
    texts = [_text(change) for change in changes]
    further = len(texts) - MOST_TOLD
    return ", ".join([*texts[:MOST_TOLD], *([f"{further} more"] if further > 0 else [])])


def _of_record(before: Record, after: Record) -> Iterator[Change]:
    if before.name != after.name:
        yield Change("name", "", before.name, after.name)
    yield from _of_mapping("tag", before.tags, after.tags)
    yield from _of_mapping("service", _services(before.services), _services(after.services))


def _services(services: Iterable[Service]) -> dict[str, dict[str, Any]]:
    return {f"{service.name}:{service.port}/{service.proto}": service.to_json() for service in services}


def _of_mapping(what: ChangeKind, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in (*before, *(name for name in after if name not in before)):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield Change(what, name, was, now)


def _text(change: Change) -> str:
    what, name, was, now = change
    value = f"={was if now is None else now}" if what == "tag" else ""
    if was is None:
        return f"{what} {name}{value} added"
    if now is None:
        return f"{what} {name}{value} removed"
    return f"{what} {name} changed" if what == "service" else f"{f'{what} {name}'.strip()} {was} -> {now}"
