"""The installed package as a user has it: its console scripts, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import REPOSITORY

_NOT_SOURCES = (".git", ".venv", ".*_cache", "build", "dist", "__pycache__", "*.egg-info")
"""What lies beside the sources in a checkout and would only take time to copy."""

PLAIN = dict.fromkeys(("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"), "")
"""For a lab's `env`: lets go of the checkout on the import path. To Python empty is unset."""


@contextmanager
def installed(python: str | None) -> Iterator[Path]:
    """Give the folder of the console scripts: beside `python`, or in an environment made for the block."""
    if python is not None:
        yield _scripts(Path(python).absolute().parent)
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        # built from a copy: setuptools leaves its build directory beside the sources
        source = Path(directory, "source")
        shutil.copytree(REPOSITORY, source, ignore=shutil.ignore_patterns(*_NOT_SOURCES), symlinks=True)
        _run(sys.executable, "-m", "venv", f"{directory}/venv")
        _run(f"{directory}/venv/bin/python", "-m", "pip", "install", "--quiet", str(source))
        yield _scripts(Path(directory, "venv/bin"))


def plain() -> dict[str, str]:
    """Give an environment without settings of the tester's own."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DISCOVERY"))}


def _scripts(directory: Path) -> Path:
    missing = [name for name in ("python", "discoveryd", "discoveryctl") if not (directory / name).exists()]
    if missing:
        raise SystemExit(f"no {', '.join(missing)} in {directory}: install the package there first")
    return directory


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv,
        env={**plain(), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")
