"""``discoveryd install`` and ``uninstall``: this environment's daemon as a service of the machine, and back.

::

    layout        what goes where, with its content
    environment   whether a service could be started from this environment
    places        puts and removes, and leaves alone what somebody changed
    manifest      what was put, written down for `uninstall`
    units         what is asked of systemd
    kernel        limits of the kernel that are raised
"""

from __future__ import annotations

import os

from discoveryd import __version__
from discoveryd.cli.parse import Arguments
from discoveryd.config import Config, load
from discoveryd.daemon import FAILED, OK, USAGE, say
from discoveryd.daemon.identity import kept
from discoveryd.daemon.ports import DROP_IN, drop_in
from discoveryd.daemon.report import client_of, sight
from discoveryd.errors import ConfigError, QueryError, UntrustedFile
from discoveryd.files import trusted
from discoveryd.install import environment, kernel, manifest, units
from discoveryd.install.layout import CONFIG_DIRECTORY, UNIT_DIRECTORY, items, limits, opening, socket_address
from discoveryd.install.places import MAX_FILE, Places

CONFIG = f"{CONFIG_DIRECTORY}/discoveryd.yaml"
STATE = "/var/lib/discoveryd"
"""StateDirectory= of the unit."""


def install(arguments: Arguments) -> int:
    """Put everything in place; with --now start the service, with --socket the one that holds its query port too."""
    refusal = _refusal(arguments) or _no_service(arguments)
    if refusal:
        say(refusal)
        return USAGE if arguments.now and arguments.prefix else FAILED
    root = _root(arguments)
    try:
        places = _put(root, is_dry=arguments.dry_run)
        if not arguments.prefix:
            _look_again(places, is_dry=arguments.dry_run)
            _raise_limits(is_dry=arguments.dry_run)
    except (OSError, ValueError) as error:
        say(_why(error))
        return FAILED
    if arguments.prefix:
        for text in environment.obstacles():
            _tell("note", text)
        return _done(arguments)
    for name, command in opening(root):
        _tell("note", f"{name} is here; to let the HELLOs through: {command}")
    if not arguments.now:
        wanted = f"{units.SOCKET} discoveryd" if arguments.socket else "discoveryd"
        _tell("note", f"to start it: systemctl enable --now {wanted}")
        return _done(arguments)
    return _start(places, root, arguments) or _done(arguments)


def uninstall(arguments: Arguments) -> int:
    """Stop the service, and remove what `install` put in place."""
    refusal = _refusal(arguments)
    if refusal:
        say(refusal)
        return FAILED
    root = _root(arguments)
    try:
        former = manifest.load(root)
        if not former:
            _tell("note", f"nothing is installed here: there is no {root}{manifest.PATH}")
            return OK
        is_live = not arguments.prefix and units.is_booted()
        if is_live:
            _stop(root, is_dry=arguments.dry_run)
        Places(root, former, _tell, is_dry=arguments.dry_run).remove_all()
        if is_live:
            _ask("daemon-reload", is_dry=arguments.dry_run)
    except (OSError, ValueError) as error:
        say(_why(error))
        return FAILED
    return _done(arguments)


def _put(root: str, *, is_dry: bool) -> Places:
    former = manifest.load(root)
    places = Places(root, former, _tell, is_dry=is_dry)
    try:
        places.put_all(items(environment.commands(), root, ports=_ports(root)))
    except OSError:
        if not is_dry and manifest.PATH in places.entries:  # what was made up to here is to be removable too
            manifest.save(root, {**former, **places.entries}.values())
        raise
    if places.entries != former and not is_dry:
        manifest.save(root, places.entries.values())
    return places


def _ports(root: str) -> bytes | None:
    """Give the drop-in with the ports of the configuration that is there, or of the one that comes."""
    try:
        return drop_in(load(root + CONFIG, {}) if os.path.exists(root + CONFIG) else Config())
    except ConfigError:
        _tell("note", f"the ports of the service stay: discoveryd check says what is wrong with {root}{CONFIG}")
    try:
        return trusted.read(f"{root}{UNIT_DIRECTORY}/{DROP_IN}", MAX_FILE, owners=None)
    except FileNotFoundError:
        return None


def _look_again(places: Places, *, is_dry: bool) -> None:
    if any(path.startswith(UNIT_DIRECTORY) for path in places.changed):
        _ask("daemon-reload", is_dry=is_dry)


def _raise_limits(*, is_dry: bool) -> None:
    """Let the service have its receive buffer from now on, not from the next boot on."""
    try:
        for name, before, now in kernel.raised(limits(), is_dry=is_dry):
            _tell("raised", name, f"from {before} to {now}")
    except OSError as error:  # in a container it is for the machine below
        path, why = error.filename or kernel.PROC, error.strerror or error
        _tell("note", f"{path} cannot be set ({why}): HELLOs are lost where hundreds of nodes speak at once")


def _start(places: Places, root: str, arguments: Arguments) -> int:
    """Start the service and say what it sees; start it anew if it is not of this version and unit.

    Raises:
        ConfigError: it would not start; told here better than by the journal.
    """
    is_dry = arguments.dry_run
    config = load(root + CONFIG, {}) if os.path.exists(root + CONFIG) else Config()
    is_changed = any(path.endswith((units.SERVICE, DROP_IN)) for path in places.changed)
    try:
        if arguments.socket:
            _start_socket(config, is_dry=is_dry)
        if not units.is_enabled():
            _ask("enable", units.SERVICE, is_dry=is_dry)
        if not units.is_active():
            _ask("start", units.SERVICE, is_dry=is_dry)
        elif is_changed or _is_other_version(config):
            _ask("restart", units.SERVICE, is_dry=is_dry)
        else:
            _tell("unchanged", units.SERVICE, "enabled and active")
    except OSError as error:
        say(f"{error}; the journal says:")
        print(units.journal(), end="")  # noqa: T201
        say("if systemd goes on trying, this ends it: systemctl disable --now discoveryd")
        return FAILED
    if is_dry or config.query.address is None:
        return OK
    try:
        with client_of(config) as client:
            print(f"discoveryd {__version__} is active as {sight(client.request('status'))}")  # noqa: T201
    except QueryError as error:
        say(f"it is active, but does not answer: {error}")
        return FAILED
    return OK


def _start_socket(config: Config, *, is_dry: bool) -> None:
    """Let systemd hold the query port.

    Raises:
        OSError: it does not.
    """
    listens = socket_address()
    if config.query.listen != listens:
        here = f"{units.SOCKET} listens at {listens}, which takes the place of query.listen ({config.query.listen})"
        _tell("note", f"{here}: for another address systemctl edit {units.SOCKET}")
    if units.is_active(units.SOCKET):
        _tell("unchanged", units.SOCKET, "active")
        return
    if units.is_active():  # systemd opens no socket whose service runs already
        _ask("stop", units.SERVICE, is_dry=is_dry)
    _ask("enable", "--now", units.SOCKET, is_dry=is_dry)


def _is_other_version(config: Config) -> bool:
    """Say whether what runs is of another version; one that does not answer is as good as that."""
    if config.query.address is None:
        return False
    try:
        with client_of(config) as client:
            return bool(client.greeting["discoveryd"] != __version__)
    except QueryError:
        return True


def _stop(root: str, *, is_dry: bool) -> None:
    """Stop and disable what is there, the socket first: it would start the service again. State goes with it."""
    for unit in (units.SOCKET, units.SERVICE):
        if os.path.exists(f"{root}{UNIT_DIRECTORY}/{unit}"):
            _ask("disable", "--now", unit, is_dry=is_dry)
    if not os.path.exists(f"{root}{UNIT_DIRECTORY}/{units.SERVICE}"):
        return
    chosen, _ = kept(root + STATE)
    _ask("clean", "--what=state", units.SERVICE, is_dry=is_dry)
    remark = f"its node id {chosen} was chosen by reset-id: set node.id to keep it" if chosen else ""
    _tell("removed", STATE, remark)


def _ask(*request: str, is_dry: bool) -> None:
    """Have systemd do something, and say so.

    Raises:
        OSError: it does not.
    """
    if not is_dry:
        units.systemctl(*request)
    _tell("ran", f"systemctl {' '.join(request)}")


def _refusal(arguments: Arguments) -> str:
    """Say why this person may not, empty if he may."""
    if arguments.dry_run or arguments.prefix or os.geteuid() == 0:
        return ""
    return (
        f"{arguments.command} needs root: it writes to /usr/local and /etc. See what it would do with --dry-run, "
        "or have it all put below a directory of yours with --prefix DIR"
    )


def _no_service(arguments: Arguments) -> str:
    """Say why there cannot be a service, empty if there can."""
    if arguments.prefix:
        return "--now starts the service of this machine, --prefix leaves it alone: choose one" if arguments.now else ""
    if not units.is_booted():
        return (
            f"systemd does not run this machine (no {units.BOOTED}). For the image of another one: install --prefix "
            "DIR. Without a service manager: discoveryd start"
        )
    obstacles = environment.obstacles()
    if not obstacles:
        return ""
    return (
        f"{'; '.join(obstacles)}. An environment that a service can use: python3 -m venv /opt/discoveryd, "
        "then install the package there"
    )


def _root(arguments: Arguments) -> str:
    return os.path.abspath(arguments.prefix).rstrip("/") if arguments.prefix else ""


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, UntrustedFile):
        return f"{error.filename}: {error.strerror}; {error.remedy}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _done(arguments: Arguments) -> int:
    if arguments.dry_run:
        _tell("note", "this was a dry run: nothing has been changed")
    return OK


def _tell(what: str, path: str, remark: str = "") -> None:
    print(f"{what:<10}{path}" + (f"  ({remark})" if remark else ""))  # noqa: T201
