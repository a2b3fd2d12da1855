"""OpenTelemetry spans: those of requests are within the calls that made them, and there are none without a tracer."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from one_async.emulator import Emulator
from one_async.errors import OneError

from .conftest import Make
from .worlds import World

trace = pytest.importorskip("opentelemetry.trace")
pytest.importorskip("opentelemetry.sdk")

Spans = Callable[[], list[Any]]


@pytest.fixture
def server(seeded_server: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    monkeypatch.setattr("one_async.alyx.retrying.FIRST_WAIT", 0.02)
    return seeded_server


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Trace into memory; return a function that returns the ended spans."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield lambda: list(exporter.get_finished_spans())
    provider.shutdown()


def requests_of(spans: list[Any]) -> list[Any]:
    return [span for span in spans if span.kind is trace.SpanKind.CLIENT]


def roots(spans: list[Any]) -> dict[int, Any]:
    """Return the outermost span above each, by id."""
    by_id = {span.context.span_id: span for span in spans}

    def top(span: Any) -> Any:
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
        return span

    return {span.context.span_id: top(span) for span in spans}


def test_each_request_of_the_server_is_a_span_in_its_call(
    make: Make, server: Emulator, seeded: World, spans: Spans
) -> None:
    one = make(server)
    eid = str(seeded.session("CX_003", "2023-09-22")["id"])
    one.ask("search", lab="cortexlab")
    one.ask("search", lab="cortexlab")
    one.ask("load_object", eid, "wheel", download_only=True)
    one.ask("harvest", "labs")
    one.ask("refresh_cache", "refresh")
    one.items("iter_objects", [eid], "wheel")
    made = spans()
    sent = requests_of(made)
    seen = Counter((r.method, f"{server.url}{r.path}") for r in server.requests)
    assert Counter((s.name, s.attributes["url.full"].partition("?")[0]) for s in sent) == seen
    where = urlsplit(server.url)
    for span in sent:
        attributes = dict(span.attributes)
        assert attributes.pop("url.full").startswith(server.url)
        assert attributes == {
            "http.request.method": span.name,
            "http.response.status_code": 200,
            "server.address": where.hostname,
            "server.port": where.port,
        }
        assert span.instrumentation_scope.name == "one_async"
    above = roots(made)
    names = Counter(above[span.context.span_id].name for span in sent)
    assert set(names) == {"one.search", "one.load_object", "one.harvest", "one.refresh_cache"}
    counts = Counter(span.name for span in made)
    assert (counts["one.search"], counts["download"], counts["refresh tables"]) == (2, 2, 1)
    assert counts["one.iter_objects"] == 2  # an item, and the end
    assert not any(span.attributes.get("error.type") for span in made)


def test_errors_and_repetitions(make: Make, server: Emulator, spans: Spans) -> None:
    one = make(server)
    one.ask("alyx.rest", "labs", "list")
    server.faults.add("/subjects", status=503, times=2)
    one.ask("alyx.rest", "subjects", "list")
    server.faults.add("/projects", drop=True, times=None)
    with pytest.raises(OneError):
        one.ask("alyx.rest", "projects", "list")
    with pytest.raises(OneError):
        one.ask("alyx.get", "/labs/no-such-lab")
    made = requests_of(spans())

    def said(path: str) -> list[tuple[Any, ...]]:
        names = ("http.response.status_code", "http.request.resend_count", "error.type")
        found = [s for s in made if urlsplit(s.attributes["url.full"]).path == path]
        return [tuple(s.attributes.get(name) for name in names) for s in found]

    assert said("/subjects") == [(503, None, "503"), (503, 1, "503"), (200, 2, None)]
    broken = "one_async.errors.ServerUnreachable"
    assert said("/projects") == [(None, at or None, broken) for at in range(5)]
    assert said("/labs/no-such-lab") == [(404, None, "404")]
    (call,) = [s for s in spans() if s.name == "alyx.get"]
    assert call.attributes["error.type"] == "one_async.errors.NotFound"
    assert call.status.status_code is trace.StatusCode.ERROR
    assert not any(span.events or span.status.description for span in spans())


def test_a_file_is_requested_again(make: Make, server: Emulator, seeded: World, spans: Spans) -> None:
    one = make(server)
    server.faults.add("/data/", cut=True)
    one.ask("load_object", str(seeded.session("CX_003", "2023-09-22")["id"]), "wheel", download_only=True)
    files = [s.attributes for s in requests_of(spans()) if "/data/" in s.attributes["url.full"]]
    assert sorted(s.get("http.request.resend_count", 0) for s in files) == [0, 0, 1]


@pytest.mark.parametrize("kind", ["blocking"], indirect=True)  # the others run in a thread of the tests
def test_spans_are_children_of_the_callers(make: Make, server: Emulator, spans: Spans) -> None:
    one = make(server)
    with trace.get_tracer("mine").start_as_current_span("mine"):
        one.ask("search", lab="cortexlab")
    made = spans()
    assert {above.name for above in roots(made).values()} == {"mine"}
    assert len({span.context.trace_id for span in made}) == 1


def test_no_span_has_a_secret(
    make: Make, server: Emulator, seeded: World, spans: Spans, tmp_path: Path
) -> None:
    one = make(server)
    dataset = seeded.of(str(seeded.session("CX_003", "2023-09-22")["id"]))[0]
    url = dataset["data_url"].replace("https://data.test", f"{server.url}/data")
    one.ask("alyx.download_file", f"{url}?x=5igned", target_dir=tmp_path)
    one.ask("alyx.get", "/labs?token=5igned")
    text = "".join(span.to_json() for span in spans())
    assert "x=REDACTED" in text
    assert "token=REDACTED" in text
    assert "5igned" not in text
    assert server.token("demo") not in text


def test_without_a_tracer_there_are_no_spans(make: Make, server: Emulator) -> None:
    from one_async import _tracing

    with _tracing.span("x") as made:  # the API is imported, but not configured
        assert made is None
    assert make(server).ask("alyx.rest", "labs", "list")


def test_opentelemetry_is_not_imported_if_it_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import one_async._tracing as t, one_async.alyx.transports\n"
        "with t.span('x') as made: assert made is None\n"
        "assert 'opentelemetry.trace' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
