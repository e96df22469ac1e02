"""Key files: ``discoveryd keygen`` writes one, ``security.keys`` names those to read.

::

    # a comment, any number of them
    discoveryd-key-1 T3V0IG9mIHRoZSBmcnlpbmcgcGFuLCBpbnRvIGZpcmU=

The last field is the key: 32 bytes in base 64. No error, log line or argument list shows it, only its id.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping

from discoveryd.cli.parse import Arguments
from discoveryd.config import DEFAULT_PATH, Config
from discoveryd.config.durations import shown
from discoveryd.daemon import FAILED, OK, say
from discoveryd.errors import ConfigError
from discoveryd.files import trusted
from discoveryd.files.secrets import CREDENTIALS, find_secret
from discoveryd.files.trusted import remedy
from discoveryd.protocol.sealed.keyring import KEY_BYTES, NO_KEYS, Key, Keyring

MAX_FILE = 4096
"""Bytes of a key file: a line of 62 and some comments. More is some other file."""

_WORD = b"discoveryd-key-1"
_FORM = "one line `discoveryd-key-1 KEY` as discoveryd keygen writes it"


def keygen(arguments: Arguments) -> int:
    """Make a key, in a file that was not there before."""
    home = os.path.dirname(DEFAULT_PATH)
    if arguments.nats:
        from discoveryd.sites.access import NATS_NEXT, new_seed  # noqa: PLC0415 - only where there are sites

        content, public = new_seed()
        name, told = "discoveryd.nats", NATS_NEXT.format(public=public, path="{path}", name="{name}")
    else:
        key = Key(os.urandom(KEY_BYTES))
        content, name, told = _content(key), f"{key.id}.key", _NEXT.replace("{id}", key.id)
    path = os.path.abspath(arguments.file or os.path.join(home, name))
    try:
        if not arguments.file and not os.path.isdir(home):  # discoveryd was never installed here
            os.mkdir(home, 0o755)
            os.chmod(home, 0o755)  # noqa: S103 - whatever the umask: the service reads it as a user of its own
        trusted.create(path, content, 0o600)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        say(f"{shown(path)}: {_failure(error, path)}")
        return FAILED
    print(told.format(path=shown(path), name=shown(os.path.basename(path))))  # noqa: T201
    return OK


def _failure(error: OSError | ValueError, path: str) -> str:
    """Return why a key file could not be written, and the remedy."""
    helps = "name a file in a directory you may write to: discoveryd keygen FILE"
    if isinstance(error, FileExistsError):
        return "is there already, and a key is never overwritten; name another file"
    if isinstance(error, FileNotFoundError):
        helps = f"make its directory first: mkdir -p {shown(os.path.dirname(path))}"
    elif isinstance(error, OSError):
        helps = remedy(error, helps)
    return f"{getattr(error, 'strerror', None) or error}; {helps}"


_NEXT = """\
key {id} is in {path}, readable for you alone

What to do with it (docs/keys.md has all of it):
  1. copy it to every node (scp -p), readable for the user of the daemon alone, beside discoveryd.yaml; for the service
     to /etc/credstore/discoveryd.key, which is its name then, and systemctl restart discoveryd
  2. on every node: security: {{mode: off, keys: [{name}]}}; discoveryd check; systemctl reload discoveryd
  3. when all have it: mode: accept, reload; when discoveryctl list shows it for all: mode: require, reload
Adding it to a fleet that has another: list both, the old one first, then set send_with: {id}"""


def write_key(path: str, key: Key) -> None:
    """Write a key file, readable for its owner alone.

    Raises:
        FileExistsError: something is there already.
        OSError: it cannot be written; nothing is left behind.
    """
    trusted.create(path, _content(key), 0o600)


def _content(key: Key) -> bytes:
    text = f"# discoveryd, key id {key.id}. Who can read this can speak in the name of any node.\n".encode()
    return text + b"%b %b\n" % (_WORD, b64encode(key.secret))


def read_keyring(config: Config, environ: Mapping[str, str] = os.environ) -> Keyring:
    """Read the keys that a configuration names.

    Args:
        config: names that are not absolute are in its directory, unless among the credentials.
        environ: names the directory of systemd's credentials.

    Raises:
        ConfigError: with every fault, and with nothing that a key file holds.
    """
    security, source = config.security, config.source
    if not security.keys:
        return NO_KEYS
    problems: list[str] = []
    keys: dict[str, Key] = {}
    for name in security.keys:
        try:
            key = _find(name, config.directory, environ)
        except ConfigError as error:
            problems += error.problems
            continue
        same = next((other for other, its in keys.items() if its.id == key.id), None)
        if same is not None:
            problems.append(f"security.keys: {shown(name)} is the same key as {shown(same)}: remove one")
        keys[name] = key
    wanted = security.send_with
    chosen = [key.id for name, key in keys.items() if wanted in ("", key.id, name, os.path.basename(name))]
    if not chosen and not problems:
        known = ", ".join(f"{shown(name)} ({key.id})" for name, key in keys.items())
        problems.append(f"security.send_with: {shown(wanted)} is none of security.keys, which are {known}")
    if problems:
        raise ConfigError(*(f"{shown(source)}: {problem}" for problem in problems))
    return Keyring(keys=tuple(keys.values()), send_with=chosen[0], mode=security.mode)


def are_hidden(environ: Mapping[str, str] = os.environ, *, in_service: bool) -> bool:
    """Return whether systemd keeps the credentials of the daemon from this process, a command of a reload.

    Version 252 names their directory to such a command, 257 does not; neither lets it in.
    """
    directory = environ.get(CREDENTIALS, "")
    return not os.access(directory, os.R_OK | os.X_OK) if directory else in_service


def _find(name: str, directory: str, environ: Mapping[str, str]) -> Key:
    """Read the key of that name: a credential, or else a file in the directory."""
    path, raw = find_secret(
        "security.keys", name, directory, most=MAX_FILE, what=f"key file; it is {_FORM}", credential="discoveryd.key",
        helps="copy the key there, or make one with discoveryd keygen", environ=environ,
    )  # fmt: skip
    try:
        return _key(raw)
    except ConfigError as error:
        raise ConfigError(f"security.keys: {shown(path)}{error}") from None


def _key(raw: bytes) -> Key:
    """Return the key in the content of a file; the errors show nothing of it."""
    lines = enumerate(map(bytes.strip, raw.split(b"\n")), 1)
    said = [(number, line) for number, line in lines if line[:1] not in (b"", b"#")]
    if len(said) != 1:
        raise ConfigError(f": {len(said)} lines besides comments, not 1; it is {_FORM}")
    number, line = said[0]
    word, _, text = line.partition(b" ")
    if word != _WORD:
        raise ConfigError(f":{number}: does not begin with {_WORD.decode()}; it is {_FORM}")
    try:
        secret = b64decode(text.strip(), validate=True)
    except ValueError:
        raise ConfigError(f":{number}: the key is not base 64; copy the file again") from None
    if len(secret) != KEY_BYTES:
        raise ConfigError(f":{number}: the key has {len(secret)} bytes, not {KEY_BYTES}; copy the file again")
    return Key(secret)
