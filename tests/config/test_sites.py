"""The section ``sites``, and the files that it names."""

import os

import pytest

from discoveryd.config import load
from discoveryd.config.sites import SPEAKS_TAG, FollowRule, SitesSection
from discoveryd.errors import ConfigError
from discoveryd.sites import access
from discoveryd.sites.access import new_seed, read_access
from discoveryd.sites.settings import GATEWAY_TAG, is_site
from discoveryd.sites.settings import Follow as EngineRule

SITE = "name: berlin, servers: [nats://a:4222]"


def loaded(tmp_path, text):
    (tmp_path / "c.yaml").write_text(f"sites: {{{text}}}\n")
    return load(str(tmp_path / "c.yaml"), {})


def problems(tmp_path, text, read=lambda config: config):
    with pytest.raises(ConfigError) as caught:
        read(loaded(tmp_path, text))
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_nothing_is_said_of_sites_by_default():
    assert SitesSection() == SitesSection(gateways=2, speaks=True, rows=20_000)
    assert not SitesSection().is_on


def test_a_whole_section_comes_back_as_it_was_written(tmp_path):
    text = (
        'name: berlin, servers: ["tls://a.example.org:4222", "nats://[fd00::1]:4222"], credentials: x.nats, ca: ca.pem, gateways: 3, '
        "speaks: off, follow: [paris, {site: 'de-*', tags: {role: gpu}, name: 'web-*', service: http}], rows: 500"
    )
    config = loaded(tmp_path, text)
    assert config.sites.follow == (FollowRule(site="paris"), FollowRule(site="de-*", tags={"role": "gpu"}, name="web-*", service="http"))
    (tmp_path / "d.yaml").write_text(config.to_yaml())
    assert load(str(tmp_path / "d.yaml"), {}).sites == config.sites


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: berlin", 'sites.name: a site needs a NATS server under servers, such as ["nats://127.0.0.1:4222"]'),
        ("servers: [nats://a]", "sites.servers: these are for a site with a name, such as berlin: set sites.name"),
        ("name: Berlin, servers: [nats://a]", "sites.name: must be 1 to 32 of a-z 0-9 - (no - at an end), and not 'all', not 'Berlin'"),
        ("name: all, servers: [nats://a]", "sites.name: must be 1 to 32 of a-z 0-9 - (no - at an end), and not 'all', not 'all'"),
        ("name: a, servers: [http://a]", "sites.servers: must be nats://HOST:PORT or tls://HOST:PORT, not 'http://a'"),
        ("name: a, servers: [nats://a:70000]", "sites.servers: must be nats://HOST:PORT or tls://HOST:PORT, not 'nats://a:70000'"),
        ("name: a, servers: [nats://u:secret@a]", "sites.servers: nats://...@a has a user or a password in it: name a file under sites.credentials"),
        (f"{SITE}, ca: x", "sites.ca: is for servers with tls://, and there is none: nothing would be encrypted"),
        (f"{SITE}, gateways: 9", "sites.gateways: must be 1 to 8, not 9"),
        (f"{SITE}, rows: 0", "sites.rows: must be 1 to 1000000, not 0"),
        (f"{SITE}, follow: [berlin]", "sites.follow: berlin is the site of this node, which knows its peers first-hand"),
        (f"{SITE}, follow: [Paris]", "sites.follow.site: must be the name of a site, or a pattern such as de-*, of a-z 0-9 - * ?, not 'Paris'"),
        (f"{SITE}, follow: [{{name: x}}]", "sites.follow: an entry names its site, as in [paris, {site: tokyo, tags: {role: gpu}}]"),
        (f"{SITE}, follow: paris", "sites.follow: must be a list of sites such as [paris, {site: tokyo, tags: {role: gpu}}], not 'paris'"),
    ],
)
def test_a_wrong_section_is_refused_with_what_is_allowed(tmp_path, text, problem):
    assert problems(tmp_path, text) == [f"c.yaml:1: {problem}"]


def test_servers_and_rules_are_bounded(tmp_path):
    servers = ", ".join(f"nats://a{number}" for number in range(17))
    rules = ", ".join(f"a{number}" for number in range(65))
    assert problems(tmp_path, f"name: b, servers: [{servers}], follow: [{rules}]") == [
        "c.yaml:1: sites.follow: 65 entries, at most 64", "c.yaml:1: sites.servers: 17 servers, at most 16",
    ]  # fmt: skip


KEYS = "\nsecurity: {mode: require, keys: [a.key]}\nhistory: {"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("paris", "sites.allow: must be a list of rules such as [{site: paris, send: [deploy], ask: [info]}], not 'paris'"),
        ("[{ask: [info]}]", "sites.allow: a rule names its site, as in {site: paris, send: [deploy], ask: [info]}"),
        ("[{site: paris}]", "sites.allow.site: say what it may: send, ask, or both, as in {site: paris, ask: [info]}"),
        ("[{site: Paris, ask: [info]}]", "sites.allow.site: must be the name of a site, or a pattern such as de-*, of a-z 0-9 - * ?, not 'Paris'"),
        ("[{site: paris, send: [Info]}]", "sites.allow.send: must be the name of a message, or a pattern, of a-z 0-9 - * ?, not 'Info'"),
    ],
)
def test_a_wrong_rule_of_what_is_taken_says_what_is_allowed(tmp_path, rule, problem):
    assert problems(tmp_path, f"{SITE}, allow: {rule}}}{KEYS}") == [f"c.yaml:1: {problem}"]


def test_messages_of_other_sites_need_keys(tmp_path):
    found = problems(tmp_path, f"{SITE}, allow: [{{site: paris, ask: [info]}}]")
    assert found == ["c.yaml:1: sites.allow: messages of other sites are taken sealed alone: set security.keys, and the mode"]


def test_rules_of_what_is_taken_are_bounded(tmp_path):
    rules = ", ".join("{site: a, ask: [x]}" for _ in range(65))
    assert problems(tmp_path, f"{SITE}, allow: [{rules}]}}{KEYS}") == ["c.yaml:1: sites.allow: 65 rules, at most 64: use patterns such as de-*"]
    names = ", ".join(f"a{number}" for number in range(65))
    assert problems(tmp_path, f"{SITE}, allow: [{{site: a, ask: [{names}]}}]}}{KEYS}") == [
        "c.yaml:1: sites.allow.ask: 65 names, at most 64: use patterns such as web-*"]  # fmt: skip


def test_rules_of_what_is_taken_are_read_written_and_obeyed(tmp_path):
    (tmp_path / "c.yaml").write_text(f"sites: {{{SITE}, allow: [{{site: 'de-*', send: [deploy], ask: ['i*', disk]}}]}}\nsecurity: {{mode: require, keys: [a.key]}}\n")
    config = load(str(tmp_path / "c.yaml"), {})
    [rule] = config.sites.allow
    for site, name, is_question, wanted in (("de-1", "deploy", False, True), ("de-1", "deploy", True, False), ("de-1", "info", True, True), ("fr", "info", True, False)):
        assert rule.allows(site, name, is_question=is_question) == wanted
    (tmp_path / "d.yaml").write_text(config.to_yaml())
    assert load(str(tmp_path / "d.yaml"), {}).sites == config.sites


def test_configuration_and_engine_mean_the_same():
    assert SPEAKS_TAG == GATEWAY_TAG
    assert all(is_site(name) for name in ("a", "de-berlin-2", "x" * 32))
    assert EngineRule(site="de-*").is_about("de-berlin")


def test_a_node_of_a_site_says_so_by_a_tag(tmp_path):
    assert loaded(tmp_path, SITE).record().tags == {"site-gateway": "berlin"}
    assert loaded(tmp_path, f"{SITE}, speaks: off").record().tags == {}


# --- the files --------------------------------------------------------------------------------------


def test_a_seed_and_credentials_are_told_apart(tmp_path):
    content, public = new_seed()
    (tmp_path / "a.nats").write_bytes(content)
    (tmp_path / "a.nats").chmod(0o600)
    found = read_access(loaded(tmp_path, f"{SITE}, credentials: a.nats"), {})
    assert (found.servers, found.credentials, public[0]) == (("nats://a:4222",), "", "U")
    assert found.seed.encode() in content
    assert found.seed not in repr(found)
    creds = f"-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{found.seed}\n------END USER NKEY SEED------\n"
    (tmp_path / "a.nats").write_text(creds)
    assert read_access(loaded(tmp_path, f"{SITE}, credentials: a.nats"), {}).credentials == creds


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (None, 0o600, "a.nats: no such file; copy it there; it is an nkey seed (one line SU..., as nk -gen user prints it), or a .creds file as nsc writes it"),
        ("SU", 0o644, "a.nats: its mode 0644 lets others at it; chmod 600 it, and change the key if others could read it"),
        ("UA" + "B" * 54, 0o600, "a.nats: is a public key; what is wanted is the seed, which begins with SU"),
        ("hello", 0o600, "a.nats: is neither an nkey seed (one line SU..., as nk -gen user prints it), nor a .creds file as nsc writes it"),
        ("-----BEGIN NATS USER JWT-----\n", 0o600, "a.nats: half a .creds file: copy it again, with JWT and seed"),
        ("x" * 20_000, 0o600, "a.nats: over 16384 bytes is no file of credentials; it is an nkey seed (one line SU..., as nk -gen user prints it), or a .creds file as nsc writes it"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_without_its_content(tmp_path, content, mode, problem):
    if content is not None:
        (tmp_path / "a.nats").write_text(content)
        (tmp_path / "a.nats").chmod(mode)
    found = problems(tmp_path, f"{SITE}, credentials: a.nats", lambda config: read_access(config, {}))
    assert found == [f"c.yaml: sites.credentials: {problem}"]


def test_a_credential_of_systemd_comes_first_whatever_its_mode(tmp_path):
    (tmp_path / "credentials").mkdir()
    content, _ = new_seed()
    (tmp_path / "credentials/discoveryd.nats").write_bytes(content)
    os.chmod(tmp_path / "credentials/discoveryd.nats", 0o644)
    config = loaded(tmp_path, f"{SITE}, credentials: discoveryd.nats")
    assert read_access(config, {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}).seed


def test_certificates_are_looked_at(tmp_path):
    text = "name: berlin, servers: [tls://a], ca: ca.pem"
    assert problems(tmp_path, text, lambda config: read_access(config, {})) == [
        "c.yaml: sites.ca: ca.pem: No such file or directory; copy the certificates there, readable for the user of the daemon"
    ]
    (tmp_path / "ca.pem").write_text("no")
    assert problems(tmp_path, text, lambda config: read_access(config, {})) == [
        "c.yaml: sites.ca: ca.pem: holds no certificates in PEM (-----BEGIN CERTIFICATE----- ...)"
    ]


def test_a_missing_library_is_named_with_the_way_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(access, "find_spec", lambda _: None)
    assert problems(tmp_path, SITE, lambda config: read_access(config, {})) == [
        "c.yaml: sites: needs nats-py and nkeys, which are not installed where discoveryd is: pip install 'discoveryd[sites]' (Debian has no package of it)"
    ]
