"""The layer that seals: keys, envelopes, replays."""
