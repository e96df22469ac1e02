"""Every socket of the package."""
