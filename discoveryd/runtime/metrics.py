"""The metrics: ``status`` in the words of Prometheus (docs/metrics.md).

Every value is read off one `Discovery.status`, so the two cannot differ. Imported with the first request
for metrics: the library costs 30 ms and 4 MB, which a daemon without a reader does not pay.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, core, generate_latest, make_wsgi_app
from prometheus_client.registry import Collector

from discoveryd.query.finding_kinds import FINDING_KINDS
from discoveryd.query.seed_status import SEED_STATES

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text of `Metrics.read`; over HTTP the library offers OpenMetrics too."""

Status = Mapping[str, Any]
_Sample = tuple[tuple[str, ...], float]

_NUMBERS = (
    ("uptime_seconds", "uptime_s", "Time since the start."),
    ("engine_seconds_total", "engine_s", "Time spent in the engine."),
    ("isolated", "isolated", "Whether this node is more likely cut off (1) than all others are down (0)."),
    ("links", "links", "Links in use."),
    ("receive_buffer_bytes", "receive_buffer.bytes", "Room for what was received and not read yet."),
    ("receive_buffer_wanted_bytes", "receive_buffer.wanted", "The room that was asked for."),
    ("quiet_socket", "receive_buffer.quiet", "Whether quiet HELLOs have a socket of their own, and wake nobody (1)."),
    ("hello_interval_seconds", "hello.interval_s", "HELLO interval in force."),
    ("clones", "clones", "Node ids that more than one running node has."),
    ("shared_addresses", "shared_addresses", "Addresses that several live nodes have, at most 16 are counted."),
    ("table_rows", "table.rows", "Rows in the table, of peers there are and were."),
    ("table_rows_limit", "table.limit", "Most rows the table may have."),
    ("table_routed", "table.routed", "Live peers first heard from beyond the links."),
    ("table_routed_limit", "table.routed_limit", "Most of them that are plain and no seeds."),
    ("routed_peers", "routed.peers", "Live peers beyond the links that get each HELLO."),
    ("routed_former_peers", "routed.former", "Former peers there that are greeted now and then."),
    ("routed_candidates", "routed.candidates", "Nodes that peers named, or that knocked, and that have not answered."),
    ("introduced_total", "routed.named", "Nodes that peers named to this one."),
    ("introduced_met_total", "routed.met", "Of them, and of those that knocked, those that answered."),
    ("introduced_refused_total", "routed.refused", "Nodes that were named and not asked, because they were too many."),
    ("hellos_sent_total", "sent.hello", "HELLOs sent, on all links and to seeds."),
    ("wills_received_total", "received.will", "Last wills of others received and understood."),
    ("last_will_datagrams", "last_will.datagrams", "Datagrams that others will get when this process dies."),
    ("withheld_total", "security.withheld", "Datagrams not sent to addresses that have not proved to be there."),
    ("messages_sent_total", "messages.outgoing.sent", "Messages of this node."),
    ("messages_pending", "messages.outgoing.pending", "Messages of this node that are under way."),
    ("messages_received_total", "messages.incoming.received", "Messages of others that were taken."),
    ("messages_repeated_total", "messages.incoming.repeated", "Messages that came once more, and were not handled."),
    ("messages_running", "messages.incoming.running", "Messages with a handler that has not ended."),
    ("messages_handled_total", "messages.incoming.handled", "Messages with a handler that ended well."),
    ("message_datagrams_sent_total", "messages.datagrams.sent", "Datagrams of messages and acknowledgements sent."),
    ("message_datagrams_received_total", "messages.datagrams.received", "The same, received and understood."),
    ("message_watchers", "messages.watchers", "Programs that are passed on messages."),
    ("query_connections", "query.connections", "Open query connections."),
    ("query_connections_limit", "query.limit", "Most query connections."),
    ("query_watchers", "query.watchers", "Query connections that watch."),
    ("query_refused_total", "query.refused", "Query connections refused or sent away."),
    ("query_denied_total", "query.denied", "Control requests without the token."),
    ("query_registrations", "query.registrations", "Services that programs registered."),
    ("http_requests_total", "metrics.requests", "HTTP requests answered."),
    ("http_refused_total", "metrics.refused", "HTTP clients cut off: too slow, or no HTTP."),
    ("web_connections", "web.connections", "Connections to the web."),
    ("web_connections_limit", "web.limit", "Most connections to the web."),
    ("web_streams", "web.streams", "Streams of events over HTTP."),
    ("web_streams_limit", "web.streams_limit", "Most streams of events."),
    ("web_requests_total", "web.requests", "Requests to the web answered."),
    ("web_refused_total", "web.refused",
     "Requests to the web refused, and clients cut off: of another site or name, too slow, too many, no HTTP."),
    ("web_denied_total", "web.denied", "Requests to the web without the token."),
    ("events_unlogged_total", "peer_log.unlogged",
     "Events of peers not logged, because peers that answer no PING were too many."),
    ("history_peers", "history.nodes", "Peers that the history remembers."),
    ("history_stays", "history.stays", "Times of a peer being up that the history has."),
    ("history_bytes", "history.bytes", "Size of the file of the history."),
    ("history_notes_written_total", "history.written", "Changes of peers written to the history."),
    ("history_notes_lost_total", "history.lost", "Changes of peers that the history could not take or write."),
    ("history_errors_total", "history.errors", "Attempts to write the history that failed."),
    ("history_replaced_total", "history.replaced", "Files of the history that were broken, and set aside."),
    ("dns_names", "dns.names", "Names of peers that DNS answers."),
    ("dns_site_names", "dns.site_names", "Names of peers of other sites that DNS answers."),
    ("dns_names_left_out", "dns.left_out", "Services and tags of peers that can have no name, or no text, in DNS."),
    ("dns_truncated_total", "dns.truncated", "Questions by UDP that were told to come by TCP."),
    ("dns_limited_total", "dns.limited", "Questions past the bound of their source."),
    ("dns_ignored_total", "dns.ignored", "Messages at the port of DNS that were no question."),
    ("dns_connections", "dns.connections", "Connections of DNS by TCP."),
    ("dns_refused_total", "dns.refused", "Such connections that had to make room, or were closed as too long."),
    ("grace_waiting", "grace.waiting", "Peers that are away without that being told yet."),
    ("grace_maintenance", "grace.maintenance", "Peers under maintenance."),
    ("site_rows", "sites.rows", "Peers of other sites that are kept."),
    ("site_rows_limit", "sites.limit", "Most of them."),
    ("site_talk_sent_total", "sites.messages.sent", "Messages to peers of other sites."),
    ("site_talk_failed_total", "sites.messages.failed", "Those that did not do what was asked."),
    ("site_talk_received_total", "sites.messages.received", "Messages of nodes of other sites to nodes of this one."),
    ("site_talk_denied_total", "sites.messages.denied", "Those that sites.allow refused."),
    ("nats_connected", "sites.connection.connected", "Whether a NATS server is connected (1) or not (0)."),
    ("nats_sessions_total", "sites.connection.sessions", "Sessions with a NATS server that began."),
    ("nats_failures_total", "sites.connection.failures", "Sessions that did not begin, or were lost."),
    ("nats_messages_sent_total", "sites.connection.sent", "Messages given to a NATS server."),
    ("nats_messages_received_total", "sites.connection.received", "Messages that came from a NATS server."),
    ("nats_messages_unsent_total", "sites.connection.unsent", "Messages dropped for want of a connection."),
    ("site_snapshots_total", "sites.snapshots", "Sets of peers of other sites that were taken over whole."),
    ("hooks", "hooks.hooks", "Hooks that are run."),
    ("hooks_refused", "hooks.refused", "Hooks that are not run, because of what they are."),
    ("hooks_running", "hooks.running", "Hooks running now."),
    ("hook_events_waiting", "hooks.waiting", "Events that wait for a hook."),
    ("hook_runs_total", "hooks.run", "Runs of hooks that ended."),
    ("hook_failures_total", "hooks.failed", "Runs that ended with another exit code than 0, or never began."),
    ("hook_timeouts_total", "hooks.timeout", "Runs cut off because they took too long."),
    ("hook_events_coalesced_total", "hooks.coalesced", "Events that gave way to a newer one of the same peer."),
    ("hook_events_dropped_total", "hooks.dropped", "Events dropped because too many waited."),
    ("hook_events_lost_total", "hooks.lost", "Events that never came to the hooks, which were too slow."),
    ("hook_lines_unlogged_total", "hooks.unlogged", "Lines of hooks not logged, because they were too many."),
)  # fmt: skip
"""Numbers of ``status``: the family without ``discoveryd_``, the keys that lead to it, its text. Of a list it is the
length; what a daemon does not report has no family."""

_SERIES: tuple[tuple[str, tuple[str, ...], str, Callable[[Status], Iterable[_Sample]]], ...] = (
    ("peers", ("state",), "Peers by state.", lambda status: _by_key(status["peers"])),
    ("events_total", ("kind",), "Events by kind.", lambda status: _by_key(status["events"])),
    ("hellos_received_total", ("kind",), "HELLOs understood, by kind of sender.",
     lambda status: [(("node",), status["received"]["hello"]), (("bare",), status["received"]["bare"])]),
    ("probes_sent_total", ("kind",), "PINGs, and PONGs that answer those of others, sent.",
     lambda status: _by_key(status["sent"], "ping", "pong")),
    ("probes_received_total", ("kind",), "PINGs, and PONGs that answer ours, received.",
     lambda status: _by_key(status["received"], "ping", "pong")),
    ("inquiries_sent_total", ("kind",), "Questions why a node is not heard, and answers to those of others, sent.",
     lambda status: _by_key(status["sent"], "why", "say")),
    ("inquiries_received_total", ("kind",), "Such questions of others, and answers to ours, received.",
     lambda status: _by_key(status["received"], "why", "say")),
    ("link_hellos_sent_total", ("link", "address"), "HELLOs broadcast on a link since it came.",
     lambda status: _by_link(status, "sent")),
    ("link_messages_received_total", ("link", "address"), "Messages understood on a link since it came.",
     lambda status: _by_link(status, "received")),
    ("link_hellos_echoed_total", ("link", "address"), "Own HELLOs that came back on a link since it came.",
     lambda status: _by_link(status, "echoed")),
    ("link_limited", ("link", "address"), "Whether every HELLO of a link goes to 255.255.255.255 (1) or not (0).",
     lambda status: _by_link(status, "limited")),
    ("family_spoken", ("family",), "Whether a family of hello.families has its sockets (1) or not (0).",
     lambda status: [((one["family"],), not one["error"]) for one in status["families"]]),
    ("seeds", ("state",), "Seeds by state.",
     lambda status: [((state,), sum(one["state"] == state for one in status["seeds"])) for state in SEED_STATES]),
    ("message_deliveries_total", ("status",), "Ends of our messages at their receivers.",
     lambda status: _by(status["messages"]["outgoing"]["ended"], "status")),
    ("message_refusals_total", ("reason",), "Refusals of our messages by others.",
     lambda status: _by(status["messages"]["outgoing"]["refused"], "reason")),
    ("messages_refused_total", ("reason",), "Messages of others that were refused here, or failed.",
     lambda status: _by(status["messages"]["incoming"]["refused"], "reason")),
    ("message_program_runs_total", ("program",), "Runs of programs of messages.d that ended.",
     lambda status: _by(status["messages"]["programs"], "name", "run")),
    ("message_program_failures_total", ("program",), "Of these runs those that failed, or took too long.",
     lambda status: [((one["name"],), one["failed"] + one["timeout"]) for one in status["messages"]["programs"]]),
    ("dns_questions_total", ("transport",), "Questions of DNS.",
     lambda status: _by_key(status.get("dns", {}).get("questions", {}))),
    ("dns_answers_total", ("code",), "Answers of DNS, by their code.",
     lambda status: _by_key(status.get("dns", {}).get("answers", {}))),
    ("export_writes_total", ("path",), "Changes of a file of peers.",
     lambda status: _by(status.get("exports", ()), "path", "writes")),
    ("export_failing", ("path",), "Whether a file of peers cannot be written (1) or not (0).",
     lambda status: [((one["path"],), int(one["error"] is not None)) for one in status.get("exports", ())]),
    ("export_command_failures_total", ("path",), "Runs of the command of a file of peers that failed.",
     lambda status: _by(status.get("exports", ()), "path", "failures")),
    ("site_reachable", ("site",), "Whether another site is reachable (1) or not (0).",
     lambda status: [((one["name"],), int(one["state"] == "reachable")) for one in _sites(status, "sites")]),
    ("site_peers", ("site",), "Peers of another site.",
     lambda status: _by(_sites(status, "sites"), "name", "peers")),
    ("site_messages_dropped_total", ("reason",), "Messages of other sites that were refused.",
     lambda status: _by(_sites(status, "dropped"), "reason")),
    ("finding", ("code",), "Whether something of that kind looks wrong (1) or not (0).",
     lambda status: [((code,), int(code in _codes(status))) for code in FINDING_KINDS]),
    ("drops_total", ("reason", "link"), "Datagrams dropped, or not sent, by reason and link.",
     lambda status: [((drop["reason"], drop["link"]), drop["count"]) for drop in status["drops"]]),
)  # fmt: skip
"""Families with labels: the family, the labels, its text, and the values of the labels with the number of each."""


class Metrics(Collector):
    """The families, made anew from each status.

    Args:
        status: returns what ``discoveryctl status --json`` shows; called for each scrape.
    """

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._registry = CollectorRegistry(auto_describe=True)  # so that ?name[]= finds ours
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._page: WSGIApplication = make_wsgi_app(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield our families."""
        status = self._status()
        build = {"version": status["version"], "python": platform.python_version()}
        yield core.InfoMetricFamily("discoveryd_build", "The version that runs.", value=build)
        for name, keys, text in _NUMBERS:
            value = _at(status, keys)
            if value is not None:
                yield _family(name, text, (), [((), len(value) if isinstance(value, list) else value)])
        for name, labels, text, samples in _SERIES:
            yield _family(name, text, labels, samples(status))
        rtt, loss = status["rtt_s"], status["loss"]
        name, text = "discoveryd_probe_rtt_seconds", "Time from PING to PONG."
        yield core.HistogramMetricFamily(name, text, _buckets(rtt), rtt["sum"])
        name, text = "discoveryd_peer_loss_ratio", "Share of HELLOs lost, over the live peers now."
        yield core.GaugeHistogramMetricFamily(name, text, _buckets(loss), loss["sum"])

    def read(self) -> dict[str, Any]:
        """Return all families as text, and their samples one by one, of one moment."""
        found = list(self._registry.collect())
        return {
            "content_type": CONTENT_TYPE,
            "text": generate_latest(cast("Collector", SimpleNamespace(collect=lambda: found))).decode(),
            "metrics": [
                {"name": name, "labels": labels, "value": value}
                for family in found
                for name, labels, value, *_ in family.samples
            ],
        }

    def page(self, accept: str, encoding: str, query: str) -> tuple[list[tuple[str, str]], bytes]:
        """Return headers and text for HTTP, in the format that the client prefers.

        Args:
            accept: the header of that name; OpenMetrics is given to a client that asks for it.
            encoding: the header Accept-Encoding.
            query: of the URL; ``name[]=`` chooses families.
        """
        headers: list[tuple[str, str]] = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_ACCEPT": accept, "HTTP_ACCEPT_ENCODING": encoding,
            "QUERY_STRING": query,
        }  # fmt: skip
        body = self._page(environ, lambda _, given: headers.extend(given))  # type: ignore[arg-type]
        return headers, b"".join(body)


def _at(status: Status, keys: str) -> Any:
    """Return the value that keys lead to; None if it is not there."""
    value: Any = status
    for key in keys.split("."):
        value = value.get(key) if value is not None else None
    return value


def _family(name: str, text: str, labels: Sequence[str], samples: Iterable[_Sample]) -> Metric:
    """Return a counter if the name ends so, else a gauge."""
    made = core.CounterMetricFamily if name.endswith("_total") else core.GaugeMetricFamily
    family = made(f"discoveryd_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _by_key(counts: Mapping[str, float], *keys: str) -> list[_Sample]:
    return [((key,), counts[key]) for key in keys or counts]


def _by(counts: Iterable[Mapping[str, Any]], label: str, key: str = "count") -> list[_Sample]:
    return [((one[label],), one[key]) for one in counts]


def _sites(status: Status, key: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = status.get("sites", {}).get(key, ())
    return found


def _codes(status: Status) -> set[str]:
    return {finding["code"] for finding in status["findings"]}


def _by_link(status: Status, key: str) -> list[_Sample]:
    return [((link["name"], link["address"]), link[key]) for link in status["links"]]


def _buckets(histogram: Status) -> list[tuple[str, float]]:
    below = [(str(bucket["le"]), float(bucket["count"])) for bucket in histogram["buckets"]]
    return [*below, ("+Inf", float(histogram["count"]))]
