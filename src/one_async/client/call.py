"""One public call of `AsyncONE`: the conventions of its arguments and results, and its mode, source and tables.

The conventions: ``id=`` names a session, as in ONE-api, where methods that take one accept it by keyword as ``id`` only; rows
are accepted as frames of pandas; frames in results are of the configured kind; each call is a span.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ForwardRef, TypeVar, overload

from one_async._boundary import Arrange, Options, guard_methods, guarded
from one_async._threads import check_polars, run_sync
from one_async._warnings import warn
from one_async.errors import InputError, TablesWarning
from one_async.tables.pandas_frames import as_pandas, has_frames, rows_of_pandas

if TYPE_CHECKING:
    from one_async.client.context import Context
    from one_async.queries.base import Source
    from one_async.queries.local import LocalSource
    from one_async.tables.catalogue import Catalogue
    from one_async.types import Mode

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: The names of parameters that take a session or sessions.
SESSION = ("eid", "eids")
#: Parameters that take rows or frames of datasets, by method.
ROWS = {
    "record2path": "dataset",
    "record2url": "record",
    "load_dataset": "dataset",
    "load_datasets": "datasets",
    "load_dataset_from_id": "dset_id",
    "download": "eids",
    "freeze": "eids",
}
#: The methods of these that work on rows only, so that Polars frames are converted to rows, too.
BY_ROW = frozenset({"load_dataset_from_id", "download", "freeze"})
#: Methods whose frames have exactly the requested columns, and no index.
PLAIN = frozenset({"sql"})


class Call:
    """One public call. Each public method makes one and passes it on.

    The mode is checked once. The tables are refreshed at most once, as the mode demands, when they are first used; the whole
    call uses that snapshot.
    """

    def __init__(self, context: Context, query_type: Mode | None = None) -> None:
        """Raise InputError for an unknown mode, OfflineError for a remote call without a database."""
        self.context = context
        self.mode: Mode = context.check_mode(query_type)
        self._source: Source | None = None
        self._catalogue: Catalogue | None = None

    @property
    def is_local(self) -> bool:
        """Whether only the tables answer."""
        return self.context.frozen is not None or self.context.offline or self.mode == "local"

    @property
    def is_remote(self) -> bool:
        """Whether only the server answers."""
        return self.context.frozen is None and self.mode == "remote"

    async def source(self) -> Source:
        """Return the source of answers. Raises ConfigurationError in a forked child that cannot use Polars."""
        if self._source is None:
            await self.context.prepare()
            check_polars()
            if self.is_remote:
                # Remote calls do not open the tables, so rows of earlier queries are added to them here.
                await self.context.tables.settle()
                self._source = self.context.remote()
            elif self.is_local:
                self._source = await self.local()
            else:
                from one_async.queries.auto import AutoSource

                self._source = AutoSource(await self.local(), self.context.remote)
        return self._source

    async def local(self) -> LocalSource:
        """Return the tables as a source of answers."""
        from one_async.queries.local import LocalSource

        return LocalSource(await self.catalogue(), wildcards=self.context.wildcards)

    async def catalogue(self) -> Catalogue:
        """Return the snapshot of the tables that this call uses."""
        await self.context.prepare()
        check_polars()
        if self.context.frozen is not None:
            return self.context.frozen
        if self._catalogue is None:
            tables = await self._current_tables()
            self._catalogue = self._catalogue or tables  # another task of the call may have been faster
        return self._catalogue

    async def _current_tables(self) -> Catalogue:
        context = self.context
        if self.mode == "refresh":
            with context.calls.call():
                await context.tables.refresh("refresh")
        elif self.mode == "auto":
            context.start_refreshing()
            later = None if context.group is None else context.in_background
            with context.calls.call():
                await context.tables.refresh("auto", later=later)
        tables = await context.tables.current()
        if tables.meta.is_partial and self.mode != "remote":
            warn(
                f"there are no complete cache tables in {context.settings.tables_dir}: this answer is from the "
                f"{len(tables.session_frame):,} sessions that earlier queries brought. With query_type='remote' the "
                "database is asked; refresh_cache() fetches its tables",
                TablesWarning,
            )
        return tables


@overload
def public_methods(kind: type[T], /) -> type[T]: ...
@overload
def public_methods(*, ended_by_closing: bool) -> Callable[[type[T]], type[T]]: ...
def public_methods(kind: type[Any] | None = None, /, *, ended_by_closing: bool = False) -> Any:
    """Decorate a class with methods of `AsyncONE`; with ``ended_by_closing``, closing the client ends their calls."""
    if kind is None:
        return partial(guard_methods, guard=partial(_public_method, ended_by_closing=ended_by_closing))
    return guard_methods(kind, _public_method)


def _public_method(method: Callable[..., Any], ended_by_closing: bool = False) -> Callable[..., Any]:
    name = method.__name__
    is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
    if not is_async or name == "aclose":
        return guarded(method)
    options = Options(
        "one", ended_by_closing, arrange=_arrangement(name, method), finish=partial(_of_kind, name=name)
    )
    return _with_id(guarded(method, options))


def has_keywords(terms: type) -> Callable[[F], F]:
    """Decorate a function whose keywords are the keys of a TypedDict, so that its signature shows them.

    Jupyter completes the names that a signature shows, and type checkers those of ``**terms: Unpack[...]``.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        *parameters, others = signature.parameters.values()
        hints = terms.__annotations__.items()
        shown = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint,
            )
            for name, hint in hints
        ]
        function.__signature__ = signature.replace(parameters=[*parameters, *shown, others])  # type: ignore[attr-defined]
        return function

    return decorate


def _with_id(method: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``id`` to the signature of a method that takes a session, unless ``id`` is a search term of the method."""
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())
    if len(parameters) > 1 and parameters[1].name in SESSION and "id" not in signature.parameters:
        more = parameters.pop() if parameters[-1].kind is inspect.Parameter.VAR_KEYWORD else None
        session = inspect.Parameter(
            "id", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=parameters[1].annotation
        )
        parameters = [*parameters, session, *filter(None, [more])]
        method.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return method


async def _of_kind(client: Any, result: Any, name: str) -> Any:
    """Convert the frames in a result to the client's kind of frame."""
    if not has_frames(result):
        return result
    if client._context.table_kind != "pandas":
        from one_async.tables.id_frames import with_whole_ids

        return with_whole_ids(result)
    check_polars()
    return await run_sync(as_pandas, result, name not in PLAIN)


def _arrangement(name: str, method: Callable[..., Any]) -> Arrange | None:
    """Return a function that converts the arguments of a call to the form that the method takes; None if it takes any."""
    known = inspect.signature(method).parameters
    parameters = list(known)
    takes_id = "id" in known or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    session = next((one for one in parameters[1:2] if one in SESSION), None)
    rows = ROWS.get(name)
    if not session and not rows:
        return None
    place = parameters.index(rows) if rows else 0

    def rows_of(value: Any) -> Any:
        columns = getattr(value, "columns", ())
        if name == "freeze" and len(columns) and "rel_path" not in columns:
            return value  # it reads frames of ids itself
        if name in BY_ROW and hasattr(value, "iter_rows") and not {"did", "rel_path"}.isdisjoint(columns):
            return list(value.iter_rows(named=True))
        return rows_of_pandas(value)

    def arrange(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = dict(kwargs)
        if session and "id" in kwargs:
            if len(args) == 1 and session not in kwargs:
                kwargs[session] = kwargs.pop("id")
            elif not takes_id and kwargs.pop("id") is not None:
                raise InputError(f"id and {session} both name the session; give one of them", argument="id")
        if rows and len(args) > place:
            args = (*args[:place], rows_of(args[place]), *args[place + 1 :])
        elif rows and rows in kwargs:
            kwargs[rows] = rows_of(kwargs[rows])
        return args, kwargs

    return arrange
