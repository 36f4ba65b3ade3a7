"""Guests: libraries that people use already. Each has a file of its own, imported only when it is asked for."""
