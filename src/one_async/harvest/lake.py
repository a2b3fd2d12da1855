"""Files beside tidy tables: documentation, and views for DuckDB. All functions block."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from one_async.errors import TransferError
from one_async.harvest.publish import format_of
from one_async.harvest.storage import FolderStorage, shown_address
from one_async.harvest.tidy import quoted

if TYPE_CHECKING:
    from one_async.harvest.report import ColumnReport, EndpointReport, HarvestReport
    from one_async.harvest.storage import Storage

DOCUMENT, VIEWS, DATABASE = "schema.md", "views.sql", "metadata.duckdb"
#: The DuckDB variable for the folder or address of the tables, which overrides the one in the views.
VARIABLE = "harvest"
HEAD = f"""# Tables of {{server}}

Each table is a folder. A row is a record of the database; `report.json` tells whether all of them are here.

- `id` identifies a row. Sessions, insertions and datasets also have it as `eid`, `pid` and `did`, the names by which all
  other tables refer to them: `SELECT … FROM sessions JOIN datasets USING (eid)`.
- Times are in UTC. UUIDs are text in files and in Polars, and have the type `UUID` in the views. Columns such as `json` hold
  JSON text: `json->>'key'` in DuckDB, `str.json_path_match` in Polars.
- A column named under *refers to* contains every value of the column in that row, unless one of the two tables was read
  with filters, or the database changed between the two reads.

## DuckDB

A view has the name of its table, with `_` instead of `-`. `duckdb {DATABASE}` opens them. That file contains the folder's
path and no rows; it is written by harvests of Parquet files into a folder if the Python package duckdb is installed.
`duckdb -init {VIEWS}`, run in the folder, creates the same views.

If the folder was moved, or is read from another machine, set its path or address before the first query:
`SET VARIABLE {VARIABLE} = '/new/path';`"""


def write_lake(storage: Storage, report: HarvestReport) -> None:
    """Write ``schema.md``, ``views.sql`` and, for Parquet files in a folder, ``metadata.duckdb``.

    They describe all tidy tables in a storage's report, and are deleted if there are none. Without the package duckdb, no
    database is written, and that of an earlier harvest is deleted.
    """
    tables = _tables(storage, report)
    files = {} if not tables else {DOCUMENT: document(report, tables), VIEWS: _script(storage, tables)}
    for name in (DOCUMENT, VIEWS):
        if name in files:
            storage.put(name, files[name].encode())
        else:
            storage.delete(name)
    in_files = {name: table for name, table in tables.items() if table.format == "parquet"}
    if not (in_files and isinstance(storage, FolderStorage) and _write_database(storage, in_files)):
        storage.delete(DATABASE)


@dataclass(frozen=True)
class Table:
    """A tidy table of a storage."""

    entry: EndpointReport
    columns: Sequence[ColumnReport]
    format: str


def _tables(storage: Storage, report: HarvestReport) -> dict[str, Table]:
    found = {}
    for name, entry in sorted(report.endpoints.items()):
        format = format_of(storage, name) if entry.columns else None
        if entry.columns and format is not None:
            found[name] = Table(entry, entry.columns, format)
    return found


# ---- views -------------------------------------------------------------------------------------------------


def view_name(endpoint: str) -> str:
    """Return the name of an endpoint's view, which needs no quotes in SQL."""
    return endpoint.replace("-", "_")


def _script(storage: Storage, tables: Mapping[str, Table]) -> str:
    root = "." if isinstance(storage, FolderStorage) else shown_address(storage, "").rstrip("/")
    lines = [
        f"-- Views of the tables in this folder: duckdb -init {VIEWS}",
        f"-- From elsewhere, first: SET VARIABLE {VARIABLE} = 'path or address of the folder';",
        *views(root, tables),
    ]
    return "\n".join(lines) + "\n"


def views(root: str, tables: Mapping[str, Table]) -> Iterator[str]:
    """Yield a statement for each view, with a default for the location of the tables."""
    where = f"coalesce(getvariable('{VARIABLE}'), {_text(root)})"
    for endpoint, table in tables.items():
        if table.format == "delta":
            source = f"delta_scan({where} || {_text('/' + endpoint)})"
        else:
            parts = _text(f"/{endpoint}/part-*.parquet")
            source = f"read_parquet({where} || {parts}, union_by_name = true)"
        columns = ", ".join(map(_selected, table.columns))
        yield f"CREATE OR REPLACE VIEW {quoted(view_name(endpoint))} AS SELECT {columns} FROM {source};"


def _selected(column: ColumnReport) -> str:
    name = quoted(column.name)
    # UUIDs are text in Parquet files; all other types are those of the files.
    return f"CAST({name} AS {column.type}) AS {name}" if "UUID" in column.type else name


def _text(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


def _write_database(storage: FolderStorage, tables: Mapping[str, Table]) -> bool:
    """Write the database; return False without the package duckdb."""
    try:
        import duckdb
    except ImportError:
        return False
    # DuckDB resolves relative paths against the working directory, so the views contain the folder's absolute path.
    root = re.sub(r"([*?\[])", r"[\1]", storage.address("").rstrip("/"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE
        try:
            with duckdb.connect(str(path)) as database:
                for statement in views(root, tables):
                    database.execute(statement)
        except duckdb.Error as error:
            where = storage.address(DATABASE)
            raise TransferError(f"{where}: {str(error).partition(chr(10))[0]}", path=where) from error
        storage.put_file(DATABASE, path)
    return True


# ---- documentation -----------------------------------------------------------------------------------------


def document(report: HarvestReport, tables: Mapping[str, Table]) -> str:
    """Return the documentation of all tables and their columns as Markdown."""
    lines = [HEAD.format(server=report.server)]
    for endpoint, table in tables.items():
        lines += ["", f"## {endpoint}", "", _facts(endpoint, table), "", *_columns(table)]
    return "\n".join(lines) + "\n"


def _facts(endpoint: str, table: Table) -> str:
    entry = table.entry
    kind = "Delta Lake table" if table.format == "delta" else "Parquet files"
    when = "" if entry.as_of is None else f", as of {entry.as_of:%Y-%m-%d %H:%M} UTC"
    filters = ", ".join(f"{name}={value}" for name, value in (entry.holds or {}).items())
    chosen = f", with {filters}" if filters else ""
    return f"{kind} in `{endpoint}/`, view `{view_name(endpoint)}`: {entry.distinct:,} rows{chosen}{when}."


def _columns(table: Table) -> Iterator[str]:
    yield "| column | DuckDB | Polars | meaning | refers to |"
    yield "|---|---|---|---|---|"
    for column in table.columns:
        refers = ", ".join(
            f"`{to}`" if path == column.name else f"`{path}` to `{to}`"
            for path, to in column.references.items()
        )
        cells = (f"`{column.name}`", f"`{column.type}`", f"`{column.dtype}`", column.meaning, refers)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
