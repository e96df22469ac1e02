"""The texts of the manual pages that neither a command table nor the sample configuration has.

tests/cli/test_manual.py holds the signals, variables and examples against the program.
"""

import os
from collections.abc import Sequence

from discoveryd.cli.ctl_commands import PROGRAM, TOKEN_VARIABLE
from discoveryd.cli.ctl_values import ADDRESS_VARIABLE
from discoveryd.config import DEFAULT_PATH, PATH_VARIABLE, Config
from discoveryd.config.durations import VARIABLE_PREFIX
from discoveryd.files import directories
from discoveryd.files.token import DEFAULT_PATH as TOKEN_PATH

_DEFAULTS = Config()
_DIRECTORY = os.path.dirname(DEFAULT_PATH)
_HELLO = _DEFAULTS.parameters

_CONFIG_VARIABLE = (PATH_VARIABLE, f"the configuration file, unless --config names one; else {DEFAULT_PATH}")
_KEY_VARIABLE = (
    f"{VARIABLE_PREFIX}SECTION__KEY",
    f"overrides one key of the configuration, as in {VARIABLE_PREFIX}HELLO__TTL=10s",
)
_ADDRESS = (ADDRESS_VARIABLE, "where the daemon listens, unless --address says so: HOST:PORT, or HOST")
_NO_COLOR = ("NO_COLOR", "if it is set, there is no colour")

DESCRIPTIONS = {
    "discoveryd": f"""\
discoveryd tells the other nodes of the network that this one is up, and keeps a table of those it hears: at
which address, offering what, and why it believes so. No configuration is needed: it speaks on every usable
interface, and follows as interfaces and addresses come, go and change.

Each node sends a HELLO to UDP port {_HELLO.port} every {_HELLO.interval:g} s, by broadcast on each link, a
tenth of them also by IPv6 multicast, and by unicast to seeds. A peer that says goodbye is gone at once. One
that falls silent is suspect and asked by unicast, and is never listed as up once its last HELLO is older than
its ttl, {_HELLO.ttl:g} s.

Programs of this machine ask it over TCP at {_DEFAULTS.query.listen}, one JSON object per line; people use
discoveryctl(1).""",
    "discoveryctl": """\
discoveryctl asks the discoveryd(8) of this machine, and prints what it says.""",
    "discoveryd.yaml": """\
This file sets what discoveryd(8) does otherwise than by default. Every key may be left out, and the whole file
too. A value is never guessed: what is wrong is told by line, and then nothing of the file is taken.""",
}
"""By page, in paragraphs."""

HOOKS = """\
Each executable in hooks.d beside the configuration runs at each event, with the event as one line of JSON on its
standard input and with these variables; one whose name begins with finding- runs when a fault appears and when it is
gone, and then only, one with site- when another site falls silent and when it is back. Names come from the network:
quote them, and never give them to eval. A file that others may write to is refused. An executable of messages.d handles
the messages of its name: the payload is on its standard input, the variables of the peer are those of the sender."""

HOOK_VARIABLES = (
    (
        "DISCOVERYD_EVENT",
        "the kind: joined, suspect, down and so on, isolated, connected, finding(-gone), site-unreachable, site-back",
    ),
    ("DISCOVERYD_PEER", "the name of the peer, its address if it has none"),
    ("DISCOVERYD_ADDRESS", "its best address"),
    ("DISCOVERYD_ID", "its node id"),
    ("DISCOVERYD_SEQ", "the number of the event"),
    ("DISCOVERYD_FINDING", "of a finding: its code"),
    ("DISCOVERYD_SUBJECT", "of a finding: the link, address or node that it is about"),
    ("DISCOVERYD_GOODBYE", "of a peer that left: why, stop, restart, upgrade, reboot or poweroff"),
    ("DISCOVERYD_SITE", "of an event of another site: its name"),
    ("DISCOVERYD_MESSAGE", "in messages.d: the name of the message"),
    ("DISCOVERYD_EXPORT", "for the command of an export: the path of the file that changed"),
    ("DISCOVERYD_EXPORT_FORMAT", "the same: its format"),
    ("DISCOVERYD_QUESTION", "in messages.d: 1 if an answer is wanted, which is what is written to standard output"),
)

ENVIRONMENT = {
    "discoveryd": (
        _CONFIG_VARIABLE,
        _KEY_VARIABLE,
        _NO_COLOR,
        ("CREDENTIALS_DIRECTORY", "where systemd puts keys (LoadCredential=); they are looked for there first"),
        ("NOTIFY_SOCKET", "where systemd wants to hear that it is ready, and how it is; see sd_notify(3)"),
        ("INVOCATION_ID", "which run of the unit this is: what its ExecStop= wrote for it is why the goodbye is said"),
        ("WATCHDOG_USEC", "how often the service manager wants to hear of it; told while all threads make progress"),
        ("XDG_RUNTIME_DIR", "where pid file and token are, without root and where paths.runtime is empty"),
        ("XDG_STATE_HOME", "the same for what paths.state is for; else ~/.local/state"),
        ("LISTEN_FDS", "the query socket comes from the service manager, see sd_listen_fds(3)"),
    ),
    "discoveryctl": (
        _ADDRESS,
        (TOKEN_VARIABLE, f"the file of the control token, unless --token-file names one; else {TOKEN_PATH}"),
        ("XDG_RUNTIME_DIR", "where the token of a daemon without root is"),
        _NO_COLOR,
        ("COLUMNS", "the width of the terminal, where it is not what the terminal says"),
    ),
    "discoveryd.yaml": (_CONFIG_VARIABLE, _KEY_VARIABLE),
}

FILES = {
    "discoveryd": (
        (DEFAULT_PATH, "the configuration, see discoveryd.yaml(5)"),
        (f"{_DIRECTORY}/KEY-ID.key", "a key that keygen made, for its owner alone to read (security.keys)"),
        (f"{_DIRECTORY}/services.d/*.yaml", "services to announce, one in each: name, port, proto, tags, health"),
        (f"{_DIRECTORY}/hooks.d", "what runs at each event, see HOOKS"),
        (f"{_DIRECTORY}/messages.d", "what handles messages, see docs/messages.md and messages.allow"),
        (TOKEN_PATH, "the control token: a user that may read it may change what the daemon does (paths.runtime)"),
        (f"{directories.RUNTIME}/discoveryd.pid", "the pid of a daemon that start began, locked (paths.runtime)"),
        (f"{directories.STATE}/history.db", "what happened to the peers (paths.state, history.keep)"),
        (f"{directories.STATE}/routed-peers", "peers beyond routers, greeted after a restart (paths.state)"),
        (f"{directories.STATE}/node-id", "the node id, where it is not derived from the machine (paths.state)"),
        ("/etc/machine-id", "the node id is a keyed hash of it, unless it is a placeholder of an image"),
    ),
    "discoveryctl": ((TOKEN_PATH, "the control token, which some commands need"),),
    "discoveryd.yaml": ((DEFAULT_PATH, "where it is looked for; without it every key has its default"),),
}

_RELOAD = """\
read the configuration again; the table of peers stays. A wrong one is refused, with its faults in the log, and
the former stays in force. The log names the keys whose new value needs a restart."""

SIGNALS = {
    "discoveryd": (
        ("SIGTERM", "say goodbye to the peers, and end"),
        ("SIGINT", "the same"),
        ("SIGHUP", _RELOAD),
    ),
}

_YAML = """\
node:
  tags: {role: gpu}
  services: [{name: ssh, port: 22}, {name: render, port: 9000}]
hello:
  interfaces: ["eth*", "en*"]
  seeds: ["10.1.0.5"]"""

EXAMPLES: dict[str, tuple[tuple[str, Sequence[str]], ...]] = {
    "discoveryd": (
        ("Try it, on this machine alone:", ["discoveryd demo"]),
        ("Run it in a terminal, under another name:", ["DISCOVERYD_NODE__NAME=web-1 discoveryd run"]),
        ("See what is wrong with a new configuration:", ["discoveryd check --config ./discoveryd.yaml"]),
        ("What would 500 nodes do at a loss of 10 %?", ["discoveryd simulate --nodes 500 --loss 10%"]),
        ("Complete commands and peer names in this shell:", ["source <(discoveryd completion bash)"]),
    ),
    "discoveryctl": (("", PROGRAM.examples),),
    "discoveryd.yaml": (
        ("Offer two services, speak on wired interfaces only, greet a peer behind a router:", _YAML.splitlines()),
    ),
}

SEE_ALSO = {
    "discoveryd": "discoveryctl(1), discoveryd.yaml(5), systemd.service(5), tcpdump(8)",
    "discoveryctl": "discoveryd(8), discoveryd.yaml(5)",
    "discoveryd.yaml": "discoveryd(8), discoveryctl(1)",
}
