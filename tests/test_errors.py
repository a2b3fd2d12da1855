"""The choice of one error among several, and the texts of errors."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async._boundary import of_arguments
from one_async._concurrency import first_error
from one_async.alyx.schema import suggest
from one_async.errors import InputError, NotFound, name_list
from one_async.queries.terms import SESSION_TERMS, complete


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_the_first_error_is_raised_unless_the_program_is_interrupted(stop: type[BaseException]) -> None:
    found, late, end = NotFound("first"), ValueError("late"), stop()
    assert first_error(ExceptionGroup("", [ExceptionGroup("", [found]), late])) is found
    assert first_error(BaseExceptionGroup("", [GeneratorExit(), late])) is late
    assert first_error(BaseExceptionGroup("", [late, BaseExceptionGroup("", [end, found])])) is end


def test_errors_of_unforeseen_arguments_show_them_without_secrets() -> None:
    @of_arguments
    def ask(number: object, password: str = "", **options: object) -> float:
        return 1 / len(str(number + password))  # type: ignore[operator]

    with pytest.raises(InputError, match=r"ask does not understand number=b'x+[.]{3}x+' ") as caught:
        ask(b"x" * 5000, "pass-phrase", token="hidden")
    assert "pass-phrase" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    with pytest.raises(InputError, match="its arguments"):
        of_arguments(lambda self: 1 / self.missing)(5)


WORDS = st.lists(st.from_regex(r"[a-z_-]{1,40}", fullmatch=True), max_size=80)


@given(WORDS, st.integers(0, 500))
def test_a_list_is_truncated_between_names(names: list[str], room: int) -> None:
    text = name_list(names, room)
    found = re.fullmatch(r"(.*?)(?: and (\d+) more)?", text)
    assert found is not None
    kept = found[1].split(", ") if found[1] else []
    assert kept == names[: len(kept)]
    assert len(kept) + int(found[2] or 0) == len(names)
    assert len(text) <= room or len(kept) <= 1


@given(WORDS, st.text(max_size=400))
def test_errors_list_whole_names(names: list[str], given: str) -> None:
    text = str(InputError.of("term", given, names))
    assert len(text) <= 480
    accepted = text.rpartition("; accepted: ")[2]
    kept = re.sub(r" and \d+ more$", "", accepted).split(", ")
    assert kept == (names or [""])[: len(kept)]


def test_endpoints_and_terms_are_truncated_between_names() -> None:
    names = [f"some-endpoint-{number}" for number in range(99)]
    assert re.search(r"some-endpoint-\d+ and \d+ more$", suggest("nothing", names))
    assert suggest("some-endpoint-5x", names).startswith("did you mean some-endpoint-5 or ")
    with pytest.raises(InputError, match=r"some-endpoint-\d+ and \d+ more$"):
        complete("nothing", names)


@pytest.mark.parametrize(
    ("term", "near"),
    [("labs", "lab"), ("subjct", "subject"), ("protocol", "task_protocol"), ("user", None), ("name", None), ("time", None)],
)  # fmt: skip
def test_only_close_terms_are_offered(term: str, near: str | None) -> None:
    with pytest.raises(InputError) as caught:
        complete(term)
    accepted = str(caught.value).partition("accepted: ")[2].split(", ")
    assert accepted == ([near] if near else sorted(SESSION_TERMS))
