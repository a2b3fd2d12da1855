"""`map_sessions` and `executor=` on a Dask cluster of two processes; the shared cache in a real Redis server."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jobs
import polars as pl
import pytest

from one_async import ONE
from one_async._values import without_password
from one_async.alyx import redis_storage
from one_async.client.executors import recipe
from one_async.distributed import map_sessions
from one_async.errors import ALFWarning, InputError

pytestmark = pytest.mark.filterwarnings("default")  # Dask's own warnings


@pytest.fixture
def one(seeded_emulator: Any, login: None, tmp_path: Path) -> Any:
    with ONE(base_url=seeded_emulator.url, cache_dir=tmp_path / "data") as one:
        yield one


def eids_of(one: Any, count: int) -> list[str]:
    return [str(eid) for eid in one.search()[:count]]


def test_map_sessions_returns_what_a_loop_returns(one: Any, cluster: Any) -> None:
    eids = eids_of(one, 100)
    mapped = map_sessions(one, eids, jobs.describe, client=cluster)
    assert mapped.results == {eid: jobs.describe(one, eid) for eid in eids}
    assert list(mapped.results) == eids
    assert not mapped.failures
    frame = mapped.frame().collect()
    assert frame["eid"].to_list() == eids
    assert frame.columns == ["eid", "subject", "date", "number"]
    subjects = mapped.bag().pluck("subject").compute()
    assert sorted(subjects) == sorted(frame["subject"])


def test_each_worker_makes_one_client_and_reuses_it(one: Any, cluster: Any) -> None:
    eids = eids_of(one, 40)
    seen = set(map_sessions(one, eids, jobs.worker_and_client, client=cluster).outcomes())
    seen |= set(map_sessions(one, eids, jobs.worker_and_client, client=cluster).outcomes())
    workers = {worker for worker, _ in seen}
    assert len(workers) == 2
    assert len(seen) == 2


def test_failures_are_reported_by_eid(one: Any, cluster: Any) -> None:
    eids = eids_of(one, 12)
    mapped = map_sessions(one, eids, jobs.odd_ones_fail, eids[1::2], client=cluster)
    assert mapped.results == {eid: eid[:8] for eid in eids[::2]}
    assert [failure.eid for failure in mapped.failures] == eids[1::2]
    assert {failure.kind for failure in mapped.failures} == {"ValueError"}
    assert mapped.failures[0].text == f"no good: {eids[1]}"
    assert mapped.bag().count().compute() == 6


def test_no_result_is_lost_when_a_worker_is_killed(one: Any, cluster: Any, tmp_path: Path) -> None:
    eids = eids_of(one, 60)
    marker = tmp_path / "killed"
    mapped = map_sessions(one, eids, jobs.die_once, str(marker), eids[30], client=cluster)
    assert mapped.results == {eid: eid[:8] for eid in eids}
    assert marker.exists()


def test_a_session_that_kills_every_worker_is_one_failure(one: Any, cluster: Any) -> None:
    eids = eids_of(one, 24)
    mapped = map_sessions(one, eids, jobs.die_always, eids[3], client=cluster)
    assert [(failure.eid, failure.kind) for failure in mapped.failures] == [(eids[3], "KilledWorker")]
    assert list(mapped.results) == [eid for eid in eids if eid != eids[3]]
    assert mapped.bag().count().compute() == 23


def test_unpicklable_results_and_exits_are_failures(one: Any, cluster: Any) -> None:
    eids = eids_of(one, 3)
    assert {failure.kind for failure in map_sessions(one, eids, jobs.leave, client=cluster).failures} == {
        "SystemExit"
    }
    mapped = map_sessions(one, eids, jobs.locked, eids[1], client=cluster)
    assert list(mapped.results) == [eids[0], eids[2]]
    assert [failure.eid for failure in mapped.failures] == [eids[1]]


def test_workers_share_cached_answers_in_redis(
    seeded_emulator: Any, cluster: Any, redis_url: str, tmp_path: Path
) -> None:
    with ONE(base_url=seeded_emulator.url, cache_dir=tmp_path / "data", cache_storage=redis_url) as one:
        eids = eids_of(one, 30)
        addresses = {f"/sessions/{eid}" for eid in eids}

        def asked() -> int:
            return sum(request.path in addresses for request in seeded_emulator.requests)

        before = asked()
        first = map_sessions(one, eids, jobs.ask, client=cluster).results
        between = asked()
        workers = list(cluster.scheduler_info()["workers"])
        assert len(workers) == 2
        answers = [
            cluster.gather(
                [
                    cluster.submit(jobs_call, eid, pickle.dumps(one), workers=[worker], pure=False)
                    for eid in eids
                ]
            )
            for worker in workers
        ]
        assert between - before == len(eids)
        assert asked() == between
        assert answers == [list(first.values())] * 2


def jobs_call(eid: str, recipe: bytes) -> int:
    from one_async.distributed import _one

    return jobs.ask(_one(recipe), eid)


def test_load_many_and_harvest_run_on_the_cluster(one: Any, cluster: Any, tmp_path: Path) -> None:
    eids = one.search(datasets="_ibl_trials.table.pqt")[:10]
    with cluster.get_executor() as executor:
        there = one.load_many(eids, "trials", executor=executor)
        report = one.harvest(["sessions", "insertions"], tmp_path / "harvest", executor=executor)
        frames = one.harvest({"datasets": {"lab": "cortexlab"}}, executor=executor).frames
    with pytest.warns(
        ALFWarning, match="Multiple revisions"
    ):  # the trials of one of the sessions were revised in part
        here = one.load_many(eids, "trials")
    assert there.equals(here)
    assert report.complete
    assert (tmp_path / "harvest" / "report.json").exists()
    sessions = pl.scan_parquet(tmp_path / "harvest" / "sessions" / "*.parquet").collect()
    assert sessions.height == report["sessions"].distinct == len(one.search())
    assert set(frames) == {"datasets"}
    assert frames["datasets"].height == len(one.alyx.rest("datasets", "list", lab="cortexlab"))


def test_pickled_tasks_are_small_and_contain_no_token(seeded_emulator: Any, tmp_path: Path) -> None:
    token = seeded_emulator.token("demo")
    with ONE(base_url=seeded_emulator.url, token=token, cache_dir=tmp_path) as one:
        one.search(subject="CX_001")
        sent = pickle.dumps(one)
    assert token.encode() not in sent
    assert len(sent) < 1000


@pytest.mark.parametrize("address", ["redis://:sekret@127.0.0.1:1/0", "unix:///tmp/x?db=1&password=sekret"])
def test_the_password_of_a_shared_cache_is_not_sent(
    seeded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with ONE(base_url=seeded_emulator.url, cache_dir=tmp_path, cache_storage=address) as one:
        assert b"sekret" not in pickle.dumps(one)
        assert b"sekret" not in pickle.dumps(one.alyx)
        assert "sekret" not in str(recipe(one._here._context, ThreadPoolExecutor(1)))
    bare = without_password(address)
    assert redis_storage.with_password(bare) == bare
    monkeypatch.setenv("ONE_CACHE_STORAGE", address)
    assert redis_storage.with_password(bare) == address
    other = bare.replace("127.0.0.1", "other").replace("/tmp/x", "/tmp/other")
    assert redis_storage.with_password(other) == other


def test_wrong_arguments_are_refused(one: Any, cluster: Any) -> None:
    with pytest.raises(InputError, match="one="):
        map_sessions(None, ["x"], jobs.ask, client=cluster)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="function="):
        map_sessions(one, ["x"], "ask", client=cluster)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="client="):
        map_sessions(one, ["x"], jobs.ask, client="tcp://scheduler")  # type: ignore[arg-type]
