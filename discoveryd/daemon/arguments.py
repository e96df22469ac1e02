"""The command line of ``discoveryd``: what there is to say, apart from what it does.

Manual pages and completions are made from this parser, so it is all there is to know of the options.
"""

from __future__ import annotations

import argparse

from discoveryd import __version__
from discoveryd.config import DEFAULT_PATH

EXIT_CODES = (
    (0, "fine"),
    (1, "failed: a port is taken, a permission is missing, a thread died"),
    (2, "usage, or the configuration is wrong"),
    (3, "status, stop: no daemon runs"),
)

CONFIG_NOTE = f"""\
The configuration is read from --config, else $DISCOVERYD_CONFIG, else {DEFAULT_PATH},
else the defaults hold; DISCOVERYD_SECTION__KEY in the environment overrides a key of it.
Ask the daemon with discoveryctl.
"""

PAGES = {"discoveryd": 8, "discoveryctl": 1, "discoveryd.yaml": 5}
"""The manual pages and their sections."""
SHELLS = ("bash", "zsh", "fish")

_COMMANDS = (
    ("run", "run in the foreground until SIGTERM or Ctrl-C"),
    ("start", "run in the background, with a pid file"),
    ("stop", "stop the daemon that start began"),
    ("status", "say whether a daemon runs here, and what it sees"),
    ("reset-id", "choose a new node id for this machine: one of two that were cloned needs it"),
    ("check", "check the configuration and print what is in force"),
)


def parser() -> argparse.ArgumentParser:
    """Give the parser; what it reads has the command's name in `command`."""
    exits = "exit codes:\n" + "".join(f"  {code}  {text}\n" for code, text in EXIT_CODES)
    made = argparse.ArgumentParser(
        prog="discoveryd",
        description="Know which other machines of this network are up right now, at which address, offering what.",
        epilog=f"{exits}\n{CONFIG_NOTE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"discoveryd {__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    for name, text in _COMMANDS:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--config", metavar="FILE", help="configuration file; - is standard input")
        if name == "check":
            command.add_argument("--quiet", action="store_true", help="print only what is wrong")
    keygen = commands.add_parser(
        "keygen",
        help="make a key that a group of nodes shares, in a new file",
        description="Make a key that a group of nodes shares, and say what to do with it. A file that is there "
        "already is never overwritten.",
    )
    keygen.add_argument("file", metavar="FILE", nargs="?", help="where to (/etc/discoveryd/KEY-ID.key)")
    commands.add_parser(
        "demo",
        help="four daemons on this machine alone: watch peers come and go for 12 seconds",
        description="Start four daemons on loopback, let one leave, kill one, bring one back, and check that all "
        "of it is seen. Nothing leaves this machine.",
    )
    _add_simulate(commands)
    _add_manual(commands)
    _add_install(commands)
    commands.add_parser("version", help="print the version", description="Print the version.")
    explain = commands.add_parser(
        "help",
        help="explain the commands, or one of them",
        description="Explain the commands, or COMMAND alone. The same as --help.",
    )
    explain.add_argument("explained", metavar="COMMAND", nargs="?", choices=commands.choices)
    return made


def _add_manual(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    manual = commands.add_parser(
        "manual",
        help="show a manual page",
        description=f"Show the manual page PAGE: {', '.join(PAGES)}. Without PAGE the first. On a terminal man(1) "
        "shows it; elsewhere its source is printed.",
    )
    manual.add_argument("page", metavar="PAGE", nargs="?", default="discoveryd", choices=PAGES)
    completion = commands.add_parser(
        "completion",
        help="print what lets a shell complete both commands",
        description=f"Print what lets SHELL ({', '.join(SHELLS)}) complete discoveryd and discoveryctl, peer names "
        "included. In bash and zsh: source <(discoveryd completion SHELL). In fish: discoveryd completion fish | "
        "source.",
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS)


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="what a network of so many nodes would do: traffic, delays, false alarms",
        description="Let the engine run many nodes in virtual time, and print what it would be like: traffic on the "
        "segment, time to full tables after all start at once, how soon a crash is seen, false alarms. Nothing is "
        "sent. The same seed gives the same figures, but for the processor time.",
    )
    simulate.add_argument("--nodes", metavar="N", default="20", help="nodes on one segment (20)")
    simulate.add_argument("--loss", metavar="P", default="0", help="share of datagrams lost, such as 0.2 or 20%% (0)")
    simulate.add_argument("--minutes", metavar="M", default="5", help="virtual minutes to play (5)")
    simulate.add_argument("--seed", metavar="S", default="1", help="another seed, another course of chance (1)")
    simulate.add_argument("--config", metavar="FILE", help="take interval, ttl, budget and limits from here")
    simulate.add_argument("--json", action="store_true", help="print the figures as one line of JSON")


def _directory(text: str) -> str:
    """Refuse an empty name: that of a variable that was never set would mean this very machine."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a directory, or leave --prefix out for this machine")
    return text


def _add_install(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    install = commands.add_parser(
        "install",
        help="make this environment's discoveryd a systemd service of the machine",
        description="Put unit, socket unit, configuration, manual pages, completions and firewall profiles in place, "
        "and links to the commands into /usr/local/bin. What is there already and yours stays. Says each thing it "
        "does; a second run changes nothing. Needs root.",
    )
    install.add_argument("--now", action="store_true", help="enable and start the service, and wait until it is active")
    text = "let systemd hold the query port (discoveryd.socket): open early in the boot, and while the daemon restarts"
    install.add_argument("--socket", action="store_true", help=text)
    uninstall = commands.add_parser(
        "uninstall",
        help="stop the service and remove what install put in place",
        description="Stop and disable the service, and remove what install put in place and its state. The "
        "configuration stays, and so does whatever was changed since. Needs root.",
    )
    for command in (install, uninstall):
        text = "below DIR, as for an image; no service is touched"
        command.add_argument("--prefix", metavar="DIR", type=_directory, help=text)
        command.add_argument("--dry-run", action="store_true", help="say it all, and do nothing")
