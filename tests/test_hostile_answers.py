"""Malformed answers raise short errors of the library."""

from __future__ import annotations

import json
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from alyx.servers import SCHEMA, serving
from one_async import ONE
from one_async.errors import (
    AnswerError,
    InputError,
    OneError,
    StatusError,
    Throttled,
)
from one_async.transfer.web import judge

EID = "d23a44ef-1402-4ed7-97f5-47e9a7a504d9"
DEEP = 10_000


def page(count: str = "1", results: str = "[]", next: str = "null") -> bytes:
    return f'{{"count": {count}, "next": {next}, "previous": null, "results": {results}}}'.encode()


SHAPES: dict[str, bytes] = {
    "count is text": page('"many"'),
    "count is digits as text": page('"3"'),
    "count is null": page("null"),
    "count is true": page("true"),
    "count is NaN": page("NaN"),
    "count is infinite": page("Infinity"),
    "count is 1.5": page("1.5"),
    "count is negative": page("-3"),
    "count is a list": page("[]"),
    "count of 4,000 digits": page("9" * 4000),
    "count of 5,000 digits": page("9" * 5000),
    "count of 300 digits": page("9" * 300),
    "results null": page(results="null"),
    "results a mapping": page(results='{"a": 1}'),
    "results text": page(results='"rows"'),
    "results a number": page(results="7"),
    "rows are null": page(results="[null]"),
    "rows are numbers": page(results="[1]"),
    "rows are lists": page(results="[[]]"),
    "ids are lists": page(results='[{"id": [1], "url": []}]'),
    "ids are mappings": page(results='[{"id": {"a": 1}}]'),
    "ids are huge": page(results='[{"id": ' + "9" * 4000 + "}]"),
    "a row nested deep": page(results='[{"json": ' + "[" * 900 + "]" * 900 + "}]"),
    "nested deep": b"[" * DEEP + b"]" * DEEP,
    "mappings nested deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "nested without end": b"[" * DEEP,
    "cut short": page(results='[{"id": "x"')[:-20],
    "not UTF-8": b'"\xff\xfe\xe9"',
    "HTML": b"<!doctype html><html><title>" + b"Bad " * 500 + b"</title></html>",
    "text": b"x" * 3000,
    "text in JSON": json.dumps("x" * 3000).encode(),
    "a number": b"7",
    "true": b"true",
    "an empty body": b"",
    "blanks": b"  \n ",
    "null": b"null",
    "keys twice": b'{"count": 1, "count": "x", "next": null, "previous": null, "results": []}',
    "a mark of byte order": "\ufeff".encode() + page('"x"'),
    "UTF-16": page('"x"').decode().encode("utf-16"),
    "NUL": b"\0" * 10,
    "many lists": b"[" + b"[]," * 100 + b"[]]",
}
CALLS: dict[str, Callable[[ONE], Any]] = {
    "rest list": lambda one: one.alyx.rest("subjects", "list"),
    "get": lambda one: one.alyx.get("/subjects"),
    "page": lambda one: one.alyx.page("subjects", 5, 0),
    "pages": lambda one: list(one.alyx.pages("subjects")),
    "frame": lambda one: one.alyx.frame("subjects"),
    "search": lambda one: one.search(lab="cortexlab"),
    "search with details": lambda one: one.search(subject="x", details=True),
    "list_datasets": lambda one: one.list_datasets(EID),
    "list_subjects": lambda one: one.list_subjects(),
    "get_details": lambda one: one.get_details(EID),
    "eid2path": lambda one: one.eid2path(EID),
    "eid2pid": lambda one: one.eid2pid(EID),
    "search_insertions": lambda one: one.search_insertions(name="probe00"),
    "load_dataset": lambda one: one.load_dataset(EID, "spikes.times.npy"),
    "load_dataset_from_id": lambda one: one.load_dataset_from_id(EID),
    "brain_regions": lambda one: one.brain_regions(),
    "describe_dataset": lambda one: one.describe_dataset("spikes.times.npy"),
    "list_aggregates": lambda one: one.list_aggregates("subjects"),
    "load_cache": lambda one: one.load_cache(clobber=True),
    "harvest": lambda one: one.harvest(["subjects"]),
    "create": lambda one: one.alyx.rest("subjects", "create", data={"nickname": "x"}),
}
SCHEMAS: dict[str, Any] = {
    "null": None, "a list": [], "text": "x", "paths a list": {"paths": []}, "operations null": {"paths": {"/subjects": None}},
    "operations text": {"paths": {"/subjects": "get"}}, "an operation null": {"paths": {"/subjects": {"get": None}}},
    "components null": {"paths": {"/subjects": {"get": {}}}, "components": None},
    "parameters a mapping": {"paths": {"/subjects": {"get": {"parameters": {"a": 1}}}}},
    "parameters of numbers": {"paths": {"/subjects": {"get": {"parameters": [1]}}}},
    "parameters without name": {"paths": {"/subjects": {"get": {"parameters": [{"in": "query"}]}}}},
    "names that are lists": {"paths": {"/subjects": {"get": {"parameters": [{"in": "query", "name": []}]}}}},
    "responses a list": {"paths": {"/subjects": {"get": {"responses": []}}}},
    "a reference to itself": {
        "paths": {"/subjects": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/a"}}}}}}}},
        "components": {"schemas": {"a": {"$ref": "#/a"}}},
    },
}  # fmt: skip


class Server:
    """A server whose answers a test sets; logins succeed, and the schema is valid unless it is set too."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Response] = lambda request: Response(b"[]")
        self.schema: bytes = SCHEMA.read_bytes()
        self.asked: list[str] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = request.url.path
        self.asked.append(path)
        if path == "/auth-token":
            response = Response(b'{"token": "' + b"f" * 40 + b'"}', media_type="application/json")
        elif path.startswith("/api/schema"):
            response = Response(self.schema, media_type="application/json")
        else:
            response = self.answer(request)
        await response(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    app = Server()
    with serving(app) as url:
        app.url = url
        yield app


@pytest.fixture
def one(server: Server, tmp_path: Path) -> Iterator[ONE]:
    with _client(server, tmp_path) as one:
        yield one


@contextmanager
def _client(server: Server, folder: Path) -> Iterator[ONE]:
    with ONE(
        base_url=server.url, username="u", password="p", cache_dir=folder, mode="remote", cache_rest=None
    ) as one:
        yield one


def ended(call: Callable[[], Any]) -> OneError | None:
    """Make a call and return its error, if any; check that the error is short and can be pickled."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = call()
        repr(answer)
    except OneError as error:
        ending = error
    else:
        return None
    assert len(str(ending)) < 500
    str(ending).encode()
    assert str(pickle.loads(pickle.dumps(ending))) == str(ending)
    return ending


@pytest.mark.parametrize("call", CALLS)
def test_answers_of_wrong_shapes_raise_short_errors(server: Server, one: ONE, call: str) -> None:
    failures = {}
    # A harvest requests an unreadable page five times.
    shapes = (
        {name: SHAPES[name] for name in ("count is text", "rows are lists")} if call == "harvest" else SHAPES
    )
    for shape, content in shapes.items():
        html = shape == "HTML"
        server.answer = lambda request, content=content, html=html: Response(  # type: ignore[misc]
            content, media_type="text/html" if html else "application/json; charset=klingon-8"
        )
        try:
            error = ended(lambda: CALLS[call](one))
        except Exception as other:
            failures[shape] = repr(other)[:300]
            continue
        if isinstance(error, InputError):
            failures[shape] = f"{type(error).__name__}: {error}"
    assert not failures, "\n".join(f"{shape}: {found}" for shape, found in failures.items())


NO_LISTS = [
    name
    for name in SHAPES
    if name.startswith(("count", "results", "nested", "mappings", "cut", "not", "HTML", "NUL"))
]


@pytest.mark.parametrize("shape", NO_LISTS)
@pytest.mark.parametrize("call", ["rest list", "page", "pages"])
def test_a_list_of_a_wrong_shape_is_an_answer_error(server: Server, one: ONE, call: str, shape: str) -> None:
    server.answer = lambda request: Response(SHAPES[shape], media_type="application/json")
    with pytest.raises(AnswerError):
        CALLS[call](one)


@pytest.mark.parametrize("shape", SCHEMAS)
def test_schemas_of_odd_shapes_raise_short_errors(server: Server, tmp_path: Path, shape: str) -> None:
    server.answer = lambda request: Response(page("0"), media_type="application/json")
    whole, server.schema = server.schema, json.dumps(SCHEMAS[shape]).encode()
    try:
        with _client(server, tmp_path) as one:
            for call in ("rest list", "pages", "frame", "search"):
                error = ended(lambda call=call: CALLS[call](one))  # type: ignore[misc]
                assert error is None or isinstance(error, AnswerError | InputError), (call, error)
            ended(one.alyx.list_endpoints)
            ended(lambda: one.alyx.describe_endpoint("subjects"))
    finally:
        server.schema = whole


@pytest.mark.parametrize(
    "wait",
    [
        "²",
        "-1",
        "-1e9",
        "nan",
        "inf",
        "soon",
        "",
        "9" * 5000,
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "1e400",
        "0",
        "0.0001",
    ],
)
def test_every_retry_waits_whatever_retry_after_is(server: Server, one: ONE, wait: str) -> None:
    """Three retries wait at least three backoffs in total."""
    moments: list[float] = []

    def answer(request: Request) -> Response:
        moments.append(time.monotonic())
        refused = len(moments) <= 3
        headers = {"retry-after": wait} if refused else {}
        return Response(page("0"), 429 if refused else 200, headers, media_type="application/json")

    server.answer = answer
    error = ended(lambda: one.alyx.page("subjects", 5, 0))
    if wait == "9" * 5000:  # longer than any wait before a retry
        assert isinstance(error, Throttled)
        return
    assert error is None
    assert moments[3] - moments[0] > (0.14 if wait == "0.0001" else 0.65)


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "http://[::1",
        "http://h:port/",
        "//[x]/",
        "\\\\x",
        "http://" + "x" * 3000,
        "",
        "http://h:99999999/",
        "javascript:1",
    ],
)
def test_invalid_redirects_raise_short_errors(server: Server, one: ONE, location: str) -> None:
    server.answer = lambda request: Response(b"", 302, {"location": location})
    assert isinstance(ended(lambda: one.alyx.get("/subjects")), AnswerError)


@pytest.mark.parametrize("location", ["/moved", "moved?page=1", "{url}/moved"])
def test_a_redirect_to_the_same_server_is_followed(server: Server, one: ONE, location: str) -> None:
    headers = {"location": location.format(url=server.url)}
    server.answer = lambda request: (
        Response(b'{"id": 1}') if request.url.path == "/moved" else Response(b"", 302, headers)
    )
    assert one.alyx.get("/subjects") == {"id": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-encoding": "gzip"}, {"content-encoding": "deflate"}, {"content-encoding": "br"},
        {"content-encoding": "klingon"}, {"content-type": "\xff"}, {"content-type": "application/json; charset=\xe9"},
        {"date": "never"}, {"cache-control": "max-age=" + "9" * 5000}, {"age": "-5"}, {"expires": "0"}, {"vary": "*"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("cached", [False, True])
def test_wrong_header_fields_raise_short_errors(
    server: Server, tmp_path: Path, headers: dict[str, str], cached: bool
) -> None:
    server.answer = lambda request: Response(page("0"), 200, headers)
    with ONE(
        base_url=server.url, username="u", password="p", cache_dir=tmp_path, mode="remote",
        cache_rest="GET" if cached else None,
    ) as one:  # fmt: skip
        error = ended(lambda: one.alyx.rest("subjects", "list"))
        assert error is None or isinstance(error, AnswerError)


@pytest.mark.parametrize(
    "said",
    [
        "bytes 0-4/" + "9" * 5000,
        "bytes " + "9" * 5000 + "-/5",
        "bytes ²-4/5",
        "bytes -1--1/-1",
        "x",
        "bytes 0-4/٣",
    ],
)
@pytest.mark.parametrize("status", [206, 416, 200])
def test_invalid_content_ranges_are_refused(said: str, status: int) -> None:
    """Downloads of tables and of files share this check."""
    stream: Any = SimpleNamespace(url="http://x", headers={"Content-Range": said}, status=status)
    for offset in (0, 3):
        error = ended(lambda offset=offset: judge(stream, offset))  # type: ignore[misc]
        assert error is None or isinstance(error, AnswerError | StatusError)
