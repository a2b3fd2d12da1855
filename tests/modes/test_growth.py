"""Rows learned from remote queries, other queries of tables, other tables, and tables of one's own folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import polars as pl
import pytest
from typer.testing import CliRunner

from client.faces import Face
from client.worlds import World, recorded_world
from one_async import ONE
from one_async.cli.app import app
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, InputError, TablesNotFound, TablesWarning
from one_async.refresh import current
from one_async.tables.build import make_parquet_db, remove_missing_datasets
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables
from shared_worlds import checks, downloads, unzip

from .conftest import Make, login

TAG = "2021_Q1_IBL_et_al_Behaviour"
SUBJECTS = ("KS014", "KS023", "KS046", "RV_1085", "RV_2240", "ibl_summit_07", "ibl_summit_29")


@pytest.fixture(scope="module")
def world() -> World:
    return recorded_world()


def cut(emulator: Emulator, folder: Path, keep: pl.Expr) -> Path:
    """Write tables with some of the server's sessions and their datasets to a folder."""
    tables = Catalogue.open(unzip(emulator, folder))
    sessions = tables.session_frame.filter(keep)
    datasets = tables.datasets().collect().filter(pl.col("eid").is_in(sessions["eid"].implode()))
    save_tables(tables.replace(sessions=sessions, datasets=datasets), folder, clobber=True)
    return folder


def found(one: Face, **terms: object) -> list[UUID]:
    answer: list[UUID] = one.ask("search", **terms)
    return answer


# ---- learned rows


@pytest.mark.filterwarnings("ignore::one_async.errors.EmptySearchWarning")
def test_rows_learned_from_remote_searches_answer_later_local_ones(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    cut(alyx, tmp_path / "cache", pl.col("lab") == "cortexlab")
    one = make(alyx, mode="auto")
    assert (len(found(one)), found(one, lab="riverlab"), downloads(alyx)) == (18, [], 0)
    remote = found(one, lab="riverlab", query_type="remote")
    datasets = one.ask("list_datasets", remote[0], details=True, query_type="remote", keep_eid_index=True)
    asked = len(alyx.requests)
    assert found(one, lab="riverlab") == found(one, lab="riverlab", query_type="local") == remote
    assert len(found(one)) == 18 + 11
    local = one.ask("list_datasets", remote[0], details=True, keep_eid_index=True)
    assert local.sort("did").equals(datasets.select(local.columns).sort("did"))
    assert len(alyx.requests) == asked
    assert one.look("tables_info").rows["sessions"] == 29


def test_learned_rows_are_saved_and_found_without_the_server(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    folder = cut(alyx, tmp_path / "cache", pl.col("lab") == "cortexlab")
    one = make(alyx)
    remote = found(one, lab=["riverlab", "summitlab"])
    one.ask("list_datasets", remote)
    assert one.ask("save_cache") == folder
    assert one.look("_cache")._meta["saved_time"] is not None
    other = make(None, cache_dir=folder)
    assert len(found(other)) == 36
    assert found(other, lab=["riverlab", "summitlab"]) == remote
    assert other.ask("list_datasets", remote[3]) == one.ask("list_datasets", remote[3])


def test_learned_rows_without_tables_are_marked_partial(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    one = make(alyx)
    eids = found(one, subject="KS014")
    partial = f"no complete cache tables.* {len(eids)} sessions"
    with pytest.warns(TablesWarning, match=partial):
        assert found(one, query_type="local") == eids
    one.ask("save_cache", tmp_path / "mine")
    later = make(None, cache_dir=tmp_path / "mine")
    with pytest.warns(TablesWarning, match=partial):
        assert found(later) == eids
    with pytest.warns(TablesWarning, match=partial):
        assert len(later.ask("list_datasets", details=True)) == 0
    assert (checks(alyx), downloads(alyx)) == (0, 0)


def test_saved_learned_rows_are_not_taken_for_the_server_s_tables(
    make: Make, alyx: Emulator, world: World
) -> None:
    one = make(alyx)
    some = found(one, subject="KS014")
    one.ask("save_cache")
    whole = make(alyx, mode="auto", cache_dir=one.look("cache_dir"))
    assert len(some) < len(found(whole)) == len(world.sessions)
    assert downloads(alyx) == 1
    assert found(make(None, cache_dir=one.look("cache_dir"))) == found(whole)


def test_repeated_remote_queries_keep_each_row_once(
    alyx: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "MOST_PIECES", 20)
    with ONE(**login(alyx), cache_dir=tmp_path / "cache") as one:
        eids = one.search()
        for n in range(150):
            one.search(subject=SUBJECTS[n % len(SUBJECTS)])
            one.list_datasets(eids[n % 5])
            keeper = one._here._context.tables
            pieces = keeper._queue._pieces.values()
            assert sum(map(len, pieces)) <= 30
        kept = keeper._view.learned
        assert kept["sessions"].height == len(eids)
        assert kept["datasets"]["did"].is_unique().all()


def test_requested_insertions_are_learned(make: Make, alyx: Emulator, world: World) -> None:
    one = make(alyx, mode="auto")
    pids = one.ask("search_insertions")
    assert len(pids) == len(world.rows("insertions"))
    asked = len(alyx.requests)
    pid = pids[0]
    eid, name = one.ask("pid2eid", pid)
    known, names = one.ask("eid2pid", eid)
    assert (pid in known, name in names, len(alyx.requests)) == (True, True, asked)
    assert set(one.ask("insertions").collect()["pid"]) == set(map(str, pids))
    one.ask("save_cache")
    again = make(None, cache_dir=one.look("cache_dir"))
    assert again.ask("pid2eid", pid) == (eid, name)


def test_learned_rows_survive_newer_tables(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    cut(alyx, tmp_path / "cache", pl.col("lab") == "cortexlab")
    one = make(alyx, mode="auto")
    pids = one.ask("search_insertions", query_type="remote")
    assert one.ask("refresh_cache", "auto")
    alyx.touch_tables("2025-02-01 00:00")
    one.ask("refresh_cache", "refresh")
    assert (downloads(alyx), len(found(one, query_type="local"))) == (1, 36)
    assert set(one.ask("insertions").collect()["pid"]) == set(map(str, pids))


SAVER = """
import sys
from one_async import ONE
url, folder, subject = sys.argv[1:]
with ONE(base_url=url, username="demo", password="demo", cache_dir=folder) as one:
    eids = one.search(subject=subject)
    one.list_datasets(eids)
    print("ready", flush=True)
    sys.stdin.readline()
    one.save_cache()
"""


def test_concurrent_saves_of_processes_keep_all_rows(alyx: Emulator, tmp_path: Path, world: World) -> None:
    folder = cut(alyx, tmp_path / "cache", pl.col("subject") == "KS014")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SAVER, alyx.url, str(folder), subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for subject in SUBJECTS[1:]
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.communicate("\n", timeout=60)
        assert worker.returncode == 0
    with ONE(cache_dir=folder) as one:
        assert one.search() == world.eids()
        for eid in one.search():
            assert one.list_datasets(eid, qc="CRITICAL") == world.paths(str(eid))


# ---- other tables


def test_tables_of_a_tag_can_be_loaded(make: Make, alyx: Emulator, world: World, tmp_path: Path) -> None:
    one = make(alyx, mode="auto")
    assert len(found(one)) == 36
    tagged = {row["url"][-36:] for row in world.rows("datasets") if TAG in row["tags"]}
    assert one.ask("load_cache", tag=TAG) is not None
    assert one.look("tables_info").tags == (TAG,)
    datasets = one.ask("datasets").collect()
    assert set(datasets["did"]) <= tagged
    assert set(datasets["eid"]) == set(map(str, found(one)))
    assert 0 < len(found(one)) < 36
    with pytest.raises(TablesNotFound, match="no tag"):
        one.ask("load_cache", tag="nothing")
    with pytest.raises(InputError, match="tag"):
        one.ask("load_cache", tag="../x")
    assert one.look("tables_info").tags == (TAG,)  # the tables in use are kept


def test_tables_of_another_folder_can_be_loaded(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    other = cut(alyx, tmp_path / "other", pl.col("lab") == "riverlab")
    one = make(alyx, mode="local")
    assert len(found(one)) == 36
    one.ask("load_cache", other)
    assert (len(found(one)), one.look("tables_info").path) == (11, other)
    with pytest.raises(TablesNotFound):
        one.ask("load_cache", tmp_path / "nowhere")
    assert len(found(one)) == 11
    assert len(alyx.requests) == 0
    assert not (tmp_path / "nowhere").exists()


def test_loading_again_follows_the_mode(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    local = make(alyx, mode="local")
    assert local.ask("load_cache") is not None
    assert len(alyx.requests) == 0
    assert local.ask("load_cache", clobber=True) is not None
    assert (checks(alyx), downloads(alyx)) == (1, 0)
    assert make(alyx, cache_dir=tmp_path / "new").ask("load_cache") is not None
    assert (checks(alyx), downloads(alyx)) == (2, 1)


# ---- other queries of tables


def test_tables_can_be_read_as_frames_and_queried_by_sql(
    make: Make, alyx: Emulator, world: World, tmp_path: Path
) -> None:
    unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    sessions, datasets = one.ask("sessions"), one.ask("datasets")
    assert isinstance(sessions, pl.LazyFrame)
    labs = sessions.group_by("lab").len().collect().sort("lab")
    assert labs.rows() == [("cortexlab", 18), ("riverlab", 11), ("summitlab", 7)]
    counted = one.ask("sql", "select lab, count(*) as len from sessions group by lab order by lab")
    assert counted.rows() == labs.rows()
    joined = "select count(*) as n from datasets join sessions on datasets.eid = sessions.eid where subject = 'KS014'"
    expected = sum(len(world.of(s["id"])) for s in world.sessions if s["subject"] == "KS014")
    assert one.ask("sql", joined)["n"].to_list() == [expected]
    mine = datasets.join(sessions, on="eid").filter(pl.col("subject") == "KS014").select(pl.len())
    assert mine.collect().item() == expected
    assert one.ask("sql", "select * from insertions").height == 0
    assert len(alyx.requests) == 0


def test_tables_list_the_datasets_of_sessions(
    make: Make, alyx: Emulator, world: World, tmp_path: Path
) -> None:
    unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    eid = str(world.session("KS014", "2020-02-18")["id"])
    everything = one.ask("list_datasets", eid, qc="CRITICAL")
    assert everything == world.paths(eid)
    frame = one.ask("list_datasets", eid, qc="CRITICAL", details=True)
    assert sorted(frame["rel_path"]) == everything
    assert "eid" not in frame.columns
    kept = one.ask("list_datasets", eid, qc="CRITICAL", details=True, keep_eid_index=True)
    assert set(kept["eid"]) == {eid}
    default = one.ask("list_datasets", eid, qc="CRITICAL", default_revisions_only=True)
    assert default == world.paths(eid, lambda d: d["default_revision"] == "True")
    assert 0 < len(default) < len(everything)
    assert default == one.ask("list_datasets", eid, qc="CRITICAL", revision_policy="default")
    assert set(one.ask("list_datasets", qc="CRITICAL")) == {
        p for s in world.sessions for p in world.paths(s["id"])
    }
    every = one.ask("list_datasets", qc="CRITICAL", details=True)
    assert len(every) == sum(len(world.of(s["id"])) for s in world.sessions)
    assert "eid" in every.columns
    with pytest.raises(InputError, match="revision_policy"):
        one.ask("list_datasets", revision_policy="last_before")
    with pytest.raises(ALFObjectNotFound):
        one.ask("list_datasets", "KS014/2020-02-18/009")
    assert len(alyx.requests) == 0


# ---- tables of one's own data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for session in ("lab_a/Subjects/S1/2024-01-02/001", "lab_a/Subjects/S2/2024-01-03/002"):
        for name in ("alf/trials.intervals.npy", "alf/probe00/#2024-02-01#/spikes.times.npy"):
            path = root / session / name
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x" * 10)
    return root


@pytest.mark.parametrize("hashes", [False, True])
def test_the_command_builds_tables(data: Path, hashes: bool) -> None:
    done = CliRunner().invoke(app, ["tables", "build", str(data), *(["--hash-files"] if hashes else [])])
    assert done.exit_code == 0, done.output
    assert {"sessions.pqt", "datasets.pqt"} == {Path(line).name for line in done.stdout.split()}
    with ONE(cache_dir=data) as one:
        (eid,) = one.search(subject="S1", datasets="spikes.times.npy")
        assert one.list_datasets(eid) == [
            "alf/probe00/#2024-02-01#/spikes.times.npy",
            "alf/trials.intervals.npy",
        ]
        assert one.eid2path(eid) == data / "lab_a/Subjects/S1/2024-01-02/001"
        assert one.list_datasets(eid, details=True)["hash"].n_unique() == 1
        assert (one.list_datasets(eid, details=True)["hash"][0] != "") is hashes


def test_the_command_reports_problems(data: Path, tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["tables", "build", str(tmp_path / "nowhere")])
    assert (missing.exit_code, "nowhere" in missing.output) == (2, True)
    other = CliRunner().invoke(app, ["tables", "build", str(data), "--lab", "lab_b"])
    assert (other.exit_code, "lab_b" in other.output) == (2, True)
    assert not list(data.glob("*.pqt"))


def test_files_that_are_not_in_the_tables_are_removed(data: Path) -> None:
    make_parquet_db(data)
    session = data / "lab_a/Subjects/S1/2024-01-02/001"
    (session / "alf" / "trials.choice.npy").write_bytes(b"y")
    assert remove_missing_datasets(data) == [session / "alf" / "trials.choice.npy"]
    assert remove_missing_datasets(data, dry=False) == [session / "alf" / "trials.choice.npy"]
    assert not (session / "alf" / "trials.choice.npy").exists()
    assert (session / "alf" / "trials.intervals.npy").exists()


def test_tables_on_disk_need_no_login(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    one = make(None, **{**login(alyx), "password": None}, mode="local")
    assert len(found(one)) == 36
    assert len(alyx.requests) == 0


def test_saving_without_new_rows_to_a_new_folder_raises(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    one = make(alyx)
    for place in ("new", "newer"):
        with pytest.warns(
            TablesWarning, match=f"nothing was written to .*{place}, since queries .* clobber=True"
        ):
            assert one.ask("save_cache", tmp_path / place) == tmp_path / place
        assert not (tmp_path / place).exists()
    one.ask("save_cache")  # to its own folder: the tables are there already
    found(one, subject="KS014", lab="cortexlab")
    one.ask("save_cache", tmp_path / "new")
    assert (tmp_path / "new/sessions.pqt").exists()
    one.ask("save_cache", tmp_path / "new")
