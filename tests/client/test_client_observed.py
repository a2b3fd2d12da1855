"""A client's counts, logs and hooks of its requests: the same requests as the server received, and no secret."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from one_async import ONE
from one_async._observer import public_url
from one_async.emulator import Emulator
from one_async.errors import InputError, OneError
from one_async.events import RequestEvent, ResponseEvent, RetryEvent, Stats

from .conftest import Make, login
from .every_method import Example, examples, facts_of, is_iterator
from .worlds import World

SIGNED = "5igned-query-value"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("one_async.alyx.retrying.FIRST_WAIT", 0.02)


@pytest.fixture
def server(seeded_server: Emulator) -> Emulator:
    seeded_server.requests.reset()
    return seeded_server


def test_counts_are_those_of_the_server(make: Make, server: Emulator, seeded: World) -> None:
    one = make(server)
    assert one.look("stats") == Stats()
    eids = one.ask("search", lab="cortexlab")
    for _ in range(3):
        assert one.ask("search", lab="cortexlab") == eids
    rules = [server.faults.add("/subjects", status=503, times=2), server.faults.add("/data/", status=503)]
    one.ask("list_subjects", query_type="remote")
    eid = str(seeded.session("CX_003", "2023-09-22")["id"])
    files = one.ask("load_object", eid, "wheel", download_only=True)
    asked = {(r.path, r.query) for r in server.requests if not r.path.startswith(("/data/", "/auth"))}
    assert one.look("stats").cache_misses == len(asked)
    one.ask("harvest", ["labs", "subjects"])
    one.ask("refresh_cache", "refresh")
    url = seeded.of(eid)[0]["data_url"].replace("https://data.test", f"{server.url}/data")
    one.ask("alyx.download_file", url)
    seen, stats = server.requests, one.look("stats")
    assert stats.requests == len(seen)
    assert stats.retries == sum(rule.hits for rule in rules) == 3
    assert stats.cache_hits == 3
    assert stats.files == len(files) + 1
    assert stats.waited > 0
    assert stats.tables_age is not None
    assert stats.tables_age >= 0
    assert one.look("alyx.stats") == dataclasses.replace(stats, tables_age=None)
    json.dumps(dataclasses.asdict(stats))


def test_bytes_are_those_of_the_bodies(make: Make, server: Emulator, seeded: World) -> None:
    one = make(server)
    eid = str(seeded.session("CX_003", "2023-09-22")["id"])
    one.ask("list_datasets", eid)
    before = one.look("stats").received
    one.ask("load_object", eid, "wheel", download_only=True)
    sizes = [d["file_size"] for d in seeded.of(eid) if d["name"].startswith("_ibl_wheel.")]
    assert one.look("stats").received - before == sum(sizes)


def test_callers_that_share_one_request_have_a_hit_each(make: Make, server: Emulator) -> None:
    one = make(server)
    one.ask("alyx.rest", "labs", "list")
    server.faults.add("/subjects", delay=0.3)
    before = one.look("stats")
    one.together(*[("alyx.rest", "subjects", "list")] * 5)
    after = one.look("stats")
    assert (after.requests - before.requests, after.cache_misses - before.cache_misses) == (1, 1)
    assert after.cache_hits - before.cache_hits == 5 - 1


def test_counts_go_on_when_a_client_is_opened_again(server: Emulator, tmp_path: Path) -> None:
    with ONE(**login(server), cache_dir=tmp_path) as one, ONE(**login(server), cache_dir=tmp_path) as other:
        one.search(lab="cortexlab")
        assert one.stats.requests
        assert other.stats == pickle.loads(pickle.dumps(one)).stats == Stats()


def test_what_counts_show() -> None:
    assert repr(Stats()) == "Stats(requests: 0, received: 0 B)"
    stats = Stats(1200, 2, 30, 10, 1.25, 3_400_000, 5, 3 * 86400.0)
    assert repr(stats) == (
        "Stats(requests: 1,200 (2 again), from cache: 30 of 40, waited: 1.2 s, received: 3.4 MB, files: 5, "
        "tables: 3 days old)"
    )
    assert "3 days old" in stats._repr_html_()


# ---- hooks


def test_hooks_hear_of_each_request_response_and_retry(
    make: Make, server: Emulator, seeded: World, tmp_path: Path
) -> None:
    heard: list[Any] = []
    one = make(server, event_hooks={kind: [heard.append] for kind in ("request", "response", "retry")})
    server.faults.add("/labs", status=503, times=2)
    server.faults.add("/data/", cut=True)
    one.ask("alyx.rest", "labs", "list")
    one.ask("load_object", str(seeded.session("CX_003", "2023-09-22")["id"]), "wheel", download_only=True)
    requests = [event for event in heard if isinstance(event, RequestEvent)]
    responses = [event for event in heard if isinstance(event, ResponseEvent)]
    retries = [event for event in heard if isinstance(event, RetryEvent)]
    seen = Counter((r.method, f"{server.url}{r.path}") for r in server.requests)
    assert Counter((e.method, e.url.partition("?")[0]) for e in responses) == seen
    assert Counter(e.status for e in responses) == {200: len(server.requests) - 3, 206: 1, 503: 2}
    assert Counter((e.method, e.url, e.resend) for e in requests) == Counter(
        (e.method, e.url, e.resend) for e in responses
    )
    assert [(e.reason, e.resend) for e in retries if "/labs" in e.url] == [("503", 1), ("503", 2)]
    assert [e.reason for e in retries if "/data/" in e.url] == ["ServerUnreachable"]
    assert [e.resend for e in responses if "/labs" in e.url] == [0, 1, 2]
    assert all(e.wait > 0 for e in retries)


def test_a_hook_that_fails_breaks_nothing(
    make: Make, server: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    one = make(server, event_hooks={"request": [lambda event: 1 / 0], "response": ()})
    assert one.ask("alyx.rest", "labs", "list")
    assert "an event hook for request failed" in caplog.text


async def _awaited(_: object) -> None: ...


@pytest.mark.parametrize(
    "hooks",
    [{"send": [print]}, [print], {"request": print}, {"retry": [5]}, {"response": [_awaited]}],
    ids=["unknown event", "list", "function", "number", "coroutine function"],
)
def test_what_is_no_hook_is_refused(hooks: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="event_hooks="):
        ONE(cache_dir=tmp_path, event_hooks=hooks)


def test_hooks_stay_in_their_process(server: Emulator, tmp_path: Path) -> None:
    with ONE(**login(server), cache_dir=tmp_path, event_hooks={"request": [lambda event: None]}) as one:
        for client in (one, one.alyx):
            assert repr(pickle.loads(pickle.dumps(client))) == repr(client)


# ---- logs


@pytest.fixture
def secrets(server: Emulator) -> Iterator[tuple[str, str]]:
    before = server.app.passwords["demo"]
    server.app.passwords["demo"] = "pa55-of-a-user"
    yield server.token("demo"), "pa55-of-a-user"
    server.app.passwords["demo"] = before


def call(one: Any, example: Example) -> None:
    with suppress(OneError):
        if is_iterator(example):
            one.items(example.method, *example.args, at_most=1, **(example.kwargs or {}))
        else:
            one.ask(example.method, *example.args, **(example.kwargs or {}))


@pytest.mark.filterwarnings("ignore")
def test_no_log_of_anything_has_a_secret(
    make: Make,
    server: Emulator,
    secrets: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    heard: list[Any] = []
    token, password = secrets
    caplog.set_level(logging.DEBUG)
    one = make(server, password=password, event_hooks={"response": [heard.append], "retry": [heard.append]})
    with ONE(**{**login(server), "password": password}, cache_dir=tmp_path / "facts") as plain:
        facts = facts_of(plain, tmp_path)
    server.faults.add("/data/", status=302, headers={"location": f"{facts.url}?X-Amz-Signature={SIGNED}"})
    server.faults.add("/labs", status=503)
    for example in examples(facts):
        call(one, example)
    call(
        one,
        Example(
            "alyx.download_file", (f"{facts.url}?sig={SIGNED}&x={SIGNED}",), {"target_dir": tmp_path / "b"}
        ),
    )
    call(one, Example("alyx.get", (f"/labs?access_token={SIGNED}",)))
    ours = [r for r in caplog.records if r.name.startswith(("one_async", "httpx"))]
    assert {r.name for r in ours} >= {
        f"one_async.{part}" for part in ("http", "cache", "tables", "transfer", "harvest")
    }
    text = "\n".join([*(f"{r.getMessage()} {r.__dict__}" for r in caplog.records), *map(repr, heard)])
    assert token not in text
    assert password not in text
    assert not [r for r in ours if SIGNED in r.getMessage()]
    assert SIGNED not in repr(heard)
    assert "REDACTED" in repr(heard)


def test_levels_are_as_documented(
    make: Make, server: Emulator, caplog: pytest.LogCaptureFixture, seeded: World
) -> None:
    caplog.set_level(logging.DEBUG, "one_async")
    one = make(server)
    server.faults.add("/labs", status=503)
    server.faults.add("/data/", status=503)
    for _ in range(2):
        one.ask("alyx.rest", "labs", "list")
    one.ask("load_object", str(seeded.session("CX_003", "2023-09-22")["id"]), "wheel", download_only=True)
    one.ask("harvest", "labs")
    one.ask("refresh_cache", "refresh")
    levels = {(r.name.partition(".")[2], r.levelname) for r in caplog.records}
    assert levels == {
        ("http", "DEBUG"), ("http", "WARNING"), ("cache", "DEBUG"), ("tables", "INFO"), ("transfer", "INFO"),
        ("transfer", "WARNING"), ("harvest", "INFO"),
    }  # fmt: skip
    sent = [r for r in caplog.records if r.name == "one_async.http" and r.levelname == "DEBUG"]
    assert len(sent) == len(server.requests)
    assert any(r.getMessage().startswith("GET /labs?limit=1000: 200 in ") for r in sent)
    hits = [
        r.getMessage() for r in caplog.records if r.name == "one_async.cache" and "/labs" in r.getMessage()
    ]
    assert [text.rpartition(": ")[2].partition(",")[0] for text in hits] == ["miss", "hit"]


def test_nothing_is_printed_without_logging() -> None:
    assert any(
        isinstance(handler, logging.NullHandler) for handler in logging.getLogger("one_async").handlers
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h.org/x?lab=a&limit=1", "https://h.org/x?lab=a&limit=1"),
        ("https://h.org/x?token=t&lab=a#f", "https://h.org/x?token=REDACTED&lab=a"),
        ("https://h.org/x?X-Amz-Signature=t&X-Amz-Credential=c", "https://h.org/x?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED"),
        ("https://h.org/x?PASSWORD=p&apikey=k&sig", "https://h.org/x?PASSWORD=REDACTED&apikey=REDACTED&sig=REDACTED"),
        ("http://[::1", "http"),
        ("https://h.org", "https://h.org"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert public_url(url) == shown
    assert "lab=a" not in public_url(url, with_query=False)


# ---- time limits and names


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_time_limit_ends_a_request(
    make: Make, server: Emulator, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "environment":
        monkeypatch.setenv("ONE_TIMEOUT", "0.1")
    one = make(server, **({"timeout": 0.1} if way == "argument" else {}))
    assert one.look("settings").timeout == 0.1
    one.ask("alyx.rest", "labs", "list")
    rule = server.faults.add("/subjects", hang=30, times=None)
    with pytest.raises(OneError, match="no answer within the time allowed"):
        one.ask("alyx.rest", "subjects", "list")
    assert rule.hits


@pytest.mark.parametrize("timeout", [0, -1, True, "soon", float("nan"), float("inf")], ids=str)
def test_what_is_no_time_limit_is_refused(timeout: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="timeout="):
        ONE(cache_dir=tmp_path, timeout=timeout)


def test_parts_of_the_blocking_face_show_their_own_names(server: Emulator, tmp_path: Path) -> None:
    with ONE(**login(server), cache_dir=tmp_path) as one:
        assert repr(one.alyx) == f"AlyxClient({server.url!r}, user='demo')"
        assert "Registration object" in repr(one.registration)
        assert repr(one) == f"One (online, {server.url})"
