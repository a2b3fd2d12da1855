"""Call a function for many sessions on a Dask cluster (extra ``[dask]``).

>>> from distributed import Client  # doctest: +SKIP
>>> with Client("scheduler:8786") as cluster:  # doctest: +SKIP
...     done = map_sessions(one, one.search(lab="cortexlab"), count_trials, client=cluster)
...     done.results, done.failures
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from one_async.errors import ConfigurationError, InputError, OneError

if TYPE_CHECKING:
    import dask.bag
    import polars as pl
    from distributed import Client

    from one_async.sync import ONE

__all__ = ["Failure", "Mapped", "map_sessions"]

#: The most clients, of different databases, settings or users, that a worker keeps open.
KEPT = 4

_ones: OrderedDict[bytes, ONE] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Failure:
    """A session for which the function failed: its eid, the error's name and text, and the error if it is a OneError."""

    eid: str
    kind: str
    text: str
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.eid}: {self.kind}: {self.text}"


@dataclass
class Mapped:
    """The results of a mapped function by session; they stay on the cluster until they are requested."""

    eids: list[str]
    futures: list[Any]
    client: Client
    _tried: bool = field(default=False, repr=False)

    def outcomes(self) -> list[Any]:
        """Wait for all sessions; return the function's result or a `Failure` for each.

        A session that kills its worker at each attempt, or whose result cannot be sent, is also a `Failure`.
        """
        self._finish()
        cluster: Any = self.client
        try:
            return list(cluster.gather(self.futures))
        except Exception:  # a future failed; gather them one by one
            return [_outcome(eid, future) for eid, future in zip(self.eids, self.futures, strict=True)]

    def _finish(self) -> None:
        """Wait for all futures; retry those that were lost with their worker one by one.

        The scheduler gives up on every task that ran while several workers died. If tasks run alone, only the one that kills
        its worker fails.
        """
        import distributed
        from distributed.scheduler import KilledWorker

        wait: Any = distributed.wait
        wait(self.futures)
        if self._tried:
            return
        self._tried = True
        for future in self.futures:
            if future.status == "error" and isinstance(future.exception(), KilledWorker):
                future.retry()
                wait([future])

    @property
    def results(self) -> dict[str, Any]:
        """The function's results by eid, of the sessions for which it succeeded; waits for all sessions."""
        pairs = zip(self.eids, self.outcomes(), strict=True)
        return {eid: value for eid, value in pairs if not isinstance(value, Failure)}

    @property
    def failures(self) -> list[Failure]:
        """The sessions for which the function failed; waits for all sessions."""
        return [value for value in self.outcomes() if isinstance(value, Failure)]

    def bag(self) -> dask.bag.Bag:
        """Wait and return the results on the cluster as a Dask bag, without failed sessions."""
        from dask import bag
        from dask.delayed import delayed

        self._finish()
        make: Any = bag.from_delayed
        done = [future for future in self.futures if future.status == "finished"]
        made: dask.bag.Bag = make([delayed(_as_list)(future) for future in done] or [delayed(list)()])
        return made

    def frame(self) -> pl.LazyFrame:
        """Wait and return the results, each a Polars frame or a dict, as one lazy frame with an ``eid`` column."""
        import polars as pl

        frames = []
        for eid, value in self.results.items():
            frame = value if isinstance(value, pl.DataFrame) else pl.DataFrame([value])
            frames.append(frame.lazy().select(pl.lit(eid).alias("eid"), pl.exclude("eid")))
        return (
            pl.concat(frames, how="diagonal_relaxed") if frames else pl.LazyFrame(schema={"eid": pl.String})
        )


def map_sessions(
    one: ONE,
    eids: Iterable[Any],
    function: Callable[..., Any],
    *arguments: Any,
    client: Client,
    **options: Any,
) -> Mapped:
    """Call ``function(one, eid, *arguments, **options)`` for each session, on the workers of a Dask cluster.

    Each worker creates one `ONE` with the same settings and uses it for all its sessions. Password and token are not sent:
    workers find them in their environment (ONE_USERNAME, ONE_PASSWORD or ONE_TOKEN), their settings, or a token stored by an
    earlier login. The password of a shared cache is not sent either: workers read it from ONE_CACHE_STORAGE. Sessions of a
    worker that dies are reassigned to another one. An exception of the function is a `Failure` of that session only, as is a
    session that kills its worker wherever it runs.

    This function does not wait; ``results``, ``failures``, ``bag()`` and ``frame()`` of the returned object do. Raises
    InputError for arguments that are not a ONE, a function and a connection to a cluster, ConfigurationError without Dask.
    """
    from one_async.sync import ONE

    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigurationError("map_sessions needs Dask: pip install 'one-async[dask]'") from error
    if not isinstance(one, ONE):
        raise InputError.of("one", one, "a ONE, which is recreated on each worker")
    if not callable(function):
        raise InputError.of("function", function, "a function of a ONE and an eid")
    if not isinstance(client, Client):
        raise InputError.of("client", client, "a distributed.Client")
    known = _texts(eids)
    recipe = pickle.dumps(one)  # equal settings have equal pickles, so they share a client on a worker
    work = _BoundFunction(function, arguments, options)
    futures = client.map(_call, known, recipe=recipe, work=work, pure=False)
    return Mapped(known, list(futures), client)


@dataclass(frozen=True)
class _BoundFunction:
    """A function with its additional arguments."""

    function: Callable[..., Any]
    arguments: Sequence[Any]
    options: dict[str, Any]


def _texts(eids: Iterable[Any]) -> list[str]:
    given = [eids] if isinstance(eids, str) else list(eids)
    return [str(eid) for eid in given]


def _call(eid: str, recipe: bytes, work: _BoundFunction) -> Any:
    """Call the function for one session; runs on a worker."""
    try:
        return work.function(_one(recipe), eid, *work.arguments, **work.options)
    except (Exception, SystemExit) as error:
        return _failure(eid, error)


def _failure(eid: str, error: BaseException) -> Failure:
    return Failure(eid, type(error).__name__, str(error), error if isinstance(error, OneError) else None)


def _outcome(eid: str, future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return _failure(eid, error)


def _one(recipe: bytes) -> ONE:
    """Return this process's client with these settings."""
    with _lock:
        if recipe not in _ones:
            _ones[recipe] = pickle.loads(recipe)
            while len(_ones) > KEPT:
                _ones.popitem(last=False)
        _ones.move_to_end(recipe)
        return _ones[recipe]


def _as_list(outcome: Any) -> list[Any]:
    return [] if isinstance(outcome, Failure) else [outcome]
