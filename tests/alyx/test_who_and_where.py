"""A REST client alone finds its database, user and token as `ONE` does: arguments, environment, settings, ONE-api's files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import anyio
import pytest

from one_async import AlyxClient, AsyncAlyxClient, no_cache
from one_async.emulator import Emulator
from one_async.errors import LoginError, OfflineError
from one_async.settings import TokenFile, setup

Client = Any


def asked(kind: str, *args: Any, then: Any = None, **options: Any) -> tuple[int, str | None]:
    """List the subjects with a client; return their number and the user of the request."""
    if kind == "blocking":
        with AlyxClient(*args, **options) as client:
            return len(client.rest("subjects", "list")), client.user

    async def ask() -> tuple[int, str | None]:
        async with AsyncAlyxClient(*args, **options) as client:
            return len(await client.rest("subjects", "list")), client.user

    return anyio.run(ask, backend=kind)


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(recorded_emulator: Emulator) -> Emulator:
    recorded_emulator.start()
    recorded_emulator.requests.reset()
    return recorded_emulator


@pytest.fixture
def one_api_user(empty_home: Path, server: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files that ONE-api leaves after a setup and a login."""
    folder = empty_home / ".one"
    folder.mkdir()
    monkeypatch.delenv("APPDATA", raising=False)
    key = server.url.removeprefix("http://").replace(":", "_")
    data = empty_home / "data"
    caches = {"DEFAULT": key, "CLIENT_MAP": {key: str(data)}}
    parameters = {
        "ALYX_URL": server.url,
        "ALYX_LOGIN": "alice",
        "TOKEN": {"alice": {"token": server.token("alice")}},
    }
    (folder / ".caches").write_text(json.dumps(caches))
    (folder / f".{key}").write_text(json.dumps(parameters))
    return data


def test_existing_one_api_configuration_is_used(kind: str, server: Emulator, one_api_user: Path) -> None:
    expected = (8, "alice")
    assert asked(kind) == expected
    assert asked(kind, server.url) == expected
    assert asked(kind, base_url=server.url, silent=True) == expected
    assert asked(kind, cache_dir=one_api_user) == expected
    assert server.requests.count("/auth-token") == 0
    assert AlyxClient().cache_dir == one_api_user == AsyncAlyxClient(server.url).cache_dir


def test_arguments_by_position(kind: str, server: Emulator, tmp_path: Path) -> None:
    assert asked(kind, server.url, "alice", "alice") == (8, "alice")
    assert asked(kind, server.url, "alice", "alice", tmp_path, True, None, server.token("alice"))[0] == 8
    assert AlyxClient(server.url, "alice", silent=True).silent is True


def test_the_environment(kind: str, server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_BASE_URL", server.url)
    monkeypatch.setenv("ONE_USERNAME", "alice")
    monkeypatch.setenv("ONE_PASSWORD", "alice")
    assert asked(kind) == (8, "alice")
    assert asked(kind, server.url) == (8, "alice")
    elsewhere = AlyxClient("http://127.0.0.1:9")  # no login is sent to another server
    assert elsewhere.user is None


def test_a_login_is_kept_unless_it_must_not_be(kind: str, server: Emulator) -> None:
    setup(server.url, username="alice", make_default=True)
    with pytest.raises(LoginError):
        asked(kind)
    with AlyxClient(password="alice") as client:
        client.authenticate(cache_token=False)
        assert client.is_logged_in
    assert TokenFile().load(server.url, "alice") is None
    assert asked(kind, password="alice") == (8, "alice")
    assert asked(kind) == (8, "alice")
    server.requests.reset()
    assert asked(kind) == (8, "alice")
    assert server.requests.count("/auth-token") == 0
    with AlyxClient(username="alice") as client:
        client.authenticate("demo", "demo", cache_token=False)
        assert TokenFile().load(server.url, "demo") is None
        client.authenticate("alice", "alice")
        client.authenticate("demo", "demo")
    assert TokenFile().load(server.url, "demo") is not None


def test_a_folder_that_is_no_database_s(tmp_path: Path) -> None:
    for made in (AlyxClient, AsyncAlyxClient):
        with pytest.raises(OfflineError, match="base_url"):
            made(cache_dir=tmp_path)


def test_a_pickle_resolves_its_login_where_it_is_loaded(server: Emulator, one_api_user: Path) -> None:
    client = pickle.loads(pickle.dumps(AlyxClient(server.url, password="alice", token="0" * 40)))
    assert len(client.rest("subjects", "list")) == 8
    assert "alice" in repr(client)
    assert server.token("alice") not in repr(client)


def test_keywords_of_one_api(server: Emulator) -> None:
    with AlyxClient(server.url, "alice", "alice") as client:
        assert client.rest() == client.list_endpoints()
        subjects = client.rest(url="subjects", action="list")
        assert client.get(rest_query="/subjects") == subjects
        server.requests.reset()
        assert client.get("/subjects") == subjects
        assert server.requests.count("/subjects") == 0
        assert client.get("/subjects", clobber=True) == subjects
        assert server.requests.count("/subjects") == 1
        with no_cache(ac=client):
            client.get("/subjects")
        assert server.requests.count("/subjects") == 2
        client.authenticate(username="alice", password="alice", cache_token=True, force=True, token=None)
