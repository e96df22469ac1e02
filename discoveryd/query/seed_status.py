"""The section ``seeds`` of a status: which address each seed has, and whether a peer is heard there."""

from collections.abc import Mapping
from typing import NamedTuple

from discoveryd.protocol.hosts import Seed
from discoveryd.protocol.node import Node
from discoveryd.query.status import SeedAddress, SeedStatus

SEED_STATES = ("answers", "silent", "here", "resolving", "unresolved")


class SeedState(NamedTuple):
    """What is known of the name of a seed.

    Attributes:
        addresses: those of its last answer.
        error: why it does not resolve now; empty if it does, or was not asked for yet.
        is_new: whether no lookup of it has ended yet.
        due: when it is asked for next; without end while a lookup is under way.
    """

    addresses: tuple[str, ...]
    error: str
    is_new: bool
    due: float


def seed_status(node: Node, states: Mapping[str, SeedState], now: float) -> list[SeedStatus]:
    """Return the state of each seed.

    Args:
        node: the engine.
        states: of the names.
        now: the time.
    """
    outbox, heard = node.outbox, dict[str, float]()
    if not outbox.seeds.named:
        return []
    for row in node.table.rows(now):
        for path in row.paths:
            if now < path.expires:
                # a seed may answer from another of its addresses
                for address in (path.address, outbox.aliases.get(path.address)):
                    if address:
                        heard[address] = max(path.last_heard, heard.get(address, path.last_heard))
    return [_status(node, seed, states.get(seed.host), heard, now) for seed in outbox.seeds.named]


def _status(
    node: Node, seed: Seed, state: SeedState | None, heard: Mapping[str, float], now: float
) -> SeedStatus:
    addresses: list[SeedAddress] = [
        {"address": address, "heard_s": round(max(0.0, now - heard[address]), 3) if address in heard else None}
        for address in node.outbox.seeds.addresses_of(seed)
    ]
    is_waiting = seed.is_name and (state is None or state.is_new)
    others = [one for one in addresses if one["address"] not in node.outbox.own_addresses]
    word = "silent"
    if not addresses:
        word = "resolving" if is_waiting else "unresolved"
    elif not others:
        word = "here"
    elif any(one["heard_s"] is not None for one in others):
        word = "answers"
    is_due = state is not None and now < state.due < float("inf")
    return {
        "seed": seed.text,
        "state": word,
        "addresses": addresses,
        "error": (state.error or None) if state else None,
        "next_try_s": round(state.due - now, 3) if state and is_due else None,
    }
