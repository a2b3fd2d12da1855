"""The import line that users of ONE-api have: ``import one_async.webclient as webclient``."""

from .alyx.caching import no_cache
from .alyx.rest import AsyncAlyxClient
from .sync import AlyxClient

__all__ = ["AlyxClient", "AsyncAlyxClient", "no_cache"]
