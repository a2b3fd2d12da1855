"""The method that opens a local page on the cache tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from one_async._addresses import without_login
from one_async._threads import run_polars
from one_async.client.call import Call, public_methods
from one_async.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from one_async.browse.page import AsyncBrowsePage
    from one_async.browse.search import FacetedSearch
    from one_async.client.context import Context
    from one_async.tables.catalogue import Catalogue
    from one_async.types import Mode


@public_methods(ended_by_closing=True)
class Browsing:
    """The method that opens a page on the cache tables."""

    _context: Context

    async def browse(self, port: int = 0, query_type: Mode | None = None) -> AsyncBrowsePage:
        """Serve a page on the cache tables: sessions by filters, their datasets, QC and plots.

        Args:
            port: the port of 127.0.0.1; 0 takes a free one.
            query_type: as everywhere; `remote` means the tables, too, brought up to date as in `auto`.

        Returns an object with the page's ``url``, which notebooks show as the page itself. The address contains a secret;
        the server answers 403 without it. The page shows the tables as they were at the call, loads data through this client and
        ends with it or when the object is closed. Needs the extra ``[browse]``.

        Raises InputError for an invalid port, ConfigurationError for a port that is in use, if the extra is not installed, or
        outside of ``async with``.

        Examples:
            >>> page = await one.browse()
            >>> page.url.startswith("http://127.0.0.1:")
            True
        """
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 2**16:
            raise InputError.of("port", port, "a port from 1 to 65535, or 0 for a free one")
        context = self._context
        mode = context.check_mode(query_type)
        is_remote = mode == "remote" and context.frozen is None
        call = Call(context, "auto" if is_remote else mode)
        catalogue = await call.catalogue()
        if context.group is None:
            raise ConfigurationError(
                "browse serves its page for as long as the client is open: use `async with AsyncONE(...) as one`, "
                "or ONE, whose client is open until it is closed"
            )
        search = await run_polars(_prepared, catalogue, context.wildcards, "auto" if is_remote else None)
        from one_async.browse.page import AsyncBrowsePage

        page = AsyncBrowsePage(
            self, search, port=port, about=_about(context, catalogue), online=not call.is_local
        )
        await context.group.start(page.run)
        return page


def _prepared(catalogue: Catalogue, wildcards: bool, query_type: str | None) -> FacetedSearch:
    """Import the modules of the page and compute the data that all answers use; runs in a thread."""
    try:
        import one_async.browse.page  # noqa: F401 - imported here, since the event loop must not wait for it
        from one_async.browse.search import FacetedSearch
    except ImportError as error:
        raise ConfigurationError(f"browse needs {error.name}: pip install 'one-async[browse]'") from error
    search = FacetedSearch(catalogue, wildcards=wildcards, client="await one", query_type=query_type)
    search.prepare()
    return search


def _about(context: Context, catalogue: Catalogue) -> dict[str, Any]:
    created = catalogue.meta.created_time
    return {
        "database": without_login(context.settings.base_url) or str(context.settings.tables_dir),
        "created": None if created is None else f"{created:%Y-%m-%d}",
        "sessions": len(catalogue.session_frame),
        "datasets": len(catalogue.dataset_table),
    }
