"""The wrapper of public methods: foreign errors become those of `errors.py`, warnings are gathered, calls are spans.

Arguments and answers are validated where their meaning is known, with errors that name what is accepted. All other errors
are translated here, in public methods and in the parsing of answers, so that a caller who catches OneError catches everything.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from functools import partial, wraps
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, overload

from one_async._tracing import TRACING, span
from one_async._warnings import GATHERING, Gathering
from one_async.errors import (
    AnswerError,
    ConfigurationError,
    InputError,
    OneError,
    ServerUnreachable,
    StorageError,
    rename,
    shown,
)

__all__ = [
    "Arrange",
    "Options",
    "PublicCall",
    "guard_methods",
    "guarded",
    "of_arguments",
    "public",
    "reading",
    "reads_answers",
    "storing",
]

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
#: Returns the arguments that a method takes for those of a call.
Arrange = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
#: The errors of code that receives values of an unexpected kind.
MISFITS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
_NOTHING = nullcontext()
#: The classes before the name of a method, and the names of arguments, in Python's errors.
_CLASSES, _QUOTED = re.compile(r"^(?:\w+\.)+(?=\w+\(\))"), re.compile(r"'(\w+)'")


class Given(NamedTuple):
    """The arguments of a call, formatted only if an error shows them."""

    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}

    def by_name(self) -> dict[str, Any]:
        """Return the arguments by the names that the caller used."""
        assert self.function is not None
        return {
            **dict(zip(inspect.signature(self.function).parameters, self.args, strict=False)),
            **self.kwargs,
        }

    def __str__(self) -> str:
        given = self.by_name().items()
        return (
            ", ".join(f"{name}={shown(value)}" for name, value in given if name not in SECRET)
            or "its arguments"
        )

    def name_in(self, error: InputError) -> None:
        """Name the argument of an error as the caller did, if it is known by its value: ``eids``, not ``eid``."""
        value, arguments = getattr(error, "given", None), self.by_name()
        known = {*arguments, getattr(self.function, "__name__", "")}  # a setter has the name of its property
        if value is None or getattr(error, "argument", None) in known:
            return
        names = [name for name, given in arguments.items() if _is_same(given, value)]
        if len(names) == 1:
            rename(error, {str(getattr(error, "argument", None)): names[0]})


def _is_same(given: Any, value: object) -> bool:
    """Return whether an argument is a value or a copy of it, or a list that contains it."""
    if given is value or (
        type(given) is type(value) and isinstance(value, str | int | float) and given == value
    ):
        return True
    if isinstance(given, Mapping) and isinstance(value, Mapping):
        return given.keys() == value.keys() and all(given[name] is value[name] for name in given)
    return isinstance(given, list | tuple) and any(_is_same(one, value) for one in given)


def _is_misfit(error: BaseException) -> bool:
    module = type(error).__module__
    if type(error).__name__ == "PanicException":  # raised by Polars' Rust code for unexpected values
        return True
    return isinstance(error, MISFITS) or (isinstance(error, Exception) and module.startswith("polars."))


def _of_call(where: str, given: Given, error: BaseException) -> OneError | None:
    if isinstance(error, InputError):
        given.name_in(error)
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


def _of_signature(error: TypeError) -> InputError:
    """Return the InputError for Python's error that an argument is missing or unknown, or that there are too many."""
    text = _CLASSES.sub("", str(error))
    names = _QUOTED.findall(text)
    return InputError(text, argument=names[0] if names else None)


def _of_answer(where: str, given: Given, error: BaseException) -> OneError | None:
    if isinstance(error, OneError | Warning) or not _is_misfit(error):
        return None
    text = f"{where} answered with something of another shape than documented ({type(error).__name__}: {shown(error)})"
    return AnswerError(text, url=where)


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Raise AnswerError if the code inside meets an answer of an unexpected shape."""
    try:
        yield
    except BaseException as error:
        own = _of_answer(url, Given(), error)
        if own is None:
            raise
        raise own from _shortened(error)


@contextmanager
def storing(file: object) -> Iterator[None]:
    """Raise StorageError, which names the file, for an OSError of the code inside."""
    try:
        yield
    except OneError:
        raise
    except OSError as error:
        raise StorageError.of(error, file) from error


def _shortened(error: BaseException) -> BaseException:
    """Return an error as a cause, a RecursionError without its thousand frames, which may break pickling of tracebacks."""
    return error.with_traceback(None) if isinstance(error, RecursionError) else error


class PublicCall:
    """The context of a public call: foreign errors are translated, and its warnings are issued at its end."""

    __slots__ = ("_gathering", "_given", "_token", "_translate", "_where")

    def __init__(self, where: str, given: Given, translate: Translate = _of_call) -> None:
        self._where, self._given, self._translate = where, given, translate
        self._gathering: Gathering | None = None

    def __enter__(self) -> None:
        outer = GATHERING.get()
        if outer is None or outer.is_over:
            self._gathering = Gathering()
            self._token = GATHERING.set(self._gathering)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gathering is not None:
            GATHERING.reset(self._token)
            if self._gathering:
                self._gathering.issue(is_failing=error is not None)
            else:
                self._gathering.is_over = True
        own = None if error is None else self._translate(self._where, self._given, error)
        if own is not None and error is not None:
            raise own from _shortened(error)


class Options(NamedTuple):
    """What the wrapper of a public function does."""

    #: The prefix of the names of the spans of public async methods, which have none without it.
    traced: str = ""
    #: Whether closing the client ends the calls of the public async methods; ``_calls`` of the client registers them.
    ended_by_closing: bool = False
    translate: Translate = _of_call
    #: The text by which errors name the call, by default its name.
    where: str = ""
    #: Converts the arguments of async methods before the call.
    arrange: Arrange | None = None
    #: Converts the result of an async method, or an item of an async generator; the client is the first argument.
    finish: Callable[[Any, Any], Awaitable[Any]] | None = None


def guarded(function: F, options: Options | None = None) -> F:
    """Return the wrapper of a public function, from which only OneErrors, warnings and cancellation leave."""
    options = options or Options()
    if inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function):
        return _guarded_async(function, options)
    where, translate = options.where or function.__name__, options.translate

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            trace = error.__traceback__
            if trace is None or trace.tb_next is None:  # of the call itself
                if isinstance(error, TypeError) and where != "__init__":
                    raise _of_signature(error) from None
                raise
            own = translate(where, Given(function, args, kwargs), error)
            if own is None:
                raise
            raise own from _shortened(error)

    return call  # type: ignore[return-value]


def _guarded_async(method: F, options: Options) -> F:
    name = method.__name__
    where, translate = options.where or name, options.translate
    arrange, finish = options.arrange, options.finish
    is_method = not name.startswith("_") and name != "aclose"
    span_name = f"{options.traced}.{name}" if options.traced and is_method else ""
    ends = options.ended_by_closing and is_method

    def traced() -> AbstractContextManager[object]:
        return span(span_name) if span_name and TRACING in sys.modules else _NOTHING

    def registered(args: tuple[Any, ...]) -> AbstractContextManager[object]:
        calls: AbstractContextManager[object] = args[0]._calls.call() if ends else _NOTHING
        return calls

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the coroutine or async generator of a call, whose body has not begun to run."""
        if arrange is not None:
            args, kwargs = arrange(args, kwargs)
        try:
            return method(*args, **kwargs)
        except TypeError as error:
            raise _of_signature(error) from None

    if inspect.isasyncgenfunction(method):

        @wraps(method)
        async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            given = Given(method, args, kwargs)
            running = begin(args, kwargs)
            async with aclosing(running) as items:
                while True:
                    with traced(), PublicCall(where, given, translate), registered(args):
                        try:
                            item = await anext(items)
                        except StopAsyncIteration:
                            return
                    yield item if finish is None else await finish(args[0], item)

        return iterate  # type: ignore[return-value]

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        given = Given(method, args, kwargs)
        running = begin(args, kwargs)
        with traced(), PublicCall(where, given, translate), registered(args):
            result = await running
        return result if finish is None else await finish(args[0], result)

    return call  # type: ignore[return-value]


def of_arguments(function: F) -> F:
    """Decorate a public function so that only OneErrors, warnings and cancellation leave it."""
    return guarded(function)


def guard_methods(kind: type[T], guard: Callable[[Any], Any]) -> type[T]:
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
    return kind


@overload
def public(kind: type[T], /) -> type[T]: ...
@overload
def public(*, traced: str = "", ended_by_closing: bool = False) -> Callable[[type[T]], type[T]]: ...
def public(kind: type[Any] | None = None, /, *, traced: str = "", ended_by_closing: bool = False) -> Any:
    """Decorate a public class so that only OneErrors, warnings and cancellation leave the methods that it defines.

    With ``traced``, calls of its public async methods are spans, ``traced.method``. With ``ended_by_closing``, closing the
    client ends these calls, which the `RunningCalls` in its ``_calls`` registers.
    """
    options = Options(traced, ended_by_closing)
    if kind is not None:
        return guard_methods(kind, partial(guarded, options=options))
    return partial(guard_methods, guard=partial(guarded, options=options))


def reads_answers(url: str) -> Callable[[type[T]], type[T]]:
    """Decorate a class so that its methods raise AnswerError for an answer of an unexpected shape."""
    return partial(guard_methods, guard=partial(guarded, options=Options(translate=_of_answer, where=url)))
