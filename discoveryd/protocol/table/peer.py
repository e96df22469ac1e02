"""A peer, and an event of it, as immutable values, as readers get them; their JSON is public API (schema 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from discoveryd.frozen import frozen
from discoveryd.protocol.addresses import family_of
from discoveryd.protocol.wire.record import Record, Service, tags_of

if TYPE_CHECKING:
    from discoveryd.protocol.table.path import Path
    from discoveryd.protocol.table.row import Row

SCHEMA = 1
"""Version of the JSON shape below; a key is never removed or changed within one."""

State = Literal["up", "suspect", "down", "left"]
Kind = Literal["node", "bare"]
ChangeKind = Literal["name", "tag", "service", "address"]
EventKind = Literal["joined", "updated", "suspect", "recovered", "down", "left", "restarted", "clone"]
STATES: tuple[State, ...] = ("up", "suspect", "down", "left")
KINDS: tuple[EventKind, ...] = get_args(EventKind)
LIVE: frozenset[str] = frozenset(("up", "suspect"))


@frozen
class PathView:
    """One address of a peer on one link, ageing alone."""

    address: str
    link: str
    last_heard_s: float
    expires_s: float
    rtt_ms: float | None = None
    loss: float | None = None
    two_way: bool | None = None
    family: str = "ipv4"
    hears_us_s: float | None = None
    """Seconds since it had heard a HELLO of ours, when it last answered a PING; None for never."""
    unanswered: int = 0
    """PINGs in a row without an answer."""


@frozen
class Peer:
    """One row of the table. All ``_s`` are ages in seconds at the moment the row was read.

    Attributes:
        id: the node id; of a bare peer its address.
        name: None until its record arrived, and for bare peers.
        state: ``up``, ``suspect``, ``down`` or ``left``.
        kind: ``node`` or ``bare`` (a sender of plain ``HELLO|``).
        address: the best of `addresses`.
        addresses: all that are fresh, best first.
        link: our interface towards `address`; empty for a seed reached through a router.
        boot: random id of this run of the peer; empty for bare peers.
        services: what it offers.
        tags: its tags.
        first_seen_s: since this row began.
        last_heard_s: since its last HELLO or PONG.
        expires_s: until its ttl runs out, negative once it has.
        interval_s: its announced interval, None for bare peers.
        ttl_s: how long its last HELLO is valid.
        rtt_ms: round-trip time, None while not measured.
        loss: share of its HELLOs that were lost, 0 to 1, None while not known.
        two_way: whether it hears us too, None while not known.
        restarts: how often it came back with a new boot.
        clone: another running node uses the same id.
        key: id of the key it seals with, None for plain.
        hellos_arrive: whether its HELLOs do; if not, its answers to PINGs keep it up.
        shares_address: another live node has one of its addresses on the same link.
        goodbye_reason: why it left: ``stop``, ``restart``, ``upgrade``, ``reboot`` or ``poweroff``; None in another
            state.
    """

    id: str
    name: str | None
    state: State
    kind: Kind
    address: str
    addresses: tuple[str, ...]
    link: str
    boot: str
    services: tuple[Service, ...]
    tags: Mapping[str, str]
    first_seen_s: float
    last_heard_s: float
    expires_s: float
    interval_s: float | None
    ttl_s: float
    rtt_ms: float | None
    loss: float | None
    two_way: bool | None
    restarts: int
    clone: bool
    key: str | None
    hellos_arrive: bool = True
    shares_address: bool = False
    goodbye_reason: str | None = None
    paths: tuple[PathView, ...] = ()

    @property
    def label(self) -> str:
        """The name that a person would use: the name, else the id."""
        return self.name or self.id


class Change(NamedTuple):
    """One thing that is not as it was.

    Attributes:
        what: ``name``, ``tag``, ``service`` or ``address``.
        name: of the tag; of the service with port and protocol, such as ``web:8080/tcp``; the address.
        was: its value before, None for none: a text, or a service as JSON.
        now: its value now, None for none.
    """

    what: ChangeKind
    name: str
    was: Any
    now: Any


@frozen
class Event:
    """One change of the table.

    Attributes:
        kind: what happened.
        seq: one more than that of the event before, from 1.
        peer: the whole row after the change, also when it ended.
        reason: a clause for people.
        former: the boot that this one replaces, for readers that keep rows by boot: with ``restarted``, and with
            ``joined`` if the node was known before; else empty.
        changes: of name, tags, services and addresses, with ``updated`` and ``restarted``.
    """

    kind: EventKind
    seq: int
    peer: Peer
    reason: str
    former: str = ""
    changes: tuple[Change, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the event as ``watch`` sends it."""
        peer = peer_json(self.peer)
        found: dict[str, Any] = {"event": self.kind, "seq": self.seq, "peer": peer, "reason": self.reason}
        if self.former:
            found["former"] = self.former
        if self.changes:
            found["changes"] = [change._asdict() for change in self.changes]
        return found


class Announced(NamedTuple):
    """What the last event said of a row, to find out whether there is something new to say."""

    state: State | None = None
    boot: str = ""
    clone: bool = False
    digest: str = ""
    addresses: tuple[str, ...] = ()
    deaf: bool = False
    sealed_with: str = ""
    unheard: bool = False
    shared: bool = False
    record: Record | None = None


UNANNOUNCED = Announced()


_KEYS = tuple(one.name for one in fields(Peer))
_PATH_KEYS = tuple(one.name for one in fields(PathView))
_AGES = ("first_seen_s", "last_heard_s", "expires_s")
_LASTING = tuple(key for key in _KEYS if key not in (*_AGES, "paths"))
"""Keys of the JSON whose values stay the same as time passes."""


def peer_of(row: Row, fresh: list[Path], state: State, now: float | None = None) -> Peer:
    """Return a row as an immutable value.

    Args:
        row: the row.
        fresh: its paths within their ttl, the best first.
        state: its state at that moment.
        now: the moment; None leaves out the paths, and all ages are zero.
    """
    record, best = row.record, fresh[0]
    return Peer(
        id=row.id,
        name=record.name if record else None,
        state=state,
        kind=row.kind,
        address=best.address,
        addresses=tuple(dict.fromkeys([path.address for path in fresh])),
        link=best.link,
        boot=row.boot,
        services=record.services if record else (),
        tags=record.tags if record else tags_of(()),
        first_seen_s=0.0 if now is None else now - row.first_seen,
        last_heard_s=0.0 if now is None else now - row.last_heard,
        expires_s=0.0 if now is None else row.expires - now,
        interval_s=row.interval,
        ttl_s=row.ttl,
        rtt_ms=_rounded(best.rtt, 1000),
        loss=_rounded(best.loss),
        two_way=best.two_way,
        restarts=row.restarts,
        clone=row.clone,
        key=row.sealed_with or None,
        hellos_arrive=not row.unheard,
        shares_address=row.shared,
        goodbye_reason=row.farewell.reason if state == "left" else None,
        paths=() if now is None else tuple([_path_view(path, now) for path in fresh]),
    )


def _path_view(path: Path, now: float) -> PathView:
    return PathView(
        address=path.address,
        link=path.link,
        last_heard_s=now - path.last_heard,
        expires_s=path.expires - now,
        rtt_ms=_rounded(path.rtt, 1000),
        loss=_rounded(path.loss),
        two_way=path.two_way,
        family=family_of(path.address),
        hears_us_s=path.hears_us_s,
        unanswered=path.unanswered,
    )


def _rounded(value: float | None, scale: int = 1) -> float | None:
    return None if value is None else round(value * scale, 3)


def peer_json(peer: Peer, *, paths: bool = False) -> dict[str, Any]:
    """Return a peer as every JSON of this project shows it (`paths` is for ``show``)."""
    found = {**_lasting(peer), **{key: round(getattr(peer, key), 3) for key in _AGES}}
    if paths:
        found["paths"] = [
            {
                **{key: getattr(path, key) for key in _PATH_KEYS},
                "last_heard_s": round(path.last_heard_s, 3),
                "expires_s": round(path.expires_s, 3),
            }
            for path in peer.paths
        ]
    return found


_TEXT = (
    '{"id":"%s","name":%s,"state":"%s","kind":"%s","address":%s,"addresses":[%s],"link":%s,"boot":"%s",'
    '"services":[%s],"tags":{%s},"interval_s":%s,"ttl_s":%s,"rtt_ms":%s,"loss":%s,"two_way":%s,"restarts":%d,'
    '"clone":%s,"key":%s,"hellos_arrive":%s,"shares_address":%s,"goodbye_reason":%s'
)
_WORDS = {None: "null", True: "true", False: "false"}


def lasting_text(row: Row, fresh: list[Path], state: State) -> str:
    """Return the part of a row's JSON that does not change with time, up to where the ages follow.

    Encoding dominates a ``list`` of many peers: with this part kept it costs a fifth. By way of `Peer` and `json` this
    text would take four times as long.

    Args:
        row: the row; its id and boot hold nothing that JSON escapes.
        fresh: its paths within their ttl, the best first.
        state: its state at that moment.
    """
    record, best = row.record, fresh[0]
    address = quoted(best.address)  # a zone may hold what JSON escapes
    addresses = address
    if len(fresh) > 1:
        addresses = ",".join([quoted(one) for one in dict.fromkeys([path.address for path in fresh])])
    return _TEXT % (
        row.id, quoted(record.name) if record else "null", state, row.kind, address, addresses,
        quoted(best.link), row.boot, ",".join(map(_service_text, record.services)) if record else "",
        _tags_text(record.tags) if record else "", _number(row.interval), _number(row.ttl),
        _number(_rounded(best.rtt, 1000)), _number(_rounded(best.loss)), _WORDS[best.two_way], row.restarts,
        _WORDS[row.clone], f'"{row.sealed_with}"' if row.sealed_with else "null", _WORDS[not row.unheard],
        _WORDS[row.shared], f'"{row.farewell.reason}"' if state == "left" else "null",
    )  # fmt: skip


def _service_text(service: Service) -> str:
    name, proto = quoted(service.name), quoted(service.proto)
    return f'{{"name":{name},"port":{service.port},"proto":{proto},"tags":{{{_tags_text(service.tags)}}}}}'


def _tags_text(tags: Mapping[str, str]) -> str:
    return ",".join([f"{quoted(key)}:{quoted(value)}" for key, value in tags.items()])


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)


AGES_TEXT = '%s,"first_seen_s":%.3f,"last_heard_s":%.3f,"expires_s":%.3f}'
"""Completes a `lasting_text`: it, then the three ages in seconds."""


def _lasting(peer: Peer) -> dict[str, Any]:
    return {
        **{key: getattr(peer, key) for key in _LASTING},
        "addresses": list(peer.addresses),
        "services": [service.to_json() for service in peer.services],
        "tags": dict(peer.tags),
    }


def peer_from_json(found: Mapping[str, Any]) -> Peer:
    """Read a peer that `peer_json` wrote; keys of a later version are ignored.

    Raises:
        KeyError, TypeError: a key is missing, or not what it should be.
    """
    made = {
        **found,
        "addresses": tuple(found["addresses"]),
        "services": tuple(
            Service(name=one["name"], port=one["port"], proto=one["proto"], tags=one["tags"])
            for one in found["services"]
        ),
        "tags": dict(found["tags"]),
        "paths": tuple(
            PathView(**{key: path[key] for key in _PATH_KEYS if key in path}) for path in found.get("paths", ())
        ),
    }
    # an earlier version had fewer keys
    return Peer(**{key: made[key] for key in _KEYS if key in made})
