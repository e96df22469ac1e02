"""The page: one self-contained document, made of the files in ``document/`` when the part starts.

What the files hold is joined as it stands, but for indents, idle blanks, and comments of the script. The document names
nothing of another origin, so its policy lets a browser load nothing: script and style run by their hashes alone.

Without JavaScript the page is what `WebPage.render` writes: this node, its findings and its peers, for a client that
may see them, and a line that says what to do for any other.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from discoveryd.query.formats import printable
from discoveryd.query.formats.table import age, in_order, name_of, service_of

HTML = "text/html; charset=utf-8"
SCRIPTS = ("words.js", "server.js", "past.js", "peers.js", "node.js", "main.js")
"""The script, in the order in which its parts need each other."""
HEADS = ("Name", "State", "Address", "Link", "RTT", "Loss", "Hears us", "Services", "Tags", "Last heard")
MOST_ROWS = 1000
"""Peers of the static table; the page with JavaScript has all of them."""
_BLANKS = re.compile(r"(?:\s*(?=[{};])|(?<=[{};:,])\s+)")
"""Blanks that mean nothing in a style."""
_IDLE_ENDS, _IDLE_BLANKS = re.compile(r"([{(\[,;])\n"), re.compile(r" (=>|[=!]==|&&|\|\|) ")
"""Ends of lines, and blanks at operators that stand in no text, which mean nothing in a script."""


class WebPage:
    """The document, and the policy that it is served with. Reads the files of this package when it is made.

    Attributes:
        policy: the value of ``Content-Security-Policy``.
    """

    def __init__(self) -> None:
        style = _BLANKS.sub("", _joined("page.css"))
        script = "".join(map(_joined, SCRIPTS))
        self.policy = policy_of(script, style)
        self._template = _filled(_joined("page.html"), style=style, script=script)

    def render(self, status: Mapping[str, Any] | None = None, peers: Sequence[Mapping[str, Any]] = ()) -> bytes:
        """Return the document in UTF-8.

        Args:
            status: of the daemon; None for a client that has not shown that it may see it.
            peers: all of the table, those that are gone too.
        """
        if status is None:
            empty = dict.fromkeys(("findings", "heads", "peers"), "")
            return _filled(self._template, name="discoveryd", headline=_UNKNOWN, **empty).encode()
        return _filled(
            self._template,
            name=_text(status["node"]["name"]),
            headline=_text(headline(status)),
            findings="".join(map(_finding, status["findings"])),
            heads=_cells("th", HEADS),
            peers="".join(_rows(peers)),
        ).encode()


_UNKNOWN = (
    "With JavaScript this page asks for the token of the daemon and shows its peers. Without, run "
    "<code>discoveryctl list</code> on that machine, or open the page there."
)


def policy_of(script: str, style: str) -> str:
    """Return the policy under which a browser runs this script and this style, and nothing else."""
    return "; ".join((
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "connect-src 'self'",
        "img-src data:",  # the icon, which is in the document
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text can become markup
        "trusted-types 'none'",
    ))  # fmt: skip


def headline(status: Mapping[str, Any]) -> str:
    """Return the state of the network in a sentence."""
    counts = [(state, count) for state, count in status["peers"].items() if count or state == "up"]
    (first, up), *others = counts
    parts = [f"{up} peer{'' if up == 1 else 's'} {first}", *(f"{count} {state}" for state, count in others)]
    faults = sum(finding["severity"] != "low" for finding in status["findings"])
    found = f"{faults} fault{'' if faults == 1 else 's'} found" if faults else "Nothing looks wrong"
    return f"{', '.join(parts)}. {found}."


def _finding(finding: Mapping[str, Any]) -> str:
    remedies = "".join(f"<code>{_text(one)}</code>" for one in finding["remedy"])
    return f"<li><h3>{_text(finding['title'])}</h3><p>{_text(finding['text'])}</p>{remedies}</li>"


def _rows(peers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for peer in in_order(peers)[:MOST_ROWS]:
        yield f"<tr>{_cells('td', _values(peer))}</tr>\n"
    if len(peers) > MOST_ROWS:
        yield f'<tr><td colspan="{len(HEADS)}">and {len(peers) - MOST_ROWS} more</td></tr>\n'


def _values(peer: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        name_of(peer),
        peer["state"],
        peer["address"],
        peer["link"] or "routed",
        "" if peer["rtt_ms"] is None else f"{peer['rtt_ms']:.2f} ms",
        "" if peer["loss"] is None else f"{peer['loss']:.0%}",
        {True: "yes", False: "no"}.get(peer["two_way"], ""),
        ", ".join(map(service_of, peer["services"])),
        ", ".join(f"{key}={value}" if value else key for key, value in peer["tags"].items()),
        f"{age(peer['last_heard_s'])} ago",
    )


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{_text(text)}</{tag}>" for text in texts)


def _text(text: str) -> str:
    return escape(printable(text))


def _filled(template: str, **places: str) -> str:
    """Return a document with texts in its places. What peers say holds no mark of a place: each < of it is escaped."""
    for place, text in places.items():
        template = template.replace(f"<!--{place}-->", text)
    return template


def _joined(name: str) -> str:
    """Return a file without comments, indents and idle blanks: only readers of the source have a use for them."""
    text = files(__package__).joinpath("document", name).read_text(encoding="utf-8")
    whole = "".join(f"{line}\n" for line in map(str.strip, text.splitlines()) if line and not line.startswith("//"))
    return _IDLE_BLANKS.sub(r"\1", _IDLE_ENDS.sub(r"\1", whole)) if name.endswith(".js") else whole


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
