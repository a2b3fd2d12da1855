"""The base of `AsyncONE` that shows type checkers the keyword ``id`` of methods that take a session; see `by_id.pyi`."""

__all__ = ["SessionById"]


class SessionById:
    """Nothing at run time, when `public_methods` of `call.py` takes the keyword."""
