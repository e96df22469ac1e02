"""Requests of local programs, replies, and texts made of them: values, no socket."""
