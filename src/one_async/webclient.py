"""The import line that users of ONE-api have: ``import one_async.webclient as webclient``."""

from one_async.alyx.caching import no_cache
from one_async.alyx.client import AsyncAlyxClient
from one_async.sync import AlyxClient

__all__ = ["AlyxClient", "AsyncAlyxClient", "no_cache"]
