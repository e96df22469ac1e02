"""The datagrams: text to value and back."""
