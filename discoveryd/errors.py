"""The exceptions, split by the party to blame.

::

    DiscoveryError
    ├── WireError            they: a datagram that is not ours to understand
    │   └── Unproven             its sender has to answer a PING first
    ├── ConfigError          you: a configuration or a parameter, every fault of it at once
    │   └── RecordTooLong        name, tags and services do not fit into a HELLO together
    ├── PortTaken            another program: it has the port (also an OSError, with EADDRINUSE)
    ├── SealError            we: what is to be sealed must not be, or a nonce would be used twice
    ├── HistoryError         we: the file of the history is that of a later version
    └── QueryError           the local query protocol: a request refused, or its peer gone
        ├── DaemonUnreachable    nobody answers at the query address
        └── SubscriptionLagged   a subscriber fell too far behind and lost events

``OSError`` passes unwrapped, with its errno: what the kernel says is better than what we could make of it. Two kinds of
it are ours: a port that is taken, which a program that catches a `DiscoveryError` catches as well; and a file, so that
code for files that cannot be read handles these too:

::

    OSError
    ├── PortTaken            see above
    └── UntrustedFile        a file that a less trusted user made, in the place of one of ours
"""

import errno


class DiscoveryError(Exception):
    """Every error this package raises on purpose."""


class WireError(DiscoveryError):
    """A datagram was dropped.

    Attributes:
        reason: the word it is counted under, one of ``discoveryd.protocol.DROP_REASONS``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Unproven(WireError):
    """A HELLO was dropped whose sender has to answer a PING before it is listed."""


class ConfigError(DiscoveryError):
    """The configuration is wrong.

    Attributes:
        problems: one sentence per fault (where, what was found, what is allowed), never empty.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RecordTooLong(ConfigError):
    """Name, tags and services do not fit into a HELLO together.

    Attributes:
        excess: bytes too many.
    """

    def __init__(self, problem: str, excess: int) -> None:
        super().__init__(problem)
        self.excess = excess


class PortTaken(DiscoveryError, OSError):
    """Another program has the port; the text says which, where that can be found."""


class SealError(DiscoveryError):
    """A datagram was not sealed: a fault of this program, or of a program that embeds it."""


class HistoryError(DiscoveryError):
    """The file of the history cannot be used, and must not be replaced: a later version wrote it."""


PASSING = frozenset((
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO,
    errno.ETIMEDOUT, errno.ESTALE,
))  # fmt: skip
"""What the system says when it lacks something for the moment. It tells nothing of the file or program at hand: what
was known of that holds on, and it is tried again."""


class QueryError(DiscoveryError):
    """A request on the query socket was refused.

    Attributes:
        code: a stable word for programs (``bad_request``, ``not_found``, ...).
        problems: where several things are wrong, each of them; `message` has them all.
    """

    def __init__(self, code: str, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.problems = problems


class DaemonUnreachable(QueryError):
    """No daemon answers at the query address."""

    def __init__(self, message: str) -> None:
        super().__init__("unreachable", message)


class SubscriptionLagged(QueryError):
    """The subscriber was too slow; events are missing, so it must subscribe anew."""

    def __init__(self, message: str = "this subscriber fell behind and lost events; subscribe again") -> None:
        super().__init__("lagged", message)


class UntrustedFile(PermissionError):
    """A file is not what its place promises: a link, a pipe, or a file of another user.

    Attributes:
        remedy: what to do about it.
    """

    def __init__(self, path: str, why: str, remedy: str) -> None:
        super().__init__(errno.EPERM, why, path)
        self.remedy = remedy
