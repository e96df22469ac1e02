"""What ``discoveryctl`` can be told: its commands and options, each with the text that explains it.

One table: the command line is read by it, and help, manual page and completion are made of it. The classes
are plain ones, because dataclasses would cost half as much time as Python takes to start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATES = ("up", "suspect", "down", "left")
PROTOS = ("tcp", "udp")
COLUMNS = ("name", "id", "address", "link", "service", "tag")

METAVARS = {
    "state": "STATE", "name": "GLOB", "tag": "KEY=VALUE", "service": "SERVICE", "link": "IF", "all": "",
    "wide": "", "only": "COLUMN", "count": "N", "timeout": "S",
    "port": "P", "proto": "PROTO", "user": "USER", "token-file": "FILE",
    "json": "", "address": "HOST:PORT", "help": "", "version": "",
}  # fmt: skip
"""Every option with the word that stands for its value, empty where it takes none."""

REPEATED = frozenset(("state", "tag"))
"""The options that may be given more than once, and mean it."""

ASKED: Mapping[str, str] = {
    "PEER": "name", "GLOB": "name", "KEY=VALUE": "tag", "SERVICE": "service", "IF": "link",
}  # fmt: skip
"""For completion: the column of ``list --only`` that has such values."""

FILTERS = {
    "state": "that are up, suspect, down or left; may be repeated",
    "name": "whose name matches, such as 'web-*'",
    "tag": "with this tag; may be repeated, all must match",
    "service": "that offer this service",
    "link": "heard on this interface",
    "all": "also those that are down or left",
}
"""Which peers."""

EVERYWHERE = {
    "json": "the daemon's reply as one line of JSON (watch: one object per line)",
    "address": "where the daemon listens; else $DISCOVERYCTL_ADDRESS, else 127.0.0.1:3400",
    "token-file": "the control token of the daemon, which shows that you may: for reload and register, and for all "
    "where it listens outside 127.0.0.0/8; else $DISCOVERYCTL_TOKEN_FILE, else /run/discoveryd/control.token, or "
    "without root $XDG_RUNTIME_DIR/discoveryd/control.token",
    "help": "this text; after a command, that of the command",
    "version": "the version of this program",
}
"""What all commands take."""


class Command:
    """A command.

    Attributes:
        brief: what it does, in half a line.
        text: what it does, in full.
        operands: the words it takes, such as ``PEER``, or ``[COMMAND]`` where it may be left out.
        options: name to text of the options it takes, besides those of all commands.
        needs: the options that must be given.
        rest: what may stand after all else, as in a synopsis.
    """

    __slots__ = ("brief", "needs", "operands", "options", "rest", "text")

    def __init__(
        self,
        brief: str,
        text: str,
        *,
        operands: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        needs: Sequence[str] = (),
        rest: str = "",
    ) -> None:
        self.brief = brief
        self.text = text
        self.operands = operands
        self.options = options or {}
        self.needs = needs
        self.rest = rest

    @property
    def form(self) -> str:
        """Its operands and what it needs, as in ``wait --count N``."""
        return " ".join((*self.operands, *(f"--{name} {METAVARS[name]}" for name in self.needs)))


COMMANDS = {
    "list": Command(
        "the peers that are up",
        "List the peers that are up or suspect, or those that the filters choose.",
        options={
            **FILTERS,
            "wide": "show id and boot too (shown anyway where names alone would be ambiguous)",
            "only": "one value per line, each once: " + ", ".join(COLUMNS[:-1]) + f" or {COLUMNS[-1]}",
        },
    ),
    "show": Command(
        "all that is known of a peer (name, id or its beginning, address, boot), and why",
        "Tell all that is known of PEER, and why it is believed to be up, suspect, down or left. "
        "PEER is a name, an id or the beginning of one, an address or a boot.",
        operands=("PEER",),
    ),
    "status": Command(
        "the daemon itself: links, counters, what it dropped, what looks wrong",
        "Tell how the daemon itself is: node, links with their last error, peers by state, counters, "
        "what was dropped and why, and what looks wrong.",
    ),
    "metrics": Command(
        "its counters as Prometheus reads them",
        "Print the counters of the daemon in the text format of Prometheus (docs/metrics.md). Where "
        "metrics.listen is set, the daemon serves the same over HTTP.",
    ),
    "watch": Command(
        "the peers, then each change as it happens",
        "List the peers, then show each change as it happens, until interrupted. Marks: + came, ~ changed, "
        "? overdue, - went, ! clone. When the daemon restarts, connects again and lists anew.",
        options={**FILTERS, "timeout": "how long to try for a daemon that is not up yet; not at all unless given"},
    ),
    "ping": Command(
        "probe a peer: round-trip time, and whether it hears us",
        "Let the daemon probe a peer by unicast: round-trip time, and whether the peer hears our HELLOs.",
        operands=("PEER",),
        options={
            "count": "PINGs to send, 1 unless given",
            "timeout": "time to wait for each answer, 1s unless given",
        },
    ),
    "wait": Command(
        "wait until N matching peers are up",
        "Wait until at least N peers that match the filters are up (or in the states given), then list them.",
        options={
            **FILTERS,
            "count": "how many",
            "timeout": "give up after this time, with exit code 1; for ever unless given. With it, a daemon that is "
            "not up yet is waited for as well (exit code 3 if none comes)",
            "only": f"then one value per line, each once: {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}",
        },
        needs=("count",),
    ),
    "reload": Command(
        "let the daemon read its configuration again",
        "Let the daemon read its configuration again; the table of peers stays. Tells which changes need a "
        "restart. If anything is wrong in it, all of that is told, and the former one stays in force.",
    ),
    "register": Command(
        "announce a service as long as this runs",
        "Let this node offer a service, exactly as long as this runs. With COMMAND: run it, offer the service as "
        "long as it runs, and end with its exit code (126 or 127 if it cannot be run). SIGTERM and Ctrl-C end "
        "this, and are passed on to COMMAND. When the daemon restarts, registers again. COMMAND is started also while "
        "no daemon is up.",
        operands=("NAME",),
        options={
            "port": "where it is offered; 0 where a port means nothing",
            "proto": "tcp (unless given) or udp",
            "tag": "says more about it; may be repeated",
            "timeout": "without COMMAND, how long to try for a daemon that is not up yet; not at all unless given",
            "user": "who COMMAND runs as, with the groups and HOME of that user; for root, who may read the token",
        },
        needs=("port",),
        rest="[-- COMMAND ...]",
    ),
    "help": Command(
        "explain the commands, or one of them",
        "Explain the commands, or COMMAND alone. The same as --help.",
        operands=("[COMMAND]",),
    ),
}

CHOICES: Mapping[str, Sequence[str]] = {
    "STATE": STATES, "COLUMN": COLUMNS, "PROTO": PROTOS, "COMMAND": tuple(COMMANDS),
}  # fmt: skip
"""The values that such a word may stand for, where they are few."""
