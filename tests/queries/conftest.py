"""Fresh emulators and clients of every kind, as the tests of the modes have them."""

from modes.conftest import alyx, home_of_the_package, kind, make

__all__ = ["alyx", "home_of_the_package", "kind", "make"]
