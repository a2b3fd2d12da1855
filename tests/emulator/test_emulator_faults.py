"""Injected faults, seen by a client over a real connection."""

from __future__ import annotations

import math
import socket

import httpx
import pytest

from one_async.emulator import Emulator


@pytest.fixture
def http(alyx: Emulator) -> httpx.Client:
    headers = {"authorization": f"Token {alyx.token('demo')}"}
    with httpx.Client(base_url=alyx.url, headers=headers, timeout=5) as client:
        yield client


def test_a_status_is_returned_a_number_of_times(alyx: Emulator, http: httpx.Client) -> None:
    rule = alyx.faults.add("/sessions", times=2, status=503)
    assert [http.get("/sessions").status_code for _ in range(3)] == [503, 503, 200]
    assert http.get("/labs").status_code == 200
    assert rule.hits == 2


def test_a_status_may_have_headers(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add(status=429, headers={"retry-after": "7"})
    answer = http.get("/labs")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def test_faults_can_be_skipped_limited_to_a_method_and_cleared(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add("/labs", method="GET", skip=1, times=None, status=500)
    assert [http.get("/labs").status_code for _ in range(3)] == [200, 500, 500]
    assert http.head("/labs").status_code == 200
    alyx.faults.clear()
    assert http.get("/labs").status_code == 200


def test_an_html_page_has_status_200(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add(html=True)
    answer = http.get("/labs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "500 Internal Server Error" in answer.text


def test_broken_json_is_returned(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add(broken=True)
    with pytest.raises(ValueError):
        http.get("/labs").json()


@pytest.mark.parametrize("kind", [{"cut": True}, {"drop": True}, {"truncate": 3}])
def test_connections_break(alyx: Emulator, http: httpx.Client, kind: dict[str, object]) -> None:
    alyx.faults.add(**kind)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/labs")
    assert http.get("/labs").status_code == 200


def test_half_of_the_body_arrives_before_the_cut(alyx: Emulator) -> None:
    alyx.app.files["x.bin"] = bytes(1000)
    alyx.faults.add("/data", cut=True)
    received = b""
    with socket.create_connection(("127.0.0.1", alyx.port)) as raw:
        raw.sendall(b"GET /data/x.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while chunk := raw.recv(65536):
            received += chunk
    head, body = received.split(b"\r\n\r\n", 1)
    assert b"content-length: 1000" in head.lower()
    assert len(body) == 500


def test_answers_hang(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add(hang=math.inf)
    with pytest.raises(httpx.ReadTimeout):
        http.get("/labs", timeout=0.2)
    alyx.faults.add(hang=0.01)
    assert http.get("/labs").status_code == 200


def test_stop_while_a_request_hangs(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add(hang=math.inf)
    with pytest.raises(httpx.ReadTimeout):
        http.get("/labs", timeout=0.2)
    alyx.stop()
    alyx.start()
    assert http.get("/labs").status_code == 200


def test_files_are_damaged(alyx: Emulator, http: httpx.Client) -> None:
    alyx.app.files["x.bin"] = b"0123456789"
    alyx.faults.add("/data", corrupt=3)
    damaged = http.get("/data/x.bin").content
    assert [i for i, (a, b) in enumerate(zip(damaged, b"0123456789", strict=True)) if a != b] == [3]
    alyx.faults.add("/data", shorten=4)
    short = http.get("/data/x.bin")
    assert (short.content, short.headers["content-length"]) == (b"012345", "6")
    alyx.faults.add("/data", ignore_range=True)
    whole = http.get("/data/x.bin", headers={"range": "bytes=5-"})
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    alyx.faults.add("/data", status=416)
    assert http.get("/data/x.bin", headers={"range": "bytes=5-"}).status_code == 416


def test_a_redirect_is_returned(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add("/labs", status=302, headers={"location": "https://example.org/"})
    answer = http.get("/labs")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.org/")


def test_another_body_is_returned(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add("/labs", body='{"count": "many"}')
    assert http.get("/labs").json() == {"count": "many"}


def test_rows_change_between_pages(alyx: Emulator, http: httpx.Client) -> None:
    alyx.faults.add("/subjects", skip=1, call=lambda: alyx.store.delete("subjects", "KS014"))
    first = http.get("/subjects?limit=3").json()
    second = http.get(first["next"]).json()
    assert (first["count"], second["count"]) == (8, 7)
    names = [row["nickname"] for row in first["results"] + second["results"]]
    assert "KS099" not in names, "the row that moved to the page already read"
