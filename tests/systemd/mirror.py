"""What the distribution's mirror has for a booted machine, which has no uplink, and the package of this checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from tests.systemd.machine import PATH

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "python3-cryptography", "python3-daemon", "python3-prometheus-client", "python3-structlog", "python3-yaml",
    "python3-dnslib", "python3-starlette", "python3-uvicorn", "dnsmasq-base", "prometheus", "pipx",
)  # fmt: skip
"""What the package needs and recommends, and what the machines try it with."""
SOURCES = "deb [trusted=yes] file:/srv/mirror ./\n"
_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}


def mirror(suite: str, image: Path, cache: Path) -> Path:
    """Give a directory with these packages and all that they need, for apt; fetched the first time."""
    made = cache / f"{suite}-mirror"
    if made.exists():
        return made
    with TemporaryDirectory(prefix="discoveryd-mirror-") as scratch:
        root = Path(scratch, "root")
        for name in ("root", "upper", "work"):
            Path(scratch, name).mkdir()
        layers = f"lowerdir={image},upperdir={scratch}/upper,workdir={scratch}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "discoveryd-mirror", root], check=True)
        try:
            shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
            archives = root / "var/cache/apt/archives"
            (archives / "partial").mkdir(parents=True)
            install = ["apt-get", "install", "-qy", "--download-only", "--no-install-recommends", *NAMES]
            for command in (["apt-get", "update", "-q"], install):
                done = subprocess.run(
                    ["chroot", root, *command], env=_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                    check=False,
                )  # fmt: skip
                if done.returncode:
                    raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
            shutil.copytree(archives, making := made.with_suffix(".part"), dirs_exist_ok=True)
        finally:
            subprocess.run(["umount", "--lazy", root], check=True)
    for name in ("lock", "partial"):
        path = making / name
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    scan = ["dpkg-scanpackages", "--multiversion", "."]
    index = subprocess.run(scan, cwd=making, capture_output=True, text=True, check=True).stdout
    (making / "Packages").write_text(index)
    making.rename(made)
    return made


def package(directory: Path) -> Path:
    """Build the Debian package of this checkout."""
    directory.mkdir()
    subprocess.run([ROOT / "packaging/debian/build", directory], check=True, stdout=subprocess.DEVNULL)
    (made,) = directory.glob("discoveryd_*.deb")
    return made


def next_release(made: Path) -> Path:
    """Give the package as a later release would be: of a higher version, with another sample of the configuration."""
    directory = made.parent / "next"
    subprocess.run(["dpkg-deb", "--raw-extract", made, directory], check=True)
    control, sample = directory / "DEBIAN/control", directory / "usr/share/discoveryd/config/discoveryd.yaml"
    control.write_text(re.sub("(?m)^(Version: .*)$", r"\1+later", control.read_text()))
    sample.write_text(f"# of a later release\n{sample.read_text()}")
    public = directory / "usr/lib/python3/dist-packages/discoveryd/__init__.py"
    public.write_text(re.sub('(?m)^__version__ = "(.*)"$', r'__version__ = "\1.1"', public.read_text()))
    later = made.parent / "discoveryd_later_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", directory, later], check=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": PATH},
    )  # fmt: skip
    return later


def wheels(image: Path, directory: Path) -> Path:
    """Give a directory with the wheel of this checkout and of all it needs, for the Python of an image."""
    version = Path(os.path.realpath(image / "usr/bin/python3")).name.removeprefix("python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", f"--wheel-dir={directory}", ROOT], check=True)
    platforms = [f"--platform={name}_{os.uname().machine}" for name in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    where = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}", *platforms]
    (wheel,) = directory.glob("discoveryd-*.whl")
    subprocess.run([*pip, "download", f"--dest={directory}", *where, wheel], check=True)
    return directory


def with_tools(directory: Path) -> Path:
    """Give the same directory, with the program uv in it, and what pipx fetches for itself."""
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"--dest={directory}"]
    subprocess.run([*download, "uv", "pip", "setuptools", "wheel", "packaging"], check=True)
    (packed,) = directory.glob("uv-*.whl")
    with ZipFile(packed) as archive:
        (inside,) = (name for name in archive.namelist() if name.endswith("/scripts/uv"))
        (directory / "uv").write_bytes(archive.read(inside))
    (directory / "uv").chmod(0o755)
    return directory
