"""The emulator's state in SQLite: columns to filter by, and each record's JSON as it is sent.

A page is a slice of row numbers, cached for each distinct query until something is written, and one SELECT
of JSON texts, so a page of a list of a million rows takes no longer than one of a short list.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from one_async.emulator.content import World
from one_async.emulator.filters import Given, compile_query
from one_async.emulator.jsonb import json_matches
from one_async.emulator.models import CHOICES, MODELS, Field, Model, table_name
from one_async.emulator.query import Answer, Failed, date_part, regexp

__all__ = ["HOST", "Store"]

HOST = "https://alyx.test"
CHUNK = 2000
KEPT_QUERIES = 256
LARGE = 20_000
# Columns by which writes look records up, beside those of relations
LOOKED_UP = {("files", "relative_path"), ("notes", "object_id")}
Pairs = Iterable[tuple[Mapping[str, Any], Mapping[str, Any] | None]]
Record = dict[str, Any]
Parts = tuple[int, Record, Record, Record]
CONTENT_TYPES = ("actions.session", "actions.surgery", "subjects.subject", "data.dataset", "data.tag")

# The databases of worlds that this process loaded: None after the first time, since most are loaded only once
_COPIES: WeakKeyDictionary[World, bytes | None] = WeakKeyDictionary()
_LOADING = threading.Lock()


dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # as Django REST framework writes


def key_of(model: Model, record: Mapping[str, Any]) -> str | None:
    """Return the key in a record's address; None for endpoints whose records have no address."""
    value = record[model.key] if model.key in record else plain(record.get("url"))
    return None if value is None else str(value)


def match_key(model: Model, record: Mapping[str, Any], key: str | None) -> str:
    """Return the text that links a record of a list to its detail."""
    return " ".join(str(record[name]).removesuffix("+00:00") for name in model.on) or key or ""


def plain(value: Any) -> Any:
    """Return the key of a reference, which is an address or an embedded record."""
    if isinstance(value, Mapping):
        return plain(value.get("id"))
    if isinstance(value, str) and value.startswith(HOST):
        return unquote(value.rsplit("/", 1)[-1])
    return value


def column_value(column: Field, record: Mapping[str, Any]) -> Any:
    """Return a column's value of a record."""
    value = record.get(column.source, column.default)
    if value is None and column.name == "id":
        return str(uuid.uuid5(uuid.NAMESPACE_OID, dumps(record)))  # of a record whose id no endpoint shows
    if value is None or (value == "" and column.kind == ">"):
        return None
    if column.target in CHOICES:
        return CHOICES[column.target].get(value, value)
    value = value if column.target == "json" else plain(value)
    return dumps(value) if column.target == "json" or isinstance(value, dict | list) else value


class Store:
    """All rows of a world. Its methods are thread-safe."""

    def __init__(self, world: World, database: Path | str | None = None) -> None:
        self._lock = threading.RLock()
        self._running = False
        self._pages: OrderedDict[tuple[Any, ...], array[int]] = OrderedDict()
        self._extra: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._db = sqlite3.connect(database or ":memory:", check_same_thread=False, isolation_level=None)
        for name, function in (("regexp", regexp), ("json_matches", json_matches), ("date_part", date_part)):
            self._db.create_function(name, 2, function, deterministic=True)
        for model in MODELS.values():
            more = world.unserved.get(model.more, ())
            self._extra[model.name] = {match_key(model, row, str(row.get(model.key))): row for row in more}
        for link in world.unserved.get("download_projects", ()):
            known = self._extra["downloads"].get(link["download"], {"projects": []})
            self._extra["downloads"][link["download"]] = {"projects": [*known["projects"], link["project"]]}
        if database is not None:
            # A killed process loses nothing that was committed; only a power cut may
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        if not self.select("SELECT 1 FROM sqlite_master WHERE name = 'kept'"):
            if database is None:
                self._load_copy(world)
            else:
                self._load(world)

    def _load_copy(self, world: World) -> None:
        """Load a world into memory; from its second time on, from a copy that is kept for as long as the world is."""
        with _LOADING:
            if copy := _COPIES.get(world):
                with closing(sqlite3.connect(":memory:")) as source:
                    source.deserialize(copy)
                    source.backup(self._db)
                return
            self._load(world)
            _COPIES[world] = self._db.serialize() if world in _COPIES else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction. An Answer commits what was written before it; any other error rolls everything back."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except Answer:
                self._db.execute("COMMIT")
                raise
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")
            finally:
                self._pages.clear()

    def kept(self, name: str, value: str) -> str:
        """Return a value that is stored with the state: the given one in the first call, and the same one later."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (name, value))
            [(found,)] = self.select("SELECT value FROM kept WHERE name = ?", name)
            return str(found)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # ---- reading ----

    def rows(self, endpoint: str, given: Given) -> array[int]:
        """Return the numbers of the rows that a query finds, in order. Raise Answer if Alyx refuses the query."""
        key = self._key(endpoint, given)
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return self._pages[key]
            self._running = True
            try:
                query = compile_query(endpoint, given, self.exists)
                found = array("q", (row for (row,) in self._db.execute(query.sql(), query.params)))
            except sqlite3.Error as error:
                raise Failed(str(error)) from None
            finally:
                self._running = False
            self._pages[key] = found
            if len(self._pages) > KEPT_QUERIES:
                self._pages.popitem(last=False)
            return found

    def _key(self, endpoint: str, given: Given) -> tuple[Any, ...]:
        filters = {rule.key: given[rule.key] for rule in MODELS[endpoint].filters if rule.key in given}
        return (endpoint, *sorted(filters.items()))

    def slow(self, endpoint: str, given: Given | None) -> bool:
        """Return whether an answer must wait for a query: a running one, or a new one of a large table.

        ``given`` None is a request for one record, which needs no new query.
        """
        if self._running or given is None or self._key(endpoint, given) in self._pages:
            return self._running
        return self._newest(endpoint) > LARGE

    def _newest(self, endpoint: str) -> int:
        [(newest,)] = self.select(f"SELECT coalesce(max(row), 0) FROM {table_name(endpoint, 'text')}")
        return int(newest)

    def texts(self, endpoint: str, rows: Sequence[int]) -> list[str]:
        """Return the JSON of these rows of a list, in the given order."""
        if not rows:
            return []
        first, last = min(rows), max(rows)
        where = (
            f"BETWEEN {first} AND {last}"
            if last - first < 2 * len(rows)
            else f"IN ({','.join(map(str, rows))})"
        )
        sql = f"SELECT row, list FROM {table_name(endpoint, 'text')} WHERE row {where}"
        texts = dict(self.select(sql))
        return [texts[row] for row in rows if row in texts]

    def detail(self, endpoint: str, key: str) -> str | None:
        """Return the JSON of one record, None if there is none."""
        found = self._find(endpoint, key)
        return None if found is None else found[2] or found[1]

    def exists(self, field: str, value: Any) -> bool:
        """Return whether a row has a value in a field, which is named ``model.field``."""
        name, _, column = field.partition(".")
        wanted = int(value) if str(value).isdigit() else value
        if isinstance(wanted, int) and abs(wanted) >= 2**63:
            return False  # more than a column holds
        return bool(self.select(f'SELECT 1 FROM {table_name(name)} WHERE "{column}" = ? LIMIT 1', wanted))

    def select(self, sql: str, *params: Any) -> list[Any]:
        """Run a custom query: tables are named as endpoints, and ``"endpoint.text"`` has keys and JSON."""
        with self._lock:
            return self._db.execute(sql, params).fetchall()

    def _find(self, endpoint: str, key: str) -> tuple[int, str, str | None] | None:
        found = self.select(
            f"SELECT row, list, detail FROM {table_name(endpoint, 'text')} WHERE key = ?", key
        )
        return found[0] if found else None

    # ---- writing ----

    def insert(self, endpoint: str, row: Mapping[str, Any], detail: Mapping[str, Any] | None = None) -> None:
        """Add a record: ``row`` as lists show it, ``detail`` as its address shows it (None: the same)."""
        with self._lock:
            self._write(MODELS[endpoint], [(row, detail)])
            self._pages.clear()

    def delete(self, endpoint: str, key: str) -> None:
        """Remove a record if it exists."""
        with self._lock:
            found = self._find(endpoint, key)
            if found is not None:
                self._remove(MODELS[endpoint], found[0])
            self._pages.clear()

    def update(self, endpoint: str, key: str, **changes: Any) -> None:
        """Change fields of a record, in its list row and in its detail. Raise KeyError if it does not exist."""
        with self._lock:
            found = self._find(endpoint, key)
            if found is None:
                raise KeyError(key)
            number, row, detail = found[0], json.loads(found[1]), json.loads(found[2] or found[1])
            new_row = {**row, **{name: value for name, value in changes.items() if name in row}}
            more = self.records(endpoint, [number])[0][3]
            self._remove(MODELS[endpoint], number)
            self._write(MODELS[endpoint], [(new_row, {**detail, **changes})], number, more)
            self._pages.clear()

    # ---- whole records by row number, for `Rows` ----

    def records(self, endpoint: str, numbers: Sequence[int]) -> list[Parts]:
        """Return the number, list row, detail and unserved fields of records, in the order of their rows."""
        marks = ",".join(map(str, numbers))
        sql = f"SELECT row, list, detail, more FROM {table_name(endpoint, 'text')} WHERE row IN ({marks})"
        found = self.select(f"{sql} ORDER BY row")
        return [
            (row, json.loads(listed), json.loads(detail or listed), json.loads(more or "{}"))
            for row, listed, detail, more in found
        ]

    def numbers(self, endpoint: str, **where: Any) -> list[int]:
        """Return the row numbers of the records whose columns equal these values (None: null)."""
        tests = [f'"{name}" {"IS" if value is None else "="} ?' for name, value in where.items()]
        sql = f"SELECT row FROM {table_name(endpoint)} WHERE {' AND '.join(tests)} ORDER BY row"
        return [row for (row,) in self.select(sql, *where.values())]

    def number_of(self, endpoint: str, key: str) -> int | None:
        """Return the row number of the record with a key, None if there is none."""
        found = self._find(endpoint, key)
        return None if found is None else found[0]

    def linked(self, endpoint: str, link: str, value: Any) -> list[int]:
        """Return the row numbers of the records whose many-to-many field holds a value."""
        return [
            r for (r,) in self.select(f"SELECT row FROM {table_name(endpoint, link)} WHERE value = ?", value)
        ]

    def put(self, endpoint: str, number: int | None, row: Record, detail: Record, more: Record) -> int:
        """Replace the record of row ``number`` (None: add a row). Return its row number."""
        with self._lock:
            if number is None:
                number = self._newest(endpoint) + 1
            else:
                self._remove(MODELS[endpoint], number)
            self._write(MODELS[endpoint], [(row, detail)], number, more)
            self._pages.clear()
            return number

    def drop(self, endpoint: str, number: int) -> None:
        """Remove the record of a row."""
        with self._lock:
            self._remove(MODELS[endpoint], number)
            self._pages.clear()

    # ---- tables ----

    def _create(self) -> None:
        self._db.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT)")
        for model in MODELS.values():
            columns = ", ".join(f'"{column.name}"' for column in model.columns)
            self._db.execute(f"CREATE TABLE {table_name(model.name)} (row INTEGER PRIMARY KEY, {columns})")
            self._db.execute(
                f"CREATE TABLE {table_name(model.name, 'text')}"
                " (row INTEGER PRIMARY KEY, key TEXT UNIQUE, list TEXT, detail TEXT, more TEXT)"
            )
            for link in model.links:
                table = table_name(model.name, link.name)
                self._db.execute(f"CREATE TABLE {table} (row INTEGER, value)")
                self._db.execute(f'CREATE INDEX "{model.name}.{link.name}.row" ON {table} (row)')
                self._db.execute(f'CREATE INDEX "{model.name}.{link.name}.value" ON {table} (value)')
        joined = {(f.target, f.key) for m in MODELS.values() for f in m.fields.values() if f.kind != ":"}
        joined |= {(m.name, "id") for m in MODELS.values() if "id" in m.fields} | LOOKED_UP
        for name, column in sorted(joined):
            if MODELS[name].fields[column].kind in ":>":
                self._db.execute(f'CREATE INDEX "{name}.{column}.key" ON {table_name(name)} ("{column}")')

    def _load(self, world: World) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._create()
        self._load_records(world)
        self._db.execute("COMMIT")
        self._db.execute("ANALYZE")

    def _load_records(self, world: World) -> None:
        for number, label in enumerate(CONTENT_TYPES, 1):
            app, name = label.split(".")
            kind = {"id": number, "label": label, "app_label": app, "model": name}
            self._write(MODELS["content-types"], [(kind, None)])
        for name in MODELS.keys() & world.unserved.keys() - world.records.keys():
            self._write(MODELS[name], ((row, None) for row in world.unserved[name]))
        for endpoint, held in world.records.items():
            model, details, rows = MODELS[endpoint], held.get("detail") or {}, held["list"]
            if endpoint == "imaging-stack":
                # A stack is one record although it is listed once for each of its slices
                rows = list({row["id"]: row for row in rows}.values())
            self._write(model, ((row, details.get(key_of(model, row) or "")) for row in rows))

    def _write(
        self,
        model: Model,
        pairs: Pairs,
        number: int | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Write records; ``number`` is the row of the first one if it replaces an older record.

        ``more`` has the values that no endpoint shows (None: those of the world).
        """
        name, links = model.name, model.links
        if number is None:
            number = self._newest(name) + 1
        marks = ", ".join("?" * (len(model.columns) + 1))
        numbered = enumerate(pairs, number)
        while chunk := list(islice(numbered, CHUNK)):
            columns, texts = [], []
            linked: dict[str, list[tuple[int, Any]]] = {link.name: [] for link in links}
            for at, (row, detail) in chunk:
                key = key_of(model, row)
                known = self._extra.get(name, {})
                unserved = known.get(match_key(model, row, key), {}) if more is None else more
                merged = {**unserved, **(detail or {}), **row}
                columns.append((at, *[column_value(column, merged) for column in model.columns]))
                listed, shown = dumps(row), None if detail is None else dumps(detail)
                shown = None if shown == listed else shown
                texts.append((at, key, listed, shown, dumps(unserved) if unserved else None))
                for link in links:
                    linked[link.name] += [(at, plain(item)) for item in merged.get(link.source) or ()]
            self._db.executemany(f"INSERT INTO {table_name(name)} VALUES ({marks})", columns)
            self._db.executemany(f"INSERT INTO {table_name(name, 'text')} VALUES (?, ?, ?, ?, ?)", texts)
            for link_name, items in linked.items():
                self._db.executemany(f"INSERT INTO {table_name(name, link_name)} VALUES (?, ?)", items)

    def _remove(self, model: Model, number: int) -> None:
        tables = ["", "text", *(link.name for link in model.links)]
        for name in tables:
            self._db.execute(f"DELETE FROM {table_name(model.name, name)} WHERE row = ?", (number,))
