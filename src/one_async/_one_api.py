"""ONE-api's classes: `ONE` with pandas tables, `One` for folders and `OneAlyx` for databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from one_async import sync
from one_async.errors import InputError
from one_async.types import Mode


class _Every(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, sync.ONE)


class _Online(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, sync.ONE) and not instance.offline


class ONE(sync.ONE):
    """`one_async.ONE` with pandas tables, which ONE-api's users expect, unless ``tables="polars"`` is given."""

    def __init__(self, *, tables: Literal["polars", "pandas"] = "pandas", **options: Any) -> None:
        """Make a client; `options` are those of `one_async.ONE`."""
        super().__init__(tables=tables, **options)


class One(ONE, metaclass=_Every):
    """`ONE` with the constructor of ONE-api's class for folders of data; every `ONE` is an instance of it."""

    def __init__(
        self,
        cache_dir: str | Path | None = None,
        mode: Mode = "local",
        wildcards: bool = True,
        tables_dir: str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make a client of a folder; `options` are those of `ONE`."""
        super().__init__(
            cache_dir=cache_dir, mode=mode, wildcards=wildcards, tables_dir=tables_dir, **options
        )

    @classmethod
    def setup(  # type: ignore[override]
        cls, cache_dir: str | Path | None = None, silent: bool = False, **options: Any
    ) -> Self:
        """Make cache tables of a folder of ALF data and return a client of it.

        `options` are those of `one_async.tables.build.make_parquet_db`. `silent` is accepted for compatibility with ONE-api.

        Examples:
            >>> from one_async.api import One
            >>> with One.setup(data_dir) as lab:
            ...     print(len(lab.search()))
            1
        """
        from one_async.tables.build import make_parquet_db

        if cache_dir is None:
            raise InputError.of("cache_dir", cache_dir, "a folder of ALF data")
        make_parquet_db(cache_dir, **options)
        return cls(cache_dir)


class OneAlyx(ONE, metaclass=_Online):
    """`ONE` with the constructor of ONE-api's class for databases; every `ONE` that has a database is an instance of it."""

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        base_url: str | None = None,
        cache_dir: str | Path | None = None,
        mode: Mode = "remote",
        wildcards: bool = True,
        tables_dir: str | Path | None = None,
        cache_rest: Literal["GET"] | None = "GET",
        **options: Any,
    ) -> None:
        """Make a client of a database; `options` are those of `ONE`."""
        super().__init__(
            username=username,
            password=password,
            base_url=base_url,
            cache_dir=cache_dir,
            mode=mode,
            wildcards=wildcards,
            tables_dir=tables_dir,
            cache_rest=cache_rest,
            **options,
        )

    @classmethod
    def setup(  # type: ignore[override]
        cls, base_url: str | None = None, **options: Any
    ) -> Self:
        """Save the settings of a database and return a client of it; `options` are those of `ONE.setup`.

        Examples:
            >>> from one_async.api import OneAlyx
            >>> with OneAlyx.setup(one.alyx.base_url, username="demo") as client:
            ...     print(client.settings.username)
            demo
        """
        return cls(base_url=ONE.setup(base_url, **options).base_url)
