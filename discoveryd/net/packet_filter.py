"""Programs that decide in the kernel which datagrams a socket gets, before they are queued or a thread is woken.

- The *portion*: quiet HELLOs for one socket of the port, all else for the other (`discoveryd.net.quiet`).
- In a flood, the senders: known peers pass, and a sample of all others. Python cannot look at 50,000 datagrams a
  second, and a receive buffer that is full throws away the HELLOs of live peers with all the others.

They are classic BPF (Linux socket filter, see Documentation/networking/filter.rst). A process needs no privilege on
its own sockets. A socket has one program, so that of a flood contains the portion.
"""

import socket
import struct
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal

from discoveryd.protocol.addresses import pack_address

SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_ATTACH_REUSEPORT_CBPF = 26, 27, 51
"""asm-generic/socket.h"""

REACH = 250
"""Comparisons to one way out: jumps of this instruction set go 255 instructions far."""
MAX_KNOWN = 3500
"""Addresses in one program: the kernel takes 4,096 instructions (BPF_MAXINSNS)."""

_INSTRUCTION = struct.Struct("@HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD, _LOAD_LENGTH, _LOAD_BYTE_AT_X, _SUBTRACT, _TO_X = 0x20, 0x80, 0x50, 0x14, 0x07
_JUMP, _JUMP_IF_EQUAL, _JUMP_IF_GREATER, _JUMP_IF_LEAST, _RETURN = 0x05, 0x15, 0x25, 0x35, 0x06
_SOURCE, _SOURCE_IPV6 = 0xFFF00000 + 12, 0xFFF00000 + 20  # SKF_NET_OFF: the source in the header, or its last 4 bytes
_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: 32 random bits
_TO_ALL = (1, 2, 5)  # PACKET_BROADCAST, PACKET_MULTICAST, PACKET_LOOPBACK: what we broadcast comes back as that
_EVERY = 0xFFFFFFFF

Portion = Literal["quiet", "prompt", "every"]
"""The datagrams that are for a socket: the quiet HELLOs to all, all but them, or every one."""

_Instruction = tuple[int, int, int, int]


def code_of(
    known: Iterable[str] = (), share: float = 1.0, portion: Portion = "every", *, is_ipv6: bool = False
) -> bytes:
    """Return the code of a program.

    Args:
        known: addresses that pass, `MAX_KNOWN` of the family; of those of IPv6 the last four bytes are compared.
        share: of the datagrams from all other addresses that pass too, 0 to 1.
        portion: the datagrams that may pass at all.
        is_ipv6: whether it is for a socket of that family.
    """
    flood: Iterable[_Instruction] = ()
    if share < 1:
        addresses = [pack_address(address)[-4:] for address in known if (":" in address) is is_ipv6]
        flood = _of_flood(_SOURCE_IPV6 if is_ipv6 else _SOURCE, addresses, share)
    code = [*_of_portion(portion), *flood, (_RETURN, 0, 0, _EVERY)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def _of_portion(portion: Portion) -> list[_Instruction]:
    """Return the code that refuses what is not of a portion, and falls through with what is."""
    if portion == "every":
        return []
    other, quiet = ((_RETURN, 0, 0, 0), (_JUMP, 0, 0, 0))
    if portion == "prompt":
        other, quiet = ((_JUMP, 0, 0, 1), (_RETURN, 0, 0, 0))
    broadcast, multicast, echo = _TO_ALL
    return [
        (_LOAD, 0, 0, _TYPE),
        (_JUMP_IF_EQUAL, 2, 0, broadcast),
        (_JUMP_IF_EQUAL, 1, 0, multicast),
        (_JUMP_IF_EQUAL, 0, 6, echo),
        (_LOAD_LENGTH, 0, 0, 0),
        (_SUBTRACT, 0, 0, 1),
        (_TO_X, 0, 0, 0),
        (_LOAD_BYTE_AT_X, 0, 0, 0),
        (_JUMP_IF_LEAST, 0, 1, ord("0")),
        (_JUMP_IF_GREATER, 0, 1, ord("9")),
        other,
        quiet,
    ]


def _of_flood(place: int, known: Sequence[bytes], share: float) -> list[_Instruction]:
    """Return the code that passes known addresses, refuses what is not of the sample, and falls through with that.

    Args:
        place: where four bytes of the source are.
        known: those of the addresses that pass.
        share: of the others.
    """
    addresses = [int.from_bytes(four, "big") for four in known[:MAX_KNOWN]]
    code: list[_Instruction] = [(_LOAD, 0, 0, place)]
    for start in range(0, len(addresses), REACH):
        block = addresses[start : start + REACH]
        code += [(_JUMP_IF_EQUAL, len(block) - place, 0, address) for place, address in enumerate(block)]
        code += [(_JUMP, 0, 0, 1), (_RETURN, 0, 0, _EVERY)]
    code += [(_LOAD, 0, 0, _RANDOM), (_JUMP_IF_LEAST, 0, 1, min(int(share * 2**32), _EVERY)), (_RETURN, 0, 0, 0)]
    return code


def set_filter(
    receiver: socket.socket, known: Iterable[str] = (), share: float = 1.0, portion: Portion = "every"
) -> None:
    """Let only datagrams of a portion pass from now on, of those from known addresses all, of others a share.

    Raises:
        OSError: the kernel has no socket filters, or a sandbox forbids them.
    """
    if share < 1 or portion != "every":
        is_ipv6 = receiver.family == socket.AF_INET6
        _attach(receiver, SO_ATTACH_FILTER, code_of(known, share, portion, is_ipv6=is_ipv6))
    else:
        with suppress(OSError):  # there was no filter
            receiver.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def steer(receiver: socket.socket, place: int) -> None:
    """Have all unicast datagrams of a port go to one of the sockets that share it.

    Args:
        receiver: any of those sockets.
        place: of the one, in the order in which they were bound, from 0.

    Raises:
        OSError: the kernel has no such programs, or a sandbox forbids them.
    """
    _attach(receiver, SO_ATTACH_REUSEPORT_CBPF, _INSTRUCTION.pack(_RETURN, 0, 0, place))


def _attach(receiver: socket.socket, option: int, code: bytes) -> None:
    instructions = array("B", code)
    address, length = instructions.buffer_info()
    receiver.setsockopt(socket.SOL_SOCKET, option, _PROGRAM.pack(length // _INSTRUCTION.size, address))
