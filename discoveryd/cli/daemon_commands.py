"""The commands of ``discoveryd``."""

from discoveryd.cli.parse import Command, Option, Program, Value
from discoveryd.cli.topics import topics
from discoveryd.config import DEFAULT_PATH

PAGES = {"discoveryd": 8, "discoveryctl": 1, "discoveryd.yaml": 5}
"""The manual pages and their sections."""
SHELLS = ("bash", "zsh", "fish")

_TOPICS = topics()
_FILE = Value("FILE")
_CONFIG = Option("config", "configuration file; - is standard input", _FILE)


def _directory(text: str) -> str:
    """Refuse an empty name: that of a variable that was never set would mean this very machine."""
    if not text:
        raise ValueError("is empty; name a directory, or leave --prefix out for this machine")
    return text


_PLACE = (
    Option("prefix", "below DIR, as for an image; no service is touched", Value("DIR", _directory)),
    Option("dry-run", "say it all, and do nothing"),
)

PROGRAM = Program(
    "discoveryd",
    "Know which other machines of this network are up right now, at which address, offering what.",
    [
        Command("daemon.run:run", "run in the foreground until SIGTERM or Ctrl-C", _CONFIG),
        Command("daemon.commands:start", "run in the background, with a pid file", _CONFIG),
        Command("daemon.commands:stop", "stop the daemon that start began", _CONFIG),
        Command("daemon.commands:status", "say whether a daemon runs here, and what it sees", _CONFIG),
        Command(
            "daemon.commands:reset_id",
            "choose a new node id for this machine: one of two that were cloned needs it",
            _CONFIG,
        ),
        Command(
            "daemon.commands:check",
            "check the configuration and print what is in force",
            _CONFIG,
            Option("quiet", "print only what is wrong"),
        ),
        Command(
            "daemon.keys:keygen",
            "make a key that a group of nodes shares, in a new file",
            _FILE,
            Option("nats", "in place of it the seed by which the nodes of one site log in to NATS servers"),
            text="Make a key that a group of nodes shares, and say what to do with it. FILE is "
            "/etc/discoveryd/KEY-ID.key unless given, with --nats /etc/discoveryd/discoveryd.nats. A file that is "
            "there already is never overwritten.",
        ),
        Command(
            "daemon.demo:demo",
            "four daemons on this machine alone: watch peers come and go for 12 seconds",
            text="Start four daemons on loopback, let one leave, kill one, bring one back, and check that all of it is "
            "seen. Nothing leaves this machine.",
        ),
        Command(
            "daemon.simulate:simulate",
            "what a network of so many nodes would do: traffic, delays, false alarms",
            Option("nodes", "nodes on one segment (20)", Value("N"), default="20"),
            Option("loss", "share of datagrams lost, such as 0.2 or 20% (0)", Value("P"), default="0"),
            Option("minutes", "virtual minutes to play (5)", Value("M"), default="5"),
            Option("seed", "another seed, another course of chance (1)", Value("S"), default="1"),
            Option("config", "take interval, ttl, budget and limits from here", _FILE),
            Option("json", "print the figures as one line of JSON"),
            text="Let the engine run many nodes in virtual time, and print what it would be like: traffic on the "
            "segment, time to full tables after all start at once, how soon a crash is seen, false alarms. Nothing is "
            "sent. The same seed gives the same figures, but for the processor time.",
        ),
        Command(
            "cli.manual:manual",
            "show a manual page, or the page of a topic",
            Value("PAGE", choices=(*PAGES, *_TOPICS)),
            text=f"Show the manual page PAGE: {', '.join(PAGES)}. Without PAGE the first. On a terminal man(1) shows "
            "it; elsewhere its source is printed. PAGE may also be a topic of the documentation: "
            f"{', '.join(_TOPICS) or 'none is installed'}.",
        ),
        Command(
            "cli.completion:completion",
            "print what lets a shell complete both commands",
            Value("SHELL", choices=SHELLS, missing=f"for which shell? One of {', '.join(SHELLS)}"),
            text=f"Print what lets SHELL ({', '.join(SHELLS)}) complete discoveryd and discoveryctl, peer names "
            "included. In bash and zsh: source <(discoveryd completion SHELL). In fish: discoveryd completion fish | "
            "source.",
        ),
        Command(
            "install:install",
            "make this environment's discoveryd a systemd service of the machine",
            Option("now", "enable and start the service, and wait until it is active"),
            Option(
                "socket",
                "let systemd hold the query port (discoveryd.socket): open early in the boot, and while the "
                "daemon restarts",
            ),
            Option("dns", "serve names of peers, and let the resolver of this machine ask for them (docs/dns.md)"),
            Option("copy", "copy this environment to /opt/discoveryd first, where the service can reach it"),
            *_PLACE,
            text="Put unit, socket unit, configuration, manual pages, completions and firewall profiles in place, and "
            "links to the commands into /usr/local/bin. What is there already and yours stays. Says each thing it "
            "does; a second run changes nothing. An environment below /root or /home, such as uv tool and pipx make, "
            "is hidden from the service: --copy. Where a package of the distribution installed discoveryd, only what "
            "depends on the configuration is put in place: the ports that the unit allows. Needs root.",
        ),
        Command(
            "install:uninstall",
            "stop the service and remove what install put in place",
            Option("dns", "only let the resolver of this machine ask no more for names of peers"),
            *_PLACE,
            text="Stop and disable the service, and remove what install put in place and its state. The configuration "
            "stays, and so does whatever was changed since. Needs root.",
        ),
        Command("daemon:version", "print the version"),
    ],
    note=f"The configuration is read from --config, else $DISCOVERYD_CONFIG, else {DEFAULT_PATH}, else the defaults "
    "hold; DISCOVERYD_SECTION__KEY in the environment overrides a key of it. Ask the daemon with discoveryctl.",
    exit_codes=(
        (0, "fine"),
        (1, "failed: a port is taken, a permission is missing, a thread died"),
        (2, "usage, or the configuration is wrong"),
        (3, "status, stop: no daemon runs"),
    ),
)
