"""Reads what only the configuration itself has: the sections that are lists of entries with keys of their own."""

from __future__ import annotations

from typing import Any

from discoveryd.config.export_rule import ExportRule
from discoveryd.config.reader import ConfigReader
from discoveryd.config.sites import FollowRule, SiteAllowRule
from discoveryd.config.tree import YamlNode
from discoveryd.protocol.table.grace import GraceRule
from discoveryd.query.request import Filter

_EXPORT = {
    "format": "str", "path": "str", "template": "str", "domain": "str", "port": "int", "filter": "filter",
    "site": "str", "self": "bool", "command": "command",
}  # fmt: skip
_FILTER = {
    "state": "states", "name": "str", "tags": "Mapping[str, str]", "service": "str", "link": "str", "all": "bool",
}  # fmt: skip
_GRACE = {"tag": "Mapping[str, str]", "name": "str", "for": "float"}
_GRACE_NAMES = {"tag": "tags", "name": "name", "for": "seconds"}
_GRACE_EXAMPLE = "{tag: {role: phone}, for: 20m}"
_FOLLOW = {"site": "str", "name": "str", "tags": "Mapping[str, str]", "service": "str"}
_FOLLOW_EXAMPLE = "[paris, {site: tokyo, tags: {role: gpu}}]"
_SITE_ALLOW = {"site": "str", "send": "tuple[str, ...]", "ask": "tuple[str, ...]"}
_SITE_ALLOW_EXAMPLE = "{site: paris, send: [deploy], ask: [info]}"
_WITHIN = {"self": "with_self", "filter": "chosen"}
"""Keys that are called otherwise within the program."""


class FileReader(ConfigReader):
    """Reads the configuration."""

    def _value(self, path: str, kind: str, node: YamlNode) -> Any:
        match kind:
            case "tuple[ExportRule, ...]":
                wanted = "a list of files such as [{format: prometheus}]"
                return self._items("export", node, wanted, self._export)
            case "tuple[GraceRule, ...]":
                return self._items("grace", node, f"a list of rules such as [{_GRACE_EXAMPLE}]", self._grace)
            case "tuple[FollowRule, ...]":
                return self._items(path, node, f"a list of sites such as {_FOLLOW_EXAMPLE}", self._follow)
            case "tuple[SiteAllowRule, ...]":
                return self._items(path, node, f"a list of rules such as [{_SITE_ALLOW_EXAMPLE}]", self._site_allow)
            case "command":
                return self._command(path, node)
            case "filter":
                return self._filter(path, node)
            case "states" if isinstance(node.value, str):
                return (node.value,)
            case "states":
                return self._texts(path, node)
        return super()._value(path, kind, node)

    def _grace(self, node: YamlNode) -> GraceRule | None:
        entries = list(self._entries("grace", node, f"a rule such as {_GRACE_EXAMPLE}", _GRACE))
        self._places |= {"grace": node.place, **{f"grace.{key}": node.place for key in _GRACE}}
        found = self._values("grace.", entries, _GRACE)
        if "for" not in found:
            if isinstance(node.value, tuple):
                self._fault(node.place, f"grace: a rule says for how long: for, as in {_GRACE_EXAMPLE}")
            return None
        given = {_GRACE_NAMES[key]: value for key, value in found.items()}
        return self._build(GraceRule, given, lambda text: f"grace{'.' if text.startswith('for:') else ': '}{text}")

    def _follow(self, node: YamlNode) -> FollowRule | None:
        """Read an entry of ``sites.follow``: the name of a site, or a mapping with ``site`` in it."""
        where = "sites.follow"
        self._places |= {f"{where}.{key}": node.place for key in _FOLLOW}
        if isinstance(node.value, str):
            return self._build(FollowRule, {"site": node.value}, lambda text: f"{where}.{text}")
        entries = list(self._entries(where, node, "a site such as paris, or {site: paris, name: web-*}", _FOLLOW))
        found = self._values(f"{where}.", entries, _FOLLOW)
        if "site" not in found:
            if isinstance(node.value, tuple):
                self._fault(node.place, f"{where}: an entry names its site, as in {_FOLLOW_EXAMPLE}")
            return None
        return self._build(FollowRule, found, lambda text: f"{where}.{text}")

    def _site_allow(self, node: YamlNode) -> SiteAllowRule | None:
        where = "sites.allow"
        self._places |= {f"{where}.{key}": node.place for key in _SITE_ALLOW}
        entries = list(self._entries(where, node, f"a rule such as {_SITE_ALLOW_EXAMPLE}", _SITE_ALLOW))
        found = self._values(f"{where}.", entries, _SITE_ALLOW)
        if "site" not in found:
            if isinstance(node.value, tuple):
                self._fault(node.place, f"{where}: a rule names its site, as in {_SITE_ALLOW_EXAMPLE}")
            return None
        return self._build(SiteAllowRule, found, lambda text: f"{where}.{text}")

    def _export(self, node: YamlNode) -> ExportRule | None:
        entries = list(self._entries("export", node, "a file such as {format: prometheus}", _EXPORT))
        self._places |= {f"export.{key}": node.place for key in _EXPORT}  # also where a key is missing
        found = self._values("export.", entries, _EXPORT)
        if "format" not in found:
            if isinstance(node.value, tuple):
                self._fault(node.place, "export: a file needs a format such as prometheus")
            return None
        named = {_WITHIN.get(key, key): value for key, value in found.items()}
        return self._build(ExportRule, named, lambda problem: f"export.{problem}")

    def _filter(self, path: str, node: YamlNode) -> Filter | None:
        entries = list(self._entries(path, node, "a filter such as {tags: {role: gpu}}", _FILTER))
        found = self._values(f"{path}.", entries, _FILTER)
        if None in found.values() or not isinstance(node.value, tuple):
            return None
        states = frozenset(found.pop("state", ()))
        return Filter(states=states, **found)
