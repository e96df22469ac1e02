"""A filter in the kernel for a flood: known peers pass, and a sample of all others.

Python cannot look at 50,000 datagrams a second, and a receive buffer that is full throws away the HELLOs of
live peers with all the others. So the kernel is given a classic BPF program (Linux socket filter, see
Documentation/networking/filter.rst) that decides by the source address before a datagram is queued.
"""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Iterable
from contextlib import suppress

SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
"""asm-generic/socket.h; a process needs no privilege on its own sockets."""

_INSTRUCTION = struct.Struct("@HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD, _JUMP, _JUMP_IF_EQUAL, _JUMP_IF_LEAST, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x06
_SOURCE = 0xFFF00000 + 12  # SKF_NET_OFF: the source in the IPv4 header, wherever that begins
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: 32 random bits
_ALL = 0xFFFFFFFF

REACH = 250
"""Comparisons to one way out: jumps of this instruction set go 255 instructions far."""
MAX_KNOWN = 3500
"""Addresses in one program: the kernel takes 4,096 instructions (BPF_MAXINSNS)."""


def program(known: Iterable[str], share: float) -> bytes:
    """Return the code of a filter.

    Args:
        known: IPv4 addresses that pass, `MAX_KNOWN` of them.
        share: of the datagrams from all other addresses that pass too, 0 to 1.
    """
    addresses = [int.from_bytes(socket.inet_aton(address), "big") for address in known][:MAX_KNOWN]
    made = [_INSTRUCTION.pack(_LOAD, 0, 0, _SOURCE)]
    for start in range(0, len(addresses), REACH):
        block = addresses[start : start + REACH]
        for place, address in enumerate(block):
            made.append(_INSTRUCTION.pack(_JUMP_IF_EQUAL, len(block) - place, 0, address))
        made.append(_INSTRUCTION.pack(_JUMP, 0, 0, 1))
        made.append(_INSTRUCTION.pack(_RETURN, 0, 0, _ALL))
    made.append(_INSTRUCTION.pack(_LOAD, 0, 0, _RANDOM))
    made.append(_INSTRUCTION.pack(_JUMP_IF_LEAST, 0, 1, min(int(share * 2**32), _ALL)))
    made.append(_INSTRUCTION.pack(_RETURN, 0, 0, 0))
    made.append(_INSTRUCTION.pack(_RETURN, 0, 0, _ALL))
    return b"".join(made)


def attach(receiver: socket.socket, code: bytes) -> None:
    """Filter a socket from now on; a former program is replaced.

    Raises:
        OSError: the kernel has no socket filters, or a sandbox forbids them.
    """
    instructions = array("B", code)
    address, length = instructions.buffer_info()
    receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _PROGRAM.pack(length // _INSTRUCTION.size, address))


def detach(receiver: socket.socket) -> None:
    """Let all datagrams pass again."""
    with suppress(OSError):  # there was no filter
        receiver.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
