"""``discoveryd status``, ``check``, ``reset-id`` and ``version``: commands that print and end."""

from __future__ import annotations

import sys
from typing import Any

from discoveryd import __version__
from discoveryd.cli.parse import Arguments
from discoveryd.config import Config, load
from discoveryd.daemon import FAILED, NOT_RUNNING, OK, say
from discoveryd.daemon.identity import node_id, reset
from discoveryd.daemon.pid_file import PidFile
from discoveryd.daemon.ports import is_service, refuse_forbidden
from discoveryd.errors import DaemonUnreachable, QueryError
from discoveryd.files import token
from discoveryd.files.remedies import remedy
from discoveryd.net.query_client import QueryClient


def status(arguments: Arguments) -> int:
    """Print whether a daemon runs, and what it sees."""
    config = load(arguments.config)
    pidfile = PidFile(config.paths.pid_file)
    try:
        pid = pidfile.holder()
    except OSError as error:
        say(f"cannot read {pidfile.path}: {error.strerror}")
        return FAILED
    process = f"pid {pid}" if pid else "not begun by start"
    if config.query.address is None:
        print(f"discoveryd {'runs' if pid else 'does not run'} ({process}; no query socket to ask)")  # noqa: T201
        return OK if pid else NOT_RUNNING
    try:
        with client_of(config) as client:
            seen = client.request("status")
    except QueryError as error:
        if not pid and isinstance(error, DaemonUnreachable):
            print("discoveryd does not run")  # noqa: T201
            return NOT_RUNNING
        print(f"discoveryd {f'runs ({process}) but' if pid else 'may run, but'} does not answer: {error}")  # noqa: T201
        return FAILED
    print(f"discoveryd {seen['version']} runs ({process}) as {sight(seen)}")  # noqa: T201
    return OK


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
    if config.security.keys:
        from discoveryd.daemon.keys import are_hidden, read_keyring  # noqa: PLC0415 - most daemons have no keys

        if not are_hidden(in_service=is_service()):  # else the daemon reads them, before it takes anything over
            read_keyring(config.security, config.source, directory=config.directory)
    refuse_forbidden(config)
    if not arguments.quiet:
        sys.stdout.write(config.to_yaml())
    return OK


def version(_: Arguments) -> int:
    """Print the version."""
    print(f"discoveryd {__version__}")  # noqa: T201
    return OK
