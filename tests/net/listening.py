"""What a receiver does with a transport, in one call."""

from discoveryd.net.transport import QUIET_PAUSE


def listen(transport, timeout, *, is_calm=False, pause=QUIET_PAUSE):
    """Give what arrives first, within so many seconds; with `is_calm` quiet HELLOs are read after a pause, or with it."""
    if not is_calm and any(early := transport.read()):
        return early
    woken = transport.wait(min(timeout, pause) if is_calm else timeout)
    return transport.read(woken, is_calm=is_calm)
