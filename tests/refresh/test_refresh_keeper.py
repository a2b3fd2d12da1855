from __future__ import annotations

import json
import time
import warnings
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import polars as pl
import pytest

from one_async.emulator import Emulator
from one_async.errors import InputError, OfflineError, TablesDamaged, TablesNotFound, TablesWarning
from one_async.refresh import TablesKeeper
from one_async.refresh.current import MOST_PIECES
from one_async.refresh.swap import WORK, State, stamp_of
from one_async.tables.catalogue import Catalogue
from one_async.transfer.one import Policy
from shared_worlds import checks, downloads, unzip

from .conftest import files_ending_in, open_keeper, rezipped, wait_until

pytestmark = pytest.mark.anyio

SESSION = {
    "eid": "00000000-0000-4000-8000-000000000001",
    "lab": "new",
    "subject": "mouse",
    "date": "2024-01-01",
} | {
    "number": 1,
    "task_protocol": "",
    "projects": "",
}
LATER = "2025-02-01 00:00"


async def test_without_tables_auto_downloads_and_loads(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        assert len(keeper.loaded.session_frame) == 0
        loaded = await keeper.refresh("auto")
        tables = await keeper.current()
        assert loaded == tables.meta.loaded_time
        assert len(tables.session_frame) == 36
        assert keeper.loaded is tables
        assert {*files_ending_in(folder, ".pqt", ".json")} >= {
            "cache_info.json",
            "datasets.pqt",
            "sessions.pqt",
        }
        assert files_ending_in(folder / WORK, "") == ["state.json"]
        assert (downloads(alyx), checks(alyx)) == (1, 1)


async def test_the_modes_bound_the_number_of_requests(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        for _ in range(5):
            await keeper.refresh("auto")
            await keeper.refresh("local")
            await keeper.refresh("remote")
            await keeper.current()
        assert checks(alyx) == 1
        for _ in range(3):
            await keeper.refresh("refresh")
        assert (downloads(alyx), checks(alyx)) == (1, 4)
    async with open_keeper(alyx, folder) as keeper:  # a new keeper, as in another process
        await keeper.refresh("auto")
        assert checks(alyx) == 4


async def test_only_newer_tables_replace_the_old_ones(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        old = keeper.loaded
        alyx.touch_tables(LATER)
        await keeper.refresh("refresh")
        assert keeper.loaded is not old
        assert downloads(alyx) == 2
        # their Parquet files still have the old date, so that only the server's answer shows that they are the same
        await keeper.refresh("refresh")
        assert downloads(alyx) == 2


async def test_existing_tables_are_not_downloaded(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        assert (downloads(alyx), checks(alyx)) == (0, 1)


async def test_dates_of_tables_are_compared_by_minutes(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    async with open_keeper(alyx, folder) as keeper:
        alyx.touch_tables("2025-01-15 05:59")
        await keeper.refresh("refresh")
        assert downloads(alyx) == 0
        alyx.touch_tables("2025-01-15 06:01")
        await keeper.refresh("refresh")
        assert downloads(alyx) == 1


async def test_a_new_cache_expiry_takes_effect_at_once(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        assert keeper.cache_expiry == timedelta(hours=24)
        await keeper.refresh("auto")
        assert not keeper.info.expired
        keeper.cache_expiry = 0
        assert keeper.info.expired
        await keeper.refresh("auto")
        assert checks(alyx) == 2
        keeper.cache_expiry = timedelta(hours=1)
        await keeper.refresh("auto")
        assert checks(alyx) == 2
        with pytest.raises(InputError, match="cache_expiry"):
            keeper.cache_expiry = -1


async def test_twenty_callers_at_once_make_one_request(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper, anyio.create_task_group() as group:
        for mode in ["refresh", "auto"] * 10:
            group.start_soon(keeper.refresh, mode)
    assert (downloads(alyx), checks(alyx)) == (1, 1)


async def test_if_the_first_caller_is_cancelled_another_takes_over(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        rule = alyx.faults.add("/cache/info", hang=60)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                scope = anyio.CancelScope()

                async def impatient() -> None:
                    with scope:
                        await keeper.refresh("refresh")

                group.start_soon(impatient)
                await wait_until(lambda: rule.hits)
                group.start_soon(keeper.refresh, "refresh")
                await anyio.sleep(0.05)
                scope.cancel()
        assert len(keeper.loaded.session_frame) == 36


async def test_a_cancelled_download_leaves_the_old_tables_and_can_be_repeated(
    alyx: Emulator, folder: Path
) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        alyx.touch_tables(LATER)
        rule = alyx.faults.add("/cache.zip", hang=60)
        async with anyio.create_task_group() as group:
            group.start_soon(keeper.refresh, "refresh")
            await wait_until(lambda: rule.hits)
            group.cancel_scope.cancel()
        assert len((await keeper.current()).session_frame) == 36
        assert files_ending_in(folder, ".claim") == []
        await keeper.refresh("refresh")
        assert keeper.info.checked is not None
        assert downloads(alyx) == 3


# ---- server and file errors


async def test_server_down_at_start_with_tables_works_with_one_warning(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    alyx.stop()
    async with open_keeper(alyx, folder) as keeper:
        with pytest.warns(TablesWarning, match="could not be updated") as heard:  # noqa: PT031
            await keeper.refresh("auto")
            alyx.start()
            alyx.faults.add("/cache/info", status=500)
            await keeper.refresh("refresh")
        assert len(heard) == 1
        assert len(keeper.loaded.session_frame) == 36
        await keeper.refresh("refresh")
        assert not keeper.info.expired
        alyx.faults.add("/cache/info", status=500)
        with pytest.warns(TablesWarning, match="could not be updated"):
            await keeper.refresh("refresh")


async def test_auto_waits_before_it_retries_a_dead_server(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    rule = alyx.faults.add("/cache/info", status=500, times=None)
    async with open_keeper(alyx, folder) as keeper:
        with pytest.warns(TablesWarning):  # noqa: PT031
            for _ in range(5):
                await keeper.refresh("auto")
        assert rule.hits == 1


async def test_server_down_at_start_without_tables_raises_one_error(alyx: Emulator, folder: Path) -> None:
    alyx.stop()
    async with open_keeper(alyx, folder) as keeper:
        with pytest.raises(TablesNotFound, match=r"http\S* provided none.*no connection") as caught:
            await keeper.refresh("auto")
        assert str(folder) in str(caught.value)
        with pytest.raises(TablesNotFound, match="no cache tables"):
            await keeper.current()
        with pytest.raises(TablesNotFound, match="no cache tables"):
            await keeper.refresh("local")
        assert await keeper.refresh("remote") is None


async def test_refused_login_keeps_the_old_tables(alyx: Emulator, folder: Path) -> None:
    from one_async.alyx.client import AsyncAlyxClient

    unzip(alyx, folder)
    async with AsyncAlyxClient(alyx.url, username="alice", password="wrong") as client:
        keeper = TablesKeeper(folder, lambda: client)
        with pytest.warns(TablesWarning):
            await keeper.refresh("refresh")
        assert len(keeper.loaded.session_frame) == 36


@pytest.mark.parametrize(
    "fault",
    [
        {"truncate": 5000},
        {"shorten": 5000},
        {"corrupt": 30_000},
        {"html": True},
        {"status": 500},
        {"body": b""},
        {"body": b"PK"},
    ],
    ids=str,
)
async def test_a_bad_archive_leaves_the_old_tables(
    alyx: Emulator, folder: Path, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("one_async.refresh.download._POLICY", Policy(retries=0))
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        old = keeper.loaded
        alyx.touch_tables(LATER)
        alyx.faults.add("/cache.zip", times=None, **fault)
        with pytest.warns(TablesWarning):
            await keeper.refresh("refresh")
        assert keeper.loaded is old
        assert len(Catalogue.open(folder).dataset_table) == 852
        alyx.faults.clear()
        await keeper.refresh("refresh")
        assert keeper.loaded is not old


async def test_archives_without_valid_tables_are_refused(alyx: Emulator, folder: Path) -> None:
    archive = alyx.app.cache_zip()
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        old = keeper.loaded
        for name in ("../evil.pqt", "evil/../../x.pqt"):
            alyx.touch_tables(LATER, rezipped(archive, **{name: b"evil"}))
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                await keeper.refresh("refresh")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            alyx.touch_tables(LATER, rezipped(archive, **{"sessions.pqt": b"PAR1 nonsense PAR1"}))
            await keeper.refresh("refresh")
        assert keeper.loaded is old
        assert not any("evil" in path.name for path in folder.parent.rglob("*"))


async def test_tables_for_a_newer_version_are_not_downloaded(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    info = {"date_created": LATER, "origin": "alyx_small", "min_api_version": "4.0.0", "tables": {}}
    alyx.faults.add("/cache/info", body=json.dumps(info), times=None)
    async with open_keeper(alyx, folder) as keeper:
        with pytest.warns(TablesWarning, match=r"require ONE-api 4\.0\.0"):
            await keeper.refresh("auto")
        await keeper.refresh("auto")
        assert (downloads(alyx), checks(alyx)) == (0, 1)


async def test_damaged_tables_on_disk_are_replaced_in_auto_and_an_error_in_local(
    alyx: Emulator, folder: Path
) -> None:
    unzip(alyx, folder)
    path = folder / "datasets.pqt"
    path.write_bytes(path.read_bytes()[:-100])
    async with open_keeper(alyx, folder) as keeper:
        with pytest.raises(TablesDamaged, match=r"datasets\.pqt"):
            await keeper.refresh("local")
        await keeper.refresh("auto")
        assert len(keeper.loaded.dataset_table) == 852


async def test_a_folder_that_cannot_be_written_keeps_the_old_tables(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    alyx.touch_tables(LATER)
    (folder / WORK).write_text("a file where the folder should be")
    async with open_keeper(alyx, folder) as keeper:
        with pytest.warns(TablesWarning):
            await keeper.refresh("refresh")
        assert len(keeper.loaded.session_frame) == 36


async def test_tables_of_another_origin_are_replaced_with_a_warning(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    info = {**alyx.app.cache_info(), "origin": "elsewhere"}
    alyx.faults.add("/cache/info", body=json.dumps(info), times=None)
    async with open_keeper(alyx, folder) as keeper:
        with pytest.warns(TablesWarning, match="came from alyx_small and are replaced by those of elsewhere"):
            await keeper.refresh("refresh")
        await keeper.refresh("refresh")
        assert downloads(alyx) == 1


async def test_the_state_of_another_server_is_ignored(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    files = stamp_of(folder)
    State(time.time(), "http://elsewhere", "2030-01-01 00:00", "elsewhere", files).write(folder)
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        assert (downloads(alyx), checks(alyx)) == (0, 1)
    state = State.read(folder)
    assert (state.server, state.created) == (alyx.url, None)


async def test_an_unknown_mode_is_refused(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        with pytest.raises(InputError, match="accepted: local, remote, auto, refresh"):
            await keeper.refresh("always")  # type: ignore[arg-type]


async def test_tables_on_disk_are_used_without_a_database(alyx: Emulator, folder: Path) -> None:
    keeper = TablesKeeper(folder, None)
    with pytest.raises(TablesNotFound):
        await keeper.refresh("auto")
    unzip(alyx, folder)
    assert await keeper.refresh("auto") is not None
    first = keeper.loaded
    await keeper.refresh("refresh")
    assert keeper.loaded is first
    (folder / "sessions.pqt").touch()
    await keeper.refresh("refresh")
    assert keeper.loaded is not first
    with pytest.raises(OfflineError):
        await keeper.run()
    assert len(alyx.requests) == 0


# ---- information on the tables


async def test_info_and_meta_describe_the_tables(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        assert keeper.info.expired
        assert keeper.meta == {
            "expired": True,
            "created_time": None,
            "loaded_time": None,
            "modified_time": None,
            "saved_time": None,
            "raw": {},
        }
        await keeper.refresh("auto")
        info, meta = keeper.info, keeper.meta
    assert info.created == meta["created_time"] == datetime(2025, 1, 15, 6)
    assert info.loaded == meta["loaded_time"]
    assert info.checked is not None
    assert not info.expired
    assert not meta["expired"]
    assert info.origin == ("alyx_small",)
    assert info.tags == ()
    assert info.rows == {"sessions": 36, "datasets": 852}
    assert info.path == folder
    assert meta["raw"]["sessions"]["date_created"] == "2025-01-15 06:00"


# ---- learned rows


async def test_learned_rows_are_shown_kept_over_a_refresh_and_saved(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        keeper.learn(sessions=[SESSION])
        assert len((await keeper.current()).session_frame) == 37
        alyx.touch_tables(LATER)
        await keeper.refresh("refresh")
        assert downloads(alyx) == 2
        assert len(keeper.loaded.session_frame) == 37
        assert len(Catalogue.open(folder).session_frame) == 36
        assert await keeper.save() == folder
        assert len(Catalogue.open(folder).session_frame) == 37
        assert keeper.meta["saved_time"] >= keeper.meta["modified_time"]
        await keeper.refresh("refresh")
        assert downloads(alyx) == 2, "saved tables are still those of the server"
        changed = (folder / "sessions.pqt").stat().st_mtime_ns
        await keeper.save()
        assert (folder / "sessions.pqt").stat().st_mtime_ns == changed, "there was nothing to save"


async def test_loaded_shows_learned_rows_at_once(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        keeper.learn(sessions=pl.DataFrame([SESSION]).with_columns(extra=1), datasets=None, insertions=[])
        assert keeper.loaded.session_frame["subject"].to_list() == ["mouse"]
        assert (await keeper.current()).session_frame["subject"].to_list() == ["mouse"]
        keeper.learn(sessions=[{**SESSION, "subject": "rat"}])
        keeper.learn(sessions=[{**SESSION, "subject": "vole"}])
        assert keeper.loaded.session_frame["subject"].to_list() == ["vole"]
        assert keeper.meta["modified_time"] is not None


async def test_newer_tables_override_rows_learned_before_the_last_check(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        eids = keeper.loaded.session_frame["eid"]
        keeper.learn(
            sessions=[{**SESSION, "eid": eids[0], "lab": "old news"}, {**SESSION, "lab": "old news"}]
        )
        await keeper.refresh("refresh")
        keeper.learn(sessions=[{**SESSION, "eid": eids[1], "lab": "news"}])
        assert (await keeper.current()).session_frame["lab"].to_list().count("old news") == 2
        alyx.touch_tables(LATER)
        await keeper.refresh("refresh")
        labs = dict(keeper.loaded.session_frame.select("eid", "lab").iter_rows())
    assert labs[eids[0]] not in ("old news", "news")
    assert labs[eids[1]] == "news"
    assert labs[SESSION["eid"]] == "old news"


async def test_invalid_learned_rows_are_ignored(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        keeper.learn(sessions=[{"eid": "x", "nonsense": 1}])
        keeper.learn(sessions=[SESSION])
        with pytest.warns(TablesWarning, match="rows of sessions are discarded"):
            assert len((await keeper.current()).session_frame) == 37


async def test_saving_elsewhere_keeps_the_tables_in_use(alyx: Emulator, folder: Path, tmp_path: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        assert await keeper.save(tmp_path / "copy", clobber=True) == tmp_path / "copy"
        assert len(Catalogue.open(tmp_path / "copy").session_frame) == 36
        assert keeper.info.path == folder


async def test_rows_saved_by_others_are_kept(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as first, open_keeper(alyx, folder) as second:
        await first.refresh("auto")
        await second.refresh("auto")
        first.learn(sessions=[SESSION])
        second.learn(sessions=[{**SESSION, "eid": "00000000-0000-4000-8000-000000000002"}])
        await first.save()
        await second.save()
        assert len(Catalogue.open(folder).session_frame) == 38
        assert len((await second.current()).session_frame) == 38


async def test_loaded_ids_are_kept_and_written(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        with pytest.warns(TablesWarning, match="no datasets were recorded"):
            assert await keeper.save_loaded_ids() == ([], None)
        rows = keeper.loaded.datasets().head(30).collect()
        keeper.record(rows["did"])
        keeper.record(rows["did"][:3])
        assert list(keeper.loaded_ids) == rows["did"].to_list()
        ids, path = await keeper.save_loaded_ids(sessions_only=True, clear_list=False)
        assert path is not None
        assert path.name.endswith("_loaded_session_uuids.csv")
        assert ids == rows["eid"].unique().sort().to_list()
        ids, path = await keeper.save_loaded_ids()
        assert path is not None
        assert pl.read_csv(path)["dataset_uuid"].to_list() == rows["did"].to_list() == ids
        assert keeper.loaded_ids == ()


# ---- other tables


async def test_unfiltered_tables_of_a_tag_are_filtered_locally(alyx: Emulator, folder: Path) -> None:
    tag = "2022_Q2_IBL_et_al_RepeatedSite"
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        await keeper.load(tag=tag)
        tables = await keeper.current()
        assert keeper.info.tags == (tag,)
        assert keeper.info.path == folder / tag
        rows = list(alyx.store.rows("datasets", {"tag": tag}))
        assert 0 < len(tables.dataset_table) <= len(rows)
        assert {*tables.dataset_table.eids} == {*tables.session_frame["eid"]}
        assert len(Catalogue.open(folder).dataset_table) == 852
        count = downloads(alyx)
        await keeper.refresh("refresh")
        assert downloads(alyx) == count
        await keeper.load(folder)
        assert keeper.info.tags == ()
        assert downloads(alyx) == count
        await keeper.load(tag=tag)
        assert downloads(alyx) == count


async def test_tags_with_a_hyphen_are_filtered_locally(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.load(tag="practice-tag")
        assert keeper.info.tags == ("practice-tag",)
        await keeper.load(tag="Brainwidemap")
        assert keeper.info.path == folder / "Brainwidemap"


async def test_tagged_tables_of_the_server_are_used_or_filtered(alyx: Emulator, folder: Path) -> None:
    info = {**alyx.app.cache_info(), "database_tags": "Brainwidemap"}
    alyx.faults.add("/cache/info/Brainwidemap", body=json.dumps(info), status=200, times=None)
    async with open_keeper(alyx, folder) as keeper:
        await keeper.load(tag="Brainwidemap")  # cache.zip ignores the tag
        assert keeper.info.tags == ("Brainwidemap",)
        assert keeper.info.rows["datasets"] < 200


@pytest.mark.parametrize("tag", ["Nope", "No-pe"])
async def test_an_unknown_tag_raises_and_keeps_the_tables(alyx: Emulator, folder: Path, tag: str) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        with pytest.raises(TablesNotFound, match=f"has no tag '{tag}'"):
            await keeper.load(tag=tag)
        assert keeper.info.path == folder
        assert len((await keeper.current()).session_frame) == 36


@pytest.mark.parametrize("tag", ["", "../x", "a/b", ".", "..", 3, "a\\b"])
async def test_invalid_tags_are_refused_before_any_request(alyx: Emulator, folder: Path, tag: str) -> None:
    async with open_keeper(alyx, folder) as keeper:
        with pytest.raises(InputError, match="tag"):
            await keeper.load(tag=tag)
    assert len(alyx.requests) == 0


async def test_tables_that_cannot_be_filtered_by_a_tag_are_refused(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    async with open_keeper(alyx, folder) as keeper:
        alyx.faults.add("/cache", status=500, times=None)
        with pytest.raises(TablesNotFound, match="are not those of tag"), pytest.warns(TablesWarning):
            await keeper.load(folder, tag="Brainwidemap")
        with pytest.raises(TablesNotFound, match="are not those of tag"):
            await keeper.load(folder, tag="Brainwidemap", online=False)


async def test_tables_of_another_folder_are_loaded(alyx: Emulator, folder: Path, tmp_path: Path) -> None:
    unzip(alyx, tmp_path / "other")
    async with open_keeper(alyx, folder) as keeper:
        keeper.learn(sessions=[SESSION])
        await keeper.load(tmp_path / "other", online=False)
        assert len((await keeper.current()).session_frame) == 36
        assert keeper.info.path == tmp_path / "other"
        with pytest.raises(TablesNotFound):
            await keeper.load(tmp_path / "nowhere", online=False)
        assert keeper.info.path == tmp_path / "other"
        assert len(alyx.requests) == 0
        await keeper.load(tmp_path / "nowhere")
        assert downloads(alyx) == 1
        await keeper.load(clobber=True)
        assert checks(alyx) == 2


def test_a_damaged_state_is_ignored(folder: Path) -> None:
    state = State(1.5, "http://x", "2025-01-01 00:00", "o", (("sessions.pqt", 1, 2),))
    state.write(folder)
    assert State.read(folder) == state
    for text in ("", "[]", "{}", '{"checked": []}', '{"files": 3}'):
        (folder / WORK / "state.json").write_text(text)
        assert State.read(folder) == State()


async def test_learned_rows_of_many_queries_are_merged(tmp_path: Path) -> None:
    """No call of a client in remote mode reads the tables, so that learned rows must be merged without such a call."""
    keeper = TablesKeeper(tmp_path, alyx=None)
    rows = pl.DataFrame(
        {
            "eid": [str(UUID(int=n)) for n in range(20)],
            "lab": "lab",
            "subject": "a",
            "date": date(2024, 1, 1),
            "number": 1,
        }
    )
    for _ in range(5 * MOST_PIECES):
        await keeper.settle()
        keeper.learn(sessions=rows)
        waiting = sum(len(piece) for pieces in keeper._queue.peek().values() for _, piece in pieces)
        assert waiting <= (MOST_PIECES + 1) * len(rows)
    assert len(keeper.loaded.session_frame) == len(rows)
