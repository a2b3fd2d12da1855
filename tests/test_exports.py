"""The public names, and the two faces compared: the same methods, signatures and docstrings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import AsyncIterator
from typing import Any, get_type_hints

import pytest

import one_async
from one_async import ONE, AlyxClient, AsyncAlyxClient, AsyncONE
from one_async._bridge import without_await

PAIRS = [(AsyncONE, ONE), (AsyncAlyxClient, AlyxClient)]
#: Names of only one face, with the reason.
ONLY_AWAITED = {
    "aclose": "`close` on the other face",
    "wire": "gives async context managers, for the package's own transfers",
}
ONLY_BLOCKING = {
    "close": "`aclose` on the other face",
    "plot": "draws with matplotlib in the caller's thread, for notebooks",
}


def public(kind: type) -> dict[str, Any]:
    """Return the public attributes of a class and its bases, as defined in the classes."""
    return {
        name: inspect.getattr_static(kind, name)
        for name in dir(kind)
        if not name.startswith("_") and not hasattr(object, name)
    }


def methods(kind: type) -> dict[str, Any]:
    return {
        name: getattr(kind, name)
        for name, value in public(kind).items()
        if inspect.isfunction(value) or isinstance(value, staticmethod | classmethod)
    }


NAMES = [
    pytest.param(awaited, blocking, name, id=f"{blocking.__name__}.{name}")
    for awaited, blocking in PAIRS
    for name in sorted(methods(awaited))
    if name not in ONLY_AWAITED
]


@pytest.mark.parametrize("name", one_async.__all__)
def test_public_names_can_be_imported(name: str) -> None:
    assert getattr(one_async, name) is not None
    assert name in dir(one_async)


def test_other_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        one_async.nothing  # noqa: B018
    assert sorted(one_async.__all__) == sorted(set(one_async.__all__))


def test_import_lines_of_one_api_work() -> None:
    api = importlib.import_module("one_async.api")
    webclient = importlib.import_module("one_async.webclient")
    assert issubclass(api.ONE, ONE)
    assert api.AsyncONE is AsyncONE
    assert issubclass(api.One, ONE)
    assert issubclass(api.OneAlyx, ONE)
    assert (webclient.AlyxClient, webclient.AsyncAlyxClient) == (AlyxClient, AsyncAlyxClient)
    assert webclient.no_cache is one_async.no_cache


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_the_faces_have_the_same_names(awaited: type, blocking: type) -> None:
    assert set(public(awaited)) - set(ONLY_AWAITED) <= set(public(blocking)) | instance_names(awaited)
    assert set(public(blocking)) - set(ONLY_BLOCKING) <= set(public(awaited)) | instance_names(awaited)


def instance_names(kind: type) -> set[str]:
    """Return the attributes that a constructor sets, which the class does not have."""
    return (
        {"settings", "wildcards", "uuid_filenames", "record_loaded"}
        if kind is AsyncONE
        else {"cache_scope", "silent"}
    )


@pytest.mark.parametrize(("awaited", "blocking", "name"), NAMES)
def test_methods_have_the_same_signature_and_docstring(awaited: type, blocking: type, name: str) -> None:
    theirs, ours = getattr(awaited, name), getattr(blocking, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__doc__
    assert ours.__doc__ == without_await(theirs.__doc__)
    assert ours.__name__ == theirs.__name__ == name
    assert not inspect.iscoroutinefunction(inspect.unwrap(ours, stop=lambda f: f is ours))


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_constructors_have_the_same_signature(awaited: type, blocking: type) -> None:
    assert inspect.signature(blocking) == inspect.signature(awaited)
    assert blocking.__init__.__doc__ == awaited.__init__.__doc__
    assert blocking.__doc__


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_properties_have_the_same_docstring(awaited: type, blocking: type) -> None:
    for name, value in public(awaited).items():
        if isinstance(value, property) and name not in ONLY_AWAITED:
            assert inspect.getattr_static(blocking, name).__doc__ == without_await(value.__doc__), name
            assert value.__doc__, name


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_every_async_method_has_a_blocking_one(awaited: type, blocking: type) -> None:
    for name, method in methods(awaited).items():
        if name in ONLY_AWAITED:
            continue
        ours = inspect.getattr_static(blocking, name)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            assert hasattr(ours, "__wrapped__"), name
        else:
            assert isinstance(ours, staticmethod | classmethod), name


def test_public_methods_declare_their_results() -> None:
    for awaited, _ in PAIRS:
        for name, method in methods(awaited).items():
            assert "return" in method.__annotations__, name
            if inspect.isasyncgenfunction(method):
                assert str(method.__annotations__["return"]).startswith(AsyncIterator.__name__), name


def test_type_aliases_resolve() -> None:
    assert get_type_hints(one_async.errors.InputError.of)
