"""Exports: files of peers for other programs, kept up to date by a thread of the daemon; only where there are any."""
