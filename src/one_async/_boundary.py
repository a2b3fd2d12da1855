"""The edges at which foreign errors become those of `errors.py`: public methods, and the reading of answers.

An argument or an answer is checked where its meaning is known, and the error says what would be accepted. What none of
these checks foresees ends here: a caller who catches OneError misses nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial, wraps
from typing import Any, TypeVar

from one_async.errors import (
    AnswerError,
    ConfigurationError,
    InputError,
    OneError,
    ServerUnreachable,
    StorageError,
    shown,
)

__all__ = ["Boundary", "of_arguments", "reading", "reads_answers"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: Makes of an error that left a function the one that its caller gets; None lets the error pass.
Translate = Callable[[str, BaseException], OneError | None]
#: What code raises that is given something of another kind than it was written for.
MISFITS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


def _is_misfit(error: BaseException) -> bool:
    module = type(error).__module__
    if type(error).__name__ == "PanicException":  # how Polars' Rust side fails on what it does not expect
        return True
    return isinstance(error, MISFITS) or (isinstance(error, Exception) and module.startswith("polars."))


def _of_call(where: str, error: BaseException) -> OneError | None:
    if isinstance(error, OneError | Warning):
        return None
    if isinstance(error, ConnectionError | TimeoutError):
        return ServerUnreachable(f"{where}: {shown(error) or type(error).__name__}")
    if isinstance(error, OSError):
        return StorageError.of(error)
    if isinstance(error, ImportError):
        return ConfigurationError(f"{where} needs a package that is not installed: {error}")
    if _is_misfit(error):
        return InputError(
            f"{where} does not understand its arguments ({type(error).__name__}: {shown(error)})"
        )
    return None


def _of_answer(where: str, error: BaseException) -> OneError | None:
    if isinstance(error, OneError | Warning) or not _is_misfit(error):
        return None
    text = f"{where} answered with something of another shape than documented ({type(error).__name__}: {shown(error)})"
    return AnswerError(text, url=where)


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Raise AnswerError where the code inside meets an answer of another shape than it was written for."""
    with _translated(_of_answer, url):
        yield


@contextmanager
def _translated(translate: Translate, where: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        own = translate(where, error)
        if own is None:
            raise
        raise own from error


def _guarded(function: F, translate: Translate, where: str = "") -> F:
    where = where or function.__qualname__
    if inspect.isasyncgenfunction(function):

        @wraps(function)
        async def pass_on(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async with aclosing(function(*args, **kwargs)) as items:
                while True:
                    with _translated(translate, where):
                        try:
                            item = await anext(items)
                        except StopAsyncIteration:
                            return
                    yield item

        return pass_on  # type: ignore[return-value]
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_later(*args: Any, **kwargs: Any) -> Any:
            call = function(*args, **kwargs)  # a call without a needed argument stays Python's TypeError
            with _translated(translate, where):
                return await call

        return call_later  # type: ignore[return-value]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            trace = error.__traceback__
            own = translate(where, error) if trace and trace.tb_next else None
            if own is None:
                raise
            raise own from error

    return call  # type: ignore[return-value]


def of_arguments(function: F) -> F:
    """Let nothing but OneErrors, warnings and cancellation leave a public function."""
    return _guarded(function, _of_call)


def _guard_methods(kind: type, guard: Callable[[Any], Any]) -> None:
    """Guard the public methods that a class defines itself."""
    for name, value in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, staticmethod | classmethod):
            setattr(kind, name, type(value)(guard(value.__func__)))
        elif isinstance(value, property) and value.fset is not None:
            setattr(kind, name, property(value.fget, guard(value.fset), value.fdel, value.__doc__))
        elif inspect.isfunction(value):
            setattr(kind, name, guard(value))


class Boundary:
    """Base of the public classes: nothing but OneErrors, warnings and cancellation leaves their methods."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _guard_methods(cls, of_arguments)


def reads_answers(url: str) -> Callable[[type[T]], type[T]]:
    """Raise AnswerError from a class's methods where an answer has another shape than they were written for."""

    def guarded(kind: type[T]) -> type[T]:
        _guard_methods(kind, partial(_guarded, translate=_of_answer, where=url))
        return kind

    return guarded
