"""No pickle, text or settings file has a secret, however it was passed, and no secret is sent to another server."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from one_async import ONE, AlyxClient, AsyncAlyxClient, AsyncONE, Settings
from one_async import settings as one_settings
from one_async.alyx.auth import Credentials
from one_async.emulator import Emulator
from one_async.errors import InputError, OneError
from one_async.settings import OPEN_ALYX, TokenFile, resolve
from one_async.transfer import web
from one_async.transfer.items import S3Keys

pytestmark = pytest.mark.anyio
LAB, OTHER = "https://alyx.example.org", "https://evil.example.org"
SECRET = "hidden-word"
TOKEN = "f00d" * 10
REDIS = f"redis://me:{SECRET}@127.0.0.1:1/0"


class Memory:
    """A custom token store."""

    def __init__(self) -> None:
        self.tokens = {"me": TOKEN}

    def load(self, base_url: str, username: str | None = None) -> tuple[str, str] | None:
        return ("me", TOKEN)

    def save(self, base_url: str, username: str, token: str) -> None: ...

    def delete(self, base_url: str, username: str) -> None: ...


WAYS: dict[str, dict[str, Any]] = {
    "password": {"username": "me", "password": SECRET},
    "token": {"token": TOKEN},
    "redis": {"username": "me", "password": SECRET, "cache_storage": REDIS},
    "redis query": {"cache_storage": f"redis://127.0.0.1/0?password={SECRET}"},
    "data server password": {"data_server_login": "d", "data_server_password": SECRET},
    "data server address": {"data_server": f"https://d:{SECRET}@data.example.org/public"},
    "token store": {"token_store": Memory()},
}


def everything(value: Any) -> list[bytes]:
    return [pickle.dumps(value), pickle.dumps(value, 2), cloudpickle.dumps(value), repr(value).encode()]


#: The arguments of the REST clients among these; ONE has no token store.
OF_REST = ("username", "password", "token", "cache_storage", "token_store")


@pytest.mark.parametrize("kind", [ONE, AlyxClient, AsyncONE, AsyncAlyxClient, Settings])
@pytest.mark.parametrize("way", WAYS)
def test_no_pickle_contains_a_secret(kind: Any, way: str, tmp_path: Path) -> None:
    options = {"base_url": LAB, "cache_dir": tmp_path, **WAYS[way]}
    if kind in (AlyxClient, AsyncAlyxClient):
        options = {
            name: value for name, value in options.items() if name in ("base_url", "cache_dir", *OF_REST)
        }
    else:
        options.pop("token_store", None)
    if kind is Settings:
        options.pop("cache_storage", None)
        made = [resolve(**options)]
    else:
        client = kind(**options)
        made = [client, *((client.alyx, client.settings, client) if hasattr(client, "settings") else ())]
    for value in made:
        for data in everything(value):
            assert SECRET.encode() not in data
            assert TOKEN.encode() not in data
        again = pickle.loads(pickle.dumps(value))
        assert type(again) is type(value)
        assert LAB in repr(again)


@pytest.mark.parametrize("face", [AsyncONE, AsyncAlyxClient])
async def test_no_pickle_of_a_client_in_use_contains_its_token(
    face: Any, seeded_emulator: Emulator, tmp_path: Path
) -> None:
    login = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo", "cache_dir": tmp_path}
    async with face(**login) as client:
        alyx = getattr(client, "alyx", client)
        await alyx.rest("labs", "list")
        token = alyx._credentials.token
        for value in (client, alyx):
            assert all(token.encode() not in data for data in everything(value))
            again = pickle.loads(cloudpickle.dumps(value))
            async with again:  # the stored token is found by its user
                rows = await getattr(again, "alyx", again).rest("labs", "list", expires=0)
            assert rows == await alyx.rest("labs", "list")


def test_objects_with_credentials_do_not_reveal_them() -> None:
    inner = [Credentials(LAB, "me", SECRET, TOKEN), web.Credentials(("me", SECRET))]
    for value in inner:
        assert all(SECRET.encode() not in data and TOKEN.encode() not in data for data in everything(value))
    with pytest.raises(TypeError):
        cloudpickle.dumps(S3Keys(SECRET, SECRET))


def test_a_login_in_a_data_servers_address_is_removed_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://d:p%40ss@data.example.org/public"
    monkeypatch.setenv("ONE_BASE_URL", LAB)
    for given in ({"data_server": url}, {}):
        monkeypatch.setenv("ONE_DATA_SERVER", url)
        made = resolve(base_url=LAB, **given)  # type: ignore[arg-type]
        assert (made.data_server, made.data_server_login) == ("https://data.example.org/public", "d")
        assert made.require("data_server_password") == "p@ss"
        one_settings.save(made)
    files = [path.read_text() for path in one_settings.get_params_dir().rglob("*") if path.is_file()]
    assert not any("p%40ss" in text or "p@ss" in text for text in files)


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": f"ftp://u:{SECRET}@h"},
        {"base_url": f"http://u:{SECRET}@[::1"},
        {"base_url": f"u:{SECRET}@h"},
        {"data_server": f"ftp://u:{SECRET}@h"},
        {"data_server": f"http://u:{SECRET}@h:99999"},
        {"s3_endpoint": f"https://u:{SECRET}@h"},
        {"s3_endpoint": f"u:{SECRET}@h"},
    ],
)
def test_no_error_shows_a_password_of_an_address(given: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        resolve(**given)
    assert SECRET not in str(caught.value) + repr(caught.value.__dict__)


@pytest.mark.parametrize(
    "storage", [f"http://u:{SECRET}@h", f"u:{SECRET}@h", f"redis:/:{SECRET}@h", f"REDIS {SECRET}"]
)
def test_no_error_shows_a_password_of_a_cache(storage: str) -> None:
    for make in (
        lambda: AsyncAlyxClient(LAB, cache_storage=storage),
        lambda: AlyxClient(LAB, cache_storage=storage),
    ):
        with pytest.raises(InputError, match="redis://") as caught:
            make()
        assert SECRET not in str(caught.value) + repr(caught.value.__dict__)


# ---- the login of the environment


def login_of(**given: Any) -> tuple[Any, ...]:
    made = resolve(**given)
    names = ("username", "token", "data_server_login", "data_server_password")
    return tuple(
        made.secret(n) if n in ("token", "data_server_password") else getattr(made, n) for n in names
    )


ENVIRONMENT = {"USERNAME": "u", "TOKEN": TOKEN, "DATA_SERVER_LOGIN": "d", "DATA_SERVER_PASSWORD": SECRET}
ALL, NONE = ("u", TOKEN, "d", SECRET), (None, None, None, None)


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**more: str) -> None:
        for name, value in {**ENVIRONMENT, **more}.items():
            monkeypatch.setenv(f"ONE_{name}", value)

    return put


def test_the_environments_login_is_for_the_default_database(
    around: Callable[..., None],
) -> None:
    around()
    assert login_of() == login_of(base_url=OPEN_ALYX) == login_of(base_url=OPEN_ALYX + ":443/") == ALL
    for other in (OTHER, LAB, OPEN_ALYX.replace("https", "http"), OPEN_ALYX + ":8443", OPEN_ALYX + "/x"):
        assert login_of(base_url=other) == NONE
    one_settings.setup(LAB, make_default=True)
    assert login_of() == login_of(base_url=LAB.upper()) == ALL
    assert login_of(base_url=OPEN_ALYX) == NONE


def test_the_environments_login_is_for_its_base_url(around: Callable[..., None]) -> None:
    around(BASE_URL=LAB + ":443")
    assert login_of() == login_of(base_url=LAB) == login_of(base_url=LAB + "/") == ALL
    assert login_of(base_url=OPEN_ALYX) == login_of(base_url=OTHER) == NONE


def test_a_data_servers_login_is_sent_to_no_other_data_server(around: Callable[..., None]) -> None:
    around(BASE_URL=LAB, DATA_SERVER="https://data.example.org")
    assert login_of()[2:] == ("d", SECRET)
    assert login_of(data_server="https://data.example.org/")[2:] == ("d", SECRET)
    assert login_of(data_server=OTHER)[2:] == (None, None)
    assert login_of(data_server=OTHER, data_server_login="me")[2:] == ("me", None)
    assert login_of(data_server_login="me")[2:] == ("me", None)
    assert login_of(data_server=OTHER, data_server_login="me", data_server_password="x")[2:] == ("me", "x")


async def test_another_server_receives_no_token_of_the_environment(
    around: Callable[..., None], seeded_emulator: Emulator
) -> None:
    around(PASSWORD="demo", USERNAME="demo")
    seeded_emulator.requests.reset()
    async with AsyncAlyxClient(seeded_emulator.url) as alyx:
        with pytest.raises(OneError):
            await alyx.rest("labs", "list")
    assert len(seeded_emulator.requests) == 0


# ---- files of killed processes


def test_temporary_files_of_a_killed_process_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_CONFIG_DIR", str(tmp_path))
    tokens = TokenFile()
    tokens.save(LAB, "me", TOKEN)
    (folder,) = (tmp_path / "tokens").iterdir()
    (folder / ".x.tmp").write_text(json.dumps({"token": TOKEN}))
    tokens.save(LAB, "other", TOKEN)
    assert sorted(path.name for path in folder.iterdir() if path.name.endswith(".tmp")) == []
    (folder / ".y.tmp").write_text("")
    tokens.delete(LAB, "other")
    assert not (folder / ".y.tmp").exists()
    assert tokens.load(LAB, "me") == ("me", TOKEN)
