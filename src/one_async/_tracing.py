"""Spans of OpenTelemetry, in processes that have imported it; in others, a span does nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

__all__ = ["TRACING", "Span", "span"]

#: The module that an application that traces has imported.
TRACING = "opentelemetry.trace"
_NOTHING: AbstractContextManager[None] = nullcontext()


def span(
    name: str,
    attributes: Callable[[], Mapping[str, str | int]] | None = None,
    *,
    is_client: bool = False,
) -> AbstractContextManager[Span | None]:
    """Return a context that is a span, the parent of those that begin inside; None without tracing.

    The attributes are computed only for a real span. An error that leaves it becomes its ``error.type``. Texts and frames of
    errors are not recorded, since they may contain secrets.
    """
    trace = sys.modules.get(TRACING)
    if trace is None or not hasattr(trace, "get_tracer"):  # another thread may be importing it
        return _NOTHING
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # none is configured
        return _NOTHING
    return Span(trace, name, None if attributes is None else attributes(), is_client)


class Span:
    """A span that is current in its context."""

    __slots__ = ("_given", "_scope", "_span", "_trace")

    def __init__(
        self, trace: Any, name: str, attributes: Mapping[str, str | int] | None, is_client: bool
    ) -> None:
        self._trace, self._given = trace, (name, attributes, is_client)
        self._span: Any = None
        self._scope: Any = None

    def __enter__(self) -> Span:
        name, attributes, is_client = self._given
        trace: Any = self._trace
        kind = trace.SpanKind.CLIENT if is_client else trace.SpanKind.INTERNAL
        made = trace.get_tracer("one_async").start_span(name, kind=kind, attributes=attributes)
        scope = trace.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False)
        scope.__enter__()
        self._span, self._scope = made, scope
        return self

    def set(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """Mark the span as failed with a kind of error."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(self._trace.StatusCode.ERROR)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception):
            self.fail(f"{kind.__module__}.{kind.__qualname__}")
        self._scope.__exit__(None, None, None)
