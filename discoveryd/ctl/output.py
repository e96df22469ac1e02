"""The standard streams: what output is connected to, peers in the format that the options ask for, and notes."""

from __future__ import annotations

import os
import sys

from discoveryd.query.formats import columns, printable, reply
from discoveryd.query.formats.table import Screen, peers_table, shortened, width_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from discoveryd.cli.ctl_commands import Options
    from discoveryd.query.formats.template import Template


def standard_screen() -> Screen:
    """Return the screen that standard output is connected to."""
    if sys.stdout is None or not sys.stdout.isatty():  # None: it was closed (``>&-``)
        return Screen()
    # not shutil.get_terminal_size: its import costs as much as starting Python
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdecimal() else 0
    if not width:
        try:
            width = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            width = 80
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(width or 80, colour=colour)


def note(text: str) -> None:
    """Print a line for a person, on standard error."""
    print(f"discoveryctl: {printable(text)}", file=sys.stderr, flush=True)


class ProgressLine:
    """A line on standard error that is written again and again; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._width = 0
        self._text = ""
        if sys.stderr is not None and sys.stderr.isatty():
            self._width = os.get_terminal_size(sys.stderr.fileno()).columns or 80

    def show(self, text: str) -> None:
        """Show a text in place of the last one."""
        text = shortened(printable(text), self._width - 1) if self._width else ""
        if text != self._text:
            self.clear()
            self._text = text
            self._write(text)

    def clear(self) -> None:
        """Leave the line to other output."""
        if self._text:
            self._write(f"\r{' ' * width_of(self._text)}\r")
            self._text = ""

    close = clear

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def is_watched() -> bool:
    """Return whether a person reads both output and notes: what a pipe reads does not change for them."""
    return sys.stdout is not None and sys.stderr is not None and sys.stdout.isatty() and sys.stderr.isatty()


def peers_text(
    peers: Sequence[Mapping[str, Any]],
    options: Options,
    *,
    keyed: bool = False,
    own: Mapping[str, Any] | None = None,
) -> str:
    """Return peers in the format that the options ask for: ``--json``, ``--only``, ``--format`` and the table's own.

    Args:
        peers: at least one, or `own`.
        options: of the command.
        keyed: whether the daemon has keys.
        own: this node, in a table.
    """
    if options.json:
        return reply(peers)
    if options.only:
        return columns(peers, options.only)
    if options.format:
        from discoveryd.query.formats.table import in_order  # noqa: PLC0415 - as below

        template = template_of(options.format)
        return "\n".join(
            line for peer in in_order(peers, options.sort or "") for line in template.lines(peer, options.service)
        )
    return peers_table(
        peers, standard_screen(), wide=options.wide, keyed=keyed, own=own, sort=options.sort or "",
        has_heads=not options.no_header,
    )  # fmt: skip


def template_of(text: str, option: str = "--format") -> Template:
    """Return the template that an option gives.

    Raises:
        UsageError: it is wrong.
    """
    from discoveryd.cli.parse import UsageError  # noqa: PLC0415 - seldom wanted
    from discoveryd.query.formats.template import Template  # noqa: PLC0415

    try:
        return Template(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None


def wait_beside_output() -> Callable[[int, float | None], None] | None:
    """Return what waits for a descriptor, and raises BrokenPipeError when the reader of the output is gone."""
    from select import POLLERR, POLLHUP, POLLIN, poll  # noqa: PLC0415 - for output that goes on

    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or no file
        return None

    def waiting(descriptor: int, seconds: float | None) -> None:
        both = poll()
        both.register(output, 0)
        if descriptor >= 0:
            both.register(descriptor, POLLIN)
        ready = dict(both.poll(None if seconds is None else seconds * 1000))
        if ready.get(output, 0) & (POLLERR | POLLHUP):
            raise BrokenPipeError

    return waiting
