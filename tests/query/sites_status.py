"""The section ``sites`` of a status, for tests."""

CONNECTION = {
    "connected": True, "server": "nats://127.0.0.1:4222", "servers": ["nats://127.0.0.1:4222"], "since_s": 12.5, "rtt_ms": 0.4,
    "trouble": None, "denied": [], "fault": None, "sessions": 1, "failures": 0, "sent": 7, "received": 9, "unsent": 0, "faults": 0,
}
PARIS = {"name": "paris", "state": "reachable", "gateways": ["g1", "g2"], "peers": 5, "unknown": 0, "omitted": 0, "vouched_s": 1.2}
SITES = {
    "site": "berlin", "role": "gateway", "gateways": ["a", "b"], "rows": 5, "limit": 20000, "interval_s": 2.0, "sites": [PARIS],
    "dropped": [{"reason": "replay", "count": 2, "detail": "", "last_s": 1.0}], "sent": {"beat": 3}, "received": {"beat": 4},
    "snapshots": 1, "faults": 0, "watchers": 0, "connection": CONNECTION,
    "messages": {"sent": 3, "done": 2, "failed": 1, "waiting": 0, "received": 2, "denied": 1, "handed_over": 1, "running": 0},
}


def with_sites(status, *, site=None, **connection):
    """Return a status with a connection or a site that is other than a good one."""
    return {**status, "sites": {**SITES, "sites": [{**PARIS, **(site or {})}], "connection": {**CONNECTION, **connection}}}
