"""Lets the daemons of a lab be without the quiet socket, as where the kernel has no socket filters."""

from discoveryd.net import quiet


def _refuse(*_given, **_options):
    raise PermissionError(1, "Operation not permitted")


quiet.steer = _refuse
