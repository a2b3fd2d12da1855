"""Settings: sources, precedence, and what is written to files."""

from __future__ import annotations

import json
import os
import pickle
import re
import stat
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from one_async import settings as one_settings
from one_async.errors import ConfigurationError, InputError, OfflineError, OneWarning
from one_async.settings import OPEN_ALYX, Settings, TokenFile, resolve

FIXTURES = Path(__file__).parent / "data" / "one_params"
LAB = "https://alyx.example.org"
LOCAL = "http://localhost:8000"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty home folder and an environment without settings."""
    for name in [*os.environ]:
        if name.startswith(("ONE_", "XDG_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder))
    return folder


@pytest.fixture
def one_api(home: Path) -> Path:
    """Write the parameter files of a user who set up ONE-api 3.6.1."""
    folder = home / ".one"
    folder.mkdir()
    for path in FIXTURES.glob(".*"):
        (folder / path.name).write_text(path.read_text().replace("{HOME}", str(home)))
    return folder


def written(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in folder.rglob("*") if path.is_file()}


# --- the database


def test_the_default_database_is_open_alyx(home: Path) -> None:
    settings = resolve()
    assert settings.base_url == OPEN_ALYX == "https://openalyx.internationalbrainlab.org"
    assert settings.mode == "remote"
    assert not settings.offline
    assert settings.cache_dir == settings.tables_dir
    assert settings.cache_dir == home / "Downloads" / "ONE" / "openalyx.internationalbrainlab.org"
    assert settings.data_server == "https://ibl.flatironinstitute.org/public"
    assert (settings.username, settings.password, settings.token) == (None, None, None)
    assert settings.cache_expiry == settings.default_expiry == timedelta(hours=24)


def test_resolving_writes_nothing(home: Path, one_api: Path) -> None:
    before = written(home)
    resolve()
    resolve(base_url=LAB, username="x", password="y", cache_dir=home / "new")
    one_settings.databases()
    one_settings.get_cache_dir(LAB)
    TokenFile().load(LAB, "bruno")
    assert written(home) == before
    assert not (home / "new").exists()
    assert not one_settings.get_params_dir().exists()


def test_a_folder_without_a_database_is_offline(tmp_path: Path) -> None:
    settings = resolve(cache_dir=tmp_path)
    assert (settings.offline, settings.base_url, settings.mode) == (True, None, "local")
    assert settings.cache_dir == settings.tables_dir == tmp_path
    assert resolve(cache_dir=tmp_path, mode="remote").mode == "remote"
    assert resolve(cache_dir=tmp_path, mode="remote").offline
    with pytest.raises(OfflineError, match=r"base_url.*ONE_BASE_URL.*ONE\.setup"):
        settings.require("base_url")


@pytest.mark.parametrize(
    "login",
    [{"base_url": LAB}, {"username": "x"}, {"password": "x"}, {"token": "x"}],
    ids=lambda d: next(iter(d)),
)
def test_a_folder_with_a_login_is_online(tmp_path: Path, login: dict[str, str]) -> None:
    settings = resolve(cache_dir=tmp_path, **login)  # type: ignore[arg-type]
    assert settings.base_url == login.get("base_url", OPEN_ALYX)
    assert (settings.mode, settings.cache_dir) == ("remote", tmp_path)


def test_a_folder_of_a_database_selects_that_database(home: Path, one_api: Path) -> None:
    settings = resolve(cache_dir=str(home / "data" / "x" / ".." / "lab"))
    assert (settings.base_url, settings.username, settings.mode) == (LAB, "bruno", "remote")


def test_local_mode_keeps_its_database() -> None:
    settings = resolve(mode="local")
    assert (settings.mode, settings.base_url) == ("local", OPEN_ALYX)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://alyx.example.org/", LAB),
        ("  HTTPS://Alyx.Example.org  ", LAB),
        ("alyx.example.org", LAB),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("https://example.org/Alyx/", "https://example.org/Alyx"),
    ],
)
def test_addresses_are_normalized(given: str, normal: str) -> None:
    assert resolve(base_url=given).base_url == normal


@pytest.mark.parametrize(
    "given",
    ["ftp://alyx.example.org", "https://", "https://a b", "https://x:port", "https://x/?q=1", "https://x#y"],
)
def test_invalid_addresses_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="base_url"):
        resolve(base_url=given)


@pytest.mark.parametrize("given", ["http://[::1", "http://host:99999", "ftp://host", "host"])
@pytest.mark.parametrize("name", ["data_server", "s3_endpoint"])
def test_addresses_without_a_server_are_refused(name: str, given: str) -> None:
    with pytest.raises(InputError, match=f"{name}='{re.escape(given)}'"):
        resolve(**{name: given})  # type: ignore[arg-type]


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="must not hold") as caught:
        resolve(base_url="https://me:hidden-word@alyx.example.org")
    assert "hidden-word" not in str(caught.value)


def test_errors_name_wrong_arguments_without_secrets() -> None:
    with pytest.raises(InputError, match="mode='nonsense'"):
        resolve(mode="nonsense")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="token") as caught:
        resolve(token=["hidden-word"])  # type: ignore[arg-type]
    assert "hidden-word" not in str(caught.value)
    assert caught.value.__cause__ is None


# --- precedence


def test_precedence_is_arguments_environment_file_defaults(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_settings.setup(
        LAB, username="filed", cache_dir=home / "filed", data_server="https://filed.example.org"
    )
    assert resolve().username == "filed"
    monkeypatch.setenv("ONE_USERNAME", "around")
    monkeypatch.setenv("ONE_CACHE_DIR", str(home / "around"))
    settings = resolve()
    assert (settings.base_url, settings.username, settings.cache_dir) == (LAB, "around", home / "around")
    assert settings.data_server == "https://filed.example.org"
    settings = resolve(username="given")
    assert (settings.username, settings.cache_dir, settings.mode) == ("given", home / "around", "remote")


def test_the_environment_alone_is_enough(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "BASE_URL": LOCAL, "USERNAME": "u", "PASSWORD": "p", "TOKEN": "t", "CACHE_DIR": "~/data",
        "MODE": "auto", "CACHE_EXPIRY": "3600", "DATA_SERVER": "https://d.example.org",
        "DATA_SERVER_LOGIN": "dl", "DATA_SERVER_PASSWORD": "dp", "REST_CACHE_DIR": "/scratch",
        "S3_ENDPOINT": "https://s3.example.org",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"ONE_{name}", value)
    monkeypatch.setenv("ONE_SOMETHING_ELSE", "ignored")
    settings = resolve()
    assert (settings.base_url, settings.username, settings.mode) == (LOCAL, "u", "auto")
    assert settings.require("password") == "p"
    assert settings.require("token") == "t"
    assert settings.cache_dir == settings.tables_dir == home / "data"
    assert settings.cache_expiry == timedelta(hours=1)
    assert (settings.data_server_login, settings.require("data_server_password")) == ("dl", "dp")
    assert settings.rest_cache_dir == Path("/scratch").absolute()
    assert settings.s3_endpoint == "https://s3.example.org"


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_environment_sets_nothing(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    expected = resolve()
    for name in ("BASE_URL", "USERNAME", "PASSWORD", "TOKEN", "CACHE_DIR", "MODE"):
        monkeypatch.setenv(f"ONE_{name}", empty)
    assert resolve() == expected


@pytest.mark.parametrize(
    ("name", "value"), [("ONE_MODE", "nonsense"), ("ONE_BASE_URL", "ftp://x"), ("ONE_CACHE_EXPIRY", "soon")]
)
def test_wrong_environment_variables_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        resolve()


def test_the_environment_of_another_database_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"BASE_URL": LAB, "USERNAME": "u", "PASSWORD": "p", "TOKEN": "t"}.items():
        monkeypatch.setenv(f"ONE_{name}", value)
    monkeypatch.setenv("ONE_CACHE_DIR", str(tmp_path))
    other = resolve(base_url=LOCAL)
    assert (other.username, other.password, other.token) == (None, None, None)
    assert other.cache_dir != tmp_path
    same = resolve(base_url=LAB + "/")
    assert (same.username, same.require("token"), same.cache_dir) == ("u", "t", tmp_path)


def test_an_offline_client_has_no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONE_TOKEN", "t")
    assert resolve(cache_dir=tmp_path).token is None


def test_secrets_are_used_only_with_their_user(one_api: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(base_url=LAB).username == "bruno"
    # Only the server knows the user of a given token.
    assert resolve(base_url=LAB, token="t").username is None
    assert resolve(base_url=LAB, token="t", username="x").username == "x"
    assert resolve(base_url=LAB, password="p").username == "bruno"
    monkeypatch.setenv("ONE_BASE_URL", LAB)
    monkeypatch.setenv("ONE_USERNAME", "u")
    monkeypatch.setenv("ONE_TOKEN", "of u")
    assert resolve(base_url=LAB, username="x").token is None
    assert resolve(base_url=LAB, username="u").require("token") == "of u"
    assert resolve(base_url=LAB).require("token") == "of u"
    assert resolve(base_url=LAB, password="p").token is None


def test_a_token_may_be_the_servers_answer() -> None:
    assert resolve(token={"token": "abc"}).require("token") == "abc"


def test_tables_dir_follows_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONE_TABLES_DIR", str(tmp_path / "tables"))
    assert resolve().tables_dir == tmp_path / "tables"
    assert resolve(base_url=LAB, cache_dir=tmp_path).tables_dir == tmp_path
    assert resolve(base_url=LAB, tables_dir=tmp_path / "t").tables_dir == tmp_path / "t"


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"password=.*ONE_PASSWORD.*keyring.*openalyx"):
        resolve().require("password")
    with pytest.raises(ConfigurationError, match=r"username=.*ONE_USERNAME.*ONE\.setup"):
        resolve().require("username")


# --- secrets


def test_secrets_are_in_no_text_and_no_pickle() -> None:
    settings = resolve(
        username="me",
        password="hidden-1",
        token="hidden-2",
        data_server_login="d",
        data_server_password="hidden-3",
    )
    texts = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())]
    assert not any("hidden" in text for text in texts)
    data = pickle.dumps(settings)
    assert b"hidden" not in data
    loaded = pickle.loads(data)
    assert (loaded.username, loaded.password, loaded.token) == ("me", None, None)
    assert loaded == settings.model_copy(update=dict.fromkeys(one_settings.SECRETS))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        resolve().base_url = LAB  # type: ignore[misc]


# --- ONE-api's files


def test_one_api_users_need_no_setup(home: Path, one_api: Path) -> None:
    settings = resolve()
    assert (settings.base_url, settings.username) == (LOCAL, "carla")
    assert settings.cache_dir == home / "Downloads" / "ONE" / "localhost_8000"
    assert one_settings.default_database() == LOCAL
    assert resolve(base_url=LAB).cache_dir == one_settings.get_cache_dir(LAB) == home / "data" / "lab"
    assert one_settings.databases() == {
        OPEN_ALYX: home / "Downloads" / "ONE" / "openalyx.internationalbrainlab.org",
        LAB: home / "data" / "lab",
        LOCAL: home / "Downloads" / "ONE" / "localhost_8000",
    }


def test_one_api_tokens_are_used_only_for_their_server(one_api: Path) -> None:
    tokens = TokenFile()
    assert tokens.load(OPEN_ALYX) == ("anna", "a" * 40)
    assert tokens.load(LAB, None) == ("bruno", "b" * 40)
    assert tokens.load(LAB, "other") == ("other", "d" * 40)
    assert tokens.load(LAB, "carla") is None
    # The same file name in ONE-api, but another server.
    assert tokens.load("http://alyx.example.org", "bruno") is None
    assert tokens.load(LOCAL) is None


def test_a_deleted_token_is_not_read_again(one_api: Path) -> None:
    tokens, before = TokenFile(), written(one_api)
    tokens.delete(LAB, "bruno")
    assert tokens.load(LAB, "bruno") is None
    assert tokens.load(LAB, "other") == ("other", "d" * 40)
    tokens.save(LAB, "bruno", "new")
    assert tokens.load(LAB, "bruno") == ("bruno", "new")
    assert written(one_api) == before


def test_a_password_stored_by_one_api_is_used_and_not_copied(home: Path, one_api: Path) -> None:
    path = one_api / ".alyx.example.org"
    parameters = json.loads(path.read_text())
    path.write_text(json.dumps(parameters | {"ALYX_PWD": "hidden", "HTTP_DATA_SERVER_PWD": "hidden"}))
    assert resolve(base_url=LAB).require("password") == "hidden"
    one_settings.setup(LAB)
    assert not any("hidden" in text for text in written(one_settings.get_params_dir()).values())
    assert resolve(base_url=LAB).require("password") == "hidden"


def test_the_data_server_of_an_old_open_alyx_file_is_corrected(one_api: Path) -> None:
    path = one_api / ".openalyx.internationalbrainlab.org"
    path.write_text(path.read_text().replace("institute.org/public", "institute.org"))
    assert resolve(base_url=OPEN_ALYX).data_server == "https://ibl.flatironinstitute.org/public"


def test_a_damaged_file_is_named(one_api: Path) -> None:
    (one_api / ".caches").write_text('{"CLIENT_MAP": {')
    with pytest.raises(ConfigurationError, match=r"\.caches is damaged"):
        resolve()


# --- our files


def test_setup_is_stored_and_the_first_becomes_the_default(home: Path) -> None:
    settings = one_settings.setup(LAB + "/", username="anna", cache_dir=home / "lab")
    assert (settings.base_url, settings.username, settings.cache_dir) == (LAB, "anna", home / "lab")
    one_settings.setup(LOCAL, username="carla")
    assert one_settings.default_database() == LAB == resolve().base_url
    one_settings.setup(LOCAL, make_default=True)
    assert resolve().base_url == LOCAL
    assert resolve().username == "carla"
    assert resolve(cache_dir=home / "lab").base_url == LAB
    assert one_settings.databases() == {
        LAB: home / "lab",
        LOCAL: home / "Downloads" / "ONE" / "localhost_8000",
    }
    one_settings.delete(LOCAL)
    assert resolve().base_url == OPEN_ALYX
    one_settings.delete()
    assert one_settings.databases() == {}
    one_settings.delete()


def test_setup_keeps_other_settings_of_one_api(home: Path, one_api: Path) -> None:
    before = written(one_api)
    settings = one_settings.setup(LAB, username="new")
    assert (settings.username, settings.cache_dir) == ("new", home / "data" / "lab")
    assert one_settings.default_database() == LOCAL
    assert written(one_api) == before


def test_setup_stores_neither_secrets_nor_the_environment(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("ONE_PASSWORD", "hidden")
    monkeypatch.setenv("ONE_CACHE_DIR", str(home / "hidden"))
    one_settings.setup(LAB, username="me")
    one_settings.save(
        resolve(base_url=LAB, token="hidden", cache_dir=home / "seen", default_expiry=timedelta(hours=1))
    )
    kept = written(one_settings.get_params_dir())
    assert not any("hidden" in text for text in kept.values())
    monkeypatch.delenv("ONE_CACHE_DIR")
    assert resolve().default_expiry == timedelta(hours=1)
    assert resolve().cache_dir == home / "seen"


def test_setup_asks_only_for_what_is_missing(home: Path, one_api: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    def ask(name: str, default: str | None) -> str:
        asked.append((name, default))
        return {"base_url": "new.example.org", "username": "me"}.get(name, "")

    assert one_settings.setup(ask=ask).base_url == LOCAL
    assert asked == []
    settings = one_settings.setup("new.example.org", ask=ask)
    assert asked == [
        ("username", None),
        ("cache_dir", str(home / "Downloads" / "ONE" / "new.example.org")),
    ]
    assert (settings.base_url, settings.username) == ("https://new.example.org", "me")


def test_setup_without_arguments_prompts_for_the_database() -> None:
    answers = {"base_url": "new.example.org", "username": "me"}
    settings = one_settings.setup(ask=lambda name, default: answers.get(name, ""))
    assert (settings.base_url, settings.username) == ("https://new.example.org", "me")


def test_a_shared_cache_folder_raises_a_warning(home: Path) -> None:
    one_settings.setup(LAB, cache_dir=home / "lab")
    with pytest.warns(OneWarning, match=LAB):
        one_settings.setup(LOCAL, cache_dir=home / "lab")


def test_the_config_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONE_CONFIG_DIR", str(tmp_path / "chosen"))
    one_settings.setup(LAB)
    assert one_settings.get_params_dir() == tmp_path / "chosen"
    assert (tmp_path / "chosen" / "default.json").is_file()


def test_settings_without_a_database_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(OfflineError):
        one_settings.save(resolve(cache_dir=tmp_path))


@pytest.mark.parametrize(
    "value", ['{"base_url": "https://alyx.example.org", "mode": "nonsense"}', "[1", "[]"]
)
def test_a_damaged_file_of_ours_is_named(value: str) -> None:
    one_settings.setup(LAB)
    path = next((one_settings.get_params_dir() / "databases").iterdir())
    path.write_text(value)
    with pytest.raises(ConfigurationError, match=path.name):
        resolve(base_url=LAB)


def test_an_unwritable_config_folder_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("ONE_CONFIG_DIR", str(tmp_path / "file" / "config"))
    assert resolve().base_url == OPEN_ALYX
    with pytest.raises(ConfigurationError, match="ONE_CONFIG_DIR"):
        one_settings.setup(LAB)
    tokens = TokenFile()
    tokens.save(LAB, "me", "secret")
    tokens.delete(LAB, "me")
    assert tokens.load(LAB, "me") is None
    one_settings.delete(LAB)


def test_settings_work_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    pwd = pytest.importorskip("pwd")

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    settings = resolve()
    assert (settings.base_url, settings.username) == (OPEN_ALYX, None)
    assert settings.cache_dir.is_relative_to(tempfile.gettempdir())
    tokens = TokenFile()
    tokens.save(LAB, "me", "secret")
    assert tokens.load(LAB, "me") is None
    assert not Path("~").exists()
    with pytest.raises(ConfigurationError, match="ONE_CONFIG_DIR"):
        one_settings.setup(LAB)
    with pytest.raises(InputError, match="no home folder"):
        resolve(cache_dir="~/data")


# --- tokens


def test_a_token_is_readable_only_by_its_owner() -> None:
    tokens = TokenFile()
    tokens.save(LAB + "/", "me", "secret")
    assert tokens.load(LAB, "me") == tokens.load(LAB) == ("me", "secret")
    (path,) = [path for path in one_settings.get_params_dir().rglob("*") if path.is_file()]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "secret" not in repr(tokens)
    tokens.delete(LAB, "me")
    assert not path.exists()
    assert tokens.load(LAB, "me") is None
    tokens.delete(LAB, "me")


def test_tokens_of_users_and_servers_are_separate() -> None:
    tokens = TokenFile()
    users = ["me", "Me", "../me", "a/b", "ä", "", "x" * 300, "con"]
    for user in users:
        tokens.save(LAB, user, f"token of {user}")
    for user in users:
        assert tokens.load(LAB, user) == (user, f"token of {user}")
        assert tokens.load(LOCAL, user) is None
        assert tokens.load("http://alyx.example.org", user) is None
    assert tokens.load(LAB) is None
    assert all(path.resolve().is_relative_to(tokens.folder.resolve()) for path in tokens.folder.rglob("*"))
    one_settings.setup(LAB, username="Me")
    assert tokens.load(LAB) == ("Me", "token of Me")


def test_a_damaged_token_counts_as_none() -> None:
    tokens = TokenFile()
    tokens.save(LAB, "me", "secret")
    (path,) = [path for path in tokens.folder.rglob("*") if path.is_file()]
    path.write_text('{"token": "sec')
    assert tokens.load(LAB, "me") is None
    assert tokens.load(LAB) is None
    tokens.save(LAB, "me", "secret")
    assert tokens.load(LAB, "me") == ("me", "secret")


SAVER = """
import sys
from one_async._token_file import TokenFile
tokens, number = TokenFile(), sys.argv[1]
sys.stdin.readline()
for round in range(10):
    tokens.save("https://alyx.example.org", "me", number * 4000)
    user, token = tokens.load("https://alyx.example.org")
    assert user == "me" and len(set(token.split("-"))) == 2 and len(token) in (8000, 12000), token[:9]
    tokens.save("https://alyx.example.org", "user" + number, "own")
"""


def test_fifty_processes_can_save_at_once() -> None:
    one_settings.setup(LAB, username="me")
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SAVER, f"{number}-"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(50)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [
        ("", 0)
    ] * 50
    tokens = TokenFile()
    assert all(tokens.load(LAB, f"user{number}-") == (f"user{number}-", "own") for number in range(50))
    files = [path for path in one_settings.get_params_dir().rglob("*") if path.is_file()]
    assert all(json.loads(path.read_text()) for path in files)
    assert not [path for path in files if path.name.endswith(".tmp")]


# --- keyring


def test_the_keyring_is_used_only_if_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return "from the ring" if (service, username) == (LAB, "me") else None

        def set_password(self, service: str, username: str, password: str) -> None: ...

        def delete_password(self, service: str, username: str) -> None: ...

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    try:
        assert resolve(base_url=LAB, username="me").password is None
        monkeypatch.setenv("ONE_KEYRING", "1")
        assert resolve(base_url=LAB, username="me").require("password") == "from the ring"
        assert resolve(base_url=LAB, username="me", password="given").require("password") == "given"
        assert resolve(base_url=LAB, username="other").password is None
        assert resolve(base_url=LOCAL, username="me").password is None
        assert resolve(base_url=LAB).password is None
        monkeypatch.delenv("ONE_KEYRING")
        one_settings.setup(LAB, username="me", keyring=True)
        assert resolve(base_url=LAB).require("password") == "from the ring"
        assert not any("from the ring" in text for text in written(one_settings.get_params_dir()).values())
    finally:
        keyring.set_keyring(before)


def test_settings_can_be_constructed_directly(tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path, tables_dir=tmp_path)
    assert settings.offline
