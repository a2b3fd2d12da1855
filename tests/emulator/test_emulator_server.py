"""The emulator on a real port: life cycle, logins, logs, options, and changes while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from recorded_exchanges import DATA
from typer.testing import CliRunner

from one_async.cli.app import app
from one_async.emulator import Emulator, World, recorded

EID = "ed4bb8d0-f6c2-4e75-95bf-8014cf3e2df1"


def client(alyx: Emulator, user: str = "demo", **options: object) -> httpx.Client:
    headers = {"authorization": f"Token {alyx.token(user)}"}
    return httpx.Client(base_url=alyx.url, headers=headers, **options)


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("user", ["demo", "reader", "alice"])
def test_login_returns_a_token(alyx: Emulator, user: str) -> None:
    answer = httpx.post(f"{alyx.url}/auth-token", json={"username": user, "password": user})
    assert answer.json() == {"token": alyx.token(user)}
    assert len(alyx.token(user)) == 40


def test_tokens_differ_between_emulators_unless_seeded(world: World) -> None:
    free, seeded, again = Emulator(world), Emulator(world, token_seed="x"), Emulator(world, token_seed="x")
    assert free.token("demo") != seeded.token("demo") == again.token("demo")
    for emulator in (free, seeded, again):
        emulator.close()


def test_emulators_of_one_world_are_equal_and_independent() -> None:
    """The first two load the world, and the others copy what the second one loaded."""
    world = recorded(DATA)

    def state(emulator: Emulator) -> dict[str, object]:
        select = emulator.store.select
        named = select("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        rows = {name: select(f'SELECT * FROM "{name}"') for kind, name, _ in named if kind == "table"}
        return {**rows, "kept": [name for name, _ in rows["kept"]], "sql": named}

    made, seen = [], []
    for number in range(4):
        emulator = Emulator(world)
        made.append(emulator)
        seen.append(state(emulator))
        emulator.store.delete("labs", "cortexlab")
        emulator.store.update("subjects", "KS014", description=f"changed by {number}")
    assert seen[1:] == seen[:1] * 3
    assert all(state(emulator) != seen[0] for emulator in made)
    for emulator in made:
        emulator.close()


def test_stopping_closes_connections_and_ends_requests_in_progress(alyx: Emulator) -> None:
    rule = alyx.faults.add("/labs", delay=60)
    with client(alyx, timeout=30) as http, ThreadPoolExecutor(1) as pool:
        assert http.get("/subjects?limit=1").status_code == 200
        pending = pool.submit(http.get, "/labs")
        while not rule.hits:
            time.sleep(0.005)
        alyx.stop()
        assert refused(alyx.port)
        with contextlib.suppress(httpx.TransportError):
            assert pending.result(30).status_code == 500
        alyx.start()
        assert http.get("/subjects?limit=1").status_code == 200


def test_the_reader_cannot_write(alyx: Emulator) -> None:
    with client(alyx, "reader") as http:
        assert http.get("/labs").status_code == 200
        assert http.post("/labs", json={"name": "x"}).status_code == 403


def test_addresses_are_those_of_the_server(alyx: Emulator) -> None:
    with client(alyx) as http:
        page = http.get("/sessions?limit=1").json()
        assert page["next"] == f"{alyx.url}/sessions?limit=1&offset=1"
        assert page["results"][0]["url"].startswith(f"{alyx.url}/sessions/")
        session = http.get(f"/sessions/{EID}")
        assert session.json()["data_dataset_session_related"][0]["data_url"].startswith(f"{alyx.url}/data/")
        assert "alyx.test" not in session.text
        assert "data.test" not in session.text


def test_the_data_server_can_be_another_address(world: World) -> None:
    with Emulator(world, data_url="https://files.example.org/") as alyx, client(alyx) as http:
        datasets = http.get(f"/sessions/{EID}").json()["data_dataset_session_related"]
        assert datasets[0]["data_url"].startswith("https://files.example.org/cortexlab/")


def test_start_and_stop_clean_up(world: World) -> None:
    threads = set(threading.enumerate())
    with Emulator(world) as alyx:
        with client(alyx) as http:
            http.get("/labs")
        port = alyx.port
        assert not refused(port)
    assert set(threading.enumerate()) <= threads
    assert refused(port)


def test_restart_on_the_same_port_with_the_same_records(alyx: Emulator) -> None:
    url, token = alyx.url, alyx.token("demo")
    alyx.store.delete("labs", "riverlab")
    with client(alyx) as http:
        http.get("/labs")
        alyx.stop()
        with pytest.raises(httpx.TransportError):
            http.get("/labs")
        alyx.start()
        assert (alyx.url, alyx.token("demo")) == (url, token)
        assert http.get("/labs").json()["count"] == 2


def test_a_taken_port_is_an_error(world: World, alyx: Emulator) -> None:
    second = Emulator(world, port=alyx.port)
    with pytest.raises(OSError):
        second.start()
    second.close()


@pytest.mark.parametrize("name", ["emulator", "alyx.lab.example", "192.0.2.7"])
def test_a_server_for_other_machines_accepts_any_host_name(world: World, name: str) -> None:
    with Emulator(world, host="0.0.0.0") as alyx, client(alyx) as http:
        assert alyx.url == f"http://127.0.0.1:{alyx.port}"
        row = http.get(f"/sessions/{EID}", headers={"host": f"{name}:{alyx.port}"}).json()
        assert row["url"] == f"http://{name}:{alyx.port}/sessions/{EID}"
        addresses = {dataset["data_url"] for dataset in row["data_dataset_session_related"]} - {None}
        assert addresses
        assert all(address.startswith(f"http://{name}:{alyx.port}/data/") for address in addresses)


def test_a_local_server_accepts_only_its_own_host_names(world: World) -> None:
    with Emulator(world) as alyx, client(alyx) as http:
        statuses = {n: http.get("/labs", headers={"host": n}).status_code for n in ("localhost", "emulator")}
    assert statuses == {"localhost": 200, "emulator": 400}


@pytest.mark.parametrize(
    ("option", "value", "status", "text"),
    [
        ("--port", "taken", 1, "cannot use the port"),
        ("--port", "65536", 2, "--port"),
        ("--port", "-1", 2, "--port"),
        ("--latency", "-1", 2, "--latency"),
        ("--throttle", "0", 2, "--throttle"),
        ("--records", "folder", 1, "no folder of records"),
        ("--records", "missing", 1, "no folder of records"),
        ("--state", "folder", 1, "cannot use the file"),
        ("--state", "text", 1, "cannot use the file"),
    ],
)
def test_the_command_names_the_wrong_option(
    alyx: Emulator, tmp_path: Path, option: str, value: str, status: int, text: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database")
    value = str(alyx.port) if value == "taken" else str(tmp_path / value) if value.isalpha() else value
    given = [] if option == "--records" else ["--records", str(DATA)]
    done = CliRunner().invoke(app, ["emulator", option, value, *given])
    assert (done.exit_code, isinstance(done.exception, SystemExit)) == (status, True), done.exception
    assert text in done.output.replace("\n", " ")


def test_requests_are_logged(alyx: Emulator) -> None:
    with client(alyx) as http:
        http.get("/sessions?limit=3")
        http.get(f"/sessions/{EID}")
        http.head("/labs")
    httpx.get(f"{alyx.url}/labs")
    assert [(r.method, r.path, r.query, r.user, r.status) for r in alyx.requests] == [
        ("GET", "/sessions", "limit=3", "demo", 200),
        ("GET", f"/sessions/{EID}", "", "demo", 200),
        ("HEAD", "/labs", "", "demo", 200),
        ("GET", "/labs", "", None, 403),
    ]
    assert (alyx.requests.count("/sessions"), alyx.requests.count(method="HEAD")) == (2, 1)
    alyx.requests.reset()
    assert len(alyx.requests) == 0


def test_the_peak_of_open_connections_is_counted(world: World) -> None:
    with Emulator(world, latency=0.05) as alyx, client(alyx) as http, ThreadPoolExecutor(8) as pool:
        assert {r.status_code for r in pool.map(http.get, ["/labs"] * 24)} == {200}
        assert 2 <= alyx.connections_peak <= 8


def test_a_thousand_connections_are_served(alyx: Emulator) -> None:
    sockets = [socket.create_connection(("127.0.0.1", alyx.port)) for _ in range(400)]
    head = f"GET /labs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {alyx.token('demo')}\r\n\r\n"
    for one in sockets:
        one.sendall(head.encode())
    assert all(one.recv(12) == b"HTTP/1.1 200" for one in sockets)
    assert alyx.connections_peak >= 300
    for one in sockets:
        one.close()


def test_a_database_file_is_kept_after_the_emulator(world: World, tmp_path: Path) -> None:
    file = tmp_path / "alyx.sqlite"
    with Emulator(world, database=file) as alyx:
        alyx.store.delete("labs", "riverlab")
    with Emulator(world, database=file) as alyx, client(alyx) as http:
        assert http.get("/labs").json()["count"] == 2


# ---- changes while it runs ----


def test_rows_can_be_changed_while_it_runs(alyx: Emulator) -> None:
    with client(alyx) as http:

        def newest() -> dict[str, object]:
            return http.get("/sessions?limit=1").json()["results"][0]

        row = newest()
        new = {**row, "id": "00000000-0000-4000-8000-000000000001", "start_time": "2025-01-02T00:00:00"}
        new["url"] = f"https://alyx.test/sessions/{new['id']}"
        alyx.store.insert("sessions", new, {**new, "qc": "PASS", "json": {"k": 1}, "users": ["alice"]})
        assert newest()["id"] == new["id"], "in the server's order, not at the end"
        assert http.get("/sessions?qc=PASS").json()["count"] == 15
        assert http.get("/sessions?django=json__k,1").json()["count"] == 1
        alyx.store.update("sessions", str(new["id"]), qc="FAIL", task_protocol="changed")
        assert http.get("/sessions?qc=PASS").json()["count"] == 14
        assert newest()["task_protocol"] == "changed"
        detail = http.get(f"/sessions/{new['id']}").json()
        assert (detail["qc"], detail["task_protocol"], detail["users"]) == ("FAIL", "changed", ["alice"])
        alyx.store.delete("sessions", str(new["id"]))
        assert newest() == row
        assert http.get(f"/sessions/{new['id']}").status_code == 404


def test_a_row_without_detail_is_its_own_detail(alyx: Emulator) -> None:
    alyx.store.insert("projects", {"name": "new", "description": "", "users": []})
    with client(alyx) as http:
        assert http.get("/projects/new").json() == {"name": "new", "description": "", "users": []}


def test_updating_a_missing_row_raises(alyx: Emulator) -> None:
    with pytest.raises(KeyError):
        alyx.store.update("labs", "nowhere", timezone="UTC")
    alyx.store.delete("labs", "nowhere")


def test_rows_can_be_changed_by_many_threads(alyx: Emulator) -> None:
    def change(number: int) -> int:
        alyx.store.insert("projects", {"name": f"p{number}", "description": "", "users": ["demo"]})
        with client(alyx) as http:
            return http.get(f"/projects/p{number}").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, range(40))) == {200}
    with client(alyx) as http:
        assert http.get("/projects").json()["count"] == 46


def test_newer_tables_can_be_published(alyx: Emulator) -> None:
    with client(alyx) as http:
        assert http.get("/cache/info/").json()["date_created"] == "2025-01-15 06:00"
        alyx.touch_tables("2025-01-16 06:00")
        assert http.get("/cache/info/").json()["date_created"] == "2025-01-16 06:00"
        old = http.get("/cache.zip").content
        alyx.touch_tables(cache_zip=old + b"\0")
        assert len(http.get("/cache.zip").content) == len(old) + 1


# ---- pages that lose rows ----


def pages(http: httpx.Client, path: str, limit: int) -> list[str]:
    urls: list[str] = []
    following: str | None = f"{path}?limit={limit}"
    while following:
        page = http.get(following).json()
        urls += [row["url"] for row in page["results"]]
        following = page["next"]
    return urls


def test_unstable_paging_repeats_and_loses_rows(world: World) -> None:
    with Emulator(world, unstable_paging=1) as alyx, client(alyx) as http:
        small = pages(http, "/files", 50)
        assert len(small) == 1367
        assert 1367 * 0.85 < len(set(small)) < 1367 * 0.97
        assert pages(http, "/files", 50) == small
        assert len(set(pages(http, "/files", 1000))) > len(set(small))
        assert len(set(pages(http, "/datasets", 1000))) == 875, "one page: nothing is lost"
        assert len(set(pages(http, "/sessions", 10))) == 36, "sessions have an order"
    with Emulator(world, unstable_paging=2) as alyx, client(alyx) as http:
        other = pages(http, "/files", 50)
        assert [url.rsplit("/")[-1] for url in other] != [url.rsplit("/")[-1] for url in small]


# ---- the command ----


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_module_can_be_run(signum: int, status: int) -> None:
    command = [sys.executable, "-m", "one_async.emulator", "--records", str(DATA), "--json", "--latency", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        login = {"username": "demo", "password": said["logins"]["demo"]}
        assert httpx.post(f"{said['url']}/auth-token", json=login).status_code == 200
        os.kill(process.pid, signum)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (status, "", "")


def test_a_folder_of_records_alone_is_enough() -> None:
    assert recorded(DATA).records.keys() == recorded(DATA / "records").records.keys()
