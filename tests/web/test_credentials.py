"""The token and the certificate: read from files that others cannot read, and refused with a reason."""

import os
import shutil
import subprocess

import pytest

from discoveryd.config import Config
from discoveryd.config.web import WebSection
from discoveryd.errors import ConfigError
from discoveryd.web.credentials import read_credentials, stamp

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Give the paths of a certificate of localhost and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (Debian package openssl)")
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return directory / "cert.pem", directory / "key.pem"


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def config(directory, **web):
    return Config(web=WebSection(listen="127.0.0.1:3480", **web), directory=str(directory))


def test_a_token_is_read_beside_the_configuration(tmp_path):
    write(tmp_path / "web.token", f"{TOKEN}\n")
    found = read_credentials(config(tmp_path, token_file="web.token"), {})
    assert (found.token, found.tls) == (TOKEN, None)
    assert TOKEN not in repr(found)


def test_a_credential_of_systemd_comes_first_whatever_its_mode(tmp_path):
    write(tmp_path / "web.token", "another-one-that-is-not-meant")
    (tmp_path / "credentials").mkdir()
    write(tmp_path / "credentials/web.token", TOKEN, 0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert read_credentials(config(tmp_path, token_file="web.token"), environ).token == TOKEN


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (None, 0, "no such file; (umask 077; openssl rand -hex 16 >"), (TOKEN, 0o644, "its mode 0644 lets others at it; chmod 600 it"),
        (TOKEN, 0o640, "its mode 0640"), ("short", 0o600, "must hold one line of 16 to 512 letters"), ("", 0o600, "must hold one line"),
        (f"{TOKEN} {TOKEN}", 0o600, "must hold one line"), (f"{TOKEN}\n{TOKEN}", 0o600, "must hold one line"),
        ("é" * 16, 0o600, "must hold one line"), ("x" * 513, 0o600, "must hold one line"),
    ],
)  # fmt: skip
def test_a_wrong_token_is_refused_and_never_shown(tmp_path, text, mode, says):
    if text is not None:
        write(tmp_path / "web.token", text, mode)
    with pytest.raises(ConfigError) as caught:
        read_credentials(config(tmp_path, token_file="web.token"), {})
    assert says in str(caught.value)
    assert f"web.token_file: {tmp_path}/web.token" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_certificate_and_its_key(tmp_path, certificate):
    cert, key = map(str, certificate)
    assert read_credentials(config(tmp_path, tls_cert=cert, tls_key=key), {}).tls is not None
    both = write(tmp_path / "both.pem", certificate[0].read_text() + certificate[1].read_text())
    assert read_credentials(config(tmp_path, tls_cert=str(both)), {}).tls is not None


def test_what_is_wrong_with_a_certificate_is_said(tmp_path, certificate):
    cert, key = certificate

    def refused(**web):
        with pytest.raises(ConfigError) as caught:
            read_credentials(config(tmp_path, **{name: str(path) for name, path in web.items()}), {})
        return str(caught.value)

    assert "web.tls_cert: " in refused(tls_cert=tmp_path / "none", tls_key=key)
    assert "No such file" in refused(tls_cert=tmp_path / "none", tls_key=key)
    assert "web.tls_key: " in refused(tls_cert=cert, tls_key=tmp_path / "none")
    assert "no such file" in refused(tls_cert=cert, tls_key=tmp_path / "none")
    open_key = write(tmp_path / "open.pem", key.read_text(), 0o604)
    assert "its mode 0604 lets others at it" in refused(tls_cert=cert, tls_key=open_key)
    other = write(tmp_path / "other.pem", "nonsense")
    assert "PEM" in refused(tls_cert=cert, tls_key=other)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "b.pem"], check=True, capture_output=True, timeout=30)
    (tmp_path / "b.pem").chmod(0o600)
    assert "the key is not that of the certificate" in refused(tls_cert=cert, tls_key=tmp_path / "b.pem")
    subprocess.run(["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:x", "-out", tmp_path / "p.pem"], check=True, timeout=30)
    (tmp_path / "p.pem").chmod(0o600)
    assert "the key has a password, which nobody can type here: take it off" in refused(tls_cert=cert, tls_key=tmp_path / "p.pem")


def test_a_stamp_tells_that_a_file_is_another(tmp_path):
    kept = config(tmp_path, token_file="web.token")
    missing = stamp(kept, {})
    path = write(tmp_path / "web.token", TOKEN)
    before = stamp(kept, {})
    assert before != missing
    assert stamp(kept, {}) == before == read_credentials(kept, {}).stamp
    os.utime(path, (1, 1))
    assert stamp(kept, {}) != before
    assert stamp(config(tmp_path), {}) == ()
