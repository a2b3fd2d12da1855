"""The import line that users of ONE-api have: ``from one_async.api import ONE``."""

from ._one_api import One, OneAlyx
from .client import AsyncONE
from .sync import ONE

__all__ = ["ONE", "AsyncONE", "One", "OneAlyx"]
