"""Conventions of all methods of `AsyncONE`: ``id=`` names a session, frames are of the configured kind, calls are spans.

In ONE-api, methods that take a session accept it by keyword as ``id`` only.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, TypeVar

from one_async._fork import check_polars
from one_async._threads import run_sync
from one_async._tracing import TRACING, span, spanned
from one_async.errors import InputError
from one_async.tables.pandas_frames import as_pandas, has_frames, rows_of_pandas

T = TypeVar("T")
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


def conventions(kind: type[T]) -> type[T]:
    """Decorate a class so that the public async methods of its bases follow the conventions of this module."""
    for name in dir(kind):
        method = getattr(kind, name)
        if name.startswith("_") or name == "aclose" or not inspect.isfunction(method):
            continue
        if inspect.iscoroutinefunction(method):
            setattr(kind, name, _method(name, method))
        elif inspect.isasyncgenfunction(method):
            setattr(kind, name, _generator(name, spanned(f"one.{name}", method)))
    return kind


def _method(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    arrange = _arrangement(name, method)

    @wraps(method)
    async def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = arrange(args, kwargs)
        running = method(self, *args, **kwargs)  # a missing argument stays Python's TypeError
        if TRACING in sys.modules:
            with span(f"one.{name}"):
                result = await running
        else:
            result = await running
        return await _of_kind(self, name, result)

    return _with_id(call)


def _generator(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    arrange = _arrangement(name, method)

    @wraps(method)
    async def iterate(self: Any, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        args, kwargs = arrange(args, kwargs)
        async with aclosing(method(self, *args, **kwargs)) as items:
            async for item in items:
                yield await _of_kind(self, name, item)

    return _with_id(iterate)


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


async def _of_kind(client: Any, name: str, result: Any) -> Any:
    """Convert the frames in a result to the client's kind of frame."""
    if not has_frames(result):
        return result
    if client._context.table_kind != "pandas":
        from one_async.tables.id_frames import with_whole_ids

        return with_whole_ids(result)
    check_polars()
    return await run_sync(as_pandas, result, name not in PLAIN)


def _arrangement(
    name: str, method: Callable[..., Any]
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return a function that converts the arguments of a call to the form that the method takes."""
    known = inspect.signature(method).parameters
    parameters = list(known)[1:]
    takes_id = "id" in known or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    session = next((one for one in parameters[:1] if one in SESSION), None)
    rows = ROWS.get(name)
    place = parameters.index(rows) if rows else 0

    def rows_of(value: Any) -> Any:
        columns = getattr(value, "columns", ())
        if name == "freeze" and len(columns) and "rel_path" not in columns:
            return value  # it reads frames of ids itself
        if name in BY_ROW and hasattr(value, "iter_rows") and not {"did", "rel_path"}.isdisjoint(columns):
            return list(value.iter_rows(named=True))
        return rows_of_pandas(value)

    def arrange(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if session and "id" in kwargs:
            if not args and session not in kwargs:
                kwargs[session] = kwargs.pop("id")
            elif not takes_id and kwargs.pop("id") is not None:
                raise InputError(f"id and {session} both name the session; give one of them", argument="id")
        if rows and len(args) > place:
            args = (*args[:place], rows_of(args[place]), *args[place + 1 :])
        elif rows and rows in kwargs:
            kwargs[rows] = rows_of(kwargs[rows])
        return args, kwargs

    return arrange
