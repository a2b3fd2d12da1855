"""The page's server on a real port: access, answers, and clean-up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import polars as pl
import pytest
from browse_world import HOSTILE, Expected, make_tables, write_tables

from one_async import ONE, AsyncONE
from one_async._browsing import BrowsePage
from one_async.browse.filters import Filters, Part
from one_async.emulator import Emulator
from one_async.errors import ConfigurationError, InputError

TABLES = make_tables()
JSON = ("about", "query", "sessions", "session", "record", "plot")


@pytest.fixture(scope="module")
def page(local: ONE) -> Iterator[BrowsePage]:
    with local.browse() as page:
        yield page


@pytest.fixture(scope="module")
def web(page: BrowsePage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url) as client:
        yield client


@pytest.fixture(scope="module")
def remote(seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory, home: None) -> Iterator[ONE]:
    """Yield a client of a server with data files."""
    options: dict[str, Any] = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    with ONE(**options, cache_dir=tmp_path_factory.mktemp("remote"), mode="remote", silent=True) as one:
        yield one


@pytest.fixture(scope="module")
def remote_web(remote: ONE) -> Iterator[httpx.Client]:
    with remote.browse() as page, httpx.Client(base_url=page.url, timeout=60) as client:
        yield client


def changed(secret: str) -> list[str]:
    other = "A" if secret[0] != "A" else "B"
    return [
        "",
        "x",
        other + secret[1:],
        secret[:-1],
        secret + "x",
        secret.swapcase(),
        "é",
        "%00",
        ".",
        "..",
        "static",
    ]


def test_every_request_needs_the_secret(page: BrowsePage) -> None:
    parts = urlsplit(page.url)
    root, secret = f"http://{parts.netloc}", parts.path.strip("/")
    assert parts.hostname == "127.0.0.1"
    assert len(secret) >= 40
    with httpx.Client(base_url=root) as web:
        for wrong in changed(secret):
            for path in ("", "app.js", "api/query", "api/plot?eid=x", "../api/query"):
                answer = web.get(f"/{wrong}/{path}" if wrong else f"/{path}")
                assert answer.status_code == 403, (wrong, path)
                assert "spikes" not in answer.text
        assert web.get(f"/api/{secret}/query").status_code == 403
        assert web.get("/", headers={"cookie": secret, "referer": page.url}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "0.0.0.0", ""])
def test_another_host_name_is_refused(page: BrowsePage, host: str) -> None:
    """A page of another site that resolves its own name to 127.0.0.1 is refused."""
    assert httpx.get(f"{page.url}api/query", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:9999", "localhost", "localhost:8888"])
def test_requests_through_tunnels_are_served(page: BrowsePage, host: str) -> None:
    assert httpx.get(f"{page.url}api/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "path", ["", "app.js", "style.css", "api/query", "api/session?eid=x", "nothing", "../../pyproject.toml"]
)
def test_every_answer_has_the_security_headers(web: httpx.Client, path: str) -> None:
    headers = web.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_only_get_is_allowed(web: httpx.Client) -> None:
    for name in JSON:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            assert web.request(method, f"api/{name}").status_code == 405


def test_files_of_the_page_name_no_other_host_and_write_no_html() -> None:
    """The page works without a network, and names from the tables are never parsed as HTML."""
    import one_async.browse

    files = [file for file in (Path(one_async.browse.__file__).parent / "static").iterdir() if file.is_file()]
    assert {file.name for file in files} >= {"index.html", "style.css", "app.js"}
    for file in files:
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "") or "://" not in text, file
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=",
            "<script>",
        ):
            assert word not in text, (file, word)


FILTERS = [
    ({}, Filters()),
    ({"lab": "cortexlab"}, Filters(lab=Part(("cortexlab",)))),
    ({"subject": [HOSTILE, "a|b"]}, Filters(subject=Part((HOSTILE, "a|b")))),
    ({"subject.text": "ks", "from": "2022-01-01"}, Filters(subject=Part((), "ks"), start="2022-01-01")),
    ({"dataset": "spikes.times.npy", "qc": "PASS"}, Filters(dataset=Part(("spikes.times.npy",)), qc="PASS")),
]


@pytest.mark.parametrize(("parameters", "filters"), FILTERS, ids=range(len(FILTERS)))
def test_all_pages_together_have_every_session(
    web: httpx.Client, local: ONE, parameters: dict[str, Any], filters: Filters
) -> None:
    answer = web.get("api/query", params=parameters).json()
    offsets = range(0, answer["total"] + 50, 50)
    pages = [
        web.get("api/sessions", params={**parameters, "offset": at, "limit": 50}).json()["rows"]
        for at in offsets
    ]
    rows = [row for page in pages for row in page]
    assert {row[0] for row in rows} == Expected(TABLES).eids(filters)
    assert answer["total"] == len(rows)
    assert [str(eid) for eid in eval(answer["code"], {"one": local})] == [row[0] for row in rows]
    datasets = dict(TABLES.datasets().group_by("eid").len().collect().iter_rows())
    sessions = {row["eid"]: row for row in TABLES.session_frame.iter_rows(named=True)}
    for eid, subject, day, number, lab, protocol, projects, files in rows:
        assert {"eid": eid, "subject": subject, "date": sessions[eid]["date"], "number": number, "lab": lab,
                "task_protocol": protocol, "projects": projects} == sessions[eid]  # fmt: skip
        assert day == (sessions[eid]["date"] and str(sessions[eid]["date"]))
        assert files == datasets.get(eid, 0)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("query?from=yesterday", 400, "InputError"), ("query?qc=GOOD", 400, "InputError"),
        ("sessions?offset=-1", 400, "InputError"), ("sessions?offset=²", 400, "InputError"),
        ("sessions?limit=" + "9" * 30, 400, "InputError"), ("session?eid=x", 404, "ALFObjectNotFound"),
        ("session", 404, "ALFObjectNotFound"), ("plot?eid=x&kind=raster", 404, "ALFObjectNotFound"),
    ],
)  # fmt: skip
def test_wrong_requests_get_error_answers(web: httpx.Client, path: str, status: int, kind: str) -> None:
    answer = web.get(f"api/{path}")
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)
    assert answer.json()["error"]


def test_a_session_has_its_datasets_and_insertions(web: httpx.Client, local: ONE) -> None:
    eid = TABLES.datasets().collect()["eid"][0]
    found = web.get("api/session", params={"eid": eid}).json()
    frame = local.list_datasets(eid, details=True, qc="CRITICAL")
    known = TABLES.datasets().filter(pl.col("eid") == eid).collect().sort("rel_path")
    paths = [f"{one['folder']}/{one['name']}" for one in found["datasets"]]
    assert paths == known["rel_path"].to_list()
    assert set(frame["rel_path"]) <= set(paths)
    assert found["total"] == len(known)
    assert found["bytes"] == known["file_size"].sum()
    assert sum(number for _, number in found["qc"]) == len(known)
    assert [str(one["pid"]) for one in found["insertions"]] == [
        str(pid) for pid in local.eid2pid(eid)[0] or []
    ]
    assert set(eval(found["code"], {"one": local})["rel_path"]) == set(frame["rel_path"])
    assert web.get("api/record", params={"eid": eid}).json() is None


def test_plots_and_code_of_a_session_with_data(remote_web: httpx.Client, remote: ONE) -> None:
    answer = remote_web.get("api/query", params={"dataset": "spikes.times.npy"}).json()
    assert 'query_type="auto"' in answer["code"]
    eid = answer["rows"][0][0]
    assert str(eval(answer["code"], {"one": remote})[0]) == eid
    session = remote_web.get("api/session", params={"eid": eid}).json()
    assert {one["kind"] for one in session["plots"]} == {"psychometric", "raster", "wheel"}
    drawn = {}
    for plot in session["plots"]:
        assert plot["size"]
        data = eval(plot["code"], {"one": remote})
        where = {"eid": eid, "kind": plot["kind"], "collection": plot["collection"]}
        drawn[plot["kind"]] = (remote_web.get("api/plot", params=where).json(), data)
    curve, trials = drawn["psychometric"]
    assert curve["trials"] == len(trials["choice"])
    assert curve["chosen"] == np.count_nonzero(trials["choice"])
    image, spikes = drawn["raster"]
    assert image["spikes"] == len(spikes["times"])
    trace, wheel = drawn["wheel"]
    assert trace["samples"] == len(wheel["timestamps"])
    assert max(point[2] for point in trace["points"]) == pytest.approx(wheel["position"].max(), abs=1e-3)
    again = remote_web.get("api/session", params={"eid": eid}).json()
    assert all(one["on_disk"] for one in again["plots"])
    record = remote_web.get("api/record", params={"eid": eid}).json()
    assert [one["pid"] for one in record["insertions"]] == [str(pid) for pid in remote.eid2pid(eid)[0] or []]
    some = session["datasets"][-1]
    assert eval(some["code"], {"one": remote}) is not None


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "browse" in thread.name}


def test_closing_frees_the_port_and_ends_the_thread(local: ONE, page: BrowsePage) -> None:
    before = threads()
    with local.browse() as other:
        assert other.url != page.url
        assert httpx.get(f"{other.url}api/about").status_code == 200
        assert repr(other) == f"BrowsePage({other.url!r})"
        assert f'src="{other.url}"' in other._repr_html_()
    other.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(other.url)
    assert len(threads()) <= len(before)


def test_closing_the_client_closes_the_page(tmp_path: Path) -> None:
    with ONE(cache_dir=write_tables(TABLES, tmp_path), mode="local") as one:
        page = one.browse()
        assert httpx.get(page.url).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url)
    page.close()


@pytest.mark.parametrize("port", [-1, 65536, "80", 1.5, True, None])
def test_wrong_ports_are_refused(local: ONE, port: Any) -> None:
    with pytest.raises(InputError, match="port"):
        local.browse(port)


def test_a_port_in_use_is_named(local: ONE, page: BrowsePage) -> None:
    port = urlsplit(page.url).port
    assert port is not None
    with pytest.raises(ConfigurationError, match=str(port)):
        local.browse(port)


@pytest.mark.anyio
async def test_the_async_client_serves_the_page(tmp_path: Path) -> None:
    """Under asyncio and trio, the page's server has its own event loop, and calls the client on the client's loop."""
    async with AsyncONE(cache_dir=write_tables(TABLES, tmp_path), mode="local") as one:
        async with await one.browse() as page, httpx.AsyncClient(base_url=page.url) as web:
            answer = (await web.get("api/query", params={"lab": "wittenlab"})).json()
            assert answer["code"] == 'await one.search(lab="wittenlab")'
            eid = answer["rows"][0][0]
            assert (await web.get("api/session", params={"eid": eid})).json()["eid"] == eid
            assert page.url in page._repr_html_()
        with pytest.raises(httpx.ConnectError):
            httpx.get(page.url)  # noqa: ASYNC210
        other = await one.browse()
    with pytest.raises(httpx.ConnectError):
        httpx.get(other.url)  # noqa: ASYNC210
    closed = AsyncONE(cache_dir=tmp_path, mode="local")
    with pytest.raises(ConfigurationError, match="async with"):
        await closed.browse()
    await closed.aclose()
