"""The token and the certificate of the web: read from the files that the configuration names, anew when they change."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from discoveryd.config.durations import shown
from discoveryd.errors import ConfigError
from discoveryd.files import trusted
from discoveryd.files.trusted import remedy
from discoveryd.frozen import frozen

if TYPE_CHECKING:
    from discoveryd.config import Config

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Set by systemd (systemd.exec(5), LoadCredential=): files there belong to this service alone, whatever their mode."""
LEAST, MOST = 16, 512
"""Characters of a token: 16 hexadecimal digits are too many to be tried over a network."""
MAX_FILE = 64 * 1024
_KEYS = ("token_file", "tls_cert", "tls_key")


@frozen
class Credentials:
    """What is in the files.

    Attributes:
        token: that requests must have; empty for none.
        tls: of every connection; None for plain HTTP.
        stamp: of the files; another one means that they have to be read again.
    """

    token: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    stamp: tuple[object, ...] = ()


def stamp(config: Config, environ: Mapping[str, str] = os.environ) -> tuple[object, ...]:
    """Return what changes when a file is another one; cheap."""
    found: list[object] = []
    for key in _KEYS:
        if name := getattr(config.web, key):
            path, _ = _place(name, config.directory, environ)
            try:
                at = os.stat(path)
            except OSError as error:
                found.append((path, error.errno))
            else:
                found.append((path, at.st_ino, at.st_mtime_ns, at.st_size))
    return tuple(found)


def read_credentials(config: Config, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Read the files that a configuration names.

    Args:
        config: names that are not absolute are in its directory, unless among the credentials.
        environ: names the directory of systemd's credentials.

    Raises:
        ConfigError: with every fault, and with nothing that a secret file holds.
    """
    web, problems = config.web, list[str]()
    before = stamp(config, environ)  # a change while they are read is seen
    token, tls = "", None
    try:
        token = _read_token(*_place(web.token_file, config.directory, environ)) if web.token_file else ""
    except ConfigError as error:
        problems += error.problems
    try:
        tls = _read_certificate(config, environ) if web.tls_cert else None
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*(f"{shown(config.source)}: {problem}" for problem in problems))
    return Credentials(token=token, tls=tls, stamp=before)


def _place(name: str, directory: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the path of a file, and whether it is a credential."""
    credentials = environ.get(CREDENTIALS, "")
    if credentials and os.path.exists(path := os.path.join(credentials, name)):
        return path, os.path.dirname(path) == credentials
    return os.path.join(directory, name), False


def _read(key: str, path: str, *, is_credential: bool, hides: int, otherwise: str) -> bytes:
    """Return what is in a file of ours that others may not read.

    Args:
        key: of the configuration.
        path: of the file.
        is_credential: whether its mode does not count.
        hides: bits of the mode that it must not have.
        otherwise: what helps where nothing better is known.
    """
    try:
        descriptor = trusted.open_file(path, owners=None if is_credential else trusted.ours(), follows=True)
    except FileNotFoundError:
        raise ConfigError(f"web.{key}: {shown(path)}: no such file; {otherwise}") from None
    except OSError as error:
        helps = remedy(error, "let the user of the daemon read it")
        raise ConfigError(f"web.{key}: {shown(path)}: {error.strerror}; {helps}") from None
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if mode & hides and not is_credential:
            raise ConfigError(f"web.{key}: {shown(path)}: its mode {mode & 0o7777:04o} lets others at it; chmod 600 it")
        return file.read(MAX_FILE + 1)


def _read_token(path: str, is_credential: bool) -> str:
    make = f"(umask 077; openssl rand -hex 16 > {shown(path)}) makes one"
    raw = _read("token_file", path, is_credential=is_credential, hides=0o077, otherwise=make)
    token = raw.strip()
    if not (LEAST <= len(token) <= MOST and token.isascii() and token.decode().isprintable() and b" " not in token):
        wanted = f"one line of {LEAST} to {MOST} letters, digits and signs"
        raise ConfigError(f"web.token_file: {shown(path)}: must hold {wanted}: {make}")
    return token.decode()


def _read_certificate(config: Config, environ: Mapping[str, str]) -> ssl.SSLContext:
    web = config.web
    certificate, _ = _place(web.tls_cert, config.directory, environ)
    key_name, name = ("tls_key", web.tls_key) if web.tls_key else ("tls_cert", web.tls_cert)
    key, is_credential = _place(name, config.directory, environ)
    text = _read(key_name, key, is_credential=is_credential, hides=0o007, otherwise="name the file of the private key")
    if b"ENCRYPTED" in text:
        helps = "take it off (openssl pkey -in KEY -out NEW)"
        raise ConfigError(f"web.{key_name}: {shown(key)}: the key has a password, which nobody can type here: {helps}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        words = {
            "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
            "NO_CERTIFICATE_ASSIGNED": "the key is not that of the certificate",  # it is of another kind
            "NO_START_LINE": "is no PEM file",
        }  # fmt: skip
        why = words.get(error.reason or "", error.reason or str(error))
        raise ConfigError(f"web.tls_cert: {shown(certificate)} with {shown(key)}: {why}") from None
    except OSError as error:
        helps = remedy(error, "let the user of the daemon read it")
        raise ConfigError(f"web.tls_cert: {shown(certificate)}: {error.strerror}; {helps}") from None
    return context
