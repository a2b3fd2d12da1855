"""`AsyncONE`, and the classes that hold its methods."""

from one_async.client.one import AsyncONE

__all__ = ["AsyncONE"]
