"""``discoveryctl send`` and ``ask``: a message to other nodes, and what became of it at each."""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import closing

from discoveryd.cli.parse import UsageError
from discoveryd.ctl import FINE, NOTHING
from discoveryd.ctl.output import ProgressLine, note, standard_screen, wait_beside_output
from discoveryd.errors import QueryError
from discoveryd.protocol.messages.values import MAX_PAYLOAD
from discoveryd.query.formats import printable, printable_json
from discoveryd.query.formats.messages import answer_text, outcome_text
from discoveryd.query.messages import BUILTIN, DONE, MAX_NAMED_PEERS, Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    from discoveryd.cli.ctl_commands import Options

RECEIVERS = "--to PEER, filters (--name, --tag, --service, --link), or --everyone"
SHORT = 2048
"""Bytes of a payload whose request every daemon reads before it has seen the control token."""


def send(options: Options) -> int:
    """Send a message, and print the peers that did not acknowledge it."""
    tally = Tally("handled" if options.wait_handled else "acked")
    draft = _draft(options, wants_handled=options.wait_handled)
    _talk(options, draft, tally)
    if not options.json:
        for delivery in tally.failed():
            print(outcome_text(delivery))
        if tally.expected:
            print(f"{tally.text()}{_wanted(options, tally)}")
    return _verdict(options, tally)


def ask(options: Options) -> int:
    """Ask a question, and print each answer as it comes, then on standard error the peers without one."""
    tally = Tally("answered")
    _talk(options, _draft(options, is_question=True), tally)
    if tally.expected and not options.json:
        note("; ".join((f"{tally.text()}{_wanted(options, tally)}", *map(outcome_text, tally.failed()))))
    return _verdict(options, tally)


class Tally:
    """The receivers of a message, and what became of it at each up to now.

    Args:
        verb: what they are to have done.

    Attributes:
        expected: the number of receivers.
    """

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._last: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.expected = 0

    def take(self, line: Mapping[str, Any]) -> None:
        """Take a line of the daemon."""
        if "delivery" in line:
            delivery = line["delivery"]
            self._last[delivery["peer"]["id"], delivery["peer"]["boot"]] = delivery
        else:
            self.expected = line.get("sending", line.get("summary", {})).get("expected", self.expected)

    @property
    def done(self) -> int:
        """The number of those that did what was asked."""
        return sum(map(_is_done, self._last.values()))

    def failed(self) -> list[Mapping[str, Any]]:
        """Return the last of each receiver that did not, and will not any more."""
        return [one for one in self._last.values() if one["final"] and not _is_done(one)]

    def text(self) -> str:
        """Return the numbers in words: ``12 of 42 acked, 1 refused``."""
        others = Counter(printable(one["status"]) for one in self._last.values() if not _is_done(one))
        counted = (f"{count} {status}" for status, count in others.items())
        return ", ".join((f"{self.done} of {self.expected} {self._verb}", *counted))


def _is_done(delivery: Mapping[str, Any]) -> bool:
    return bool(delivery["final"]) and delivery["status"] in DONE


# --- what is asked for ------------------------------------------------------------------------------


def _draft(options: Options, *, is_question: bool = False, wants_handled: bool = False) -> Draft:
    where: Any = {key: getattr(options, key) for key in ("to", "everyone", "name", "tags", "service", "link")}
    kinds = sum((bool(where["to"]), bool(where["everyone"]), any(list(where.values())[2:])))
    if kinds != 1:
        wrong = "takes its receivers in one way only, which is one of" if kinds else "to whom? Give"
        raise UsageError(f"{options.command} {wrong} {RECEIVERS}")
    where["site"] = options.site
    if options.site and len(options.to) != 1:
        raise UsageError(f"--site is for one peer of {options.site}: name it by --to, once, and no others")
    if len(options.to) > MAX_NAMED_PEERS:
        raise UsageError(f"--to names at most {MAX_NAMED_PEERS} peers, not {len(options.to)}: use a filter")
    return Draft(
        name=options.message, payload=_payload(options.payload), where=where, is_question=is_question,
        wants_handled=wants_handled, timeout=options.timeout,
    )  # fmt: skip


def _payload(text: str) -> bytes:
    """Return the bytes to send; ``-`` stands for standard input.

    Raises:
        QueryError: ``too_long``.
    """
    if text != "-":
        payload = os.fsencode(text)
    elif sys.stdin is None:  # it was closed (``<&-``)
        raise QueryError("bad_argument", "standard input is closed: nothing was sent")
    else:
        payload = sys.stdin.buffer.read(MAX_PAYLOAD + 1)
    if len(payload) > MAX_PAYLOAD:
        raise QueryError("too_long", f"the payload has more than {MAX_PAYLOAD} bytes: nothing was sent")
    return payload


# --- and what comes of it ---------------------------------------------------------------------------


def _talk(options: Options, draft: Draft, tally: Tally) -> None:
    """Have the daemon send a message, and print each answer, or with ``--json`` each line.

    Raises:
        QueryError: refused, or the daemon ended before all was told.
    """
    screen = standard_screen()
    try:
        with closing(ProgressLine()) as progress, closing(_lines(options, draft)) as lines:
            for raw, line in lines:
                tally.take(line)
                told = ""
                if options.json:
                    told = printable_json(raw) if "sending" not in line else ""
                elif line.get("delivery", {}).get("status") == "answered":
                    told = answer_text(line["delivery"], screen)
                if told:
                    progress.clear()
                    print(told, flush=True)
                progress.show(tally.text())
    except QueryError as error:
        if not tally.expected:
            raise
        raise QueryError(error.code, f"{error.message}; up to then {tally.text()}", error.problems) from error


def _lines(options: Options, draft: Draft) -> Generator[tuple[bytes, dict[str, Any]], None, None]:
    waiting = wait_beside_output() if draft.is_question else None  # what is only sent goes on without a reader
    with options.client(waiting) as client:
        # where the token is not needed it need not be readable
        is_free = draft.name in BUILTIN and not draft.site
        token = None if is_free and len(draft.content) <= SHORT else options.token()
        patience = draft.timeout + client.timeout
        for line in client.stream(options.command, timeout=patience, token=token, **draft.request()):
            yield client.line, line


def _enough(options: Options, tally: Tally) -> int:
    number, unit = options.quorum or (100, "%")
    return max(-(-tally.expected * number // 100), 1) if unit else number


def _wanted(options: Options, tally: Tally) -> str:
    return f" ({_enough(options, tally)} suffice)" if options.quorum else ""


def _verdict(options: Options, tally: Tally) -> int:
    if not tally.expected:
        from discoveryd.ctl.ask import own_name_hint  # noqa: PLC0415 - only if there is no receiver

        why = "no peer is up" if options.everyone else "no live peer matches"
        note(f"{why}: nothing was sent{own_name_hint(options)}")
    return FINE if tally.done >= _enough(options, tally) else NOTHING
