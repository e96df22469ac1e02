"""``discoveryd check``, ``reset-id`` and ``version``: commands that print and end."""

from __future__ import annotations

import sys
from typing import Any

from discoveryd import __version__
from discoveryd.cli.parse import Arguments
from discoveryd.config import Config, load
from discoveryd.daemon import FAILED, OK, say
from discoveryd.daemon.identity import node_id, reset
from discoveryd.daemon.keys import are_hidden, read_keyring
from discoveryd.daemon.ports import is_service, refuse_forbidden
from discoveryd.files import token
from discoveryd.files.trusted import remedy
from discoveryd.net.query_client import QueryClient


def client_of(config: Config) -> QueryClient:
    """Return a client of the daemon of a configuration, with the token that is needed beyond loopback."""
    file, address = config.paths.token_file, config.query.address
    assert address is not None
    return QueryClient(address, token=lambda: token.read(file), vet=token.vetting(file, address))


def sight(seen: dict[str, Any]) -> str:
    """Return a status in a few words: the node, its peers by state, its links."""
    states = ", ".join(f"{count} {state}" for state, count in seen["peers"].items() if count) or "no peers yet"
    links = ", ".join(f"{link['name']} {link['address']}" for link in seen["links"]) or "no link"
    return f"{seen['node']['name']}: {states}; {links}"


def reset_id(arguments: Arguments) -> int:
    """Choose a new node id."""
    config = load(arguments.config)
    if config.node.id:
        say(f"the configuration sets node.id to {config.node.id}: change it there ({config.source})")
        return FAILED
    loopback = config.parameters.loopback
    former, _ = node_id(config.paths.state_directory, loopback)
    try:
        reset(config.paths.state_directory)
    except OSError as error:
        helps = remedy(error, "run as root, or set paths.state")
        say(f"cannot write to {config.paths.state_directory}: {error.strerror}; {helps}")
        return FAILED
    fresh, _ = node_id(config.paths.state_directory, loopback)
    print(f"node id {fresh} from the next start on (was {former}); now restart discoveryd")  # noqa: T201
    return OK


def check(arguments: Arguments) -> int:
    """Check the configuration and print what is in force."""
    config = load(arguments.config)
    config.record()
    if config.security.keys and not are_hidden(in_service=is_service()):
        read_keyring(config)  # else the daemon reads them, before it takes anything over
    refuse_forbidden(config)
    if not arguments.quiet:
        sys.stdout.write(config.to_yaml())
    return OK


def version(_: Arguments) -> int:
    """Print the version."""
    print(f"discoveryd {__version__}")  # noqa: T201
    return OK
