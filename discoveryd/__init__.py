"""discoveryd: which machines of this network are up right now, where, offering what, and why it believes so.

Three depths to embed, and a mirror of the local daemon:

- `PeerTable`: the data, without I/O.
- `Node`: the whole protocol, without I/O.
- `Discovery`: a node with its threads and sockets.
- `Client`, and `AsyncClient` for asyncio: the table of the daemon on this machine, kept up to date over its query
  socket.

Which of them is for what, with examples: docs/embedding.md.

Public names are imported on first use: ``discoveryctl`` must not pay for what it does not need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from discoveryd.config.embedding import machine_settings, machine_token
    from discoveryd.errors import (
        ConfigError,
        DaemonUnreachable,
        DiscoveryError,
        PortTaken,
        QueryError,
        RecordTooLong,
        SubscriptionLagged,
        WireError,
    )
    from discoveryd.net.query_client import QueryClient
    from discoveryd.protocol.link import Link, Source
    from discoveryd.protocol.messages.values import Delivery, IncomingMessage
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.outcome import Outcome, Send
    from discoveryd.protocol.parameters import Limits, MessageLimits, Parameters
    from discoveryd.protocol.sealed.keyring import Key, Keyring
    from discoveryd.protocol.table.peer import Event, Peer
    from discoveryd.protocol.table.table import PeerTable
    from discoveryd.protocol.wire.messages import Hello
    from discoveryd.protocol.wire.record import Record, Service
    from discoveryd.query.messages import MessageResult
    from discoveryd.runtime.async_client import AsyncClient
    from discoveryd.runtime.client import Client
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.notices import Notice
    from discoveryd.runtime.pings import PingResult
    from discoveryd.runtime.registration import Registration
    from discoveryd.runtime.subscription import Subscription

__version__ = "0.2.0"

_HOMES = {
    "discoveryd.config.embedding": ("machine_settings", "machine_token"),
    "discoveryd.errors": (
        "ConfigError",
        "DaemonUnreachable",
        "DiscoveryError",
        "PortTaken",
        "QueryError",
        "RecordTooLong",
        "SubscriptionLagged",
        "WireError",
    ),
    "discoveryd.net.query_client": ("QueryClient",),
    "discoveryd.protocol.wire.messages": ("Hello",),
    "discoveryd.protocol.sealed.keyring": ("Key", "Keyring"),
    "discoveryd.protocol.link": ("Link", "Source"),
    "discoveryd.protocol.messages.values": ("Delivery", "IncomingMessage"),
    "discoveryd.protocol.node": ("Node",),
    "discoveryd.protocol.outcome": ("Outcome", "Send"),
    "discoveryd.protocol.parameters": ("Limits", "MessageLimits", "Parameters"),
    "discoveryd.protocol.table.peer": ("Event", "Peer"),
    "discoveryd.protocol.wire.record": ("Record", "Service"),
    "discoveryd.protocol.table.table": ("PeerTable",),
    "discoveryd.query.messages": ("MessageResult",),
    "discoveryd.runtime.async_client": ("AsyncClient",),
    "discoveryd.runtime.client": ("Client",),
    "discoveryd.runtime.discovery": ("Discovery",),
    "discoveryd.runtime.notices": ("Notice",),
    "discoveryd.runtime.pings": ("PingResult",),
    "discoveryd.runtime.registration": ("Registration",),
    "discoveryd.runtime.subscription": ("Subscription",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # literal for type checkers; a test compares it with _HOMES
    "AsyncClient",
    "Client",
    "ConfigError",
    "DaemonUnreachable",
    "Delivery",
    "Discovery",
    "DiscoveryError",
    "Event",
    "Hello",
    "IncomingMessage",
    "Key",
    "Keyring",
    "Limits",
    "Link",
    "MessageLimits",
    "MessageResult",
    "Node",
    "Notice",
    "Outcome",
    "Parameters",
    "Peer",
    "PeerTable",
    "PingResult",
    "PortTaken",
    "QueryClient",
    "QueryError",
    "Record",
    "RecordTooLong",
    "Registration",
    "Send",
    "Service",
    "Source",
    "Subscription",
    "SubscriptionLagged",
    "WireError",
    "__version__",
    "machine_settings",
    "machine_token",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only here

    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
