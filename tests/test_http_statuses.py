"""The statuses of errors are those of the table in docs/services.md, and are kept by pickle."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from one_async.errors import OneError

DOCS = Path(__file__).parents[1] / "docs" / "services.md"


def kinds(kind: type[OneError] = OneError) -> Iterator[type[OneError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == "one_async.errors":
            yield from kinds(child)


def documented() -> dict[str, int]:
    rows = re.findall(r"^\| (`.*) \| (\d{3}) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    return {name: int(status) for names, status in rows for name in re.findall(r"`(\w+)`", names)}


def test_the_table_has_every_error() -> None:
    assert documented() == {kind.__name__: kind.http_status for kind in kinds()}


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_statuses_are_of_errors_and_survive_pickle(kind: type[OneError]) -> None:
    error = pickle.loads(pickle.dumps(kind("text")))
    assert 400 <= error.http_status < 600
    assert error.http_status == documented()[kind.__name__]
