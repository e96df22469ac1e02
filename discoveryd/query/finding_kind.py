"""What is said of all findings of a kind."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["high", "medium", "low"]
"""``high``: this node does not work; ``medium``: something is missing, or will be; ``low``: good to know."""
Certainty = Literal["proven", "likely", "possible"]
"""``proven``: nothing else explains the numbers; ``likely``: something else seldom does; ``possible``: look there."""
Area = Literal["interfaces", "sending", "hearing", "groups", "peers", "identity", "machine", "sites"]
AREAS: tuple[Area, ...] = ("interfaces", "sending", "hearing", "groups", "peers", "identity", "machine", "sites")
"""What is examined, the causes before what follows from them."""


class FindingKind(NamedTuple):
    """What is said of all findings of a kind.

    Attributes:
        area: where it belongs.
        severity: how bad it is.
        certainty: how sure.
        title: a few words.
        meaning: what is seen, and why it follows.
        remedy: what helps, in words.
        hides: codes of findings that follow from it, and are not told beside it.
    """

    area: Area
    severity: Severity
    certainty: Certainty
    title: str
    meaning: str
    remedy: str
    hides: tuple[str, ...] = ()


MISSING = ("peer-unknown", "peer-down")
"""Findings that say no more than that a peer is missing."""
