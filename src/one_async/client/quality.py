"""The quality of probe insertions and of their sessions, as one frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from one_async._arguments import plain, qc_name, whole_number
from one_async._boundary import reading
from one_async._threads import check_polars, run_polars
from one_async.alf.spec import QC
from one_async.client.call import Call, has_keywords, public_methods
from one_async.client.search import insertions_that
from one_async.errors import InputError, OfflineError
from one_async.queries.base import order_insertions
from one_async.queries.terms import django as django_text
from one_async.types import InsertionTerms

if TYPE_CHECKING:
    import polars as pl

    from one_async.client.context import Context
    from one_async.types import Mode

#: The task checks that the brain-wide map requires, in a session's ``extended_qc``.
TASK_CHECKS = (
    "_task_stimOn_goCue_delays", "_task_response_feedback_delays", "_task_wheel_move_before_feedback",
    "_task_wheel_freeze_during_quiescence", "_task_error_trial_event_sequence", "_task_correct_trial_event_sequence",
    "_task_reward_volumes", "_task_reward_volume_set", "_task_stimulus_move_before_goCue", "_task_audio_pre_trial",
)  # fmt: skip
#: An experimenter's judgement of the task, which replaces the checks.
MARKED_PASS = {"session__extended_qc___experimenter_task": "PASS"}
#: Fields of an insertion's ``extended_qc`` that are columns under their own names.
OWN = ("tracing_exists", "alignment_count", "alignment_resolved")


@public_methods(ended_by_closing=True)
class QualityMethods:
    """The method for quality."""

    _context: Context

    @has_keywords(InsertionTerms)
    async def quality(
        self,
        /,
        query_type: Mode | None = None,
        *,
        session_qc_lte: str | int | QC | None = None,
        insertion_qc_lte: str | int | QC | None = None,
        behavior: bool | None = None,
        mock: bool | None = None,
        tracing: bool | None = None,
        alignment_resolved: bool | None = None,
        min_alignments: int | None = None,
        min_task_checks: float | None = None,
        extended: bool = True,
        **terms: Unpack[InsertionTerms],
    ) -> pl.DataFrame:
        """Return the quality of insertions and of their sessions: a row for each insertion that meets all of the terms.

        Args:
            query_type: as everywhere, but the cache tables have no quality: without a database, OfflineError is raised.
            session_qc_lte: the worst QC that the session may have: "PASS", "WARNING", "FAIL" (all but critical), …
            insertion_qc_lte: the worst QC that the insertion may have.
            behavior: whether the session's behavior meets the criterion of its project (``extended_qc``).
            mock: whether the session is marked as a mock (``IS_MOCK`` of its json field).
            tracing: whether the probe's track was traced in histology.
            alignment_resolved: whether the alignment of the track is resolved.
            min_alignments: the least number of alignments.
            min_task_checks: the least value, between 0 and 1, of each of the brain-wide map's ten task checks; a session that
                an experimenter marked as PASS meets it, too.
            extended: False omits the columns of sessions' quality, which need a request for each session.
            terms: those of `search_insertions`, such as ``project``, ``lab``, ``subject``, ``date_range``, ``django``.

        A record without a field meets no term about this field, neither True nor False.

        Returns a frame in the order of `search_insertions`: pid, eid, name, subject, lab, date, number, projects (joined by
        commas), task_protocol, insertion_qc, tracing_exists, alignment_count, alignment_resolved, with `extended` session_qc
        and behavior, and the other fields of ``extended_qc`` as ``insertion.<field>`` and ``session.<field>``. A field whose
        values are of several types, or not single values, is a column of JSON. The query of the brain-wide map is::

            one.quality(project="ibl_neuropixel_brainwide_01", mock=False, session_qc_lte="FAIL", insertion_qc_lte="FAIL",
                        behavior=True, tracing=True, alignment_resolved=True, min_task_checks=0.9)

        Raises InputError for an unknown term or an impossible value, before any request is made.

        Examples:
            >>> insertions = await one.quality(lab="summitlab", insertion_qc_lte="WARNING", tracing=True)
            >>> insertions.select("subject", "name", "insertion_qc").rows()
            [('SU_101', 'probe00', 'PASS'), ('SU_101', 'probe01', 'WARNING')]
        """
        call = Call(self._context, query_type)
        filters = {
            **_session_qc(session_qc_lte),
            **_insertion_qc(insertion_qc_lte),
            **_flag("session__extended_qc__behavior", "behavior", behavior, (0, 1)),
            **_flag("session__json__IS_MOCK", "mock", mock),
            **_flag("json__extended_qc__tracing_exists", "tracing", tracing),
            **_flag("json__extended_qc__alignment_resolved", "alignment_resolved", alignment_resolved),
            **_at_least("json__extended_qc__alignment_count", "min_alignments", min_alignments),
        }
        queries = _task_queries(min_task_checks)
        given = [django_text(terms["django"])] if terms.get("django") else []
        if call.is_local:
            raise OfflineError(
                "quality asks the database, since the cache tables have neither extended_qc nor alignments; "
                "use a client with a database, in another mode than 'local'"
            )
        check_polars()
        rows: dict[str, dict[str, Any]] = {}
        asked = Call(self._context, "remote")
        for query in queries:
            pairs = [f"{field},{value}" for field, value in {**filters, **query}.items()]
            text = ",".join([*given, *pairs])
            for row in await insertions_that(asked, {**terms, "django": text or None}):
                rows[str(row["id"])] = row
        found = list(rows.values())
        order_insertions(found)
        eids = list(dict.fromkeys(str(row["session"]) for row in found if row["session"]))
        details = await self._context.remote().details(eids) if extended else []
        sessions = dict(zip(eids, details, strict=True)) if extended else None
        with reading("/insertions"):
            frame = await run_polars(_frame, found, sessions)
        return await run_polars(frame.to_pandas) if self._context.table_kind == "pandas" else frame


def _session_qc(worst: Any) -> dict[str, Any]:
    if worst is None:
        return {}
    return {"session__qc__lte": QC[qc_name(worst, "session_qc_lte")].value}


def _insertion_qc(worst: Any) -> dict[str, Any]:
    if worst is None:
        return {}
    limit = QC[qc_name(worst, "insertion_qc_lte")]
    good = [qc.name for qc in QC if qc <= limit]
    return {"json__qc__in": repr(good).replace(" ", "")}


def _flag(field: str, argument: str, wanted: Any, values: tuple[Any, Any] = (False, True)) -> dict[str, Any]:
    wanted = plain(wanted)
    if wanted is not None and not isinstance(wanted, bool):
        raise InputError.of(argument, wanted, "True, False or None")
    return {} if wanted is None else {field: values[wanted]}


def _at_least(field: str, argument: str, number: Any) -> dict[str, Any]:
    if number is None:
        return {}
    try:
        return {f"{field}__gte": whole_number(number)}
    except (TypeError, ValueError, OverflowError):
        raise InputError.of(argument, number, "a whole number of at most 64 bits") from None


def _task_queries(least: Any) -> list[dict[str, Any]]:
    """Return the filters of each request: sessions whose checks pass, and those that an experimenter passed."""
    least = plain(least)
    if least is None:
        return [{}]
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise InputError.of("min_task_checks", least, "a number from 0 to 1")
    return [{f"session__extended_qc__{check}__gte": least for check in TASK_CHECKS}, MARKED_PASS]


def _frame(rows: list[dict[str, Any]], sessions: Mapping[str, Mapping[str, Any]] | None) -> pl.DataFrame:
    """Return the frame of insertions; ``sessions`` are the details of their sessions, if they are wanted."""
    import polars as pl

    infos = [row.get("session_info") or {} for row in rows]
    own = [_object(row.get("json")) for row in rows]
    checks = [_object(one.get("extended_qc")) for one in own]
    starts = [info.get("start_time") for info in infos]
    columns: dict[str, Any] = {
        "pid": [str(row["id"]) for row in rows],
        "eid": [None if row["session"] is None else str(row["session"]) for row in rows],
        "name": [row["name"] for row in rows],
        **{name: [info.get(name) for info in infos] for name in ("subject", "lab")},
        "date": [None if start is None else datetime.fromisoformat(start).date() for start in starts],
        "number": [info.get("number") for info in infos],
        "projects": [",".join(filter(None, info.get("projects") or ())) for info in infos],
        "task_protocol": [info.get("task_protocol") for info in infos],
    }
    types = {**dict.fromkeys(columns, pl.String), "date": pl.Date, "number": pl.Int64}
    series = [pl.Series(name, values, types[name], strict=False) for name, values in columns.items()]
    series.append(_column("insertion_qc", [one.get("qc") for one in own], pl.String))
    kinds = (pl.Boolean, pl.Int64, pl.Boolean)
    series += [
        _column(name, [one.get(name) for one in checks], kind) for name, kind in zip(OWN, kinds, strict=True)
    ]
    if sessions is not None:
        theirs = [sessions.get(str(row["session"]), {}) for row in rows]
        extended = [_object(session.get("extended_qc")) for session in theirs]
        series.append(_column("session_qc", [session.get("qc") for session in theirs], pl.String))
        series.append(_column("behavior", [_truth(one.get("behavior")) for one in extended], pl.Boolean))
        series += _fields("session", extended, ("behavior",))
    return pl.DataFrame([*series, *_fields("insertion", checks, OWN)])


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _truth(value: Any) -> Any:
    """Return what a field that holds 0 or 1 says."""
    return bool(value) if value in (0, 1) else value


def _fields(prefix: str, objects: list[Mapping[str, Any]], but: Iterable[str]) -> list[pl.Series]:
    """Return a column for each key that some objects have."""
    keys = sorted({key for one in objects for key in one} - set(but))
    return [_column(f"{prefix}.{key}", [one.get(key) for one in objects]) for key in keys]


def _column(name: str, values: list[Any], dtype: Any = None) -> pl.Series:
    """Return values of one type as a column of it, of numbers as numbers, and any others as JSON."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds == {str}:
        return pl.Series(name, values, pl.String)
    if kinds and kinds <= {int, float}:
        whole = kinds == {int} and all(value is None or abs(value) < 1 << 63 for value in values)
        return pl.Series(name, values, pl.Int64 if whole else pl.Float64, strict=False)
    if not kinds:
        return pl.Series(name, values, dtype or pl.Null)
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pl.Series(name, texts, pl.String)
