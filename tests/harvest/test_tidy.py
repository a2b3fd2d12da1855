"""Tidy tables: every reference joins, types are as documented, values are the server's, and DuckDB opens them."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import pytest
import worlds
from worlds import client

from one_async.emulator import Emulator
from one_async.errors import InputError
from one_async.harvest import HarvestReport, harvest
from one_async.harvest.report import ColumnReport

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what differs between the libraries is below these tables


class Lake:
    """A harvest of all endpoints in a folder, and the emulator that it was read from."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator, self.folder = emulator, folder
        self.report = anyio.run(self._harvest)

    async def _harvest(self) -> HarvestReport:
        async with client(self.emulator) as alyx:
            return await harvest(alyx, "all", self.folder, tidy=True)

    def table(self, endpoint: str) -> pl.DataFrame:
        files = sorted((self.folder / endpoint).glob("*.parquet"))  # Polars reads [ in a path as a pattern
        return pl.concat(pl.read_parquet(file, glob=False) for file in files)

    def columns(self) -> Iterator[tuple[str, ColumnReport]]:
        for endpoint, entry in self.report.endpoints.items():
            for column in entry.columns or ():
                yield endpoint, column

    def references(self) -> list[tuple[str, str, str]]:
        return [
            (endpoint, path, to)
            for endpoint, column in self.columns()
            for path, to in column.references.items()
        ]

    def rows(self, endpoint: str) -> list[dict[str, Any]]:
        """Return the rows of the server's own store, with the addresses under which it answers."""
        url = self.emulator.url
        texts = [text for (text,) in self.emulator.store.select(f'SELECT list FROM "{endpoint}.text"')]
        moved = (
            t.replace("https://alyx.test", url).replace("https://data.test", f"{url}/data") for t in texts
        )
        return list(map(json.loads, moved))


@pytest.fixture(scope="module", params=["recorded", "seeded"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    world = worlds.recorded_world() if request.param == "recorded" else None
    with Emulator(world) as emulator:
        yield Lake(emulator, tmp_path_factory.mktemp(request.param) / "a [lake]")


@pytest.fixture
def database(lake: Lake) -> Iterator[Any]:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(lake.folder / "metadata.duckdb"), read_only=True) as database:
        tags = database.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'metadata'"
        ).fetchone()
        assert tags == (
            {"storage_version": "v1.4.0+"},
        )  # the oldest version that the extra allows can open it
        yield database


def values(table: pl.DataFrame, path: str) -> pl.Series:
    """Return the values at a path such as ``file_records[].data_repository``, without null."""
    steps = re.findall(r"\[\]|[^.\[\]]+", path)
    found = table[steps[0]]
    for step in steps[1:]:
        found = found.explode() if step == "[]" else found.struct.field(step)
    return found.drop_nulls()


def sql_values(endpoint: str, path: str) -> str:
    """Return DuckDB's SQL for the values at a path."""
    steps = re.findall(r"\[\]|[^.\[\]]+", path)
    sql = f'SELECT "{steps[0]}" AS value FROM "{endpoint.replace("-", "_")}"'
    for step in steps[1:]:
        part = "unnest(value)" if step == "[]" else f"struct_extract(value, '{step}')"
        sql = f"SELECT {part} AS value FROM ({sql})"
    return f"SELECT value FROM ({sql}) WHERE value IS NOT NULL"


def sent(rows: list[dict[str, Any]], path: str) -> list[Any]:
    """Return the values of the server's rows at a path, without nulls and empty texts; of a URL its last part."""
    found: list[Any] = list(rows)
    for step in re.findall(r"\[\]|[^.\[\]]+", path):
        if step == "[]":
            found = [item for value in found for item in value or ()]
        else:
            found = [
                value[step] for value in found if value is not None and value.get(step) not in (None, "")
            ]
    return [v.rsplit("/", 1)[-1] if isinstance(v, str) and v.startswith("http") else v for v in found]


#: The fields that the shared names come from, by endpoint; elsewhere they are ``session`` and so on.
FIELDS = {"eid": "session", "pid": "probe_insertion", "did": "dataset", ("trajectories", "eid"): "session.id"}


def field_of(endpoint: str, path: str) -> str:
    return FIELDS.get((endpoint, path), FIELDS.get(path, path))


def test_every_reference_joins_in_polars(lake: Lake) -> None:
    assert lake.report.complete
    assert len(lake.references()) >= 60
    joined = 0
    for endpoint, path, to in lake.references():
        table, _, column = to.partition(".")
        given = values(lake.table(endpoint), path)
        assert given.is_in(lake.table(table)[column].implode()).all(), (endpoint, path, to)
        # One row for each value of the server's rows, so that no value was lost.
        expected = sent(lake.rows(endpoint), field_of(endpoint, path))
        assert sorted(given) == sorted(expected), (endpoint, path)
        joined += len(given)
    assert joined > 5000


def test_every_reference_joins_in_duckdb(lake: Lake, database: Any) -> None:
    for endpoint, path, to in lake.references():
        table, _, column = to.partition(".")
        inner = sql_values(endpoint, path)
        view = table.replace("-", "_")
        [[given]] = database.execute(f"SELECT count(*) FROM ({inner})").fetchall()
        sql = f'SELECT count(*) FROM ({inner}) AS l JOIN "{view}" AS r ON l.value = r."{column}"'
        [[joined]] = database.execute(sql).fetchall()
        assert joined == given == len(sent(lake.rows(endpoint), field_of(endpoint, path))), (endpoint, path)


def test_sessions_join_datasets_in_duckdb(lake: Lake, database: Any) -> None:
    """The query of the issue returns what the same query of the server's own store returns."""
    answer = database.execute(
        "SELECT CAST(eid AS VARCHAR), count(*), count(*) FILTER (default_dataset) FROM sessions JOIN datasets USING (eid) "
        "GROUP BY eid ORDER BY 1"
    ).fetchall()
    truth = lake.emulator.store.select(
        "SELECT s.id, count(*), sum(d.default_dataset) FROM sessions s JOIN datasets d ON d.session = s.id "
        "GROUP BY s.id ORDER BY 1"
    )
    assert [tuple(row) for row in answer] == [tuple(row) for row in truth]
    [[insertions]] = database.execute(
        "SELECT count(*) FROM insertions JOIN trajectories USING (pid) WHERE trajectories.eid = insertions.eid"
    ).fetchall()
    [[expected]] = lake.emulator.store.select(
        "SELECT count(*) FROM trajectories t JOIN insertions i ON t.probe_insertion = i.id"
    )
    assert insertions == expected > 0


def test_types_are_as_documented(lake: Lake, database: Any) -> None:
    document = (lake.folder / "schema.md").read_text()
    for endpoint, entry in lake.report.endpoints.items():
        assert entry.columns
        table = lake.table(endpoint)
        assert {name: str(dtype) for name, dtype in table.schema.items()} == {
            column.name: column.dtype for column in entry.columns
        }
        described = database.execute(f'DESCRIBE "{endpoint.replace("-", "_")}"').fetchall()
        # DuckDB quotes the names of fields only where necessary.
        assert [(name, kind.replace('"', "")) for name, kind, *_ in described] == [
            (column.name, column.type.replace('"', "")) for column in entry.columns
        ]
        section = document.partition(f"\n## {endpoint}\n")[2].partition("\n## ")[0]
        assert re.findall(r"(?m)^\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \|", section) == [
            (column.name, column.type, column.dtype) for column in entry.columns
        ]


KINDS = {bool: "BOOLEAN", datetime: "TIMESTAMP WITH TIME ZONE", date: "DATE", int: "BIGINT", float: "DOUBLE"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")


def plain(value: Any) -> Any:
    """Return the Python value of a JSON value, with times and dates parsed."""
    if isinstance(value, str) and TIME.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def same(held: Any, value: Any) -> bool:
    if isinstance(held, str) and isinstance(value, dict | list):
        return bool(json.loads(held) == value)
    if isinstance(value, dict):
        return isinstance(held, dict) and all(same(held.get(name), item) for name, item in value.items())
    if isinstance(value, list):
        return len(held) == len(value) and all(map(same, held, value))
    if isinstance(held, str) and not isinstance(value, str):  # numbers that are documented as text
        return float(held) == value
    return bool(held == value)


#: Harvests remove these; see test_bucket_keys.py.
BUCKET_KEYS = {"Access key ID", "Secret access key", "Session token"}


def test_values_are_those_of_the_server(lake: Lake) -> None:
    """Compare each row by key and field; JSON text is parsed, and numbers that count tags are booleans."""
    compared = 0
    for endpoint, entry in lake.report.endpoints.items():
        assert entry.columns
        names = {column.name for column in entry.columns}
        fields = {name for row in lake.rows(endpoint) for name in row}
        key = next((name for name in ("id", "url", "name") if name in fields), None)
        if key is None:  # water restrictions have no key
            continue
        held = {row[key]: row for row in lake.table(endpoint).to_dicts()}
        for row in lake.rows(endpoint):
            for name in row.keys() & names - {"eid", "pid", "did"}:
                value, mine = row[name], held[row[key]][name]
                if (endpoint, name) == ("data-repository", "json") and isinstance(value, dict):
                    value = {word: text for word, text in value.items() if word not in BUCKET_KEYS}
                if isinstance(mine, str) and isinstance(value, dict | list):
                    assert json.loads(mine) == value
                elif isinstance(mine, bool):
                    assert mine == bool(value)
                elif value == "":
                    assert mine in ("", None, '""')
                else:
                    assert same(mine, value if isinstance(mine, str) else plain(value)), (endpoint, name)
                compared += 1
    assert compared > 10_000


def test_views_find_the_tables_beside_them(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database opens from any working directory and accepts a new location; the script needs only the folder."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    count = "SELECT count(*) FROM sessions"
    held = [(lake.report["sessions"].distinct,)]
    moved = tmp_path / "it's moved"
    moved.mkdir()
    with duckdb.connect(str(lake.folder / "metadata.duckdb"), read_only=True) as database:
        assert database.execute(count).fetchall() == held
        (moved / "sessions").symlink_to(lake.folder / "sessions")
        database.execute("SET VARIABLE harvest = ?", [str(moved)])
        assert database.execute(count).fetchall() == held
        (moved / "sessions").unlink()
        with pytest.raises(duckdb.IOException, match="moved"):
            database.execute(count)
    monkeypatch.chdir(lake.folder)
    with duckdb.connect() as database:
        database.execute((lake.folder / "views.sql").read_text())
        assert database.execute(count).fetchall() == held


async def test_a_tidy_harvest_can_be_resumed_and_merged(tmp_path: Path) -> None:
    with Emulator(worlds.world(sessions=3100, water_administrations=2700)) as emulator:
        async with client(emulator) as alyx:
            names = ["sessions", "water-administrations"]
            with anyio.CancelScope() as scope:

                def enough(endpoint: str, rows: int, total: int | None) -> None:
                    if endpoint == "water-administrations" and rows >= 2000:
                        scope.cancel()

                await harvest(alyx, names, tmp_path, tidy=True, part_rows=500, progress=enough)
            assert scope.cancelled_caught
            report = await harvest(alyx, names, tmp_path, tidy=True, part_rows=500)
            assert report["water-administrations"].resumed
            gone = min(worlds.ids_of(emulator, "water-administrations"))
            emulator.store.delete("water-administrations", gone)
            with pytest.raises(InputError, match="True"):
                await harvest(alyx, names, tmp_path, since="last")
            report = await harvest(alyx, names, tmp_path, tidy=True, since="last")
        assert report.complete
        assert report["water-administrations"].vanished == 1
        for name in names:
            table = pl.read_parquet(tmp_path / name / "*.parquet")
            assert set(table["id"]) == worlds.ids_of(emulator, name)
            assert table.height == len(worlds.ids_of(emulator, name))


async def test_schema_views_and_database_follow_the_tables(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = {"schema.md", "views.sql", "metadata.duckdb"}
    pytest.importorskip("duckdb")

    def names() -> set[str]:
        return {path.name for path in tmp_path.iterdir()}

    async with client(recorded_emulator) as alyx:
        await harvest(alyx, ["labs", "tags"], tmp_path)
        assert names() == {"labs", "tags", "report.json"}
        await harvest(alyx, ["labs"], tmp_path, tidy=True)
        assert names() == {"labs", "tags", "report.json"} | beside
        assert 'VIEW "tags"' not in (tmp_path / "views.sql").read_text()
        await harvest(alyx, ["tags"], tmp_path, tidy=True)
        assert 'VIEW "tags"' in (tmp_path / "views.sql").read_text()
        assert 'VIEW "labs"' in (tmp_path / "views.sql").read_text()
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, "duckdb", None)
            await harvest(alyx, ["tags"], tmp_path, tidy=True)
            assert names() == {"labs", "tags", "report.json"} | beside - {"metadata.duckdb"}
        await harvest(alyx, ["labs", "tags"], tmp_path)
        assert names() == {"labs", "tags", "report.json"}


async def test_tidy_delta_tables_equal_tidy_frames(recorded_emulator: Any, tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    async with client(recorded_emulator) as alyx:
        frame = (await harvest(alyx, ["datasets"], tidy=True)).frames["datasets"]
        await harvest(alyx, ["datasets"], tmp_path, format="delta")
        report = await harvest(alyx, ["datasets"], tmp_path, format="delta", tidy=True)
    assert report.complete
    table = pl.read_delta(str(tmp_path / "datasets"))
    assert table.sort("id").equals(frame.sort("id"))


@pytest.mark.parametrize("format", ["parquet", "delta"])
async def test_views_have_the_rows_of_the_last_harvest(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any
) -> None:
    """A view may be empty, and does not show rows of earlier harvests, whose files Delta keeps."""
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("deltalake")
    rows = worlds.recorded_world().records["sessions"]["list"]
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ("it's a [lake]" if format == "parquet" else "it's")
    async with client(recorded_emulator) as alyx:
        for lab in (None, "cortexlab", "nowhere", "cortexlab"):
            asked = {"sessions": {} if lab is None else {"lab": lab}, "labs": {}}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about other filters than before
                report = await harvest(alyx, asked, folder, format=format, tidy=True)
            assert report.complete
            truth = sorted(row["id"] for row in rows if lab in (None, row["lab"]))
            for opened in ("metadata.duckdb", "views.sql"):
                with duckdb.connect(
                    str(folder / opened) if opened == "metadata.duckdb" else ":memory:"
                ) as lake:
                    if opened == "views.sql":
                        lake.execute("SET VARIABLE harvest = ?", [str(folder).replace("[", "[[]")])
                        lake.execute((folder / opened).read_text())
                    found = lake.execute("SELECT CAST(id AS VARCHAR) FROM sessions ORDER BY 1").fetchall()
                    assert [id for (id,) in found] == truth
                    kinds = lake.execute("DESCRIBE sessions").fetchall()
                    assert [row[0] for row in kinds] == [
                        column.name for column in report["sessions"].columns or ()
                    ]


@pytest.mark.parametrize("name", ["a lake", "[lake]", "lake#1", "50%", "Zürich", "what?"])
async def test_delta_refuses_folder_names_that_it_cannot_read(
    recorded_emulator: Any, tmp_path: Path, name: str
) -> None:
    pytest.importorskip("deltalake")
    async with client(recorded_emulator) as alyx:
        recorded_emulator.requests.reset()
        with pytest.raises(InputError, match="Delta") as caught:
            await harvest(alyx, ["labs"], tmp_path / name, format="delta")
        assert caught.value.argument == "to"
        assert not list(recorded_emulator.requests)


async def test_without_deltalake_delta_tables_have_no_views(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("deltalake")
    async with client(recorded_emulator) as alyx:
        await harvest(alyx, ["tags"], tmp_path, format="delta", tidy=True)
        monkeypatch.setitem(sys.modules, "deltalake", None)
        await harvest(alyx, ["labs"], tmp_path, tidy=True)
    script = (tmp_path / "views.sql").read_text()
    assert ('VIEW "labs"' in script, 'VIEW "tags"' in script) == (True, False)


async def test_values_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    with Emulator(worlds.recorded_world()) as emulator:
        file, other = sorted(worlds.ids_of(emulator, "files"))[:2]
        emulator.store.update("files", file, dataset="https://alyx.test/datasets/nothing")
        emulator.store.update("files", other, dataset=None)
        insertion = min(worlds.ids_of(emulator, "insertions"))
        row = json.loads(
            emulator.store.select('SELECT list FROM "insertions.text" WHERE key = ?', insertion)[0][0]
        )
        emulator.store.update(
            "insertions", insertion, session_info={**row["session_info"], "start_time": "yesterday"}
        )
        async with client(emulator) as alyx:
            report = await harvest(alyx, ["files", "insertions"], tidy=True)
    assert report.complete
    assert report["files"].notes == ["did: 1 values do not fit the column and are null"]
    assert report.frames["files"].filter(id=file)["did"].to_list() == [None]
    assert report["insertions"].notes == ["session_info: 1 values do not fit the column and are null"]
