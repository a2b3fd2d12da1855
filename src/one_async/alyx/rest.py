"""AsyncAlyxClient: the REST interface of one Alyx database for one user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import anyio

from one_async._boundary import reading
from one_async._fork import check_polars
from one_async._threads import run_polars, run_sync
from one_async.alyx import paging
from one_async.alyx.asking import Asking
from one_async.alyx.caching import Terms, one_warning
from one_async.alyx.paging import Page, Row
from one_async.alyx.query import last_part, params_of, read_files, to_json_types, whole_number, with_id
from one_async.alyx.schema import METHODS
from one_async.errors import InputError
from one_async.types import Expiry

if TYPE_CHECKING:
    import polars as pl


class AsyncAlyxClient(Asking):
    """The REST interface of an Alyx database.

    Constructing does nothing but remember; the first request opens connections and the cache file, ``aclose`` or the
    end of ``async with`` closes them. All of that belongs to one event loop, asyncio's or trio's.

    What is not given comes from the environment (``ONE_BASE_URL``, ``ONE_USERNAME``, …), the settings and the tokens that
    are kept, ONE-api's among them; without ``base_url`` it is the default database. The environment's login belongs to the
    database of ``ONE_BASE_URL``, without it to the default one.

    Parameters: ``token``, or ``username`` and ``password``, or a ``token_store`` that has one; ``cache_dir`` is the folder
    of the database's data, below which the REST cache lies; ``cache_rest`` "GET" or None for no cache;
    ``default_expiry`` how old a stored answer may be; ``cache_storage`` "redis://…" to share the cache between machines;
    ``timeout`` in seconds for the next bytes of an answer; ``transport`` takes the network's place in tests;
    ``settings`` that were resolved already stand for all that says who and where. ``silent`` is accepted for ONE-api's
    sake: nothing is ever asked or printed.
    Raises InputError for what cannot be meant, OfflineError where ``cache_dir`` is no database's.

    >>> async with AsyncAlyxClient("http://127.0.0.1:8000", username="demo", password="demo") as alyx:
    ...     sessions = await alyx.rest("sessions", "list", lab="cortexlab")
    """

    async def rest(
        self,
        /,
        url: str | None = None,
        action: str | None = None,
        id: UUID | str | None = None,
        data: Any = None,
        files: Mapping[str, Any] | None = None,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Any:
        """Ask an endpoint, named by ``url``, for a list of records, for one, or to change one.

        ``list`` gives all records that match as a list of dicts, in the server's order, each once. As in
        ONE-api, ``limit`` is the size of the pages it is read in and cuts nothing (``page`` gives a single one);
        ``offset`` leaves out the first rows. ``id`` narrows it to one. Filters that are None are left out; lists are
        joined by commas.
        ``read`` gives one dict; ``id`` is an id or name, or a path or URL that ends in it. ``create``, ``update`` and
        ``partial_update`` send ``data`` (and ``files``) and give the record; ``delete`` gives None. A write makes the
        stored answers of the endpoint stale. Without an action: what the endpoint can do (print it), and without
        an endpoint the names of all.
        ``expires`` is how old a stored answer may be here; ``no_cache`` goes round the cache.

        Raises InputError for endpoints, actions and filters that the server does not document, since Alyx ignores
        unknown filters and gives every row; NotFound, LoginError, StatusError, AnswerError, ServerUnreachable.
        Warns IncompleteListWarning if rows stayed away, StaleAnswerWarning if an old answer had to do.
        """
        with one_warning():
            if url is None:
                return await self.list_endpoints()
            name, _, query = url.lstrip("/").partition("?")
            name = name.rstrip("/")
            if query:
                action, filters = "list", {**dict(parse_qsl(query)), **filters}
            documented = await self.schema()
            if action is None:
                return documented.describe(name)
            action = action.replace("-", "_")
            documented.check(name, action)
            if action == "list":
                params = params_of(with_id(filters, id))
                documented.check_filters(name, params)
                return await self._list(name, params, self._terms(expires, no_cache))
            if filters:
                raise InputError.of(next(iter(filters)), "…", f"for lists, not for {action}")
            address = f"/{name}" if action == "create" else f"/{name}/{last_part(id, name, action)}"
            if action == "read":
                return await self.get(address, expires=expires, no_cache=no_cache)
            if action != "delete" and not data:
                raise InputError.of(
                    "data", data, f"the fields of {name}: {', '.join(documented.fields(name, action))}"
                )
            return await self._write(METHODS[action], address, data, files)

    async def get(
        self, rest_query: str, *, expires: Expiry = None, no_cache: bool = False, clobber: bool = False
    ) -> Any:
        """Return the JSON of an address of this server; of a list all pages, as a list.

        ``clobber`` takes no stored answer and stores the new one; ``expires`` and ``no_cache`` as in ``rest``.
        Raises InputError for other servers' addresses, and as ``rest`` does.
        """
        with one_warning():
            url = self._url(rest_query)
            terms = self._terms(False if clobber else expires, no_cache)
            answer = await self._ask("GET", url, terms=terms)
            if not paging.is_page(answer.json):
                return answer.json
            page = paging.page_of(answer.json, url)
            query = dict(parse_qsl(urlsplit(url).query))
            if page.last and "offset" not in query:
                return paging.distinct(page.rows)
            return await self._list(urlsplit(url).path.strip("/"), query, terms)

    async def post(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Send data to an address; return the answer's JSON."""
        return await self._write("POST", rest_query, data, files)

    async def put(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Replace the record at an address; return the answer's JSON."""
        return await self._write("PUT", rest_query, data, files)

    async def patch(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Change fields of the record at an address; return the answer's JSON."""
        return await self._write("PATCH", rest_query, data, files)

    async def delete(self, rest_query: str) -> Any:
        """Delete the record at an address."""
        return await self._write("DELETE", rest_query, None, None)

    async def pages(
        self,
        /,
        endpoint: str,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        limit: int = paging.PAGE,
        **filters: Any,
    ) -> AsyncIterator[list[Row]]:
        """Stream a list: pages of ``limit`` rows (at most 1000), in order, each row once, a few asked ahead.

        ``offset`` leaves out the first rows. Warns IncompleteListWarning at the end if rows stayed away: unlike ``rest`` it
        cannot read twice.
        """
        size = whole_number("limit", limit)
        start = whole_number("offset", filters.pop("offset", None) or 0)
        with one_warning():
            params = await self._checked(endpoint, filters)
        gathered = paging.Gathered(paging.may_join(endpoint, params))
        ask = self._pager(endpoint, params, self._terms(expires, no_cache))
        async with aclosing(paging.in_order(ask, min(size, paging.PAGE), start)) as pages:
            async for page in pages:
                if rows := gathered.add(page):
                    yield rows
                if gathered.barren_pages >= paging.MAX_BARREN_PAGES:
                    break
        if gathered.suspicious and not start:
            paging.warn_incomplete(endpoint, gathered)

    async def page(
        self,
        /,
        endpoint: str,
        limit: int,
        offset: int,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Page:
        """Return one page as the server gives it: its count, its rows, and whether it is the last."""
        limit, offset = whole_number("limit", limit), whole_number("offset", offset)
        with one_warning():
            params = await self._checked(endpoint, filters)
            return await self._pager(endpoint, params, self._terms(expires, no_cache))(limit, offset)

    async def frame(
        self, /, endpoint: str, *, no_cache: bool = False, expires: Expiry = None, **filters: Any
    ) -> pl.DataFrame:
        """Return a list as one frame; columns and types are those that the server documents, whatever rows come.

        Objects and arrays are structs and lists, times are naive datetimes; fields that may hold anything are JSON text.
        Raises and warns as ``rest`` does.
        """
        frames = await run_sync(import_module, "one_async.alyx.frame")
        check_polars()
        rows = await self.rest(endpoint, "list", no_cache=no_cache, expires=expires, **filters)
        schema = await self.schema()
        with reading(f"/{endpoint}"):
            return await run_polars(lambda: frames.frame_of(rows, frames.columns_of(schema, endpoint)))

    # ---- inside

    async def _write(self, method: str, path_or_url: str, data: Any, files: Mapping[str, Any] | None) -> Any:
        url = self._url(path_or_url)
        body: dict[str, Any] = {}
        if files is not None:
            body = {"files": await run_sync(read_files, files), "data": data}
        elif isinstance(data, str | bytes):
            body = {"content": data, "headers": {"Content-Type": "application/json"}}
        elif data is not None:
            body = {"json": to_json_types(data)}
        stack = await self._open().stack()
        try:
            return (await self._ask(method, url, **body)).json
        finally:  # also after an error: Alyx has 500 answers to writes that it made
            with anyio.CancelScope(shield=True):
                await stack.wrote(url)

    async def _checked(self, endpoint: str, filters: Mapping[str, Any]) -> dict[str, str]:
        documented = await self.schema()
        documented.check(endpoint, "list")
        params = params_of(filters)
        documented.check_filters(endpoint, params)
        return params

    async def _list(self, endpoint: str, params: dict[str, str], terms: Terms | None) -> list[Row]:
        given = {key: whole_number(key, params[key]) for key in ("limit", "offset") if key in params}
        ask = self._pager(endpoint, {k: v for k, v in params.items() if k not in given}, terms)
        size, start = min(given.get("limit", paging.PAGE), paging.PAGE), given.get("offset", 0)
        if not start:
            return await paging.read_all(ask, endpoint, paging.may_join(endpoint, params), size)
        pages = paging.in_order(ask, size, start)
        return paging.distinct([row async for page in pages for row in page.rows])

    def _pager(self, endpoint: str, params: Mapping[str, str], terms: Terms | None) -> paging.FetchPage:
        url = self._url(endpoint)
        since = 0.0

        async def ask(limit: int, offset: int) -> Page:
            # Pages of one list belong together: none may be older than the first.
            nonlocal since
            query = dict(
                sorted({**params, "limit": str(limit), **({"offset": str(offset)} if offset else {})}.items())
            )
            wanted = terms and Terms(terms.max_age, since)
            answer = await self._ask("GET", url, params=query, terms=wanted, slow=True)
            since = since or answer.asked
            return paging.page_of(answer.json, url)

        return ask
