"""A second build of a folder's tables keeps ids and processes only changes."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid3, uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from one_async.errors import InputError, TablesWarning
from one_async.tables import assemble
from one_async.tables.build import build_tables, make_parquet_db
from one_async.tables.catalogue import Catalogue
from one_async.tables.changes import BuildReport, Changes
from one_async.tables.disk import save_tables, write_table

A, B, C = (f"lab/Subjects/{name}/2020-01-01/001" for name in "ABC")
TIMES, AMPS = "alf/spikes.times.npy", "alf/probe00/spikes.amps.npy"


def put(root: Path, *files: str, text: str = "x") -> None:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "data", *(f"{folder}/{file}" for folder in (A, B, C) for file in (TIMES, AMPS)))
    return tmp_path / "data"


def eids(root: Path) -> dict[str, str]:
    """Return the id of each session by its folder, from the file of the table."""
    frame = pl.read_parquet(root / "sessions.pqt")
    usual = pl.format("{}{}/{}/{}", pl.when(pl.col("lab") == "").then(pl.lit("")).otherwise(pl.col("lab") + "/Subjects/"),
                      "subject", pl.col("date").cast(pl.String), pl.col("number").cast(pl.String).str.zfill(3))  # fmt: skip
    folder = pl.coalesce("folder", usual) if "folder" in frame.columns else usual
    return dict(frame.select(folder.alias("folder"), "id").rows())


def datasets(root: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """Return the id and size of each dataset by its session's folder and its path."""
    folders = {eid: folder for folder, eid in eids(root).items()}
    frame = pl.read_parquet(root / "datasets.pqt")
    return {
        (folders[row["eid"]], row["rel_path"]): (row["id"], row["file_size"])
        for row in frame.iter_rows(named=True)
    }


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*.pqt")}


def counts(report: BuildReport) -> tuple[tuple[int, ...], ...]:
    return tuple(
        (one.new, one.gone, one.changed, one.unchanged) for one in (report.sessions, report.datasets)
    )


@pytest.mark.parametrize("options", [{}, {"hash_files": True}, {"quick": True}, {"hash_ids": False}])
def test_tables_of_an_unchanged_folder_are_not_rewritten(root: Path, options: dict[str, bool]) -> None:
    assert counts(make_parquet_db(root, **options)) == ((3, 0, 0, 0), (6, 0, 0, 0))
    before = contents(root)
    report = make_parquet_db(root, **options)
    assert counts(report) == ((0, 0, 0, 3), (0, 0, 0, 6))
    assert not report.written
    assert contents(root) == before
    for path in root.glob("*.pqt"):  # without the tables, the ids come from the namespace
        path.unlink()
    make_parquet_db(root, **options)
    assert eids(root).keys() == {A, B, C}
    again = contents(root)
    assert {name: pl.read_parquet(data)["id"].to_list() for name, data in before.items()} == {
        name: pl.read_parquet(data)["id"].to_list() for name, data in again.items()
    }


@pytest.mark.parametrize(
    ("place", "stays"),
    [
        (f"disk 2/{A}", True),  # its lab, subject, date and number are the same
        ("lab/subjects/A/2020-01-01/001", True),
        ("lab/Subjects/A/2020-01-01/1", True),
        ("lab/Subjects/A/2020-01-01/002", False),
        ("lab/Subjects/A2/2020-01-01/001", False),
        ("other/Subjects/A/2020-01-01/001", False),
    ],
)
def test_moving_one_session_changes_only_that_session(root: Path, place: str, stays: bool) -> None:
    make_parquet_db(root)
    before, files = eids(root), datasets(root)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / A).rename(root / place)
    report = make_parquet_db(root)
    if stays:
        assert counts(report) == ((0, 0, 1, 2), (0, 0, 0, 6))
    else:
        assert counts(report) == ((1, 1, 0, 2), (2, 2, 0, 4))
    after = eids(root)
    assert after.keys() == {place, B, C}
    assert {B: after[B], C: after[C]} == {B: before[B], C: before[C]}
    assert (after[place] == before[A]) is stays
    assert after[place] not in (before[B], before[C])
    assert {key: row for key, row in datasets(root).items() if key[0] != place} == {
        key: row for key, row in files.items() if key[0] != A
    }


def test_a_copy_of_a_session_is_another_session(root: Path) -> None:
    make_parquet_db(root)
    before = eids(root)
    shutil.copytree(root / A, root / "copy" / A)
    make_parquet_db(root)
    after = eids(root)
    assert {folder: after[folder] for folder in before} == before
    assert after[f"copy/{A}"] not in before.values()


def test_ids_of_earlier_tables_are_kept_if_a_session_returns(root: Path, tmp_path: Path) -> None:
    make_parquet_db(root)
    given = {eid: str(uuid4()) for eid in eids(root).values()}
    named = {did: str(uuid4()) for did in pl.read_parquet(root / "datasets.pqt")["id"].unique()}
    tables = Catalogue.open(root)
    frame = tables.dataset_table.frame().with_columns(
        pl.col("eid").replace(given), pl.col("did").replace(named)
    )
    sessions = tables.session_frame.with_columns(
        pl.col("eid").replace(given), projects=pl.lit("p"), task_protocol=pl.lit("t")
    )
    frame = frame.with_columns(qc=pl.lit("PASS"))
    save_tables(tables.replace(sessions=sessions, datasets=frame), root, clobber=True)
    before, files = eids(root), datasets(root)
    put(root, f"{A}/alf/new.things.npy")
    make_parquet_db(root)
    assert eids(root) == before
    assert {key: row for key, row in datasets(root).items() if key in files} == files
    assert datasets(root).keys() - files.keys() == {(A, "alf/new.things.npy")}
    assert set(pl.read_parquet(root / "sessions.pqt")["projects"]) == {"p"}
    assert pl.read_parquet(root / "datasets.pqt")["qc"].to_list().count("PASS") == 6
    (root / A).rename(tmp_path / "away")
    assert counts(make_parquet_db(root))[0] == (0, 1, 0, 2)
    assert counts(make_parquet_db(root))[0] == (0, 0, 0, 2)
    (tmp_path / "away").rename(root / A)
    assert counts(make_parquet_db(root))[0] == (1, 0, 0, 2)
    assert eids(root) == before


# ---- namespaces


def test_folders_share_a_namespace(tmp_path: Path) -> None:
    space = UUID(int=7)
    for name in ("one", "two"):
        put(tmp_path / name, f"{A}/{TIMES}")
        make_parquet_db(tmp_path / name, namespace=space)
    assert eids(tmp_path / "one") == eids(tmp_path / "two") == {A: str(uuid3(space, "lab/A/2020-01-01/001"))}
    put(tmp_path / "one", f"{B}/{TIMES}")
    make_parquet_db(tmp_path / "one")  # it is kept
    assert eids(tmp_path / "one")[B] == str(uuid3(space, "lab/B/2020-01-01/001"))
    assert build_tables(tmp_path / "one").session_frame["eid"].to_list() == sorted(
        eids(tmp_path / "one").values()
    )
    before = contents(tmp_path / "one")
    with pytest.raises(InputError, match=str(space)):
        make_parquet_db(tmp_path / "one", namespace=UUID(int=8))
    assert contents(tmp_path / "one") == before
    (tmp_path / "one/.one_async_build/namespace").write_text("no uuid")
    with pytest.raises(InputError, match="no uuid"):
        make_parquet_db(tmp_path / "one")


def test_concurrent_builds_agree_on_ids(root: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: make_parquet_db(root), range(4)))
    before = contents(root)
    assert not make_parquet_db(root).written
    assert contents(root) == before


def test_tables_and_namespace_may_be_in_another_folder(root: Path, tmp_path: Path) -> None:
    there = sorted(root.rglob("*"))
    out = tmp_path / "out"
    out.mkdir()
    files = make_parquet_db(root, out)
    assert list(files) == [out / "sessions.pqt", out / "datasets.pqt"]
    assert not make_parquet_db(root, out).written
    assert sorted(root.rglob("*")) == there


# ---- tables of others


@pytest.mark.parametrize("origin", ["https://alyx.example.org", "alyx", ["/data", "alyx"], None])
def test_tables_of_a_database_are_replaced_only_on_request(root: Path, origin: object) -> None:
    said = {"date_created": "2025-01-15 06:00", **({"origin": origin} if origin else {})}
    tables = build_tables(root)
    for name, frame in (("sessions", tables.session_frame), ("datasets", tables.dataset_table.frame())):
        write_table(root / f"{name}.pqt", name, frame, said)
    before, known = contents(root), eids(root)
    put(root, f"lab/Subjects/D/2020-01-01/001/{TIMES}")
    with pytest.raises(InputError, match="overwrite") as caught:
        make_parquet_db(root)
    assert (origin if isinstance(origin, str) else "alyx" if origin else "unknown") in str(caught.value)
    assert contents(root) == before
    assert make_parquet_db(root, overwrite=True).sessions == Changes(1, 0, 0, 3)
    assert eids(root).items() > known.items()
    assert not make_parquet_db(root).written


@pytest.mark.parametrize("name", ["sessions", "datasets"])
def test_damaged_tables_are_replaced_only_on_request(root: Path, name: str) -> None:
    make_parquet_db(root)
    known = eids(root)
    path = root / f"{name}.pqt"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="overwrite"):
        make_parquet_db(root)
    assert make_parquet_db(root, overwrite=True).written
    assert eids(root) == known


# ---- what is read again


def test_only_files_that_changed_are_hashed_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in root.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    monkeypatch.setattr(
        "one_async.tables.build_state.SETTLED", -(10**12)
    )  # changes of the last seconds are detected, too
    read: list[str] = []
    md5 = assemble._md5
    monkeypatch.setattr(assemble, "_md5", lambda file, check: read.append(file.name) or md5(file, check))
    make_parquet_db(root, hash_files=True)
    assert len(read) == 6
    (root / A).rename(root / "lab/Subjects/A/2020-01-01/1")  # hashes of moved files are known
    read.clear()
    report = make_parquet_db(root, hash_files=True)
    assert (read, counts(report)[1]) == ([], (0, 0, 0, 6))
    changed = root / B / TIMES
    changed.write_text("y")  # of the same size
    os.utime(changed, ns=(10**18, 10**18))  # and time
    report = make_parquet_db(root, hash_files=True)
    assert read == [changed.name]
    assert counts(report)[1] == (0, 0, 1, 5)
    hashes = pl.read_parquet(root / "datasets.pqt")["hash"].to_list()
    assert sorted(hashes) == sorted([hashlib.md5(b"y").hexdigest(), *[hashlib.md5(b"x").hexdigest()] * 5])
    assert counts(make_parquet_db(root))[1] == (0, 0, 0, 6)  # known ones are kept


def test_a_quick_build_finds_all_changes_except_writes_in_place(root: Path) -> None:
    settle(root, 1)
    make_parquet_db(root)
    settle(root, 2)
    make_parquet_db(root)
    put(root, f"{A}/{TIMES}", text="longer")
    assert counts(make_parquet_db(root, quick=True))[1] == (0, 0, 0, 6)
    put(root, f"{B}/alf/probe00/new.things.npy")
    (root / C / AMPS).rename(root / C / "alf/probe00/spikes.other.npy")
    assert counts(make_parquet_db(root, quick=True))[1] == (2, 1, 0, 5)
    assert counts(make_parquet_db(root))[1] == (0, 0, 1, 6)
    assert datasets(root)[A, TIMES][1] == len("longer")


def test_a_quick_build_does_not_trust_other_tables(root: Path) -> None:
    settle(root, 1)
    make_parquet_db(root)
    tables = Catalogue.open(root)
    save_tables(tables.replace(datasets=tables.dataset_table.frame().head(1)), root, clobber=True)
    assert counts(make_parquet_db(root, quick=True))[1] == (5, 0, 0, 1)


def test_an_interrupted_build_writes_nothing(root: Path) -> None:
    class End(Exception):
        pass

    def check() -> None:
        raise End

    make_parquet_db(root)
    before = contents(root)
    put(root, f"{A}/alf/new.things.npy")
    with pytest.raises(End):
        make_parquet_db(root, check=check)
    assert contents(root) == before


@pytest.mark.parametrize("kind", ["link", "date", "name", "loop"])
def test_odd_files_are_named_and_the_others_are_listed(root: Path, kind: str) -> None:
    make_parquet_db(root)
    odd = root / A / "alf/odd.things.npy"
    try:
        if kind == "link":
            odd.symlink_to(root / "nothing")
        elif kind == "loop":
            odd.symlink_to(odd)
        elif kind == "date":
            odd = root / "lab/Subjects/odd/2020-02-30/001"
            odd.mkdir(parents=True)
        else:
            odd = Path(os.fsdecode(os.fsencode(odd.with_name("odd.")) + b"\xff.npy"))
            odd.write_text("x")
            odd = odd.with_name("odd")
    except (OSError, ValueError):
        pytest.skip("no such names here")
    put(root, f"{B}/alf/new.things.npy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = make_parquet_db(root)
    assert counts(report) == ((0, 0, 0, 3), (1, 0, 0, 6))
    if kind != "name":  # a name that is not text is no dataset, so nothing is missing
        assert [str(odd) in str(one.message) for one in caught] == [True]
        assert caught[0].category is TablesWarning


def test_a_report_contains_the_files_and_the_changes(root: Path) -> None:
    make_parquet_db(root)
    put(root, f"{A}/alf/new.things.npy")
    (root / B / AMPS).unlink()
    put(root, f"{C}/{TIMES}", text="longer")
    report = make_parquet_db(root)
    sessions, files = report
    assert (sessions.name, files.name) == ("sessions.pqt", "datasets.pqt")
    said = "sessions: 0 new, 0 gone, 3 unchanged; datasets: 1 new, 1 gone, 1 changed, 4 unchanged"
    assert (str(report), repr(report)) == (said, f"BuildReport({said})")
    assert "1 new, 1 gone" in report._repr_html_()
    again = pickle.loads(pickle.dumps(report))
    assert (again, again.to_dict()) == (report, report.to_dict())
    assert report.to_dict()["datasets"] == {"new": 1, "gone": 1, "changed": 1, "unchanged": 4}


# ---- any sequence of changes


def settle(root: Path, when: int) -> None:
    """Set the times of folders that changed since the last call to distinct old times."""
    for folder in (root, *root.rglob("*")):
        if folder.is_dir() and folder.stat().st_mtime > 10**9:
            os.utime(folder, (10**8 + when, 10**8 + when))


SESSIONS = [A, B, f"x/{A}", f"x/{B}", "lab/Subjects/A/2020-01-01/1", "A/2020-01-01/001", "x/A/2020-01-01/001"]
NAMES = [TIMES, AMPS, "trials.choice.npy", "alf/a.b.0a1b2c3d-1234-4abc-8def-001122334455.npy"]
actions = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(SESSIONS), st.sampled_from(NAMES), st.integers(1, 9)),
    st.tuples(st.just("remove"), st.sampled_from(SESSIONS), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(SESSIONS)),
    st.tuples(st.just("move"), st.sampled_from(SESSIONS), st.sampled_from(SESSIONS)),
    st.tuples(st.just("build")),
)


def act(root: Path, action: tuple[object, ...]) -> set[str]:
    """Change the folder; return the sessions that changed."""
    kind, *given = action
    if kind == "build":
        return set()
    folder = root / str(given[0])
    if kind == "write":
        put(folder, str(given[1]), text="x" * int(str(given[2])))
    elif kind == "remove":
        (folder / str(given[1])).unlink(missing_ok=True)
    elif kind == "delete":
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists() and not (root / str(given[1])).exists():
        (root / str(given[1])).parent.mkdir(parents=True, exist_ok=True)
        folder.rename(root / str(given[1]))
        return {str(given[0]), str(given[1])}
    return {str(given[0])} if kind == "delete" else set()


def on_disk(root: Path) -> dict[tuple[str, str], int]:
    return {
        (folder, path.relative_to(root / folder).as_posix()): path.stat().st_size
        for folder in SESSIONS
        for path in (root / folder).rglob("*.*.*")
    }


def check(root: Path, report: BuildReport, before: Mapping[str, str], touched: set[str]) -> None:
    ids, files = eids(root), datasets(root)
    assert {folder for folder in SESSIONS if (root / folder).is_dir()} == ids.keys()
    assert {key: size for key, (_, size) in files.items()} == on_disk(root)
    assert len(set(ids.values())) == len(ids)
    assert {folder: ids[folder] for folder in before if folder in ids and folder not in touched} == {
        folder: eid for folder, eid in before.items() if folder in ids and folder not in touched
    }
    old, new = set(before.values()), set(ids.values())
    assert (report.sessions.new, report.sessions.gone) == (len(new - old), len(old - new))
    assert report.sessions.changed + report.sessions.unchanged == len(new & old)
    assert len(files) == report.datasets.new + report.datasets.changed + report.datasets.unchanged


@given(st.lists(actions, min_size=1, max_size=14), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_ids_of_unchanged_files_are_kept(steps: list[tuple[object, ...]], quick: bool) -> None:
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", TablesWarning)
        root = Path(name).resolve()
        before: dict[str, str] = {}
        dids: dict[tuple[str, str], str] = {}
        touched: set[str] = set()
        written = False
        for when, step in enumerate([*steps, ("build",)]):
            touched |= act(root, step)
            written |= step[0] == "write"
            if step != ("build",):
                continue
            settle(root, when)
            report = make_parquet_db(root, quick=quick and not written)
            check(root, report, before, touched)
            files = datasets(root)
            for (folder, path), did in dids.items():
                if folder not in touched and (folder, path) in files:
                    assert files[folder, path][0] == did
            settle(root, when)
            there = contents(root)
            assert not make_parquet_db(root, quick=quick).written
            assert contents(root) == there
            before, touched, written = eids(root), set(), False
            dids = {key: did for key, (did, _) in files.items()}
        tables = Catalogue.open(root)
        assert dict(zip(tables.folders, tables.session_frame["eid"], strict=True)) == before
