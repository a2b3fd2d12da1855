"""`ONE(mode="local")` answers as ONE-api does on the same tables, except for the differences in `tables_kept.py`."""

from __future__ import annotations

import datetime
import io
import json
import os
import random
import re
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tables_kept import KEPT, UNKNOWN

from benchmarks import generate
from one_async import ONE
from one_async.errors import OneError
from one_async.tables import query
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import write_table

HERE = Path(__file__).parent
RESULT = HERE / "tables_result.json"
Call = tuple[str, bool, str, list[Any], dict[str, Any]]


def oracle(calls: list[Call]) -> list[Any]:
    """Return ONE-api's answers; all calls are made in one process."""
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        pytest.fail("set ONE_API_PYTHON to the Python of an environment with ONE-api 3.6.1")
    done = subprocess.run(
        [python, str(HERE / "oracle_tables.py")],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[Any] = json.loads(done.stdout)
    return answers


def revive(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"$date"}:
        return datetime.date.fromisoformat(value["$date"])
    if isinstance(value, dict) and set(value) == {"$datetime"}:
        return datetime.datetime.fromisoformat(value["$datetime"])
    if isinstance(value, dict):
        return {key: revive(item) for key, item in value.items()}
    return [revive(item) for item in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        columns = [c for c in ("did", "rel_path", "lab", "subject", "qc", "exists") if c in value.columns]
        if "did" not in columns and "eid" in value.columns:
            columns = ["eid", *columns]
        return {"frame": [[plain(item) for item in row] for row in value.select(columns).rows()]}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int) else str(value)


@dataclass(frozen=True)
class Tables:
    """A folder of tables: opened by a client for the answers, and as a catalogue from which calls are made."""

    one: ONE
    rows: Catalogue

    def ask(self, call: Call) -> Any:
        """Return the answer of one_async in the form of the oracle's answers."""
        folder, wildcards, method, args, kwargs = call
        self.one.wildcards = wildcards
        try:
            found = getattr(self.one, method.lstrip("_"))(*revive(args), **revive(kwargs))
        except OneError as error:
            return {"error": type(error).__name__}
        if method == "search" and kwargs.get("details"):
            rows = [plain(row) for row in found[1].drop("eid").to_dicts()]
            return [plain(found[0]), rows or None]
        if method == "get_details" and isinstance(found, dict):
            return plain({name: value for name, value in found.items() if name != "eid"})
        if method == "eid2path" and found is not None:
            return found.relative_to(folder).as_posix()
        return plain(found)


def same(expected: Any, found: Any) -> bool:
    """Return whether answers are equal; the names of errors are not compared."""
    if isinstance(expected, dict) and "error" in expected:
        return isinstance(found, dict) and "error" in found
    return bool(expected == found)


def difference(call: Call, catalogue: Catalogue) -> str | None:
    """Return the name of the intended difference that a call may show, or None if the answers must be equal."""
    _, wildcards, method, args, kwargs = call
    if method == "_search_insertions":
        return "insertions"
    if method == "search":
        return _search_difference(wildcards, kwargs, catalogue)
    has_none = bool(args and args[0]) and not len(catalogue.dataset_table.by_session([args[0]])[0])
    if has_none and method in ("list_datasets", "get_details"):
        return "unknown eid" if method == "list_datasets" else "no datasets"
    name = kwargs.get("filename")
    if isinstance(name, list) and len(name) > 1:
        return "name list"
    if isinstance(name, str) and not wildcards and "|" in name:
        return "name list"
    return None if wildcards or all(map(_compiles, _texts(list(kwargs.values())))) else "unread pattern"


def _search_difference(wildcards: bool, kwargs: dict[str, Any], catalogue: Catalogue) -> str | None:
    if any(name.startswith("dataset_") for name in kwargs) and "datasets" not in kwargs:
        return "qc alone"
    if any(value in ("", []) or (isinstance(value, list) and "" in value) for value in kwargs.values()):
        return "nothing"
    if any(re.fullmatch(r"\d{4}(-\d\d)?", text) for text in _texts(kwargs.get("date", []))):
        return "year or month"  # ours is the whole of it, ONE-api's its first day
    wanted = _texts(kwargs.get("datasets", []))
    root = [name for name in catalogue.dataset_table.paths if "/" not in name]
    if any(_compiles(text) and re.fullmatch(text, name) for text in wanted for name in root):
        return "root file"
    words = [value for name, value in kwargs.items() if name[:3] in ("lab", "sub", "tas", "pro", "dat")]
    if not wildcards and any(isinstance(value, list) and len(value) > 1 for value in words):
        return "text list"
    if not all(_compiles(text) for value in words for text in _texts(value)):
        return "unread pattern"
    return None


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _compiles(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tables]]:
    """Yield the recorded tables, the seeded ones, and three generated ones; half of them memory-mapped."""
    home = tmp_path_factory.mktemp("tables")
    recorded = Path(__file__).parents[1] / "data" / "alyx" / "cache" / "cache.zip"
    _unzip(recorded.read_bytes(), home / "recorded")
    from one_async.emulator import seeded

    _unzip(seeded.world().cache_zip(), home / "seeded")
    generate.write(home / "small", sessions_count=40, datasets_count=900, seed=2)
    generate.write(home / "raw", sessions_count=300, datasets_count=6000, distinct=0.5, seed=3)
    generate.write(home / "sparse", sessions_count=500, datasets_count=800, seed=4)
    _add_insertions(home / "small")
    with ExitStack() as stack:
        made = {}
        for index, folder in enumerate(sorted(home.iterdir())):
            rows = Catalogue.open(folder, convert=index % 2 == 0)
            one = stack.enter_context(ONE(mode="local", cache_dir=folder))
            made[str(folder)] = Tables(one, rows)
        yield made


def _add_insertions(folder: Path) -> None:
    """Write a table of two insertions for every session, as ONE-api would have saved it."""
    eids = Catalogue.open(folder).session_frame["eid"]
    rows = [
        {"pid": f"{number:08x}-0000-4000-8000-000000000000", "eid": eid, "name": f"probe0{number % 2}"}
        | {"model": ["3A", "3B2", "NP2.1"][number % 3], "serial": str(19000 + number)}
        for number, eid in enumerate(eid for eid in eids for _ in range(2))
    ]
    write_table(
        folder / "insertions.pqt", "insertions", pl.DataFrame(rows), {"date_created": "2025-01-15 06:00"}
    )


def _unzip(data: bytes, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in ("sessions.pqt", "datasets.pqt"):
            (folder / name).write_bytes(archive.read(name))


def _terms(catalogue: Catalogue) -> st.SearchStrategy[dict[str, Any]]:
    """Draw search terms from the values of the tables: whole, cut, as patterns, and some that match nothing."""

    def words(column: str) -> st.SearchStrategy[str]:
        values = sorted({value for value in catalogue.session_frame[column] if value})[:40] or ["x"]
        whole = st.sampled_from(values)
        part = st.builds(lambda text, a, n: text[a : a + n], whole, st.integers(0, 8), st.integers(1, 8))
        pattern = st.builds(
            lambda text, tail: f"^{re.escape(text[:4])}{tail}",
            whole,
            st.sampled_from([".*", ".*1$", "[A-Za-z_]+"]),
        )
        return st.one_of(whole, part, pattern, st.sampled_from(["nothing", "", "(?!x)", r"\d\d$", "a|b"]))

    def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(one, st.lists(one, min_size=1, max_size=3))

    names = sorted({name for name in catalogue.dataset_table.names if "frame" not in name})[:60]
    name = st.one_of(
        st.sampled_from(names),
        st.sampled_from([".*times.*", "spikes.*", r".*\.npy", "spikes", "(?i)SPIKES.*", "none.npy"]),
    )
    days = st.sampled_from([str(day) for day in catalogue.session_frame["date"].unique().sort()[:50]])
    day = st.one_of(
        days, days.map(lambda text: {"$date": text}), days.map(lambda text: {"$datetime": f"{text}T12:30:00"})
    )
    span = st.one_of(
        day,
        st.tuples(day, day).map(list),
        st.tuples(st.none(), day).map(list),
        st.tuples(day, st.none()).map(list),
        day.map(lambda d: [d]),
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "lab": several(words("lab")),
            "subject": several(words("subject")),
            "proj": several(words("projects")),
            "task": several(words("task_protocol")),
            "number": st.one_of(
                st.integers(0, 4),
                st.sampled_from(["1", "002"]),
                st.lists(st.integers(1, 3), min_size=1, max_size=2),
            ),
            "date_range": span,
            "datasets": several(name),
            "dataset_qc_lte": st.sampled_from(["PASS", "warning", 30, "FAIL", "CRITICAL", 0]),
        },
    )


def _filters(catalogue: Catalogue) -> st.SearchStrategy[dict[str, Any]]:
    """Draw filters of datasets, for wildcards and for regular expressions."""
    names = sorted({name for name in catalogue.dataset_table.names if "frame" not in name})[:60]
    part = st.sampled_from(
        [
            "spikes",
            "trials",
            "_ibl_trials",
            "wheel*",
            "*Camera",
            "t*",
            ".*",
            "times",
            "[st]*",
            "?pikes",
            "clusters|spikes",
        ]
    )
    parts = st.dictionaries(
        st.sampled_from(["object", "attribute", "extension", "namespace", "timescale", "extra"]),
        st.one_of(part, st.sampled_from(["npy", "ibl", "bpod"]), st.lists(part, min_size=1, max_size=2)),
        max_size=2,
    )
    filename = st.one_of(
        st.none(),
        st.sampled_from(names),
        st.sampled_from(
            ["*", "*.npy", "*wheel*", "spikes*", "*.*.*", ".*npy", "_ibl_.*", "", "*times*.npy", "[!_]*"]
        ),
        parts,
        st.lists(st.sampled_from(names), min_size=1, max_size=2),
    )
    folder = st.one_of(
        st.none(),
        st.sampled_from(
            ["", "alf", "alf*", "*probe*", "alf/probe0?/pykilosort", ".*probe.*", "raw_*", "nothing"]
        ),
        st.lists(st.sampled_from(["alf", "raw_video_data", "*probe01*"]), min_size=1, max_size=2),
    )
    revision = st.one_of(st.none(), st.sampled_from(["", "2024-02-15", "202*", "2024.*", "*b", "[0-9]*"]))
    return st.fixed_dictionaries(
        {}, optional={"filename": filename, "collection": folder, "revision": revision}
    )


def _calls(folder: str, catalogue: Catalogue, count: int) -> list[Call]:
    eids = catalogue.session_frame["eid"].to_list()
    eid = st.one_of(st.sampled_from(eids), st.sampled_from(eids), st.just(UNKNOWN), st.none())
    listed: list[Call] = []
    quick = settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    @quick
    @given(_terms(catalogue), st.booleans(), st.sampled_from([True, True, False]))
    def searches(terms: dict[str, Any], details: bool, wildcards: bool) -> None:
        listed.append((folder, wildcards, "search", [], {**terms, "details": details}))

    qcs = st.sampled_from(["PASS", "FAIL", "CRITICAL", 30])

    @quick
    @given(
        eid, _filters(catalogue), st.booleans(), qcs, st.tuples(st.booleans(), st.booleans(), st.booleans())
    )
    def datasets(one: Any, filters: Any, wildcards: bool, qc: Any, flags: Any) -> None:
        extra = {
            "details": flags[0],
            "ignore_qc_not_set": flags[1],
            "default_revisions_only": flags[2],
            "qc": qc,
        }
        listed.append((folder, wildcards, "list_datasets", [one], {**filters, **extra}))

    @quick
    @given(
        eid,
        _filters(catalogue),
        st.booleans(),
        st.sampled_from(["list_collections", "list_revisions"]),
        st.booleans(),
    )
    def lists(one: Any, filters: Any, wildcards: bool, method: str, details: bool) -> None:
        listed.append((folder, wildcards, method, [one], {**filters, "details": details}))

    searches()
    datasets()
    lists()
    return listed


def hand_made(folder: str, catalogue: Catalogue) -> list[Call]:
    """Return calls written by hand."""
    eids = catalogue.session_frame["eid"].to_list()
    picked = random.Random(5).sample(eids, min(12, len(eids)))
    calls: list[Call] = [
        (folder, True, "search", [], terms)
        for terms in (
            {},
            {"details": True},
            {"foo": 1},
            {"da": 1},
            {"dat": 1},
            {"SUBJ": "a"},
            {"number": "x"},
            {"lab": 3},
            {"date": "no date"},
            {"date_range": ["2020-01-01", "2020-01-02", "2020-01-03"]},
            {"dataset_qc_lte": "bad"},
            {"date": "2020"},
            {"date": ["2021-05", None]},
            {"date": [None, None]},
            {"datasets": []},
            {"datasets": ["spikes.times.npy"] * 2},
            {"subject": []},
            {"lab": "LAB"},
            {"number": 99},
        )
    ]
    calls += [
        (folder, True, "get_details", [eid], {"full": full})
        for eid in [*picked[:6], UNKNOWN]
        for full in (False, True)
    ]
    calls += [(folder, True, "eid2path", [eid], {}) for eid in [*picked, UNKNOWN]]
    calls += [(folder, True, "list_subjects", [], {}), (folder, True, "list_datasets", [], {})]
    if "insertions" in catalogue.others:
        subject = query.list_subjects(catalogue)[0]
        some: list[dict[str, Any]] = [
            {},
            {"name": "probe00"},
            {"name": ["probe00", "01"]},
            {"model": "3"},
            {"serial": "1900"},
        ]
        some += [
            {"name": "probe01", "subject": subject},
            {"number": 1},
            {"model": "^3A$", "task_protocol": "ephys"},
        ]
        some += [{"projects": "nothing"}, {"colour": "red"}, {"name": "none"}]
        calls += [(folder, True, "_search_insertions", [], terms) for terms in some]
    paths = query.session_paths(catalogue, picked)
    calls += [
        (folder, True, "path2eid", [path], {})
        for path in [*paths, "/x/lab/Subjects/none/2020-01-01/001", "/no/session"]
    ]
    return calls


@pytest.mark.filterwarnings("ignore::one_async.errors.EmptySearchWarning")  # random terms often match nothing
def test_a_thousand_calls_return_what_one_api_returns(folders: dict[str, Tables]) -> None:
    calls: list[Call] = []
    for folder, tables in folders.items():
        calls += hand_made(folder, tables.rows) + _calls(folder, tables.rows, 70)
    answers = oracle(calls)
    kept, alike, wrong = Counter[str](), Counter[str](), []
    for call, expected in zip(calls, answers, strict=True):
        tables = folders[call[0]]
        found = tables.ask(call)
        if same(expected, found):
            alike[call[2]] += 1
        elif name := difference(call, tables.rows):
            kept[name] += 1
        else:
            wrong.append(f"{call[1:]}\n  ONE-api: {str(expected)[:400]}\n  ours:    {str(found)[:400]}")
    print(f"{alike.total()} calls give the same, {kept.total()} show kept differences, {len(wrong)} differ")
    assert not wrong, "\n".join(wrong[:15])
    assert alike.total() >= 1100
    result = {"same": dict(sorted(alike.items())), "kept": dict(sorted(kept.items()))}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def test_each_intended_difference_shows(folders: dict[str, Tables]) -> None:
    """Each difference of KEPT shows; when ONE-api changes, its entry can be removed."""
    raw = next(name for name in folders if name.endswith("raw"))
    sparse, small = (str(Path(raw).with_name(name)) for name in ("sparse", "small"))
    rows = folders[raw].rows
    having = rows.datasets().filter(pl.col("rel_path").str.ends_with("spikes.times.npy")).collect()["eid"]
    empty = set(folders[sparse].rows.session_frame["eid"]) - set(folders[sparse].rows.dataset_table.eids)
    names: dict[Any, Any] = {
        "$with spikes": having[0],
        "$without datasets": min(empty),
        "$two subjects": query.list_subjects(rows)[:2],
    }

    def filled(value: Any) -> Any:
        return names.get(value, value) if isinstance(value, str) else value

    calls: list[Call] = []
    for name, entry in KEPT.items():
        folder = {"insertions": small, "no datasets": sparse}.get(name, raw)
        kwargs = {key: filled(value) for key, value in entry.kwargs.items()}
        calls.append((folder, entry.wildcards, entry.method, list(map(filled, entry.args)), kwargs))
    answers = zip(KEPT, calls, oracle(calls), strict=True)
    assert not [name for name, call, answer in answers if same(answer, folders[call[0]].ask(call))]
    assert all(entry.why.endswith(".") and len(entry.why) > 15 for entry in KEPT.values())
