"""What the section ``web`` says: where HTTP is served, with which token and which certificate."""

from __future__ import annotations

import re

from discoveryd.config.listen import ListenSection, is_loopback
from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen

MAX_HOSTS = 64
"""Further names of this machine."""
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE)


@frozen
class WebSection(ListenSection):
    """Where HTTP is served. `discoveryd.web.credentials` reads the files, when it is on."""

    KEY, EXAMPLE, TAKES_IPV6 = "web.listen", "127.0.0.1:3480", True
    token_file: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ListenSection.__post_init__(self)
        problems = [
            f"web.{key}: {path!r:.200} is no file name"
            for key in ("token_file", "tls_cert", "tls_key")
            if "\0" in (path := getattr(self, key)) or path.endswith("/")
        ]
        if self.tls_key and not self.tls_cert:
            problems.append("web.tls_key: needs the certificate that goes with it: set web.tls_cert")
        if len(self.hosts) > MAX_HOSTS:
            problems.append(f"web.hosts: {len(self.hosts)} names, at most {MAX_HOSTS}")
        problems += [
            f"web.hosts: must be names such as nas.example.org, without a port, not {name!r:.80}"
            for name in self.hosts
            if len(name) > 253 or not _HOST.fullmatch(name)
        ]
        if self.address and not is_loopback(self.address[0]) and not self.token_file:
            helps = "make one, such as openssl rand -hex 16, in a file that others cannot read"
            problems.append(f"web.listen: {self.listen} can be reached by others, so it needs web.token_file: {helps}")
        if problems:
            raise ConfigError(*problems)
