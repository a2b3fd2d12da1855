"""The import line that users of ONE-api have: ``from one_async.api import ONE``."""

from one_async._one_api import One, OneAlyx
from one_async.client import AsyncONE
from one_async.sync import ONE

__all__ = ["ONE", "AsyncONE", "One", "OneAlyx"]
