"""BLAKE2b without OpenSSL: to import `hashlib` maps that library, 4 MB, which a node without keys has no use for."""

try:
    from _blake2 import blake2b
except ImportError:  # another interpreter, or a build without its own
    from hashlib import blake2b

__all__ = ["blake2b"]
