"""What is installed, and where; installs and removes it, and leaves alone what is not ours or was changed.

A file is ours as long as its content is what we last put there. A file that was changed stays; then the new
default goes beside it as ``NAME.new``, once for each new default.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from typing import NamedTuple

from discoveryd import __version__
from discoveryd.daemon.ports import DROP_IN
from discoveryd.files import trusted
from discoveryd.files.directories import shipped
from discoveryd.frozen import frozen
from discoveryd.install import launcher

PATH = "/usr/local/share/discoveryd/installed.json"
"""The manifest: what was installed, so that exactly that is removed again."""
NEW = ".new"

UNIT_DIRECTORY = "/usr/local/lib/systemd/system"
"""Where systemd.unit(5) looks for units that are installed locally: below those of the administrator in /etc."""
CONFIG_DIRECTORY = "/etc/discoveryd"
EXAMPLE = "services.d/ssh.yaml.example"
COMMAND_DIRECTORY = "/usr/local/bin"
SYSCTL = "sysctl.d/10-discoveryd.conf"
"""Installed below /usr/local/lib, where sysctl.d(5) looks; the files of all its directories count by their names."""
_DEFAULT_COMMANDS = b"=/opt/discoveryd/bin/"
"""What the unit in the repository says, to be replaced by the place of the environment."""

_COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions",
    "zsh": "/usr/local/share/zsh/site-functions",
    "fish": "/usr/local/share/fish/vendor_completions.d",
}
"""Where each shell looks for what was not packaged by the distribution."""

_FIREWALLS = (
    ("ufw", "ufw/discoveryd", "/etc/ufw/applications.d", "ufw allow discoveryd"),
    (
        "firewalld",
        "firewalld/discoveryd.xml",
        "/etc/firewalld/services",
        "firewall-cmd --reload && firewall-cmd --permanent --add-service=discoveryd && firewall-cmd --reload",
    ),
)
"""Name, profile, the directory that the firewall has for profiles, and the command that opens the port."""


class Item(NamedTuple):
    """A path to install.

    Attributes:
        path: without the root.
        content: of a file; as a text, the target of a symbolic link; None for a directory.
        is_kept: whether it stays when all else is removed.
        mode: of a file.
        instead: target of a link that may be replaced: what uv tool or pipx put there, into the same environment.
    """

    path: str
    content: bytes | str | None = None
    is_kept: bool = False
    mode: int = 0o644
    instead: str = ""


@frozen
class Entry:
    """A path that was installed.

    Attributes:
        path: without the root.
        kind: ``file``, ``link``, ``directory``, or ``manifest``: this list itself.
        mark: hash of the content that was last put into a file, or the target of a link.
        is_kept: whether it stays when all else is removed.
    """

    path: str
    kind: str
    mark: str = ""
    is_kept: bool = False


def load_manifest(root: str, manifest: str = PATH) -> dict[str, Entry]:
    """Return what is installed, by path.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: it is not what `save_manifest` wrote.
    """
    try:
        found = json.loads(trusted.read(root + manifest, owners=None))
        return {entry["path"]: Entry(**entry) for entry in found["entries"]}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{root}{manifest} is damaged ({error}); remove it, and install again") from None


def save_manifest(root: str, entries: Iterable[Entry], manifest: str = PATH) -> None:
    """Write the manifest, all or nothing; its directory is there."""
    written = {
        "about": "what `discoveryd install` put here; `discoveryd uninstall` removes it",
        "version": __version__,
        "entries": [asdict(entry) for entry in entries],
    }
    trusted.write(root + manifest, (json.dumps(written, indent=1) + "\n").encode())


def tell(what: str, path: str, remark: str = "") -> None:
    """Print what was done, the path, and a remark."""
    print(f"{what:<10}{path}" + (f"  ({remark})" if remark else ""))  # noqa: T201


def items(
    commands: str, root: str = "", *, ports: bytes | None = None, config: bytes | None = None
) -> list[Item]:
    """Return all there is to install.

    Args:
        commands: directory of the environment's ``discoveryd`` and ``discoveryctl``.
        ports: the drop-in that lets the service bind its ports; None leaves the present one.
        config: the configuration, where it is not the one that is shipped.
        root: where the machine's files are; the firewalls are looked for there. Paths are given without it.
    """
    from discoveryd.cli.completion import scripts  # noqa: PLC0415 - made only here
    from discoveryd.cli.manual import pages  # noqa: PLC0415 - made only here

    # a blank, a quote or a percent sign in a path would need systemd's quoting: see `machine.obstacles`
    unit = content_of("systemd/discoveryd.service").replace(_DEFAULT_COMMANDS, f"={commands}/".encode())
    found = [
        Item(f"{UNIT_DIRECTORY}/discoveryd.service", unit),
        *([Item(f"{UNIT_DIRECTORY}/{DROP_IN}", ports)] if ports is not None else []),
        Item(f"{UNIT_DIRECTORY}/discoveryd.socket", content_of("systemd/discoveryd.socket")),
        Item(f"/usr/local/lib/{SYSCTL}", content_of(f"config/{SYSCTL}")),
        *configuration(config),
    ]
    if os.path.realpath(commands) != os.path.realpath(COMMAND_DIRECTORY):
        found += [
            Item(launcher.PATH, launcher.launcher(commands), mode=0o755),
            Item(
                f"{COMMAND_DIRECTORY}/discoveryctl", os.path.relpath(launcher.PATH, COMMAND_DIRECTORY),
                instead=f"{commands}/discoveryctl",
            ),
            Item(f"{COMMAND_DIRECTORY}/discoveryd", f"{commands}/discoveryd"),
        ]
    found += [Item(f"/usr/local/share/man/{name}", text.encode()) for name, text in pages().items()]
    for name, text in scripts().items():
        shell, _, file = name.partition("/")
        found.append(Item(f"{_COMPLETIONS[shell]}/{file}", text.encode()))
    for _, profile, directory, _ in firewalls(root):
        found.append(Item(f"{directory}/{os.path.basename(profile)}", content_of(f"config/{profile}")))
    return found


def configuration(config: bytes | None = None) -> list[Item]:
    """Return what is installed below /etc/discoveryd; with this configuration in place of the shipped one."""
    return [
        Item(f"{CONFIG_DIRECTORY}/discoveryd.yaml", config or content_of("config/discoveryd.yaml"), is_kept=True),
        Item(f"{CONFIG_DIRECTORY}/hooks.d"),
        Item(f"{CONFIG_DIRECTORY}/messages.d"),
        Item(f"{CONFIG_DIRECTORY}/{EXAMPLE}", content_of(f"config/{EXAMPLE}")),
    ]


def firewalls(root: str) -> list[tuple[str, str, str, str]]:
    """Return each firewall that is here: name, profile, directory, and the command that opens the port in it."""
    return [firewall for firewall in _FIREWALLS if os.path.isdir(root + firewall[2])]


def content_of(name: str) -> bytes:
    """Return the content of a shipped file."""
    return trusted.read(shipped(name), owners=None, follows=True)


def mark_of(content: bytes) -> str:
    """Return the mark of a content."""
    return sha256(content).hexdigest()


class Places:
    """The places of a machine; what is done there is printed.

    Args:
        root: directory under which they are; empty for this machine.
        former: what was installed earlier, by path.
        is_dry: whether nothing is done but printing.
        manifest: where the list of what is ours is kept.

    Attributes:
        entries: what is ours, in the order in which it was made.
        changed: paths that are not as they were.
    """

    def __init__(self, root: str, former: dict[str, Entry], *, is_dry: bool, manifest: str = PATH) -> None:
        self.entries: dict[str, Entry] = {}
        self.changed: set[str] = set()
        self._root = root
        self._former = former
        self._is_dry = is_dry
        self._manifest = manifest

    def put_all(self, items: list[Item]) -> None:
        """Install everything, and remove what an earlier version installed and this version does not.

        Raises:
            OSError: with the path.
        """
        self._need_directory(os.path.dirname(self._manifest))
        self._claim(self._manifest, "manifest")  # before all that it lists, so removed after them
        for path, content, is_kept, mode, instead in items:
            if isinstance(content, bytes):
                self._put_file(path, content, is_kept=is_kept, mode=mode)
            elif content is not None:
                self._put_link(path, content, instead)
            else:
                if os.path.isdir(self._root + path):
                    self._tell("unchanged", path)
                self._need_directory(path)
        left = []
        for path, entry in reversed(self._former.items()):
            if path in self.entries:
                continue
            if path.endswith(NEW) or (entry.kind == "directory" and self._is_used(path)):
                left.append((path, entry))
            else:
                self._remove(entry)
        self.entries |= reversed(left)

    def remove_all(self) -> None:
        """Remove all that is ours, what was made last first.

        Raises:
            OSError: with the path.
        """
        for entry in reversed(self._former.values()):
            self._remove(entry)

    def _claim(self, path: str, kind: str, mark: str = "", *, is_kept: bool = False) -> None:
        self.entries[path] = Entry(path=path, kind=kind, mark=mark, is_kept=is_kept)

    def _tell(self, what: str, path: str, remark: str = "") -> None:
        if what not in ("unchanged", "kept"):
            self.changed.add(path)
        tell(what, self._root + path, remark)

    def _need_directory(self, path: str) -> None:
        """Make a directory and those above it; a directory that was not there before is ours."""
        if path in self.entries:
            return
        if path != "/":
            self._need_directory(os.path.dirname(path))
        if os.path.isdir(self._root + path):
            if path in self._former:
                self.entries[path] = self._former[path]
            return
        if not self._is_dry:
            os.mkdir(self._root + path)
            os.chmod(self._root + path, 0o755)  # noqa: S103 - whatever the umask: for all to enter
        self._claim(path, "directory")
        self._tell("made", path)

    def _put_file(self, path: str, content: bytes, *, is_kept: bool = False, mode: int = 0o644) -> None:
        self._need_directory(os.path.dirname(path))
        mark, former, found = mark_of(content), self._former.get(path), self._mark(path, "file")
        if found == mark:
            self._tell("unchanged", path)
        elif found is None or path.endswith(NEW) or (former is not None and found == former.mark):
            if not self._is_dry:
                trusted.write(self._root + path, content, mode)
            self._tell("made" if found is None else "replaced", path)
        elif former is not None and former.mark == mark:
            self._tell("kept", path, "it was edited")
        else:
            self._tell("kept", path, f"it was edited; the new default is {self._root}{path}{NEW}")
            self._put_file(path + NEW, content, mode=mode)
        self._claim(path, "file", mark, is_kept=is_kept)

    def _put_link(self, path: str, target: str, instead: str) -> None:
        self._need_directory(os.path.dirname(path))
        place, former, found = self._root + path, self._former.get(path), self._mark(path, "link")
        if found is None and os.path.lexists(place):
            self._tell("kept", path, "it is not ours")
            return
        if found == target:
            self._tell("unchanged", path)
        elif found in (None, instead) or not os.path.exists(place) or (former is not None and former.mark == found):
            if not self._is_dry:
                with suppress(FileNotFoundError):
                    os.unlink(place)
                os.symlink(target, place)
            self._tell("made" if found is None else "replaced", path)
        else:
            self._tell("kept", path, f"it is not ours: it leads to {found}")
            return
        self._claim(path, "link", target)

    def _remove(self, entry: Entry) -> None:
        place = self._root + entry.path
        if not os.path.lexists(place):
            return
        if reason := self._reason_to_keep(entry):
            self._tell("kept", entry.path, reason)
            return
        if not self._is_dry:
            (os.rmdir if entry.kind == "directory" else os.unlink)(place)
        self._tell("removed", entry.path)

    def _left_in(self, path: str) -> list[str]:
        """Return what is in a directory; what a dry run has left there is in `changed`."""
        return [name for name in os.listdir(self._root + path) if f"{path}/{name}" not in self.changed]

    def _is_used(self, path: str) -> bool:
        return os.path.isdir(self._root + path) and bool(self._left_in(path))

    def _reason_to_keep(self, entry: Entry) -> str:
        if entry.kind == "directory":
            left = self._left_in(entry.path)
            return f"it holds {min(left)}" if left else ""
        if entry.is_kept:
            return "the configuration is yours"
        is_ours = entry.kind == "manifest" or self._mark(entry.path, entry.kind) == entry.mark
        return "" if is_ours else "it was changed since"

    def _mark(self, path: str, kind: str) -> str | None:
        """Return the mark of what is at a path now, as in an `Entry`; None if there is no such thing."""
        place = self._root + path
        if kind == "link":
            return os.readlink(place) if os.path.islink(place) else None
        try:
            return mark_of(trusted.read(place, owners=None, follows=True))
        except FileNotFoundError:
            return None
