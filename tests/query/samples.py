"""A peer and a status as replies hold them."""


def peer(**changed):
    return {
        "id": "9f3a", "name": "alpha", "state": "up", "kind": "node", "address": "10.0.0.2",
        "addresses": ["10.0.0.2"], "link": "eth0", "boot": "ab12cd34",
        "services": [{"name": "http", "port": 80, "proto": "tcp", "tags": {"path": "/"}}],
        "tags": {"role": "gpu"}, "first_seen_s": 720.0, "last_heard_s": 0.4, "expires_s": 3.6,
        "interval_s": 0.8, "ttl_s": 4.0, "rtt_ms": None, "loss": None, "two_way": None,
        "restarts": 0, "clone": False, "key": None,
    } | changed  # fmt: skip


BARE = peer(
    id="10.0.0.9", name=None, kind="bare", address="10.0.0.9", boot="", services=[], tags={}, interval_s=None
)
LINK = {
    "name": "eth0", "address": "10.0.0.1", "prefix": 24, "broadcast": "10.0.0.255", "up_s": 61.0,
    "sent": 10, "received": 7, "last_heard_s": 0.4, "echoed": 10, "last_echo_s": 0.3, "unechoed": 0, "misses_echo": False, "last_error": None,
}  # fmt: skip
STATUS = {
    "ok": True, "schema": 1, "version": "0.1.0", "uptime_s": 61.2, "isolated": False, "links": [LINK],
    "node": {"id": "n1", "name": "one", "boot": "b1", "realm": "default", "tags": {}, "services": []},
    "hello": {"port": 3400, "interval_s": 0.8, "ttl_s": 4.0},
    "peers": {"up": 2, "suspect": 0, "down": 0, "left": 1}, "table": {"rows": 3, "limit": 4096},
    "sent": {"hello": 10, "ping": 0, "pong": 0}, "received": {"hello": 7, "bare": 0, "ping": 0, "pong": 0, "will": 0},
    "last_will": {"witness": "off", "datagrams": 0},
    "clones": [], "security": {"mode": "off", "send_with": None, "keys": [], "plain_peers": 0}, "receive_buffer": {"bytes": 4194304, "wanted": 4194304},
    "drops": [], "drop_sources": [], "impaired": [], "query": {"connections": 1, "limit": 64, "watchers": 0, "refused": 0},
}  # fmt: skip
