"""A watch that goes on when its daemon restarts, with clients that are played."""

import pytest

from discoveryd.errors import DaemonUnreachable, QueryError
from discoveryd.net.reconnect import Retry, watch_across_restarts


class Client:
    """Yields some events, then ends with an error, as `QueryClient` does; the first step may be an error of connect."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.line = b""
        self.is_open = False
        self.requests = []

    def __enter__(self):
        if isinstance(self.steps[0], QueryError):
            raise self.steps[0]
        self.is_open = True
        return self

    def __exit__(self, *_):
        self.is_open = False

    def watch(self, **request):
        self.requests.append(request)
        for step in self.steps:
            if isinstance(step, QueryError):
                raise step
            self.line = step.encode()
            yield {"event": step}


def test_each_connection_is_watched_until_there_is_no_other():
    stopping, refused = QueryError("stopping", "bye"), DaemonUnreachable("nobody")
    clients = [Client("a", "b", stopping), Client(refused), Client("c", stopping)]
    left, failures = list(clients), []

    def again(error):
        failures.append(error)
        return bool(left)

    lines = list(watch_across_restarts(lambda: left.pop(0), again, lambda client: client.watch(all=True)))
    assert lines == [(one.encode(), {"event": one}) for one in "abc"]
    assert failures == [stopping, refused, stopping]
    assert clients[2].requests == [{"all": True}]
    assert not any(client.is_open for client in clients)


def test_an_error_of_again_ends_the_watch():
    def again(error):
        raise error

    client = Client("a", QueryError("denied", "no"))
    lines = watch_across_restarts(lambda: client, again, Client.watch)
    next(lines)
    with pytest.raises(QueryError, match="no"):
        next(lines)
    assert not client.is_open


def test_closing_the_watch_closes_the_connection():
    client = Client("a", "b")
    lines = watch_across_restarts(lambda: client, lambda _: True, Client.watch)
    next(lines)
    assert client.is_open
    lines.close()
    assert not client.is_open


def test_pauses_double_up_to_the_longest():
    retry, pauses = Retry(longest=1.0), []
    for _ in range(6):
        retry.failed(QueryError("closed", ""))
        pauses.append(retry.pause)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    retry.succeeded()
    retry.failed(QueryError("closed", ""))
    assert retry.pause == 0.1


def test_only_another_kind_of_trouble_is_news():
    retry = Retry()
    found = [retry.failed(QueryError(code, "")) for code in ("closed", "closed", "unreachable", "closed")]
    assert found == [True, False, True, True]
    retry.succeeded()
    assert retry.trouble == ""
    assert retry.failed(QueryError("closed", ""))
