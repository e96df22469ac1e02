"""Which servers to connect to, and with which credentials: read from the configuration and the files that it names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field
from importlib.util import find_spec

from discoveryd.config import Config
from discoveryd.config.durations import shown
from discoveryd.errors import ConfigError
from discoveryd.files.secrets import find_secret
from discoveryd.files.trusted import read, remedy
from discoveryd.frozen import frozen

MAX_FILE = 16 * 1024
"""Bytes of a file with a seed or credentials: a JWT with a hundred permissions has four thousand."""
MAX_AUTHORITIES = 1024 * 1024
INSTALL = "pip install 'discoveryd[sites]'"
NATS_NEXT = """\
the seed is in {path}, readable for you alone; its public key is
{public}

What to do with it (docs/sites.md has all of it):
  1. put the public key into the configuration of the NATS server, under users, with the permissions of this site
  2. copy the seed to every node of the site (scp -p), beside discoveryd.yaml, for the user of the daemon alone; for the
     service to /etc/credstore/discoveryd.nats, which is its name then, and systemctl restart discoveryd
  3. on every node: sites: {{{{name: SITE, servers: [nats://HOST:4222], credentials: {name}}}}};
     discoveryd check; systemctl reload discoveryd"""
_SEED = re.compile("SU[A-Z2-7]{56}")
_JWT, _NKEY = "-----BEGIN NATS USER JWT-----", "-----BEGIN USER NKEY SEED-----"
_FORM = "an nkey seed (one line SU..., as nk -gen user prints it), or a .creds file as nsc writes it"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


@frozen
class Access:
    """Where to connect to, and with which credentials.

    Attributes:
        servers: ``nats://HOST:PORT`` or ``tls://HOST:PORT``, the preferred first.
        seed: an nkey seed, empty for none.
        credentials: the content of a ``.creds`` file, empty for none.
        authorities: certificates in PEM that sign those of the servers; empty for those of the system.
    """

    servers: tuple[str, ...]
    seed: str = field(default="", repr=False)
    credentials: str = field(default="", repr=False)
    authorities: str = field(default="", repr=False)


def read_access(config: Config, environ: Mapping[str, str] = os.environ) -> Access:
    """Read the files that the section ``sites`` names.

    Args:
        config: with a site; names that are not absolute are in its directory, unless among the credentials of systemd.
        environ: names the directory of these.

    Raises:
        ConfigError: with every fault, and with nothing that a file with a secret holds; also where nats-py is missing.
    """
    section, problems = config.sites, list(lacking())
    seed = credentials = authorities = ""
    try:
        seed, credentials = _identity(config, environ) if section.credentials else ("", "")
    except ConfigError as error:
        problems += error.problems
    try:
        authorities = _authorities(os.path.join(config.directory, section.ca)) if section.ca else ""
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*(f"{shown(config.source)}: {problem}" for problem in problems))
    return Access(servers=section.servers, seed=seed, credentials=credentials, authorities=authorities)


def new_seed() -> tuple[bytes, str]:
    """Return the content of a file with a new seed, and its public key.

    Raises:
        ConfigError: nkeys is missing.
    """
    if problems := lacking():
        raise ConfigError(*problems)
    import nkeys  # noqa: PLC0415 - only here, and in nats-py

    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    text = f"# discoveryd, public key {public}. A reader of this file can speak for the site.\n".encode()
    return text + bytes(seed) + b"\n", public


def lacking() -> tuple[str, ...]:
    """Return what is missing on this machine, in a sentence each."""
    missing = [package for module, package in (("nats", "nats-py"), ("nkeys", "nkeys")) if find_spec(module) is None]
    if not missing:
        return ()
    names = f"{' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
    return (f"sites: needs {names} where discoveryd is: {INSTALL} (Debian has no package of it)",)


def _identity(config: Config, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the seed, or else the credentials, in a file."""
    key = "sites.credentials"
    path, raw = find_secret(
        key, config.sites.credentials, config.directory, most=MAX_FILE, what=f"file of credentials; it is {_FORM}",
        credential="discoveryd.nats", helps=f"copy it there; it is {_FORM}", environ=environ,
    )  # fmt: skip
    text = raw.decode("utf-8", "replace")
    if _JWT in text or _NKEY in text:
        if _JWT in text and _NKEY in text:
            return "", text
        raise ConfigError(f"{key}: {shown(path)}: half a .creds file: copy it again, with JWT and seed")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) == 1 and _SEED.fullmatch(lines[0]):
        return lines[0], ""
    if len(lines) == 1 and re.fullmatch("[UAON][A-Z2-7]{55}", lines[0]):
        raise ConfigError(f"{key}: {shown(path)}: is a public key; what is wanted is the seed, which begins with SU")
    raise ConfigError(f"{key}: {shown(path)}: is neither {_FORM.replace(', or', ', nor')}")


def _authorities(path: str) -> str:
    key = "sites.ca"
    try:
        raw = read(path, MAX_AUTHORITIES + 1, owners=None, follows=True)
    except OSError as error:
        helps = remedy(error, "copy the certificates there, readable for the user of the daemon")
        raise ConfigError(f"{key}: {shown(path)}: {error.strerror}; {helps}") from None
    text = raw.decode("ascii", "replace")
    if len(raw) > MAX_AUTHORITIES or _CERTIFICATE not in text:
        raise ConfigError(f"{key}: {shown(path)}: holds no certificates in PEM ({_CERTIFICATE} ...)")
    return text
