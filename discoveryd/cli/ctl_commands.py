"""The command line of ``discoveryctl``: its commands, and what is asked for, completed from the environment."""

from __future__ import annotations

from discoveryd.cli.ctl_values import (
    COUNT,
    DOMAIN,
    EXPORTS,
    FILE,
    FILTERS,
    FORMAT,
    MESSAGE,
    ONLY,
    PEER,
    PORT_NUMBER,
    RECEIVERS,
    RECORD,
    SITE,
    SORT,
    SORTS,
    TAG,
    TEMPLATE,
    TIME,
    address,
    address_of,
    check_shape,
    not_empty,
)
from discoveryd.cli.parse import Arguments, Command, Option, Program, UsageError, Value
from discoveryd.cli.parse import parse as parse_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from discoveryd.net.query_client import QueryClient

TOKEN_VARIABLE = "DISCOVERYCTL_TOKEN_FILE"  # noqa: S105 - a name

PROGRAM = Program(
    "discoveryctl",
    "Ask the discoveryd of this machine which other machines are up right now, where, offering what.",
    [
        Command(
            "ctl.ask:list_",
            "the peers that are up",
            Option("wide", "show id and boot too; on a terminal also round trip, loss and since when it is up"),
            ONLY,
            FORMAT,
            Option("sort", f"by {', '.join(SORTS[:-1])} or {SORTS[-1]}; by name unless given", SORT),
            Option("no-header", "leave out the line of heads"),
            Option("self", "this node too, marked *, and the summary; on a terminal they are there anyway"),
            Option("watch", "a table that follows each change, on a terminal, until interrupted"),
            filters=FILTERS,
            text="List the peers that are up or suspect, or those that the filters choose. What is read from a pipe is "
            "the table of peers alone.",
        ),
        Command(
            "ctl.export:export",
            "the peers for another program: Prometheus, Ansible, dnsmasq, ssh, ...",
            Value("FORMAT", choices=EXPORTS, missing=f"which format? One of {', '.join(EXPORTS)}"),
            Value("PEER"),
            Option("port", "prometheus: the port of every target, in place of those of services", PORT_NUMBER),
            Option("domain", "of all names of hosts, dnsmasq, ssh, known-hosts; peers.internal unless given", DOMAIN),
            Option("template", "template: a line for each, such as '{name} {address}:{port}'", TEMPLATE),
            Option("warning", "nagios: warn where fewer than N are up", COUNT),
            Option("critical", "nagios: critical where fewer than N are up, 1 unless given", COUNT),
            Option("no-self", "without this node"),
            Option("list", "ansible: all, as the program asks for it; the same as without"),
            Option("host", "ansible: the variables of one peer", Value("PEER", not_empty, column="name")),
            filters=FILTERS,
            text="Print the peers that are up or suspect, and this node, as another program reads them. PEER is for "
            "known-hosts, the only name to be told of. The daemon keeps such files up to date by itself: export: in "
            "its configuration (docs/exports.md). Whatever a peer calls itself is harmless in each format.",
        ),
        Command(
            "ctl.ask:show",
            "all that is known of a peer (name, id or its beginning, address, boot), and why",
            PEER,
            Option("site", "of this site, or all, not of this network alone", SITE),
            text="Tell all that is known of PEER, and why it is believed to be up, suspect, down or left. PEER is a "
            "name, an id or the beginning of one, an address or a boot.",
        ),
        Command(
            "ctl.ask:status",
            "the daemon itself: links, counters, what it dropped, what looks wrong",
            text="Tell how the daemon itself is: node, links with their last error, peers by state, counters, what was "
            "dropped and why, and what looks wrong.",
        ),
        Command(
            "ctl.sites:sites",
            "the sites of the fleet, and what is known of each",
            text="Tell which sites there are, whether each is reachable, how many peers it has and by which gateways "
            "it speaks (docs/sites.md). list, show, watch, wait and export take --site to tell of the peers there.",
        ),
        Command(
            "ctl.ask:metrics",
            "its counters as Prometheus reads them",
            text="Print the counters of the daemon in the text format of Prometheus (docs/metrics.md). Where "
            "metrics.listen is set, the daemon serves the same over HTTP.",
        ),
        Command(
            "ctl.follow:watch",
            "the peers, then each change as it happens",
            Option("timeout", "how long to try for a daemon that is not up yet; not at all unless given", TIME),
            Option("messages", "in place of peers, the messages of other nodes that come to this one"),
            Option("message", "only messages of this name; may be repeated", MESSAGE, is_repeated=True),
            filters=FILTERS,
            text="List the peers, then show each change as it happens, until interrupted. Marks: + came, ~ changed, "
            "? overdue, - went, ! clone. When the daemon restarts, connects again and lists anew. With --messages "
            "or --message: show each message as it comes; what nothing else takes is acknowledged for this.",
        ),
        Command(
            "ctl.ask:ping",
            "probe a peer: round-trip time, and whether it hears us",
            PEER,
            Option("count", "PINGs to send, 1 unless given", COUNT),
            Option("timeout", "time to wait for each answer, 1s unless given", TIME),
            text="Let the daemon probe a peer by unicast: round-trip time, and whether the peer hears our HELLOs. PEER "
            "may be an address that is not listed; then it takes the control token, and one question a second.",
        ),
        Command(
            "ctl.doctor:doctor",
            "what is wrong here, or why a peer is missing, and what helps",
            Value("PEER", column="name"),
            Option("watch", "again each 2 s, until interrupted"),
            Option("bundle", "write what a bug report needs to this archive (tar.gz), no keys", FILE),
            Option("site", "what is known here of PEER in this site, and where to ask its doctor", SITE),
            text="Tell what is wrong with this node, how sure that is, and what helps. With PEER (a name, an id, or an "
            "address that may never have been heard): why it is missing, or not heard well; the daemon asks it, and "
            "others about it. With the control token an address that is not listed is asked too; run by root it reads "
            "the rules of the firewall. Exit code 1 for a fault; without a daemon it tells what can be seen here.",
        ),
        Command(
            "ctl.history:history",
            "what happened to the peers, or to one, and why",
            Value("PEER", column="name"),
            Option("since", "how far to go back, 7d unless given", TIME, default=7 * 86_400.0),
            text="Tell what happened to the peers while nobody looked: what came, went, restarted or changed, when and "
            "why, and when this node itself could not tell. PEER is a name, an id or the beginning of one, a boot or "
            "an address, also of a peer that is long gone.",
        ),
        Command(
            "ctl.history:availability",
            "how much of the time each peer was up",
            Option("since", "how far to go back, 30d unless given", TIME, default=30 * 86_400.0),
            filters=FILTERS[:-2],
            text="Tell how much of the time each peer was up, since it was first seen: outages, the longest of them, "
            "restarts. Times in which this node did not run, slept or was cut off do not count.",
        ),
        Command(
            "ctl.follow:wait",
            "wait until N matching peers are up",
            Option("count", "how many", COUNT, missing="for how many peers? Give --count N"),
            Option(
                "timeout",
                "give up after this time, with exit code 1; for ever unless given. With it, a daemon that is not "
                "up yet is waited for as well (exit code 3 if none comes)",
                TIME,
            ),
            ONLY,
            FORMAT,
            filters=FILTERS,
            text="Wait until at least N peers that match the filters are up (or in the states given), then list them.",
        ),
        Command(
            "ctl.send:send",
            "a message to other nodes, each of which acknowledges",
            MESSAGE,
            *RECEIVERS,
            Option("wait-handled", "a receiver counts once its handler has ended well"),
            filters=RECORD,
            text="Send a message to the peers that --to names, that the filters choose, or to --everyone, and tell who "
            "did not acknowledge it. PAYLOAD is a text; - stands for standard input; none is an empty one. This node "
            "is never among the receivers. All are waited for, also where fewer suffice.",
        ),
        Command(
            "ctl.send:ask",
            "a question to other nodes, and the answer of each",
            MESSAGE,
            *RECEIVERS,
            filters=RECORD,
            text="Ask the peers that --to names, that the filters choose, or --everyone, and print each answer as it "
            "comes, behind the name and address of its peer. Every node answers echo, upper and info by itself. "
            "PAYLOAD is a text; - stands for standard input; none is an empty one.",
        ),
        Command(
            "ctl.ask:reload",
            "let the daemon read its configuration again",
            text="Let the daemon read its configuration again; the table of peers stays. Tells which changes need a "
            "restart. If anything is wrong in it, all of that is told, and the former one stays in force.",
        ),
        Command(
            "ctl.history:maintenance",
            "tell nobody of the absence of a peer for a while",
            PEER,
            Option("for", "how long, up to 7d; 0 ends it", TIME, missing="for how long? Give --for S, as in --for 1h"),
            text="Let the daemon tell nobody for a while that a peer is away: no event, hook or finding, as the rules "
            "of grace do. list, show and history have the truth. If it is still away at the end, that is told then.",
        ),
        Command(
            "ctl.history:forget",
            "forget the past of a peer, and the peer itself if it is gone",
            PEER,
            text="Let the daemon forget what happened to a peer, and list it no longer as gone. One that is up is "
            "remembered anew from now on.",
        ),
        Command(
            "ctl.register:register",
            "announce a service as long as this runs",
            Value("NAME", missing="which service? Give its name, then --port P"),
            Option(
                "port",
                "where it is offered; 0 where a port means nothing",
                PORT_NUMBER,
                missing="at which port? Give --port P (0 where a port means nothing)",
            ),
            Option("proto", "tcp (unless given) or udp", Value("PROTO", choices=("tcp", "udp")), default="tcp"),
            Option("tag", "says more about it; may be repeated", TAG, is_repeated=True),
            Option(
                "timeout",
                "without COMMAND, how long to try for a daemon that is not up yet; not at all unless given",
                TIME,
            ),
            Option(
                "user",
                "the user that COMMAND runs as, with its groups and HOME; for root, which may read the token",
                Value("USER", not_empty),
            ),
            rest="[-- COMMAND ...]",
            text="Let this node offer a service, exactly as long as this runs. With COMMAND: run it, offer the service "
            "as long as it runs, and end with its exit code (126 or 127 if it cannot be run). SIGTERM and Ctrl-C end "
            "this, and are passed on to COMMAND. When the daemon restarts, registers again. COMMAND is started also "
            "while no daemon is up.",
        ),
    ],
    options=[
        Option("json", "the daemon's reply as one line of JSON (watch: one object per line)"),
        Option(
            "address",
            "where the daemon listens; else $DISCOVERYCTL_ADDRESS, else 127.0.0.1:3400",
            Value("HOST:PORT", address),
        ),
        Option(
            "token-file",
            "the control token of the daemon, which shows that you may: for what changes something, messages and "
            "questions to an address that is not listed, and "
            "for all where it listens outside 127.0.0.0/8; else $DISCOVERYCTL_TOKEN_FILE, else "
            "/run/discoveryd/control.token, or without root $XDG_RUNTIME_DIR/discoveryd/control.token",
            FILE,
        ),
    ],
    note="Times are seconds, or such as 500ms, 4s, 1m, 2h, 7d. Colour is for terminals, and not if NO_COLOR is set.",
    exit_codes=(
        (0, "fine"),
        (1, "no match, no answer, a timeout, too few peers did what was asked, or a fault was found"),
        (2, "the command line is wrong, or the daemon refused the request"),
        (3, "no daemon to be asked, or it ended before all was told"),
        (130, "interrupted"),
    ),
    examples=(
        "discoveryctl list --tag role=gpu --service ssh",
        "discoveryctl list --only address --tag role=worker",
        "discoveryctl list --json | jq -r '.peers[].address'",
        "discoveryctl wait --count 4 --tag role=worker --timeout 1m && ./start-job",
        'discoveryctl watch --json | while read -r line; do echo "$line"; done',
        "discoveryctl send deploy v2 --tag role=worker --quorum 90%",
        "discoveryctl ask info --everyone",
        "discoveryctl availability --since 30d --tag role=worker",
        "discoveryctl register render --port 9000 --tag gpu=2 -- ./render-server",
    ),
)


# --- what is asked for ------------------------------------------------------------------------------


class Options(Arguments):
    """What the command line asks for.

    Attributes:
        address: host and port of the query socket.
        tags: each key of ``--tag`` with its value.
        token_file: None for the file of the machine's daemon.
    """

    wide = watch = no_header = False  # of some commands only, as is what follows
    self = False
    sort: str | None = None
    timeout: Any = None
    only: Sequence[str] = ()
    format: str | None = None
    address: tuple[str, int]
    tags: dict[str, str]
    token_file: str | None

    def token(self) -> str:
        """Return the control token.

        Raises:
            QueryError: ``denied``; the token cannot be read.
        """
        from discoveryd.files.token import default_path, read  # noqa: PLC0415 - seldom wanted

        return read(self.token_file or default_path())

    def client(self, waiting: Callable[[int, float | None], None] | None = None) -> QueryClient:
        """Return a client of the daemon at `address`, not connected yet."""
        from discoveryd.net.query_client import QueryClient  # noqa: PLC0415 - not for `--help`

        def vet(owner: str) -> None:
            from discoveryd.files.token import default_path, vet  # noqa: PLC0415 - seldom wanted

            vet(self.token_file or default_path(), self.address, owner)

        return QueryClient(self.address, token=self.token, waiting=waiting, vet=vet)

    def filters(self) -> dict[str, Any]:
        """Return the filters that were given, as the fields of a request."""
        names = ("state", "name", "tags", "service", "link", "all", "site")
        return {name: getattr(self, name) for name in names if getattr(self, name, None)}


def parse(words: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the words of a command line.

    Raises:
        UsageError: they are wrong.
    """
    options = Options(**vars(parse_words(PROGRAM, words)))
    if options.help or options.version:
        return options
    given = vars(options)
    options.address = given["address"] or address_of(environ)
    options.token_file = given["token_file"] or environ.get(TOKEN_VARIABLE) or None
    options.tags = dict(given.get("tag", ()))
    for key, value in given.get("tag", ()):
        if options.tags[key] != value:
            raise UsageError(f"--tag {key} is given twice, and it has one value: nothing could match")
    if given.get("user") and not options.rest:
        raise UsageError("--user is for a command: give that after --")
    check_shape(given)
    if options.command == "ping" and options.timeout == 0:
        raise UsageError("--timeout must be more than 0: no answer comes at once")
    return options
