"""Which error of several comes out."""

from __future__ import annotations

import pytest

from one_async._concurrency import first_error
from one_async.errors import NotFound


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_the_first_error_comes_out_unless_the_whole_program_is_to_stop(stop: type[BaseException]) -> None:
    found, late, end = NotFound("first"), ValueError("late"), stop()
    assert first_error(ExceptionGroup("", [ExceptionGroup("", [found]), late])) is found
    assert first_error(BaseExceptionGroup("", [GeneratorExit(), late])) is late
    assert first_error(BaseExceptionGroup("", [late, BaseExceptionGroup("", [end, found])])) is end
