"""Every thread, lock and clock of the package."""
