"""The metrics of a real node, read by a parser that is not ours, and held against its status."""

import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.query.finding_kinds import FINDING_KINDS
from discoveryd.query.seed_status import SEED_STATES
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.metrics import CONTENT_TYPE, Metrics
from tests.query.sites_status import SITES

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
WAIT = 5.0
LONG = {"interval": 300.0, "ttl": 3600.0}
"""Nothing happens by itself once the greetings are over."""


@pytest.fixture
def pair():
    """Two nodes that know each other, one of them with all its sockets."""
    port = free_port("127.0.0.1", "udp")
    with ExitStack() as stack:
        bert = Discovery(Parameters(port=port, loopback="127.0.0.3", **LONG), name="bert", node_id="bert")
        anna = Discovery(
            Parameters(port=port, loopback="127.0.0.2", **LONG), name="anna", node_id="anna",
            query=("127.0.0.2", 0), metrics=("127.0.0.2", 0),
        )  # fmt: skip
        told = anna.subscribe()
        for one in (anna, bert):
            stack.enter_context(one)
        assert told.get(timeout=WAIT).kind == "joined"
        anna.ping("bert", count=2)
        assert anna.doctor("bert")["asked"][0]["answered"]
        anna.ask("echo", "once", everyone=True)
        yield anna


def steady(status):
    """Give a status without what time alone changes."""
    links = [{**link, "up_s": 0, "last_heard_s": 0, "last_echo_s": 0} for link in status["links"]]
    return {**status, "uptime_s": 0, "links": links, "loss": 0}


def samples(text):
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def at_one_moment(discovery):
    """Give status and metrics between which nothing happened."""
    deadline = monotonic() + WAIT
    with QueryClient(discovery.query_address) as client:
        while monotonic() < deadline:
            before, reply, after = (client.request(op) for op in ("status", "metrics", "status"))
            if steady(before) == steady(after):
                return before, reply
    raise AssertionError("it is never quiet")


def test_a_real_parser_reads_what_status_says(pair):
    status, reply = at_one_moment(pair)
    found = samples(reply["text"])
    expected = {
        ("discoveryd_build_info", sys.version.split()[0], status["version"]): 1,
        ("discoveryd_engine_seconds_total",): status["engine_s"],
        ("discoveryd_isolated",): 0,
        ("discoveryd_links",): 1,
        ("discoveryd_hello_interval_seconds",): 300.0,
        ("discoveryd_clones",): 0,
        ("discoveryd_shared_addresses",): 0,
        ("discoveryd_table_rows",): status["table"]["rows"],
        ("discoveryd_table_rows_limit",): 4096,
        ("discoveryd_table_routed",): 0,
        ("discoveryd_table_routed_limit",): 1024,
        ("discoveryd_hellos_sent_total",): status["sent"]["hello"],
        ("discoveryd_hellos_received_total", "node"): status["received"]["hello"],
        ("discoveryd_hellos_received_total", "bare"): 0,
        ("discoveryd_probes_sent_total", "ping"): status["sent"]["ping"],
        ("discoveryd_probes_sent_total", "pong"): status["sent"]["pong"],
        ("discoveryd_inquiries_sent_total", "why"): status["sent"]["why"],
        ("discoveryd_inquiries_sent_total", "say"): status["sent"]["say"],
        ("discoveryd_inquiries_received_total", "why"): status["received"]["why"],
        ("discoveryd_inquiries_received_total", "say"): status["received"]["say"],
        ("discoveryd_probes_received_total", "ping"): status["received"]["ping"],
        ("discoveryd_probes_received_total", "pong"): status["received"]["pong"],
        ("discoveryd_withheld_total",): 0,
        ("discoveryd_wills_received_total",): 0,
        ("discoveryd_last_will_datagrams",): 0,
        ("discoveryd_link_hellos_sent_total", "127.0.0.2", "lo"): status["links"][0]["sent"],
        ("discoveryd_link_messages_received_total", "127.0.0.2", "lo"): status["links"][0]["received"],
        ("discoveryd_link_hellos_echoed_total", "127.0.0.2", "lo"): status["links"][0]["echoed"],
        ("discoveryd_link_limited", "127.0.0.2", "lo"): 0,
        **{("discoveryd_finding", code): 0 for code in FINDING_KINDS},
        ("discoveryd_messages_sent_total",): 1,
        ("discoveryd_messages_pending",): 0,
        ("discoveryd_messages_received_total",): 0,
        ("discoveryd_messages_repeated_total",): 0,
        ("discoveryd_messages_running",): 0,
        ("discoveryd_messages_handled_total",): 0,
        ("discoveryd_message_datagrams_sent_total",): status["messages"]["datagrams"]["sent"],
        ("discoveryd_message_datagrams_received_total",): status["messages"]["datagrams"]["received"],
        ("discoveryd_message_watchers",): 0,
        ("discoveryd_query_connections",): 1,
        ("discoveryd_query_connections_limit",): 64,
        ("discoveryd_query_watchers",): 0,
        ("discoveryd_query_refused_total",): 0,
        ("discoveryd_query_denied_total",): 0,
        ("discoveryd_query_registrations",): 0,
        ("discoveryd_receive_buffer_bytes",): status["receive_buffer"]["bytes"],
        ("discoveryd_receive_buffer_wanted_bytes",): status["receive_buffer"]["wanted"],
        ("discoveryd_quiet_socket",): 0,
        ("discoveryd_http_requests_total",): 0,
        ("discoveryd_http_refused_total",): 0,
        ("discoveryd_probe_rtt_seconds_count",): status["rtt_s"]["count"],
        ("discoveryd_probe_rtt_seconds_sum",): status["rtt_s"]["sum"],
        ("discoveryd_probe_rtt_seconds_bucket", "+Inf"): status["rtt_s"]["count"],
        ("discoveryd_peer_loss_ratio_gcount",): status["loss"]["count"],
        ("discoveryd_peer_loss_ratio_gsum",): status["loss"]["sum"],
        ("discoveryd_peer_loss_ratio_bucket", "+Inf"): status["loss"]["count"],
    }
    expected |= {("discoveryd_peers", state): count for state, count in status["peers"].items()}
    expected |= {("discoveryd_family_spoken", "ipv4"): 1}
    routed = ("routed_peers", "routed_former_peers", "routed_candidates", "introduced_total", "introduced_met_total", "introduced_refused_total")
    expected |= {(f"discoveryd_{name}",): 0 for name in routed}
    expected |= {("discoveryd_seeds", state): 0 for state in SEED_STATES}
    expected |= {("discoveryd_events_total", kind): count for kind, count in status["events"].items()}
    expected |= {("discoveryd_drops_total", drop["link"], drop["reason"]): drop["count"] for drop in status["drops"]}
    ours, theirs = status["messages"]["outgoing"], status["messages"]["incoming"]
    expected |= {("discoveryd_message_deliveries_total", one["status"]): one["count"] for one in ours["ended"]}
    expected |= {("discoveryd_message_refusals_total", one["reason"]): one["count"] for one in ours["refused"]}
    expected |= {("discoveryd_messages_refused_total", one["reason"]): one["count"] for one in theirs["refused"]}
    for name, key in (("probe_rtt_seconds", "rtt_s"), ("peer_loss_ratio", "loss")):
        buckets = {bucket["le"]: bucket["count"] for bucket in status[key]["buckets"]}
        expected |= {(f"discoveryd_{name}_bucket", str(bound)): count for bound, count in buckets.items()}
    uptime = found.pop(("discoveryd_uptime_seconds",))
    assert status["uptime_s"] <= uptime <= status["uptime_s"] + WAIT
    ours = {key: value for key, value in found.items() if key[0].startswith("discoveryd_")}
    assert {key: value for key, value in ours.items() if key not in expected and not key[0].endswith("_created")} == {}
    assert ours == expected
    assert status["sent"]["why"] == status["received"]["say"] == 1
    assert status["rtt_s"]["count"] == status["received"]["pong"] >= 2
    assert status["drops"]
    assert status["engine_s"] > 0
    assert found["process_open_fds",] > 3


def test_the_reply_has_each_sample_as_json_too(pair):
    _, reply = at_one_moment(pair)
    assert reply["content_type"] == CONTENT_TYPE
    [up] = [one for one in reply["metrics"] if one["name"] == "discoveryd_peers" and one["labels"] == {"state": "up"}]
    assert up["value"] == 1
    assert len(reply["metrics"]) == len(samples(reply["text"]))


def page(discovery, path, **headers):
    host, port = discovery.metrics_address
    with urlopen(Request(f"http://{host}:{port}{path}", headers=headers), timeout=WAIT) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_over_http(pair):
    kind, text = page(pair, "/metrics")
    assert kind.startswith("text/plain; version=0.0.4")
    found = samples(text)
    assert found["discoveryd_peers", "up"] == 1
    assert found["discoveryd_http_requests_total",] == 1  # this one
    assert set(samples(page(pair, "/metrics?name[]=discoveryd_peers")[1])) == {
        ("discoveryd_peers", state) for state in ("up", "suspect", "down", "left")
    }
    for path in ("/", "/metrics/../etc"):
        with pytest.raises(HTTPError, match="404") as caught:
            page(pair, path)
        with caught.value as answer:
            assert b"there are /metrics" in answer.read()
    assert pair.status()["metrics"] == {"requests": 4, "refused": 0, "error": None, "next_try_s": None}


@pytest.mark.parametrize(("path", "status"), [("/metrics", "200 OK"), ("/", "404 Not Found"), ("/other", "404 Not Found")])
def test_head_is_answered_as_get_without_the_body(pair, path, status):
    with socket.create_connection(pair.metrics_address, timeout=WAIT) as client:
        client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        with client.makefile("rb") as lines:
            head, _, body = lines.read().decode().partition("\r\n\r\n")
    assert head.splitlines()[0].endswith(status)
    (length,) = re.findall(r"^content-length: (\d+)", head, re.MULTILINE | re.IGNORECASE)
    assert int(length) > 0
    assert body == ""


def test_over_http_as_prometheus_prefers_it(pair):
    kind, text = page(pair, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    types = {family.name: family.type for family in read_openmetrics(text)}
    assert types["discoveryd_peer_loss_ratio"] == "gaugehistogram"
    assert types["discoveryd_hellos_sent"] == "counter"


STATUS = {
    "version": "1", "uptime_s": 1.0, "engine_s": 0.5, "isolated": True, "links": [], "receive_buffer": {"bytes": 7, "wanted": 8, "quiet": True}, "hello": {"interval_s": 1.0},
    "peers": {"up": 1}, "clones": ["a", "b"], "shared_addresses": [{}] * 3, "table": {"rows": 1, "limit": 2, "routed": 0, "routed_limit": 1}, "events": {"joined": 1},
    "rtt_s": {"count": 0, "sum": 0.0, "buckets": []}, "loss": {"count": 0, "sum": 0.0, "buckets": []},
    "security": {"withheld": 0}, "seeds": [], "families": [],
    "routed": dict.fromkeys(("peers", "former", "candidates", "named", "met", "refused"), 0),
    "sent": {"hello": 1, "ping": 2, "pong": 3, "why": 4, "say": 5},
    "received": {"hello": 4, "bare": 5, "ping": 6, "pong": 7, "will": 3, "why": 8, "say": 9},
    "last_will": {"witness": "watching", "datagrams": 3},
    "findings": [{"code": "no-link"}], "drops": [{"reason": "odd", "link": 'a"b\\c\nd', "count": 9}],
    "messages": {
        "outgoing": {"sent": 1, "pending": 1, "ended": [{"status": "acked", "count": 1}], "refused": []},
        "incoming": {"received": 1, "repeated": 1, "running": 1, "handled": 1, "refused": [{"reason": "busy", "count": 3}]},
        "datagrams": {"sent": 1, "received": 1}, "handlers": ["deploy"], "watchers": 1,
        "programs": [{"name": "disk", "why": None, "taken": 1, "run": 5, "failed": 2, "timeout": 1}],
    },
    "query": {"connections": 1, "limit": 2, "watchers": 3, "refused": 4}, "metrics": {"requests": 5, "refused": 6},
}  # fmt: skip


def test_what_only_some_daemons_count_is_there_when_they_do():
    plain = samples(Metrics(lambda: STATUS).read()["text"])
    assert not [key for key in plain if "hook" in key[0] or "denied" in key[0]]
    more = {**STATUS, "hooks": {"run": 7, "running": 1}, "query": {**STATUS["query"], "denied": 8, "registrations": 3}}
    found = samples(Metrics(lambda: more).read()["text"])
    assert {key: found[key] for key in set(found) - set(plain)} == {
        ("discoveryd_hook_runs_total",): 7, ("discoveryd_hooks_running",): 1, ("discoveryd_query_denied_total",): 8,
        ("discoveryd_query_registrations",): 3,
    }  # fmt: skip


def test_the_page_for_people_has_every_family_and_no_other():
    keys = ("hooks", "refused", "running", "waiting", "run", "failed", "timeout", "coalesced", "dropped", "lost", "unlogged")
    log = {"unlogged": 1}
    past = dict.fromkeys(("nodes", "stays", "bytes", "written", "lost", "errors", "replaced"), 1)
    kept = {"path": "/x", "writes": 1, "error": None, "failures": 0}
    web = dict.fromkeys(("connections", "limit", "streams", "streams_limit", "requests", "refused", "denied"), 1)
    counted = ("names", "site_names", "left_out", "truncated", "limited", "ignored", "connections", "refused")
    dns = {**dict.fromkeys(counted, 1), "questions": {"udp": 1}, "answers": {"NOERROR": 1}}
    whole = {**STATUS, "web": web, "dns": dns, "sites": SITES, "exports": [kept], "peer_log": log, "history": past, "grace": {"waiting": 1, "maintenance": []}, "hooks": dict.fromkeys(keys, 1), "query": {**STATUS["query"], "denied": 8, "registrations": 0}}
    text = Metrics(lambda: whole).read()["text"]
    told = dict(re.findall(r"^\| `(discoveryd_\w+)` \| ([\w ]+) \|", DOCS.read_text(), re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (discoveryd_\w+) (\w+)$", text, re.MULTILINE))
    assert types.pop("discoveryd_peer_loss_ratio_gsum") == types.pop("discoveryd_peer_loss_ratio_gcount") == "gauge"
    assert {name: kind.removeprefix("gauge ") for name, kind in told.items()} == types


def test_names_are_as_prometheus_wants_them():
    """What ``promtool check metrics`` looks at, as far as it can be seen in names."""
    for family in Metrics(lambda: STATUS).collect():
        assert re.fullmatch(r"discoveryd(_[a-z]+)+", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert family.type in ("counter", "gauge", "histogram", "gaugehistogram", "info")
        assert not re.search(r"milli|micro|minutes|percent|_(gauge|counter|histogram)", family.name)
        assert family.documentation.endswith(".")


def test_flags_counts_and_odd_names_come_through():
    found = samples(Metrics(lambda: STATUS).read()["text"])
    assert (found["discoveryd_isolated",], found["discoveryd_clones",]) == (1, 2)
    assert found["discoveryd_shared_addresses",] == 3
    assert (found["discoveryd_finding", "no-link"], found["discoveryd_finding", "clone"]) == (1, 0)
    assert found["discoveryd_drops_total", 'a"b\\c\nd', "odd"] == 9


def test_a_taken_metrics_port_is_told_and_start_goes_on(pair):
    port, told = free_port("127.0.0.1", "udp"), SimpleQueue()
    late = Discovery(Parameters(port=port, loopback="127.0.0.4"), metrics=pair.metrics_address, notify=told.put)
    with late:
        assert "is taken by" in late.status()["metrics"]["error"]
    notices = [told.get_nowait() for _ in range(told.qsize())]
    assert [one.level for one in notices if one.text == "the metrics are not served over HTTP"] == ["warning"]


NEVER_ASKED = """
import sys
import discoveryd.daemon
from discoveryd import Discovery, Parameters
with Discovery(Parameters(port={port}, loopback="127.0.0.2"), query=("127.0.0.2", 0), metrics={metrics}) as it:
    it.status()
    print([name for name in sys.modules if name in {dear}])
"""


@pytest.mark.parametrize(
    ("metrics", "dear"),
    [(None, ["prometheus_client", "wsgiref", "http", "asyncio", "starlette", "uvicorn"]), (("127.0.0.2", 0), ["prometheus_client"])],
)
def test_who_asks_for_no_metrics_does_not_pay_for_them(metrics, dear):
    code = NEVER_ASKED.format(port=free_port("127.0.0.1", "udp"), metrics=metrics, dear=dear)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (found.stdout, found.stderr) == ("[]\n", "")
