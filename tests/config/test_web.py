"""Where HTTP is served, and to whom."""

import pytest

from discoveryd.config import Config
from discoveryd.config.listen import overlap, parse_listen
from discoveryd.config.web import MAX_HOSTS, WebSection
from discoveryd.errors import ConfigError

SECRET = "web.token"


def test_it_is_off_by_default(read):
    assert Config().web.address is None
    assert read("web: {listen: off}").web == WebSection()


def test_every_key(read):
    found = read(
        'web: {listen: "0.0.0.0:3480", token_file: web.token, tls_cert: c.pem, tls_key: k.pem, hosts: [nas.example.org, NAS]}'
    ).web
    assert found == WebSection(listen="0.0.0.0:3480", token_file=SECRET, tls_cert="c.pem", tls_key="k.pem", hosts=("nas.example.org", "NAS"))
    assert found.address == ("0.0.0.0", 3480)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), ("[FD00:0::0001]:80", ("fd00::1", 80)), ("[::]:80", ("::", 80)),
     ("::1:80", None), ("[127.0.0.1]:80", None), ("[::1]", None), ("[::1%lo]:80", None), ("[fe80::1]:80", None), ("off", None),
     ("127.0.0.1:0", None), ("127.0.0.1:65536", None), ("localhost:80", None), ("[]:80", None), ("[::ffff:127.0.0.1]:80", None)],
)  # fmt: skip
def test_addresses(text, address):
    assert parse_listen(text, takes_ipv6=True) == address
    assert parse_listen(text) == (address if address and "." in address[0] else None)


@pytest.mark.parametrize("listen", ["127.0.0.1:3480", "127.9.9.9:3480", "[::1]:3480", "off"])
def test_on_this_machine_it_needs_no_token(listen):
    assert WebSection(listen=listen).token_file == ""


@pytest.mark.parametrize("listen", ["0.0.0.0:3480", "[::]:3480", "192.0.2.1:3480", "[fd00::1]:3480"])
def test_others_need_a_token(listen):
    with pytest.raises(ConfigError, match=r"can be reached by others, so it needs web.token_file: make one"):
        WebSection(listen=listen)
    assert WebSection(listen=listen, token_file=SECRET)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"listen": "3480"}, r"web.listen: must be an address and a port such as 127.0.0.1:3480 or \[::1\]:8080, or off, not '3480'"),
        ({"tls_key": "k.pem"}, "web.tls_key: needs the certificate that goes with it: set web.tls_cert"),
        ({"tls_cert": "/etc/"}, "web.tls_cert: '/etc/' is no file name"),
        ({"hosts": ("nas.example.org:80",)}, "web.hosts: must be names such as nas.example.org, without a port, not 'nas.example.org:80'"),
        ({"hosts": ("*",)}, "web.hosts: must be names"), ({"hosts": ("",)}, "web.hosts: must be names"),
        ({"hosts": ("x" * 254,)}, "web.hosts: must be names"), ({"hosts": ("a",) * (MAX_HOSTS + 1)}, "web.hosts: 65 names, at most 64"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        WebSection(**values)


@pytest.mark.parametrize(
    ("one", "other", "they_do"),
    [(("127.0.0.1", 1), ("127.0.0.1", 1), True), (("0.0.0.0", 1), ("127.0.0.1", 1), True), (("::", 1), ("127.0.0.1", 1), True),
     (("127.0.0.1", 1), ("127.0.0.2", 1), False), (("127.0.0.1", 1), ("127.0.0.1", 2), False), (("::1", 1), ("127.0.0.1", 1), False),
     (None, ("127.0.0.1", 1), False)],
)  # fmt: skip
def test_which_addresses_overlap(one, other, they_do):
    assert overlap(one, other) is overlap(other, one) is they_do


@pytest.mark.parametrize(("key", "port"), [("query", 3400), ("metrics", 9341)])
def test_it_needs_a_port_of_its_own(read, key, port):
    text = f"{key}: {{listen: '127.0.0.1:{port}'}}\nweb: {{listen: '127.0.0.1:{port}'}}"
    with pytest.raises(ConfigError, match=rf"web.listen: must be another port than {key}.listen \(127.0.0.1:{port}\)"):
        read(text)
