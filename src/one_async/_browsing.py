"""The page of `browse` for blocking callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from one_async._bridge import Blocking, blocking, wraps_async
from one_async._loop import LoopThread
from one_async.client import AsyncONE

if TYPE_CHECKING:
    from one_async.browse.page import AsyncBrowsePage

__all__ = ["BrowsePage", "opens_page"]


class BrowsePage:
    """A local page on the cache tables, returned by `ONE.browse`. Notebooks show it in a frame.

    It is served until `close`, the end of a ``with`` block, or the closing of the client.

    Examples:
        >>> with one.browse() as page:
        ...     page.url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, one: Blocking[AsyncONE], page: AsyncBrowsePage) -> None:
        self._one = one  # which would be closed if nobody referred to it
        self._page = page
        self._thread = LoopThread.shared()

    @property
    def url(self) -> str:
        """The address with its secret, which gives access to the page from this machine."""
        return self._page.url

    def close(self) -> None:
        """Stop serving, and wait until the port is closed.

        Examples:
            >>> page = one.browse()
            >>> page.close()
        """
        if self._thread is LoopThread.alive():
            self._thread.run(self._page.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _repr_html_(self) -> str:
        return self._page._repr_html_()


def opens_page(method: Callable[..., Any]) -> Callable[..., BrowsePage]:
    """Return the blocking version of the method that opens the page, with its signature and docstring."""
    open_page = blocking(method)

    @wraps_async(method)
    def call(self: Blocking[AsyncONE], /, *args: Any, **kwargs: Any) -> BrowsePage:
        __tracebackhide__ = True
        page: AsyncBrowsePage = open_page(self, *args, **kwargs)
        page.show_calls_of("one")
        return BrowsePage(self, page)

    return call
