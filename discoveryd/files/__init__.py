"""Small files that another user may have prepared: read, written and locked with care."""
