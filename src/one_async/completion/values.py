"""The values that an argument of a client's method can have: from the tables in memory, else from lists of the database."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID
from weakref import WeakKeyDictionary

from one_async._arguments import text_of
from one_async._threads import is_polars_lost
from one_async.alf.parts import rel_path_parts
from one_async.alf.session_paths import key_frame, match_keys
from one_async.alf.spec import QC
from one_async.alyx.client import AsyncAlyxClient
from one_async.client import AsyncONE
from one_async.completion.lists import LISTS, names_in_list
from one_async.errors import InputError
from one_async.ids import parse_session
from one_async.queries.terms import OTHER_NAMES, SESSION_TERMS, complete
from one_async.registration import RegistrationClient
from one_async.sync import ONE, AlyxClient
from one_async.types import Mode, RevisionPolicy

if TYPE_CHECKING:
    import polars as pl

    from one_async.completion.source import Argument
    from one_async.tables.catalogue import Catalogue

__all__ = ["values_of"]

#: The most values that are offered, and the most sessions of a list whose datasets are read.
_MOST, _MOST_SESSIONS = 200, 20
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "query_type": get_args(Mode),
    "mode": get_args(Mode),
    "revision_policy": get_args(RevisionPolicy),
    **dict.fromkeys(
        ("dataset_qc_lte", "session_qc_lte", "insertion_qc_lte", "qc"), tuple(level.name for level in QC)
    ),
}
#: The part of a path that an argument names, as a position in `rel_path_parts`.
_PARTS = {"collection": 0, "collections": 0, "revision": 1, "revisions": 1, "obj": 3, "object": 3}
_FILE_NAMES = frozenset({"dataset", "datasets", "filename"})
_COLUMNS = {"laboratory": "lab", "date_range": "date"}


def values_of(argument: Argument, begins: str, names: Mapping[str, Any]) -> list[str]:
    """Return the values of an argument that begin with a text, in order; at most 200, none if they are not known.

    ``names`` is the namespace in which the client, and a session's id, are looked up. Nothing else is evaluated.
    """
    first, *path = argument.names
    client = _client_of(names.get(first))
    kind: type = type(client)
    if isinstance(client, AsyncONE) and path[:1] == ["alyx"]:
        client, path = client._context._alyx, path[1:]
        kind = type(client)
    elif isinstance(client, AsyncONE) and path[:1] == ["registration"]:
        kind, path = RegistrationClient, path[1:]
    if client is None or len(path) != 1 or text_of(begins) is None:
        return []
    method = inspect.getattr_static(kind, path[0], None)
    if not inspect.isfunction(method) or (name := _parameter(method, argument)) is None:
        return []
    if isinstance(client, AsyncAlyxClient):
        return _of_schema(client, argument, name, begins)
    if name in _CHOICES:
        return _few(_CHOICES[name], begins)
    if path[0] == "harvest":
        return _few(["all", *_lists(client)], begins) if name == "endpoints" else []
    tables = _tables(client)
    if name in _PARTS or name in _FILE_NAMES:
        return [] if tables is None else _of_datasets(tables, method, argument, name, begins, names)
    if (term := _term_of(method, name)) is None:
        return []
    if tables is not None and (found := _of_term(tables, method, term, begins)):
        return found
    if client._context.mode == "local":
        return []
    return _few(names_in_list(names.get(first), client._context._alyx, term), begins)


def _client_of(value: object) -> AsyncONE | AsyncAlyxClient | None:
    """Return the async client of either kind of client; None for anything else. Runs no code of the value's class."""
    if issubclass(type(value), ONE | AlyxClient):
        if (parent := vars(value).get("_parent")) is not None:  # one.alyx under a name of its own
            one = _client_of(parent[0])
            return one._context._alyx if isinstance(one, AsyncONE) and parent[1] == "alyx" else None
        value = vars(value).get("_made")
    return value if issubclass(type(value), AsyncONE | AsyncAlyxClient) else None  # type: ignore[return-value]


def _parameter(method: Any, argument: Argument) -> str | None:
    """Return the parameter that an argument is for."""
    if argument.keyword is not None or any(one.startswith("*") for one in argument.positional):
        return argument.keyword
    names = _positional(method)
    return names[len(argument.positional)] if len(argument.positional) < len(names) else None


def _positional(method: Any) -> list[str]:
    """Return the names of a method's positional parameters, without self."""
    parameters = inspect.signature(method).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in kinds][1:]


def _few(values: Iterable[str], begins: str) -> list[str]:
    """Return the values that begin with a text in this spelling, or if there are none in any case, sorted."""
    known = sorted(set(values))
    found = [one for one in known if one.startswith(begins)]
    lower = begins.lower()
    return (found or [one for one in known if one.lower().startswith(lower)])[:_MOST]


def _beginning(values: pl.Series, begins: str, descending: bool = False) -> list[str]:
    """Return the texts of a column as `_few` does."""
    import polars as pl

    for fold in (False, True):
        words, start = (values, pl.Series([begins], dtype=pl.String))
        if fold:
            words, start = words.str.to_lowercase(), start.str.to_lowercase()
        found = values.filter(words.str.starts_with(start[0]) & (words != ""))
        if len(found):
            return found.unique().sort(descending=descending).head(_MOST).to_list()
    return []


#: The distinct file names of tables, sorted, and in lower case; kept as long as the tables are.
_NAMES: WeakKeyDictionary[Catalogue, tuple[pl.Series, pl.Series]] = WeakKeyDictionary()


def _of_file_names(tables: Catalogue, begins: str) -> list[str]:
    """Return file names as `_few` does; of millions of datasets, within a few milliseconds after the first time."""
    import polars as pl

    if tables not in _NAMES:
        names = tables.dataset_table.names.unique().sort()
        names = names.filter(names != "")
        _NAMES[tables] = names, names.str.to_lowercase()
    names, lower = _NAMES[tables]
    folded = pl.Series([begins], dtype=pl.String).str.to_lowercase()[0]
    for words, start in ((names, begins), (lower, folded)):
        found = names.filter(words.str.starts_with(start)) if start else names
        if len(found):
            return found.head(_MOST).to_list()
    return []


# ---- the database's endpoints


def _of_schema(client: AsyncAlyxClient, argument: Argument, name: str, begins: str) -> list[str]:
    if client._schema is None:
        return []
    schema = client._schema[0]
    if name in ("url", "endpoint"):
        return _few(schema.endpoints, begins)
    endpoint = _value(argument.positional[0] if argument.positional else argument.keywords.get("url"), {})
    if name == "action" and endpoint in schema.endpoints:
        return _few(schema.actions(str(endpoint)), begins)
    return []


def _lists(client: AsyncONE) -> list[str]:
    alyx = client._context._alyx
    return [] if alyx is None or alyx._schema is None else alyx._schema[0].lists


# ---- the tables


def _tables(client: AsyncONE) -> Catalogue | None:
    """Return the tables in memory; None if there are none."""
    context = client._context
    if context.frozen is not None or is_polars_lost():
        return None if is_polars_lost() else context.frozen
    return None if context._tables is None else context._tables.in_memory


def _term_of(method: Any, name: str) -> str | None:
    """Return the whole name of an argument or search term; None if the method has no such argument."""
    parameters = inspect.signature(method).parameters
    if name not in parameters:
        if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            return None
        for terms in (SESSION_TERMS, tuple(parameters), tuple(LISTS)):
            with suppress(InputError):
                return _full(complete(name, terms))
        return None
    return _full(name)


def _full(term: str) -> str:
    return OTHER_NAMES.get(term, term)


def _of_term(tables: Catalogue, method: Any, name: str, begins: str) -> list[str]:
    """Return values of a search term: those of its column of sessions, or of insertions."""
    import polars as pl

    parameters = inspect.signature(method).parameters
    if name in ("name", "model", "serial"):
        insertions = tables.others.get("insertions")
        if "serial" not in parameters or insertions is None or name not in insertions.columns:
            return []
        return _beginning(insertions[name].unique().cast(pl.String), begins)
    if name == "datasets":
        return _of_file_names(tables, begins)
    column = _COLUMNS.get(name, name)
    if column == "eid" or column not in tables.session_frame.columns:
        return []
    if "subject" not in parameters and name != "laboratory":
        return []
    values = tables.distinct(column)[0]
    if column == "projects":
        values = values.str.split(",").explode()
    if not (values.dtype.is_temporal() or values.dtype in (pl.String, pl.Categorical, pl.Enum)):
        return []
    return _beginning(values.drop_nulls().cast(pl.String), begins, descending=column == "date")


def _of_datasets(
    tables: Catalogue, method: Any, argument: Argument, name: str, begins: str, names: Mapping[str, Any]
) -> list[str]:
    """Return objects, file names, collections or revisions of the sessions that the first argument names.

    A search, and a call for all sessions, has file names of the whole table.
    """
    first = _positional(method)[0]
    given = argument.positional[0] if argument.positional else argument.keywords.get(first)
    if first not in ("eid", "eids") or given is None or "subject" in inspect.signature(method).parameters:
        return _of_file_names(tables, begins) if name in _FILE_NAMES else []
    value = _value(given, names)
    sessions = value[:_MOST_SESSIONS] if type(value) in (list, tuple) else [value]
    paths: set[str] = set()
    for eid in filter(None, (_eid(tables, one) for one in sessions)):
        table = tables.dataset_table
        paths.update(table.rel_paths(table.rows_of(eid)).to_list())
    if name in _FILE_NAMES:
        return _few((path.rpartition("/")[2] for path in paths), begins)
    parts = (rel_path_parts(path, as_dict=False, assert_valid=False)[_PARTS[name]] for path in paths)
    return _few(filter(None, parts), begins)


def _eid(tables: Catalogue, session: object) -> str | None:
    """Return the id of a session of the tables, by its id, reference, path or record; None if it is not known."""
    try:
        key = parse_session(session)
    except InputError:
        return None
    if isinstance(key, UUID):
        return str(key)
    found = match_keys(tables.session_frame, key_frame([key]))
    return str(found["eid"][0]) if len(found) == 1 else None


def _value(source: str | None, names: Mapping[str, Any]) -> Any:
    """Return the value of a literal, of a name, or of a member of a list or tuple; None for any other source."""
    try:
        node = ast.parse(source or "None", mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        several: Any = names.get(node.value.id)
        at = _value(ast.unparse(node.slice), {})
        if type(several) in (list, tuple) and type(at) is int and -len(several) <= at < len(several):
            return several[at]
        return None
    if isinstance(node, ast.Name):
        value = names.get(node.id)
        return value if type(value) in (list, tuple, str, UUID, dict) else None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
