"""Messages of sites that were dropped: what each reason means and what to do, and how many there were."""

from __future__ import annotations

from typing import Any, Final

SITE_DROP_REASONS: Final[dict[str, str]] = {
    "malformed": "Nothing that a gateway says: another program publishes on these subjects, or it was damaged.",
    "version": "Sent by another version of the exchange: bring both sites to the same release.",
    "other-realm": "Sent in another realm: compare hello.realm of both sites.",
    "plain": (
        "Not sealed, but security.mode is require, or it is a message to a node: give the site the key, or find out "
        "what publishes there."
    ),
    "downgrade": "Not sealed, though the site seals. Normal for a moment while its keys are taken away; else forged.",
    "sealed": "Sealed by a site that has keys, while this node has none: copy its key file, list it in security.keys.",
    "unknown-key": "Sealed with a key that is not here: copy the key file, and list it in security.keys.",
    "bad-seal": "Altered on its way, moved here from another subject or realm, or forged. Look at the broker.",
    "replayed": "A message heard before. A few are normal after a reconnection; many are recordings.",
    "unproven": (
        "From a gateway that has not yet echoed a nonce of this site: normal for the first second of a gateway; "
        "many are recordings, or the broker delivers in one direction alone."
    ),
    "wrong-site": (
        "A gateway that speaks for a site that is not its own: two sites have the same sites.name, or the "
        "credentials of a gateway were stolen. Compare sites.name; give each site its own permissions in nats.conf."
    ),
    "table-full": "More sites than limits allow: raise sites.limits.sites, or find out which machine invents sites.",
    "rate": "One site asks for its snapshot more often than it is answered. A few are normal when many nodes start.",
    "too-long": "Longer than a message, or a set, can be: forged, or a site that is too large to be followed.",
    "unexpected": "An answer to no question of ours, or a part of a snapshot that nobody asked for any more.",
}
"""Each reason for people: its meaning, and the remedy."""
MAX_DETAIL = 80
"""Characters of what was wrong."""


class SiteDrops:
    """Counts what was dropped, and remembers the last of each reason."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str, str, float]] = {}

    def count(self, reason: str, site: str, detail: str, now: float) -> None:
        """Count one more message."""
        count = self._found[reason][0] if reason in self._found else 0
        self._found[reason] = (count + 1, site, detail[:MAX_DETAIL], now)

    def counts(self) -> dict[str, int]:
        """Return how many were dropped, by reason."""
        return {reason: found[0] for reason, found in self._found.items()}

    def to_json(self, now: float) -> list[dict[str, Any]]:
        """Return each reason that there was, with the last message."""
        return [
            {"reason": reason, "count": count, "site": site, "detail": detail, "last_s": round(now - at, 3)}
            for reason, (count, site, detail, at) in sorted(self._found.items())
        ]
