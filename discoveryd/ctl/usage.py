"""The texts of ``--help``."""

from __future__ import annotations

_SUMMARY = """\
usage: discoveryctl COMMAND [OPTIONS]

Ask the discoveryd of this machine which other machines are up right now, where, offering what.

commands:
  list             the peers that are up
  show PEER        all that is known of a peer (name, id or its beginning, address, boot), and why
  status           the daemon itself: links, counters, what it dropped, what looks wrong
  metrics          its counters as Prometheus reads them
  watch            the peers, then each change as it happens
  ping PEER        probe a peer: round-trip time, and whether it hears us
  wait --count N   wait until N matching peers are up
  reload           let the daemon read its configuration again
  register NAME    announce a service as long as this runs
"""

_ALLOWED = """\
  --token-file FILE
                   the control token of the daemon, which shows that you may; else
                   $DISCOVERYCTL_ALLOWED_FILE, else /run/discoveryd/control.token
"""

_COMMANDS = {
    "list": """\
usage: discoveryctl list [FILTERS] [--wide] [--json]

List the peers that are up or suspect, or those that the filters choose.

  --wide           show id and boot too (shown anyway where names alone would be ambiguous)
""",
    "show": """\
usage: discoveryctl show PEER [--json]

Tell all that is known of PEER, and why it is believed to be up, suspect, down or left.
PEER is a name, an id or the beginning of one, an address or a boot.
""",
    "status": """\
usage: discoveryctl status [--json]

Tell how the daemon itself is: node, links with their last error, peers by state, counters, what was
dropped and why, and what looks wrong.
""",
    "metrics": """\
usage: discoveryctl metrics [--json]

Print the counters of the daemon in the text format of Prometheus (docs/metrics.md). Where
metrics.listen is set, the daemon serves the same over HTTP.
""",
    "watch": """\
usage: discoveryctl watch [FILTERS] [--json]

List the peers, then show each change as it happens, until interrupted. Marks: + came, ~ changed,
? overdue, - went, ! clone. When the daemon restarts, connects again and lists anew.
""",
    "ping": """\
usage: discoveryctl ping PEER [--count N] [--timeout S] [--json]

Let the daemon probe a peer by unicast: round-trip time, and whether the peer hears our HELLOs.

  --count N        PINGs to send, 1 unless given
  --timeout S      time to wait for each answer, 1s unless given
""",
    "wait": """\
usage: discoveryctl wait --count N [FILTERS] [--timeout S] [--json]

Wait until at least N peers that match the filters are up (or in the states given), then list them.

  --count N        how many
  --timeout S      give up after this time, with exit code 1; for ever unless given
""",
    "reload": """\
usage: discoveryctl reload [--token-file FILE] [--json]

Let the daemon read its configuration again; the table of peers stays. Tells which changes need a
restart. If anything is wrong in it, all of that is told, and the former one stays in force.
""" + _ALLOWED,
    "register": """\
usage: discoveryctl register NAME --port P [OPTIONS] [-- COMMAND ...]

Let this node offer a service, exactly as long as this runs. With COMMAND: run it, offer the service
as long as it runs, and end with its exit code (126 or 127 if it cannot be run). SIGTERM and Ctrl-C
end this, and are passed on to COMMAND. When the daemon restarts, registers again.

  --port P         where it is offered; 0 where a port means nothing
  --proto P        tcp (unless given) or udp
  --tag KEY=VALUE  says more about it; may be repeated
""" + _ALLOWED,
}

_FILTERS = """\

filters:
  --state STATE    up, suspect, down or left; may be repeated
  --name GLOB      such as 'web-*'
  --tag KEY=VALUE  may be repeated, all must match
  --service NAME   offers this service
  --link IF        heard on this interface
  --all            also those that are down or left
"""

_OPTIONS = """\

options:
  --json           the daemon's reply as one line of JSON (watch: one object per line)
  --address HOST:PORT
                   where the daemon listens; else $DISCOVERYCTL_ADDRESS, else 127.0.0.1:3400
  --help           this text; after a command, that of the command
  --version        the version of this program

Times are seconds, or such as 500ms, 4s, 1m. Colour is for terminals, and not if NO_COLOR is set.
"""

_EXIT = """\

exit codes:
  0    fine
  1    nothing matched, or it timed out, or nothing answered the PING
  2    the command line is wrong, or the daemon refused the request
  3    no daemon to be asked
  130  interrupted
"""

_EXAMPLES = """\

examples:
  discoveryctl list --tag role=gpu --service ssh
  discoveryctl list --json | jq -r '.peers[].address'
  discoveryctl wait --count 4 --tag role=worker --timeout 1m && ./start-job
  discoveryctl watch --json | while read -r line; do echo "$line"; done
  discoveryctl register render --port 9000 --tag gpu=2 -- ./render-server
"""


def usage(command: str) -> str:
    """Give the help for a command, for the whole if there is none of that name."""
    if command not in _COMMANDS:
        return _SUMMARY + _FILTERS + _OPTIONS + _EXIT + _EXAMPLES
    filters = _FILTERS if "[FILTERS]" in _COMMANDS[command] else ""
    return _COMMANDS[command] + filters + _OPTIONS + _EXIT
