"""Files with a secret in them: credentials of systemd, or files that nobody but the daemon may read."""

from __future__ import annotations

import os
from collections.abc import Mapping

from discoveryd.config.durations import shown
from discoveryd.errors import ConfigError, UntrustedFile
from discoveryd.files import trusted
from discoveryd.files.trusted import remedy

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Set by systemd (systemd.exec(5), LoadCredential=): files there belong to this service alone, whatever their mode."""


def find_secret(
    key: str, name: str, directory: str, *, most: int, what: str, credential: str, helps: str,
    environ: Mapping[str, str] = os.environ,
) -> tuple[str, bytes]:  # fmt: skip
    """Return the path and the content of a file that a key of the configuration names.

    Args:
        key: of the configuration, for the errors.
        name: of the file; one that is not absolute is a credential, or else in the directory.
        directory: of the configuration.
        most: bytes that such a file may have.
        what: the file is, such as ``key file``.
        credential: name under which the unit of the service passes such a file on.
        helps: what to do where there is no such file.
        environ: names the directory of systemd's credentials.

    Raises:
        ConfigError: it cannot be read, or others can read it; the text shows nothing of its content.
    """
    credentials = environ.get(CREDENTIALS, "")
    places = [os.path.join(place, name) for place in (credentials, directory) if place]
    for path in places:
        is_credential = bool(credentials) and os.path.dirname(path) == credentials
        try:
            return path, _read(path, most, what, is_credential=is_credential)
        except FileNotFoundError:
            continue
        except OSError as error:
            problem = f": {error.strerror}; {_way_to_read(error, key, credential)}"
        except ConfigError as error:
            problem = str(error)
        raise ConfigError(f"{key}: {shown(path)}{problem}")
    raise ConfigError(f"{key}: {' and '.join(map(shown, places))}: no such file; {helps}")


def _way_to_read(error: OSError, key: str, credential: str) -> str:
    """Return what helps where a file cannot be opened: no user owns the files of a service with `DynamicUser=`."""
    from discoveryd.daemon.ports import is_service  # noqa: PLC0415 - only after an error

    if isinstance(error, PermissionError) and is_service():
        return f"as root move it to /etc/credstore/{credential}, name {credential} under {key}, and restart the service"
    return remedy(error, "let the user of the daemon read it")


def _read(path: str, most: int, what: str, *, is_credential: bool) -> bytes:
    try:
        descriptor = trusted.open_file(path, owners=None if is_credential else trusted.ours(), follows=True)
    except UntrustedFile as error:
        remedies = f"name a {what.partition(';')[0]}"
        if "uid" in (error.strerror or ""):
            remedies = f"run this as that user, or, if it is yours: chown root {shown(path)}"
        raise ConfigError(f": {error.strerror}; {remedies}") from None
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if mode & 0o077 and not is_credential:
            remedies = "chmod 600 it, and change the key if others could read it"
            raise ConfigError(f": its mode {mode & 0o7777:04o} lets others at it; {remedies}")
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ConfigError(f": over {most} bytes is no {what}")
    return raw
