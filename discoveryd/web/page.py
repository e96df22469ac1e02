"""The page of this node: one file, and the headers it is served with."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files

_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


@cache
def page() -> tuple[bytes, Mapping[str, str]]:
    """Return the page and its headers: it may run its own script and style, and ask this node, and nothing else."""
    text = files("discoveryd.web").joinpath("page.html").read_bytes()
    allowed: dict[str, str] = {}
    for kind, content in _INLINE.findall(text):
        digest = b64encode(sha256(content).digest()).decode()
        allowed[kind.decode()] = f"{allowed.get(kind.decode(), '')} 'sha256-{digest}'"
    rules = [f"{kind}-src{sources}" for kind, sources in allowed.items()]
    rules += ["connect-src 'self'", "img-src data:", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
    policy = "; ".join(["default-src 'none'", *rules])
    return text, {"content-type": "text/html; charset=utf-8", "content-security-policy": policy}
