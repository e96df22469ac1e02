"""The pages of docs/, README and CHANGELOG as topics of ``discoveryd manual``."""

from __future__ import annotations

import os
from contextlib import suppress

from discoveryd.files.directories import shipped

_FILES = {"readme": "README.md", "changelog": "CHANGELOG.md"}
"""Topic -> file, besides those of docs/, which have the name of their topic."""


def topics() -> tuple[str, ...]:
    """Return the topics in order; none where the pages were not installed."""
    with suppress(FileNotFoundError):
        names = (os.path.splitext(name)[0] for name in os.listdir(shipped("docs")) if name.endswith(".md"))
        return tuple(sorted({*names, *_FILES}))
    return ()


def page(topic: str) -> str:
    """Return the page of a topic, in Markdown.

    Raises:
        FileNotFoundError: it is not in its place; with the places that were searched.
    """
    with open(shipped(_FILES.get(topic, f"docs/{topic}.md")), encoding="utf-8") as file:
        return file.read()
