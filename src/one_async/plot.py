"""Plots of sessions and probes with matplotlib (extra ``[plot]``): ``one.plot`` of the blocking client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from one_async.alf.spec import QC
from one_async.errors import ALFObjectNotFound, ConfigurationError, InputError
from one_async.ids import as_many, is_many

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

    from one_async.types import InsertionLike, SessionLike

#: Colours of QC values, from unset to critical.
QC_COLORS = {
    QC.NOT_SET: "0.8", QC.PASS: "tab:green", QC.WARNING: "gold", QC.FAIL: "tab:orange", QC.CRITICAL: "tab:red",
}  # fmt: skip


class Plots:
    """Draw overviews: choices, spikes around an event, quality, and the sessions of each lab.

    Each method loads the data, draws it into `ax` or into the axes of a new figure, in the caller's thread, and returns the
    axes.
    """

    def __init__(self, one: Any) -> None:
        self._one = one  # a `ONE`, whose module imports this one

    def psychometric(self, eids: SessionLike | Sequence[SessionLike], ax: Axes | None = None) -> Axes:
        """Draw the share of rightward choices for each signed contrast (%, right minus left), pooled over all sessions.

        Error bars are 95 % Wilson intervals; trials without a choice are ignored.

        Raises ALFObjectNotFound if a session has no trials.

        Examples:
            >>> axes = one.plot.psychometric(eid)
            >>> axes.get_ylabel()
            'rightward choices'
        """
        many = _sessions(eids, ax)
        contrasts, rights, counts = _choices(_polars(self._one.load_many(many, "trials")))
        if not counts.size:
            raise ALFObjectNotFound("the sessions have no trial with a contrast and a choice")
        share = rights / counts
        ax = _axes(ax)
        ax.errorbar(contrasts, share, yerr=np.abs(_wilson(rights, counts) - share), fmt="o-", capsize=2)
        ax.set(
            xlabel="contrast, right − left (%)", ylabel="rightward choices", ylim=(-0.02, 1.02),
            title=f"{int(counts.sum()):,} trials of {_counted(len(many), 'session')}",
        )  # fmt: skip
        return ax

    def raster(
        self,
        pid: InsertionLike,
        align: str = "stimOn_times",
        cluster: int | None = None,
        window: tuple[float, float] = (-0.5, 1.0),
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the spikes of a cluster around an event of each trial, and their mean firing rate.

        Args:
            pid: the insertion.
            align: the attribute of trials with the event's times, such as ``"feedback_times"``.
            cluster: the cluster; default: the one with the most spikes.
            window: seconds before (negative) and after the event.
            ax: the axes of the raster; the rate has its own axis on the right.

        Raises InputError if there is no such event or cluster, or if the window is empty.

        Examples:
            >>> axes = one.plot.raster(pid, align="feedback_times", window=(-0.2, 0.5))
            >>> axes.get_xlabel()
            'time from feedback_times (s)'
        """
        start, stop = _window(window)
        _check_axes(ax)
        if is_many(pid):
            raise InputError.of("pid", pid, "one insertion")
        eid, _ = self._one.pid2eid(pid)
        if eid is None:
            raise ALFObjectNotFound(f"no insertion has the id {pid}")
        trials = self._one.load_object(eid, "trials")
        if align not in trials or np.ndim(trials[align]) != 1:
            raise InputError.of("align", align, sorted(name for name in trials if name.endswith("_times")))
        spikes = _polars(self._one.load_spike_sorting([pid]).spikes)
        clusters = spikes["clusters"].to_numpy()
        if cluster is None:
            if not clusters.size:
                raise ALFObjectNotFound(f"the insertion {pid} has no spikes")
            cluster = int(np.bincount(clusters).argmax())
        times = spikes["times"].to_numpy()[clusters == cluster]
        if not times.size:
            raise InputError.of("cluster", cluster, f"one of {np.unique(clusters).tolist()}")
        events = np.asarray(trials[align], float)
        events = events[np.isfinite(events)]
        relative = [
            times[slice(*np.searchsorted(times, (event + start, event + stop)))] - event for event in events
        ]
        ax = _axes(ax)
        ax.eventplot(relative or [[]], colors="black", linewidths=0.6, lineoffsets=1, linelengths=0.9)
        ax.axvline(0, color="tab:blue", linewidth=1)
        ax.set(
            xlabel=f"time from {align} (s)", ylabel="trial", xlim=(start, stop), ylim=(-0.5, len(events) - 0.5),
            title=f"cluster {cluster}, {times.size:,} spikes",
        )  # fmt: skip
        edges = np.linspace(start, stop, 61)
        counts, _ = np.histogram(np.concatenate([*relative, []]), edges)
        rate = ax.twinx()
        rate.stairs(
            counts / max(len(events), 1) / np.diff(edges),
            edges,
            color="tab:red",
            baseline=None,
            label="mean rate",
        )
        rate.set_ylabel("mean rate (spikes/s)", color="tab:red")
        rate.set_ylim(bottom=0)
        return ax

    def qc(self, eids: SessionLike | Sequence[SessionLike], ax: Axes | None = None) -> Axes:
        """Draw the number of datasets at each QC level as a stacked bar for each session.

        Examples:
            >>> axes = one.plot.qc([eid])
            >>> axes.figure.savefig("qc.png")
        """
        many = _sessions(eids, ax)
        frames = [_polars(frame) for frame in self._one.list_datasets(many, details=True)]
        names = [str(ref) for ref in self._one.eid2ref(many, as_dict=False)]
        ax = _axes(ax)
        left = np.zeros(len(many))
        for qc, color in QC_COLORS.items():
            counts = np.array([(frame["qc"].cast(str) == qc.name).sum() for frame in frames])
            ax.barh(names, counts, left=left, color=color, label=qc.name)
            left += counts
        ax.invert_yaxis()
        ax.set(xlabel="datasets", title=f"QC of the datasets of {_counted(len(many), 'session')}")
        ax.legend(frameon=False, fontsize="small")
        return ax

    def coverage(self, ax: Axes | None = None, **terms: Any) -> Axes:
        """Draw the number of sessions of each lab in each month, for the sessions that match the terms of `search`.

        Examples:
            >>> axes = one.plot.coverage(lab="summitlab")
            >>> axes.figure.savefig("coverage.png")
        """
        _check_axes(ax)
        eids, found = self._one.search(details=True, **terms)
        labs, months, counts = _months(_polars(found))
        if not counts.size:
            raise ALFObjectNotFound("no session with a date matches the terms")
        ax = _axes(ax)
        image = ax.imshow(np.ma.masked_equal(counts, 0), aspect="auto", interpolation="none")
        step = max(1, len(months) // 12)
        ax.set_xticks(range(0, len(months), step), months[::step], rotation=45, ha="right")
        ax.set_yticks(range(len(labs)), labs)
        ax.set_title(_counted(len(eids), "session"))
        ax.figure.colorbar(image, ax=ax, label="sessions")
        return ax


def _sessions(eids: Any, ax: Any) -> list[Any]:
    """Return the sessions as a list. Raise InputError if there are none, or if `ax` is not a matplotlib Axes."""
    _check_axes(ax)
    many = as_many(eids)
    if not many:
        raise InputError.of("eids", eids, "at least one session")
    return many


def _window(window: Any) -> tuple[float, float]:
    try:
        start, stop = map(float, window)
    except (TypeError, ValueError):
        start = stop = np.nan
    if not start < stop:
        raise InputError.of("window", window, "two times in seconds, the first before the second")
    return start, stop


def _check_axes(ax: Any) -> None:
    if ax is not None and not hasattr(ax, "errorbar"):
        raise InputError.of("ax", ax, "a matplotlib Axes")


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigurationError("one.plot needs matplotlib: pip install 'one-async[plot]'") from error
    _, made = pyplot.subplots(layout="constrained")
    return made


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _polars(frame: Any) -> pl.DataFrame:
    """Convert a pandas or Polars frame to Polars."""
    import polars as pl

    return frame if isinstance(frame, pl.DataFrame) else pl.from_pandas(frame, include_index=True)


def _choices(trials: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the signed contrasts (%), and for each the numbers of rightward choices and of all choices."""
    import polars as pl

    if missing := {"choice", "contrastLeft", "contrastRight"} - set(trials.columns):
        raise ALFObjectNotFound(f"the trials have no {', '.join(sorted(missing))}")
    sides = [pl.col(name).fill_nan(0).fill_null(0) for name in ("contrastRight", "contrastLeft")]
    found = (
        trials.filter(pl.col("choice").abs() == 1)
        .group_by(((sides[0] - sides[1]) * 100).round(2).alias("contrast"))
        .agg((pl.col("choice") == -1).sum().alias("right"), pl.len().alias("count"))
        .sort("contrast")
    )  # a choice of -1 turns the wheel towards a stimulus on the right
    contrast, right, count = (found[name].to_numpy() for name in ("contrast", "right", "count"))
    return contrast, right, count


def _wilson(successes: np.ndarray, counts: np.ndarray, z: float = 1.96) -> np.ndarray:
    """Return the bounds of the Wilson interval of each proportion, an array of shape (2, n)."""
    share = successes / counts
    middle = share + z**2 / (2 * counts)
    half = z * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2))
    return np.stack([middle - half, middle + half]) / (1 + z**2 / counts)


def _months(sessions: pl.DataFrame) -> tuple[list[str], list[str], np.ndarray]:
    """Return the labs, all months from the first to the last, and the number of sessions of each lab in each month."""
    counts = Counter(zip(sessions["lab"].fill_null("?"), sessions["date"].dt.strftime("%Y-%m"), strict=True))
    labs = sorted({lab for lab, _ in counts})
    known = sorted({month for _, month in counts if month is not None})
    months = _every_month(known[0], known[-1]) if known else []
    return labs, months, np.array([[counts[lab, month] for month in months] for lab in labs])


def _every_month(first: str, last: str) -> list[str]:
    start, stop = (12 * int(month[:4]) + int(month[5:]) - 1 for month in (first, last))
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(start, stop + 1)]
