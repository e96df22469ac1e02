"""``discoveryctl export``: the peers as another program reads them."""

from __future__ import annotations

from discoveryd.cli.parse import UsageError
from discoveryd.ctl import FINE, NO_DAEMON
from discoveryd.ctl.ask import list_reply
from discoveryd.ctl.output import template_of
from discoveryd.errors import QueryError
from discoveryd.query.formats import printable
from discoveryd.query.formats.exports import ExportOptions, export_text
from discoveryd.query.formats.monitoring import nagios_code
from discoveryd.query.formats.names import DOMAIN, is_domain, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from discoveryd.cli.ctl_commands import Options

_OF = {
    "port": ("prometheus",), "domain": ("hosts", "dnsmasq", "ssh", "known-hosts"), "template": ("template",),
    "warning": ("nagios",), "critical": ("nagios",), "list": ("ansible",), "host": ("ansible",),
    "peer": ("known-hosts",),
}  # fmt: skip
"""Which formats an option is for."""


def export(options: Options) -> int:
    """Print the peers, and this node, in a format; a check of Nagios ends with its own exit codes."""
    name, made = options.format or "", export_options(options)
    try:
        reply = list_reply(options, with_self=not options.no_self)
    except QueryError as error:
        if name == "nagios":  # it reads standard output alone
            print(f"UNKNOWN - {printable(error.message).replace('|', '/')}")
            return NO_DAEMON
        raise
    print(export_text(name, reply["peers"], reply.get("self"), made), end="")
    return nagios_code(listed(reply["peers"]), made) if name == "nagios" else FINE


def export_options(options: Options) -> ExportOptions:
    """Return what the options say.

    Raises:
        UsageError: one of them is not for this format, or wrong.
    """
    name = options.format or ""
    for option, formats in _OF.items():
        if getattr(options, option) and name not in formats:
            told = "PEER" if option == "peer" else f"--{option}"
            raise UsageError(f"export {name} takes no {told}: that is for {', '.join(formats)}")
    if options.json:
        raise UsageError("export has formats of its own, such as: discoveryctl export json")
    if options.domain and not is_domain(options.domain):
        raise UsageError(f"--domain must be a domain such as {DOMAIN}, not {options.domain!r}")
    if name == "template":
        if not options.template:
            raise UsageError("export template needs --template, such as --template '{name} {address}'")
        template_of(options.template, "--template")
    return ExportOptions(
        domain=options.domain or DOMAIN, port=options.port or 0, service=options.service,
        template=options.template or "", host=options.host or options.peer, warning=options.warning or 0,
        critical=options.critical or 1,
    )  # fmt: skip
