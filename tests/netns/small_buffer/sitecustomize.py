"""Lets the daemons of a lab have the receive buffer of a kernel whose limits nobody raised."""

from discoveryd.net import udp_socket

udp_socket.RECEIVE_BUFFER = 212_992
