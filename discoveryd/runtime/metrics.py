"""The metrics: ``status`` in the words of Prometheus (docs/metrics.md).

Every value is read off one `Discovery.status`, so the two cannot differ. Imported with the first request
for metrics: the library costs 30 ms and 4 MB, which a daemon that nobody scrapes does not pay.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text that `Metrics.read` gives; over HTTP the library offers OpenMetrics too."""

_HOOKS = (
    ("hooks", "discoveryd_hooks", "Hooks that are run."),
    ("refused", "discoveryd_hooks_refused", "Hooks that are not run, because of what they are."),
    ("running", "discoveryd_hooks_running", "Hooks running now."),
    ("waiting", "discoveryd_hook_events_waiting", "Events that wait for a hook."),
    ("run", "discoveryd_hook_runs_total", "Runs of hooks that ended."),
    ("failed", "discoveryd_hook_failures_total", "Runs that ended with another exit code than 0, or never began."),
    ("timeout", "discoveryd_hook_timeouts_total", "Runs cut off because they took too long."),
    ("coalesced", "discoveryd_hook_events_coalesced_total", "Events that gave way to a newer one of the same peer."),
    ("dropped", "discoveryd_hook_events_dropped_total", "Events dropped because too many waited."),
    ("lost", "discoveryd_hook_events_lost_total", "Events that never came to the hooks, which were too slow."),
    ("unlogged", "discoveryd_hook_lines_unlogged_total", "Lines of hooks not logged, because they were too many."),
)
"""What ``status`` may say of hooks, and what it is here."""

Status = Mapping[str, Any]


class Metrics(Collector):
    """The families, made anew from each status.

    Args:
        status: gives what ``discoveryctl status --json`` shows; called for each scrape.
    """

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._registry = CollectorRegistry(auto_describe=True)  # so that ?name[]= finds ours
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._page = make_wsgi_app(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give our families."""
        status = self._status()
        for part in (_itself, _peers, _traffic, _query, _hooks):
            yield from part(status)

    def read(self) -> dict[str, Any]:
        """Give all families as text, and their samples one by one, of one moment."""
        found = list(self._registry.collect())
        return {
            "content_type": CONTENT_TYPE,
            "text": generate_latest(_Collected(found)).decode(),
            "metrics": [
                {"name": sample.name, "labels": sample.labels, "value": sample.value}
                for family in found
                for sample in family.samples
            ],
        }

    def answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request, as WSGI has it; HEAD as GET, without the body."""
        if environ["REQUEST_METHOD"] == "HEAD":
            return self._head(environ, start_response)
        if environ["PATH_INFO"] == "/metrics":
            page: Iterable[bytes] = self._page(environ, start_response)
            return page
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"discoveryd: its metrics are at /metrics\n"]

    def _head(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        told: list[Any] = []
        keep = cast("StartResponse", lambda *given: told.extend(given))
        body = b"".join(self.answer({**environ, "REQUEST_METHOD": "GET"}, keep))
        status, headers = told[:2]
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return []


class _Collected(Collector):
    """Families that were collected before."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, labels: list[str], samples: Iterable[tuple[list[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counters(name: str, text: str, labels: list[str], samples: Iterable[tuple[list[str], float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _buckets(histogram: Status) -> list[tuple[str, float]]:
    below = [(str(bucket["le"]), float(bucket["count"])) for bucket in histogram["buckets"]]
    return [*below, ("+Inf", float(histogram["count"]))]


def _itself(status: Status) -> Iterator[Metric]:
    build = {"version": status["version"], "python": platform.python_version()}
    yield InfoMetricFamily("discoveryd_build", "The version that runs.", value=build)
    yield _gauge("discoveryd_uptime_seconds", "Time since the start.", status["uptime_s"])
    yield _counter("discoveryd_engine_seconds_total", "Time spent in the engine.", status["engine_s"])
    yield _gauge("discoveryd_isolated", "Whether it is rather we who are cut off (1) or not (0).", status["isolated"])
    yield _gauge("discoveryd_links", "Links in use.", len(status["links"]))
    buffer = status["receive_buffer"]
    yield _gauge("discoveryd_receive_buffer_bytes", "Room for what was received and not read yet.", buffer["bytes"])
    yield _gauge("discoveryd_receive_buffer_wanted_bytes", "The room that was asked for.", buffer["wanted"])
    yield _gauge("discoveryd_hello_interval_seconds", "HELLO interval in force.", status["hello"]["interval_s"])


def _peers(status: Status) -> Iterator[Metric]:
    yield _gauges("discoveryd_peers", "Peers by state.", ["state"],
                  (([state], count) for state, count in status["peers"].items()))  # fmt: skip
    yield _gauge("discoveryd_clones", "Node ids that more than one running node has.", len(status["clones"]))
    yield _gauge("discoveryd_shared_addresses", "Addresses that several live nodes have, at most 16 are counted.",
                 len(status["shared_addresses"]))  # fmt: skip
    yield _gauge("discoveryd_table_rows", "Rows in the table, of peers there are and were.", status["table"]["rows"])
    yield _gauge("discoveryd_table_rows_limit", "Most rows the table may have.", status["table"]["limit"])
    yield _gauge("discoveryd_table_routed", "Live peers first heard from beyond the links.", status["table"]["routed"])
    yield _gauge("discoveryd_table_routed_limit", "Most of them that are plain and no seeds.",
                 status["table"]["routed_limit"])  # fmt: skip
    yield _counters("discoveryd_events_total", "Events by kind.", ["kind"],
                    (([kind], count) for kind, count in status["events"].items()))  # fmt: skip
    rtt, loss = status["rtt_s"], status["loss"]
    yield HistogramMetricFamily("discoveryd_probe_rtt_seconds", "Time from PING to PONG.", _buckets(rtt), rtt["sum"])
    yield GaugeHistogramMetricFamily(
        "discoveryd_peer_loss_ratio", "Share of HELLOs lost, over the live peers now.", _buckets(loss), loss["sum"]
    )


def _traffic(status: Status) -> Iterator[Metric]:
    sent, received = status["sent"], status["received"]
    yield _counter("discoveryd_hellos_sent_total", "HELLOs sent, on all links and to seeds.", sent["hello"])
    yield _counters("discoveryd_hellos_received_total", "HELLOs understood, by kind of sender.", ["kind"],
                    [(["node"], received["hello"]), (["bare"], received["bare"])])  # fmt: skip
    yield _counters("discoveryd_probes_sent_total", "PINGs, and PONGs that answer those of others, sent.", ["kind"],
                    (([kind], sent[kind]) for kind in ("ping", "pong")))  # fmt: skip
    yield _counters("discoveryd_probes_received_total", "PINGs, and PONGs that answer ours, received.", ["kind"],
                    (([kind], received[kind]) for kind in ("ping", "pong")))  # fmt: skip
    yield _counter("discoveryd_withheld_total", "Datagrams not sent to addresses that have not proved to be there.",
                   status["security"]["withheld"])  # fmt: skip
    links = [([link["name"], link["address"]], link) for link in status["links"]]
    yield _counters("discoveryd_link_hellos_sent_total", "HELLOs broadcast on a link since it came.",
                    ["link", "address"], ((labels, link["sent"]) for labels, link in links))  # fmt: skip
    yield _counters("discoveryd_link_messages_received_total", "Messages understood on a link since it came.",
                    ["link", "address"], ((labels, link["received"]) for labels, link in links))  # fmt: skip
    yield _gauges("discoveryd_link_limited", "Whether every HELLO of a link goes to 255.255.255.255 (1) or not (0).",
                  ["link", "address"], ((labels, link["limited"]) for labels, link in links))  # fmt: skip
    yield _counters("discoveryd_drops_total", "Datagrams dropped, or not sent, by reason and link.",
                    ["reason", "link"], (([drop["reason"], drop["link"]], drop["count"]) for drop in status["drops"]),
                    )  # fmt: skip


def _query(status: Status) -> Iterator[Metric]:
    query, metrics = status["query"], status["metrics"]
    yield _gauge("discoveryd_query_connections", "Open query connections.", query["connections"])
    yield _gauge("discoveryd_query_connections_limit", "Most query connections.", query["limit"])
    yield _gauge("discoveryd_query_watchers", "Query connections that watch.", query["watchers"])
    yield _counter("discoveryd_query_refused_total", "Query connections refused or sent away.", query["refused"])
    if "denied" in query:
        yield _counter("discoveryd_query_denied_total", "Control requests without the token.", query["denied"])
    if "registrations" in query:
        yield _gauge("discoveryd_query_registrations", "Services that programs registered.", query["registrations"])
    yield _counter("discoveryd_http_requests_total", "HTTP requests answered.", metrics["requests"])
    yield _counter("discoveryd_http_refused_total", "HTTP clients cut off: too slow, or no HTTP.", metrics["refused"])


def _hooks(status: Status) -> Iterator[Metric]:
    if "peer_log" in status:
        text = "Events of peers not logged, because peers that answer no PING were too many."
        yield _counter("discoveryd_events_unlogged_total", text, status["peer_log"]["unlogged"])
    counts = status.get("hooks", {})
    for key, name, text in _HOOKS:
        if key in counts:
            yield (_counter if name.endswith("_total") else _gauge)(name, text, counts[key])
