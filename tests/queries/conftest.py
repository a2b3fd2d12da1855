"""Fixtures of fresh emulators and clients of every kind, from the tests of the modes."""

from modes.conftest import alyx, home_of_the_package, kind, make

__all__ = ["alyx", "home_of_the_package", "kind", "make"]
