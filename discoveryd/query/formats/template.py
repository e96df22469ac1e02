"""A line for each peer, or for each of its services, as a template says: ``{name} {address}:{port}``."""

from __future__ import annotations

from discoveryd.query.formats import endpoint, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from discoveryd.query.formats.exports import ExportOptions
    from discoveryd.query.formats.names import Listed

OF_PEER = (
    "name", "id", "address", "addresses", "link", "state", "kind", "boot", "key", "two_way", "rtt_ms", "loss",
    "restarts", "clone", "interval_s", "ttl_s", "first_seen_s", "last_heard_s", "expires_s", "tags", "services", "self",
)  # fmt: skip
OF_SERVICE = ("service", "port", "proto", "endpoint")
"""Fields of a service: with one of these in the template there is a line for each service that has a port."""
TAG = "tag."
MAX_TEMPLATE = 1024
"""Characters of a template."""
_ESCAPES = {"t": "\t", "n": "\n", "\\": "\\"}


class Template:
    r"""What a template says, read once.

    Args:
        text: with fields in braces, such as ``{name}`` or ``{tag.role}``; ``{{`` and ``}}`` are braces, ``\t`` and
            ``\n`` a tab and a line end.

    Raises:
        ValueError: with what is allowed.
    """

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= MAX_TEMPLATE:
            raise ValueError(f"must have 1 to {MAX_TEMPLATE} characters")
        self._parts = list(_parts(text))
        fields = [name for name, is_field in self._parts if is_field]
        if not fields:
            raise ValueError("has no field: put one in braces, such as '{name} {address}'")
        self._is_of_services = any(field in OF_SERVICE for field in fields)

    def lines(self, peer: Mapping[str, Any], service: str | None = None, *, is_self: bool = False) -> Iterator[str]:
        """Yield the lines of a peer.

        Args:
            peer: as in JSON.
            service: the only service that there are lines for, None for all.
            is_self: whether it is this node.
        """
        if not self._is_of_services:
            yield self._line(peer, None, is_self=is_self)
            return
        for offered in peer["services"]:
            if offered["port"] and service in (None, offered["name"]):
                yield self._line(peer, offered, is_self=is_self)

    def _line(self, peer: Mapping[str, Any], service: Mapping[str, Any] | None, *, is_self: bool) -> str:
        return "".join(
            printable(_value(text, peer, service, is_self=is_self)) if is_field else text
            for text, is_field in self._parts
        )


def template(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return the lines of a template, with names that are safe, each of one peer only."""
    made = Template(options.template)
    return "\n".join(
        line
        for one in found
        for line in made.lines({**one.peer, "name": one.name}, options.service, is_self=one.is_self)
    )


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the text between fields, and the name of each field."""
    plain, place = "", 0
    while place < len(text):
        sign, after = text[place], text[place + 1 : place + 2]
        place += 1
        if sign in "{}" and after == sign:
            plain, place = plain + sign, place + 1
        elif sign == "\\" and after in _ESCAPES and after:
            plain, place = plain + _ESCAPES[after], place + 1
        elif sign == "{":
            end = text.find("}", place)
            name = text[place:end]
            if end < 0:
                raise ValueError("has a { without }; for a brace itself write {{")
            if name not in (*OF_PEER, *OF_SERVICE) and not (name.startswith(TAG) and name != TAG):
                known = ", ".join((*OF_PEER, *OF_SERVICE))
                raise ValueError(f"has no field {printable(name)!r}: there are {known}, and tag.KEY")
            yield plain, False
            yield name, True
            plain, place = "", end + 1
        elif sign == "}":
            raise ValueError("has a } without {; for a brace itself write }}")
        else:
            plain += sign
    yield plain, False


def _value(field: str, peer: Mapping[str, Any], service: Mapping[str, Any] | None, *, is_self: bool) -> str:
    """Return the text of a field; what is not known is empty."""
    if field.startswith(TAG):
        return str(peer["tags"].get(field.removeprefix(TAG), ""))
    if service is not None and field in OF_SERVICE:
        of_service = {"service": service["name"], "endpoint": endpoint(peer["address"], service["port"])}
        return str(of_service.get(field) or service[field])
    match field:
        case "name":
            return str(peer["name"] or peer["id"])
        case "self":
            return _text(is_self)
        case "addresses":
            return ",".join(peer["addresses"])
        case "tags":
            return ",".join(f"{key}={value}" for key, value in peer["tags"].items())
        case "services":
            return ",".join(service["name"] for service in peer["services"])
    return _text(peer.get(field))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
