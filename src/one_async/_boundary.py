"""Translation of foreign errors into those of `errors.py`, in public methods and in the parsing of answers.

Arguments and answers are validated where their meaning is known, with errors that name what is accepted. All other errors
are translated here, so that a caller who catches OneError catches everything.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager
from functools import partial, wraps
from typing import Any, NamedTuple, TypeVar

from one_async._warnings import Gathering
from one_async.errors import (
    AnswerError,
    ConfigurationError,
    InputError,
    OneError,
    ServerUnreachable,
    StorageError,
    shown,
)

__all__ = ["around", "of_arguments", "public", "reading", "reads_answers", "storing"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: Arguments that may hold passwords or tokens, which errors do not show.
SECRET = frozenset(
    {
        "base_url",
        "password",
        "token",
        "token_store",
        "data_server",
        "data_server_password",
        "data",
        "settings",
    }
    | {"cache_storage", "storage_options", "options", "self", "cls"}
)
_FILE_NAMES = sys.getfilesystemencoding()
#: Returns the error to raise in place of one that left a function; None lets the error pass.
Translate = Callable[[str, "Given", BaseException], OneError | None]
#: The errors of code that receives values of an unexpected kind.
MISFITS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


class Given(NamedTuple):
    """The arguments of a call, formatted only if an error shows them."""

    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}

    def __str__(self) -> str:
        assert self.function is not None
        given = inspect.signature(self.function).bind_partial(*self.args, **self.kwargs).arguments
        shared = [f"{name}={shown(value)}" for name, value in given.items() if name not in SECRET]
        return ", ".join(shared) or "its arguments"


def _is_misfit(error: BaseException) -> bool:
    module = type(error).__module__
    if type(error).__name__ == "PanicException":  # raised by Polars' Rust code for unexpected values
        return True
    return isinstance(error, MISFITS) or (isinstance(error, Exception) and module.startswith("polars."))


def _of_call(where: str, given: Given, error: BaseException) -> OneError | None:
    if isinstance(error, OneError | Warning):
        return None
    if isinstance(error, ConnectionError | TimeoutError):
        return ServerUnreachable(f"{where}: {shown(error) or type(error).__name__}")
    if isinstance(error, OSError):
        return StorageError.of(error)
    if isinstance(error, MemoryError):
        return OneError(f"{where} needs more memory than is available")
    if isinstance(error, UnicodeEncodeError) and error.encoding == _FILE_NAMES != "utf-8":
        return StorageError(
            f"{shown(error.object)} cannot be the name of a file in this process, since its locale is limited to "
            f"{_FILE_NAMES}; set PYTHONUTF8=1"
        )
    if type(error) is RuntimeError and "Symlink loop" in str(error):  # of pathlib, before Python 3.13
        return StorageError(str(error))
    if isinstance(error, ImportError):
        return ConfigurationError(f"{where} needs a package that is not installed: {error}")
    if _is_misfit(error):
        return InputError(f"{where} does not understand {given} ({type(error).__name__}: {shown(error)})")
    return None


def _of_answer(where: str, given: Given, error: BaseException) -> OneError | None:
    if isinstance(error, OneError | Warning) or not _is_misfit(error):
        return None
    text = f"{where} answered with something of another shape than documented ({type(error).__name__}: {shown(error)})"
    return AnswerError(text, url=where)


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Raise AnswerError if the code inside meets an answer of an unexpected shape."""
    with _translated(_of_answer, url, Given()):
        yield


@contextmanager
def storing(file: object) -> Iterator[None]:
    """Raise StorageError, which names the file, for an OSError of the code inside."""
    try:
        yield
    except OneError:
        raise
    except OSError as error:
        raise StorageError.of(error, file) from error


@contextmanager
def _translated(translate: Translate, where: str, given: Given) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        own = translate(where, given, error)
        if own is None:
            raise
        raise own from _shortened(error)


@contextmanager
def _called(translate: Translate, where: str, given: Given) -> Iterator[None]:
    with Gathering(), _translated(translate, where, given):
        yield


def _shortened(error: BaseException) -> BaseException:
    """Return an error as a cause, a RecursionError without its thousand frames, which may break pickling of tracebacks."""
    return error.with_traceback(None) if isinstance(error, RecursionError) else error


def around(
    method: F, context: Callable[[tuple[Any, ...], dict[str, Any]], AbstractContextManager[object]]
) -> F:
    """Return an async method that runs in a context made of its arguments; an async generator, each item in one."""
    if inspect.isasyncgenfunction(method):

        @wraps(method)
        async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async with aclosing(method(*args, **kwargs)) as items:
                while True:
                    with context(args, kwargs):
                        try:
                            item = await anext(items)
                        except StopAsyncIteration:
                            return
                    yield item

        return iterate  # type: ignore[return-value]

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        running = method(*args, **kwargs)  # a missing argument stays Python's TypeError
        with context(args, kwargs):
            return await running

    return call  # type: ignore[return-value]


def _guarded(function: F, translate: Translate, where: str = "") -> F:
    where = where or function.__name__
    if inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function):
        return around(function, lambda args, kwargs: _called(translate, where, Given(function, args, kwargs)))

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            trace = error.__traceback__
            own = translate(where, Given(function, args, kwargs), error) if trace and trace.tb_next else None
            if own is None:
                raise
            raise own from _shortened(error)

    return call  # type: ignore[return-value]


def of_arguments(function: F) -> F:
    """Decorate a public function so that only OneErrors, warnings and cancellation leave it."""
    return _guarded(function, _of_call)


def _guard_methods(kind: type, guard: Callable[[Any], Any]) -> None:
    """Decorate the public methods that a class defines itself."""
    for name, value in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, staticmethod | classmethod):
            setattr(kind, name, type(value)(guard(value.__func__)))
        elif isinstance(value, property) and value.fset is not None:
            setattr(kind, name, property(value.fget, guard(value.fset), value.fdel, value.__doc__))
        elif inspect.isfunction(value):
            setattr(kind, name, guard(value))


def public(kind: type[T]) -> type[T]:
    """Decorate a public class so that only OneErrors, warnings and cancellation leave the methods that it defines."""
    _guard_methods(kind, of_arguments)
    return kind


def reads_answers(url: str) -> Callable[[type[T]], type[T]]:
    """Decorate a class so that its methods raise AnswerError for an answer of an unexpected shape."""

    def guarded(kind: type[T]) -> type[T]:
        _guard_methods(kind, partial(_guarded, translate=_of_answer, where=url))
        return kind

    return guarded
