"""Which of several errors is raised, and the texts of errors."""

from __future__ import annotations

import pytest

from one_async._boundary import of_arguments
from one_async._concurrency import first_error
from one_async.errors import InputError, NotFound


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_the_first_error_comes_out_unless_the_whole_program_is_to_stop(stop: type[BaseException]) -> None:
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
