"""The four modes, of an instance and of a call, in both faces: sources of answers, and requests to the server."""

from __future__ import annotations

import json
import os
import pickle
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from client.faces import Face, opened
from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import InputError, OfflineError, TablesNotFound, TablesWarning
from shared_worlds import checks, downloads, unzip

from .conftest import LATER, Make, login

MODES = ("local", "remote", "auto", "refresh")
ALL = 36
CORTEX = 18


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def found(one: Face, **terms: object) -> int:
    return len(one.ask("search", **terms))


# ---- the default mode


def test_the_default_mode_is_remote_or_local_for_a_folder(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    assert make(alyx).look("mode") == "remote"
    bare = make(None, cache_dir=unzip(alyx, tmp_path / "bare"))
    assert (bare.look("mode"), bare.look("offline")) == ("local", True)
    assert (make(alyx, mode="auto").look("mode"), make(alyx).look("offline")) == ("auto", False)


def test_a_folder_that_was_set_up_for_a_database_uses_it(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    ONE.setup(alyx.url, username="demo", cache_dir=tmp_path / "known")
    one = make(None, cache_dir=tmp_path / "known", password="demo")
    assert (one.look("mode"), one.look("offline"), one.look("settings").base_url) == (
        "remote",
        False,
        alyx.url,
    )


def test_repr_shows_the_source_of_answers(kind: str, alyx: Emulator, tmp_path: Path) -> None:
    from one_async import AsyncONE

    face = ONE if kind == "blocking" else AsyncONE
    assert repr(face(cache_dir=tmp_path)) == f"One (offline, {tmp_path})"
    assert repr(face(**login(alyx), cache_dir=tmp_path)) == f"One (online, {alyx.url})"


@pytest.mark.parametrize("mode", ["offline", "AUTO", "", 1])
def test_a_mode_that_does_not_exist_is_refused(make: Make, alyx: Emulator, mode: object) -> None:
    one = make(alyx)
    with pytest.raises(InputError, match=r"local.*remote.*auto.*refresh"):
        one.put("mode", mode or "x")
    with pytest.raises(InputError):
        one.ask("search", query_type=mode or "x")
    with pytest.raises(InputError):
        make(alyx, mode=mode or "x")
    assert one.look("mode") == "remote"
    assert len(alyx.requests) == 0


# ---- the requests of each mode


def test_local_mode_makes_no_request(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    eids = one.ask("search", lab="cortexlab")
    assert (len(one.ask("search")), len(eids)) == (ALL, CORTEX)
    assert one.ask("list_datasets", eids[1])
    assert one.ask("get_details", eids[1])["lab"] == "cortexlab"
    assert one.ask("eid2path", eids)[0].parent.parent.parent.parent == tmp_path / "cache" / "cortexlab"
    assert one.ask("list_subjects")
    assert len(alyx.requests) == 0


def test_a_folder_needs_no_login_no_network_and_no_database(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    folder = unzip(alyx, tmp_path / "bare")
    before = sorted(folder.iterdir())
    alyx.stop()
    one = make(None, cache_dir=folder)
    for mode in (None, "local", "auto", "refresh"):
        eids = one.ask("search", subject="KS014", query_type=mode)
        assert len(eids) == 8
        assert one.ask("list_datasets", eids[0], query_type=mode)
        assert one.ask("list_collections", eids[0], query_type=mode)
        assert one.ask("eid2ref", eids[0], query_type=mode)["subject"] == "KS014"
        assert one.ask("search_terms", query_type=mode)
    assert sorted(folder.iterdir()) == before  # small tables get no memory-mapped form


@pytest.mark.parametrize("call", ["constructing", "setting", "asking", "alyx"])
def test_remote_without_a_database_is_a_helpful_error(
    make: Make, alyx: Emulator, tmp_path: Path, call: str
) -> None:
    folder = unzip(alyx, tmp_path / "bare")
    one = make(None, cache_dir=folder)
    calls: dict[str, Callable[[], object]] = {
        "constructing": lambda: make(None, cache_dir=folder, mode="remote"),
        "setting": lambda: one.put("mode", "remote"),
        "asking": lambda: one.ask("search", query_type="remote"),
        "alyx": lambda: one.look("alyx"),
    }
    with pytest.raises(OfflineError, match=r"(?s)base_url.*ONE_BASE_URL.*ONE\.setup"):
        calls[call]()
    assert one.look("mode") == "local"


def test_remote_mode_needs_no_tables(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    one = make(alyx)
    assert found(one, lab="cortexlab") == CORTEX
    assert alyx.requests.count("/sessions") >= 1
    assert (checks(alyx), downloads(alyx)) == (0, 0)
    assert not list((tmp_path / "cache").glob("*.pqt"))
    asked = len(alyx.requests)
    assert found(one, lab="cortexlab") == CORTEX  # stored in the REST cache
    assert len(alyx.requests) == asked


def test_auto_downloads_the_tables_and_makes_no_further_request(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    one = make(alyx, mode="auto")
    assert found(one, lab="cortexlab") == CORTEX
    asked = len(alyx.requests)
    for _ in range(5):
        assert found(one) == ALL
        assert one.ask("list_datasets", one.ask("search", subject="KS023")[2])
    assert len(alyx.requests) == asked
    assert (checks(alyx), downloads(alyx)) == (1, 1)
    assert {path.name for path in (tmp_path / "cache").glob("*.pqt")} == {"sessions.pqt", "datasets.pqt"}


def test_auto_queries_the_server_for_terms_that_tables_lack(make: Make, alyx: Emulator) -> None:
    one = make(alyx, mode="auto")
    assert found(one, users="alice") > 0
    assert alyx.requests.count("/sessions") == 1
    assert found(one, lab="cortexlab") == CORTEX
    assert one.ask("search_insertions")
    assert alyx.requests.count("/insertions") == 1
    assert alyx.requests.count("/sessions") == 1


def test_refresh_checks_each_time_and_downloads_only_newer_tables(make: Make, alyx: Emulator) -> None:
    one = make(alyx, mode="refresh")
    for asked in range(1, 4):
        assert found(one) == ALL
        assert checks(alyx) >= asked
    assert downloads(alyx) == 1
    alyx.touch_tables(LATER)
    assert found(one) == ALL
    assert downloads(alyx) == 2


def test_a_call_may_override_the_mode(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    assert found(one, lab="cortexlab", query_type="remote") == CORTEX
    assert (alyx.requests.count("/sessions"), checks(alyx)) == (1, 0)
    assert found(one, lab="cortexlab", query_type="auto") == CORTEX
    wait_until(lambda: not one.look("tables_info").expired)  # checked beside the search, which does not wait
    assert (alyx.requests.count("/sessions"), checks(alyx), downloads(alyx)) == (1, 1, 0)
    assert found(one, lab="cortexlab", query_type="refresh") == CORTEX
    assert (alyx.requests.count("/sessions"), checks(alyx), downloads(alyx)) == (1, 2, 0)
    asked = len(alyx.requests)
    assert found(one, lab="cortexlab", query_type="local") == CORTEX
    assert found(one, lab="cortexlab") == CORTEX
    assert (len(alyx.requests), one.look("mode")) == (asked, "local")


# ---- changes of an instance's mode


def test_setting_auto_mode_starts_the_background_task_at_the_next_call(make: Make, alyx: Emulator) -> None:
    one = make(alyx, cache_expiry=timedelta(seconds=0.05))
    assert found(one, lab="cortexlab") == CORTEX
    assert checks(alyx) == 0
    one.put("mode", "auto")
    assert one.look("mode") == "auto"
    assert found(one, lab="cortexlab") == CORTEX
    wait_until(lambda: checks(alyx) >= 4)  # only the background task checks
    assert downloads(alyx) == 1
    one.put("mode", "local")
    assert found(one) == ALL
    one.put("mode", "remote")
    asked = alyx.requests.count("/sessions")
    assert found(one, subject="KS023") > 0
    assert alyx.requests.count("/sessions") == asked + 1


def test_the_mode_is_kept_after_closing(alyx: Emulator, tmp_path: Path) -> None:
    one = ONE(**login(alyx), cache_dir=tmp_path / "cache")
    one.mode = "auto"
    one.close()
    assert one.mode == "auto"
    assert len(one.search()) == ALL
    assert checks(alyx) == 1
    one.close()


def test_a_shorter_expiry_takes_effect_at_once(make: Make, alyx: Emulator) -> None:
    """The task sleeps for a day; in the blocking face another thread must wake it."""
    one = make(alyx, mode="auto")
    assert found(one) == ALL
    time.sleep(0.5)
    assert checks(alyx) == 1
    one.put("cache_expiry", timedelta(seconds=0.05))
    wait_until(lambda: checks(alyx) >= 3)
    assert one.look("cache_expiry") == timedelta(seconds=0.05)


@pytest.mark.parametrize("expiry", [timedelta(seconds=-1), "1 h", None])
def test_an_invalid_expiry_is_refused(make: Make, alyx: Emulator, expiry: object) -> None:
    one = make(alyx, mode="auto")
    if expiry is None:
        one.put("cache_expiry", None)  # the default again
        assert one.look("cache_expiry") == timedelta(hours=24)
        return
    with pytest.raises(InputError, match="cache_expiry"):
        one.put("cache_expiry", expiry)
    assert one.look("cache_expiry") == timedelta(hours=24)


# ---- statements of notebooks


def test_statements_of_notebooks_work(alyx: Emulator, tmp_path: Path) -> None:
    one = ONE(**login(alyx), cache_dir=tmp_path / "cache", mode="auto")
    try:
        one.cache_expiry = timedelta(hours=1)
        loaded = one.refresh_cache("refresh")
        meta = one._cache._meta
        assert meta["loaded_time"] == loaded == one.tables_info.loaded
        assert meta["created_time"] == one.tables_info.created
        assert not meta["expired"]
        assert set(meta) == {"expired", "created_time", "loaded_time", "modified_time", "saved_time", "raw"}
        assert set(meta["raw"]) >= {"sessions", "datasets"}
        assert (checks(alyx), downloads(alyx)) == (1, 1)
        eids = one.search(lab="cortexlab", query_type="refresh")
        assert len(eids) == CORTEX
        assert (checks(alyx), downloads(alyx)) == (2, 1)
        for _ in range(10):
            assert one.search(lab="cortexlab") == eids
            assert one.refresh_cache() == loaded
            assert one.refresh_cache("local") == loaded
            assert one.refresh_cache("remote") == loaded
        assert (checks(alyx), downloads(alyx)) == (2, 1)
        assert one.refresh_cache("refresh") == loaded  # unchanged: not loaded again
        assert (checks(alyx), downloads(alyx)) == (3, 1)
        alyx.touch_tables(LATER)
        assert one.refresh_cache("refresh") > loaded
        assert (checks(alyx), downloads(alyx)) == (4, 2)
        assert len(one._cache["sessions"]) == ALL
        assert "datasets" in one._cache
    finally:
        one.close()


def test_awaited_statements_of_notebooks_work(make: Make, alyx: Emulator) -> None:
    one = make(alyx, mode="auto")
    one.put("cache_expiry", timedelta(hours=1))
    loaded = one.ask("refresh_cache", "refresh")
    assert one.look("_cache")._meta["loaded_time"] == loaded
    assert len(one.ask("search", lab="cortexlab", query_type="refresh")) == CORTEX
    assert (
        checks(alyx) <= 3
    )  # one check for entering auto mode, unless it coincides with the next one, and one for each refresh
    assert downloads(alyx) == 1


def test_another_client_of_the_folder_does_not_check_sooner(make: Make, alyx: Emulator) -> None:
    assert found(make(alyx, mode="auto")) == ALL
    assert found(make(alyx, mode="auto")) == ALL
    assert (checks(alyx), downloads(alyx)) == (1, 1)
    assert found(make(alyx, mode="refresh")) == ALL
    assert downloads(alyx) == 1


def test_meta_shows_expired_tables(make: Make, alyx: Emulator) -> None:
    one = make(alyx)
    assert one.look("tables_info").expired  # there are no tables
    one.ask("refresh_cache", "refresh")
    assert not one.look("_cache")._meta["expired"]
    one.put("cache_expiry", timedelta(0))
    assert one.look("_cache")._meta["expired"]


# ---- without the server


def test_tables_on_disk_answer_with_one_warning_while_the_server_is_down(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    unzip(alyx, tmp_path / "cache")
    alyx.stop()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        one = make(alyx, mode="auto", cache_expiry=timedelta(seconds=0.2))
        for _ in range(10):
            assert found(one, lab="cortexlab") == CORTEX
            time.sleep(0.1)
        wait_until(lambda: seen)
        assert found(one, lab="cortexlab") == CORTEX
        time.sleep(3)  # it retries without further warnings
        assert [w.category for w in seen] == [TablesWarning]
        assert "could not be updated" in str(seen[0].message)
        alyx.touch_tables(LATER)
        alyx.start()
        wait_until(lambda: downloads(alyx) >= 1)
        assert found(one, lab="cortexlab") == CORTEX
        assert found(one, lab="cortexlab", query_type="refresh") == CORTEX
    assert len(seen) == 1
    assert downloads(alyx) == 1


@pytest.mark.parametrize("mode", ["auto", "refresh", "local"])
def test_a_call_without_server_and_tables_raises_one_error(
    make: Make, alyx: Emulator, tmp_path: Path, mode: str
) -> None:
    alyx.stop()
    one = make(alyx, mode=mode)
    with pytest.raises(TablesNotFound, match="cache tables") as caught:
        one.ask("search", lab="cortexlab")
    assert str(tmp_path / "cache") in str(caught.value)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), TablesNotFound)
    if mode != "local":
        assert alyx.url in str(caught.value)
        alyx.start()
        wait_until(lambda: _works(one))


def _works(one: Face) -> bool:
    try:
        return found(one) == ALL
    except TablesNotFound:
        return False


def test_tables_answer_after_a_refused_login(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="auto", password="wrong")
    with pytest.warns(TablesWarning, match="could not be updated"):
        assert found(one, query_type="refresh") == ALL


# ---- folders


def test_tables_dir_may_differ_from_cache_dir(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    one = make(alyx, mode="auto", tables_dir=tmp_path / "tables")
    (eid,) = one.ask("search", subject="KS014", date="2020-02-18")
    assert one.look("tables_dir") == one.look("tables_info").path == tmp_path / "tables"
    assert sorted(path.name for path in (tmp_path / "tables").glob("*.pqt")) == [
        "datasets.pqt",
        "sessions.pqt",
    ]
    assert not list((tmp_path / "cache").glob("*.pqt"))
    assert (
        one.ask("eid2path", eid)
        == tmp_path / "cache" / "cortexlab" / "Subjects" / "KS014" / "2020-02-18" / "001"
    )
    bare = make(None, cache_dir=tmp_path / "other", tables_dir=tmp_path / "tables")
    assert bare.ask("search", subject="KS014", date="2020-02-18") == [eid]


def test_a_folder_that_cannot_be_written_answers(make: Make, alyx: Emulator, tmp_path: Path) -> None:
    folder = unzip(alyx, tmp_path / "bare")
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere; .ci/run drops that right")
    try:
        assert found(make(None, cache_dir=folder)) == ALL
    finally:
        folder.chmod(0o700)


@pytest.mark.filterwarnings("ignore::one_async.errors.CacheWarning")
def test_a_client_works_if_home_and_cache_folder_cannot_be_written(
    kind: str, alyx: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    if os.access(home, os.W_OK):
        pytest.skip("this user may write anywhere; .ci/run drops that right")
    monkeypatch.setenv("HOME", str(home))
    for name in ("ONE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    with opened(kind, **login(alyx), cache_dir=home / "data") as one:
        eids = [one.ask("search", subject="KS014", date="2020-02-18") for _ in range(2)]
        assert eids[0] == eids[1]
        assert one.ask("list_datasets", *eids[0])
    assert not list(home.iterdir())


def test_many_clients_of_a_folder_check_and_download_once(alyx: Emulator, tmp_path: Path) -> None:
    """Ten clients of one folder start at once: one checks and downloads, the others use its tables."""
    from concurrent.futures import ThreadPoolExecutor

    def work(_: int) -> list[UUID]:
        with ONE(**login(alyx), cache_dir=tmp_path / "cache", mode="auto") as one:
            return one.search(lab="cortexlab")

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(work, range(10)))
    assert len(set(map(json.dumps, [[str(eid) for eid in answer] for answer in answers]))) == 1
    assert downloads(alyx) == 1


def test_a_pickled_client_keeps_its_mode(alyx: Emulator, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "cache")
    with ONE(**login(alyx), cache_dir=tmp_path / "cache", mode="local") as one:
        again = pickle.loads(pickle.dumps(one))
        assert (again.mode, len(again.search())) == ("local", ALL)
        again.close()


def test_every_kind_of_client_is_opened(kind: str, alyx: Emulator, tmp_path: Path) -> None:
    with opened(kind, cache_dir=unzip(alyx, tmp_path / "x")) as one:
        assert all(found(one, query_type=mode) == ALL for mode in MODES if mode != "remote")
