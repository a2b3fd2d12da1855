"""The file server: whole files, parts of files, and refused requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest
from recorded_exchanges import DATA

from one_async.emulator import Emulator, World

LISTED = json.loads((DATA / "files" / "files.json").read_text("utf-8"))
NPY = next(entry for entry in LISTED if entry["url_path"].endswith(".npy") and entry["size"] > 1000)


@pytest.fixture(scope="module")
def http(world: World) -> Iterator[httpx.Client]:
    with Emulator(world) as alyx, httpx.Client(base_url=f"{alyx.url}/data") as client:
        yield client


def test_every_file_has_its_recorded_hash(http: httpx.Client) -> None:
    made = 0
    for entry in LISTED:
        answer = http.get(entry["url_path"].replace("#", "%23"))
        if not entry["exists"] or entry["content"] == "none":
            assert answer.status_code == 404
            continue
        made += 1
        assert hashlib.md5(answer.content).hexdigest() == (entry.get("true_md5") or entry["md5"])
    assert made > 600


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("100-", 100, None), ("-7", -7, None), ("10-999999999", 10, None), ("0-0", 0, 1)],
)
def test_ranges_are_returned(http: httpx.Client, asked: str, start: int, stop: int | None) -> None:
    whole = http.get(NPY["url_path"]).content
    part = http.get(NPY["url_path"], headers={"range": f"bytes={asked}"})
    assert part.status_code == 206
    assert part.content == whole[start:stop]
    first = start % len(whole)
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{len(whole)}"
    assert part.headers["content-length"] == str(len(part.content))


@pytest.mark.parametrize("asked", ["999999999-", "5-2", "-0"])
def test_unsatisfiable_ranges_are_refused(http: httpx.Client, asked: str) -> None:
    answer = http.get(NPY["url_path"], headers={"range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{NPY['size']}"


@pytest.mark.parametrize("asked", ["lines=0-9", "bytes=-", "bytes=0-1,5-6", "bytes=a-b"])
def test_invalid_ranges_are_ignored(http: httpx.Client, asked: str) -> None:
    answer = http.get(NPY["url_path"], headers={"range": asked})
    assert (answer.status_code, len(answer.content)) == (200, NPY["size"])


def test_head_returns_no_body(http: httpx.Client) -> None:
    answer = http.head(NPY["url_path"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(NPY["size"])
    assert answer.headers["accept-ranges"] == "bytes"


def test_unknown_paths_and_other_methods_are_refused(http: httpx.Client) -> None:
    assert http.get("/nowhere.npy").status_code == 404
    assert http.get("/../app.py").status_code == 404
    assert http.post(NPY["url_path"]).status_code == 405


def test_files_of_a_test_are_served(world: World) -> None:
    with Emulator(world) as alyx:
        alyx.app.files["x/y.npy"] = b"12345"
        alyx.app.files[NPY["url_path"].lstrip("/")] = None
        assert httpx.get(f"{alyx.url}/data/x/y.npy").content == b"12345"
        assert httpx.get(f"{alyx.url}/data{NPY['url_path']}").status_code == 404
