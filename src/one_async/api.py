"""The import line that users of ONE-api have: ``from one_async.api import ONE``. Its tables are of pandas."""

from one_async._one_api import ONE, One, OneAlyx
from one_async.client import AsyncONE

__all__ = ["ONE", "AsyncONE", "One", "OneAlyx"]
