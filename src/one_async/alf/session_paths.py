"""Paths and references of sessions, parsed and composed, as text and as Polars expressions; ids in file names.

A session's folder is ``lab/Subjects/subject/yyyy-mm-dd/number``, or only its last three parts. Paths are split on ``/`` and
``\\``, and lab and subject are whole parts: whatever letters, blanks or signs they contain. The first such parts of a path
name its session.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from one_async.errors import ALFInvalid

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "FOLDER",
    "ID_IN_NAME",
    "LARGEST_NUMBER",
    "REFERENCE",
    "SessionKey",
    "describe",
    "folder_expression",
    "has_id",
    "id_expression",
    "is_id",
    "key_frame",
    "match_keys",
    "match_parts",
    "match_session",
    "other_spellings",
    "parse_date",
    "parse_paths",
    "parse_reference",
    "parse_references",
    "parse_session_path",
    "record_url_path",
    "session_folder",
    "session_folders",
    "session_part",
    "split_id",
    "split_ids",
    "with_id",
    "without_id",
]

#: The optional column of the sessions table with the folder of a session that cannot be composed from its parts.
FOLDER: Final = "folder"
_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NUMBER: Final = "[0-9]{1,3}|[1-9][0-9]{3,4}"
#: The largest number of a session that tables can hold.
LARGEST_NUMBER: Final = 65_535
#: Number of rows that are processed faster one by one than in Polars.
_FEW: Final = 8
#: Texts that cannot be a part of a path.
_NO_PART: Final = r"[/\\\x00]|^\.\.?$"
#: Parts are matched from the start, each a bounded number of times, so the time is linear.
_FIRST: Final = re.compile(
    r"(?:[^/\\]*+[/\\])*?(?:(?P<lab>[^/\\]++)[/\\](?i:subjects)[/\\])?(?!\.\.?[/\\])(?P<subject>[^/\\]++)"
    rf"[/\\](?P<date>{_DATE})[/\\](?P<number>{_NUMBER})(?=[/\\]|\Z)"
)
#: A part that is neither ``.`` nor ``..``, for an engine without look-ahead.
_NAME: Final = r"(?:[^/\\.][^/\\]*|\.[^/\\.][^/\\]*|\.\.[^/\\]+)"
#: The same for the engine of Polars, which has no look-ahead; the leftmost match begins at the start of a part.
_SESSION: Final = (
    rf"(?s)(?P<subject>{_NAME})[/\\](?P<date>{_DATE})[/\\](?P<number>{_NUMBER})(?:[/\\](?P<rel_path>.*))?$"
)
_LAB: Final = rf"([^/]+)/(?i:subjects)/[^/]+/{_DATE}/[0-9]+$"
REFERENCE: Final = re.compile(rf"(?P<date>{_DATE})_(?P<sequence>{_NUMBER})_(?P<subject>[^/\\]+)\Z")
_UUID: Final = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID_LENGTH: Final = 36
_ID: Final = re.compile(_UUID)
_NAME_WITH_ID: Final = re.compile(rf"(?P<stem>.+)\.(?P<id>{_UUID})(?P<suffix>\.[^.]*)?\Z", re.DOTALL)
#: The same for Polars: the group is the id and the text after it.
ID_IN_NAME: Final = rf"\.({_UUID})(\.[^./]*)?$"


class SessionKey(NamedTuple):
    """The parts that identify a session without its id. A key without a lab matches sessions of any lab."""

    subject: str
    date: date
    number: int
    lab: str | None = None
    path: str | None = None
    """The path as far as the number, as it was written; decides where several sessions have the other parts."""


class SessionMatch(NamedTuple):
    """The parts of a path that name its session, as they are written, and where they begin and end in it."""

    lab: str | None
    subject: str
    date: str
    number: str
    start: int
    end: int


def match_session(path: str) -> SessionMatch | None:
    """Return the first session that a path names, or None. A date that does not exist is matched too."""
    if (found := _FIRST.match(path)) is None:
        return None
    start = found.start("subject" if found["lab"] is None else "lab")
    lab, subject, day, number = found.group("lab", "subject", "date", "number")
    return SessionMatch(lab, subject, day, number, start, found.end())


def match_parts(path: str) -> tuple[str | None, str, str, str] | None:
    """Return lab, subject, date and number of the first session that a path names, as they are written, or None."""
    found = _FIRST.match(path)
    return None if found is None else found.group("lab", "subject", "date", "number")  # type: ignore[return-value]


def parse_session_path(path: str) -> SessionKey | None:
    """Return the key of the session that a path names; None if there is none, or its date does not exist."""
    if (found := _FIRST.match(path)) is None:
        return None
    lab, subject, day, number = found.group("lab", "subject", "date", "number")
    if (parsed := parse_date(day)) is None or int(number) > LARGEST_NUMBER:
        return None
    return SessionKey(subject, parsed, int(number), lab, found[0].replace("\\", "/"))


def parse_date(text: str) -> date | None:
    """Parse a date in the form ``yyyy-mm-dd``; return None for one that does not exist."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def session_part(path: str) -> str:
    """Return the part of a path that names its session: ``lab/Subjects/subject/yyyy-mm-dd/nnn``; empty if there is none."""
    found = match_session(path)
    return path[found.start : found.end] if found else ""


def other_spellings(folder: str) -> list[str]:
    """Return a session's folder with its number spelled in other ways: ``1`` and ``01`` for ``001``."""
    head, _, number = folder.rpartition("/")
    spelled = dict.fromkeys(f"{int(number):0{width}d}" for width in (3, 2, 1))
    return [f"{head}/{other}" for other in spelled if other != number]


def parse_paths(paths: Sequence[str]) -> pl.DataFrame:
    """Parse many paths: subject, date, number, lab, path, rel_path; all null if a path names no session.

    ``rel_path`` is what follows the session's folder, empty if nothing does.
    """
    import polars as pl

    whole = pl.LazyFrame({"path": paths}, schema={"path": pl.String})
    groups = pl.col("path").str.extract_groups(_SESSION)
    below = pl.col("rel_path").str.replace_all("\\", "/", literal=True).str.strip_chars("/")
    # The separator after the session's folder and everything that follows are cut off the path.
    length = pl.when(pl.col("rel_path").is_null()).then(0).otherwise(pl.col("rel_path").str.len_chars() + 1)
    upto = pl.col("path").str.head(pl.col("path").str.len_chars() - length)
    parts = whole.with_columns(groups.alias("found")).unnest("found").with_columns(
        pl.col("date").str.to_date("%Y-%m-%d", strict=False),
        pl.col("number").cast(pl.UInt16, strict=False),
        upto.str.replace_all("\\", "/", literal=True).alias("path"),
        below.fill_null(""),
    )  # fmt: skip
    named = pl.col("date").is_not_null() & pl.col("number").is_not_null()
    names = ["subject", "date", "number", "path", "rel_path"]
    frame = parts.select(pl.when(named).then(pl.col(name)).alias(name) for name in names).collect()
    # Files share sessions, so each session's lab is parsed only once.
    labs = frame.select(pl.col("path").unique()).with_columns(lab=pl.col("path").str.extract(_LAB))
    return frame.join(labs, on="path", how="left", maintain_order="left").select(
        *names[:3], "lab", *names[3:]
    )


def key_frame(keys: Sequence[SessionKey]) -> pl.DataFrame:
    """Return the keys of sessions as a frame, in their order."""
    import polars as pl

    schema = {
        "subject": pl.String,
        "date": pl.Date,
        "number": pl.Int64,
        "lab": pl.String,
        "path": pl.String,
    }
    columns = zip(*keys, strict=True) if keys else ([],) * len(schema)
    return pl.DataFrame(dict(zip(schema, map(list, columns), strict=True)), schema=schema)


def match_keys(sessions: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions that have a key of ``wanted``; the column ``key`` is the position of the key.

    A lab in a key must be that of the session. If several sessions have a key, the one with the longest folder with which
    the key's path ends is returned; if there is none, all of them are.
    """
    import polars as pl

    own = ["subject", "date", "number"]
    # A number that no session can have matches none.
    wanted = wanted.cast({name: sessions.schema[name] for name in own}, strict=False)
    wanted = wanted.with_row_index("key").rename({"lab": "_lab", "path": "_path"})
    found = sessions.join(wanted, on=own, how="inner")
    if wanted["_lab"].null_count() < len(wanted):
        found = found.filter(pl.col("_lab").is_null() | (pl.col("_lab") == pl.col("lab").fill_null("")))
    if len(found) > 1 and found["key"].is_duplicated().any():
        folder = folder_expression(found.columns)
        ends = (pl.col("_path") == folder) | pl.col("_path").str.ends_with(pl.concat_str(pl.lit("/"), folder))
        found = found.with_columns(
            pl.when(ends).then(folder.str.len_chars()).otherwise(0).fill_null(0).alias("_ends")
        )
        found = found.filter(pl.col("_ends") == pl.col("_ends").max().over("key")).drop("_ends")
    return found.drop("_lab", "_path")


def session_folder(row: Mapping[str, Any]) -> str:
    """Return a session's path below the cache folder: ``lab/Subjects/subject/yyyy-mm-dd/nnn``, or from the subject on.

    ``row`` is a row of the sessions table, or a record with start_time. A lab of null is unknown; an empty
    text, or no such field, means that the folder has no lab. Raises ALFInvalid if the lab, subject, date or number is
    unknown, or if the lab or subject cannot be the name of a folder.
    """
    day = row["date"] if "date" in row else row.get("start_time")
    lab, subject, number, folder = row.get("lab", ""), row.get("subject"), row.get("number"), row.get(FOLDER)
    if folder and not _leads_out(folder):
        return str(folder)
    is_known = lab is not None and subject and day is not None and _is_part(lab) and _is_part(subject)
    if folder or not is_known or number is None:
        parts = {"lab": lab, "subject": subject, "date": day and str(day)[:10], "number": number}
        parts |= {FOLDER: folder} if folder else {}
        raise ALFInvalid(
            f"the folder of the session {row.get('eid') or row.get('id')} is not known: {parts!r:.300}"
        )
    head = f"{lab}/Subjects/" if lab else ""
    return f"{head}{subject}/{str(day)[:10]}/{int(number):03d}"


def describe(row: Mapping[str, Any]) -> str:
    """Return the name of a session in error texts: ``SU_101 2024-06-24 #1 (ee777d8f-…)``."""
    day = row.get("date") or row.get("start_time")
    eid = row.get("eid") or row.get("id")
    return f"{row.get('subject')} {str(day)[:10]} #{row.get('number')} ({eid})"


def _folder_or_none(row: Mapping[str, Any]) -> str | None:
    try:
        return session_folder(row)
    except ALFInvalid:
        return None


def _is_part(name: str) -> bool:
    return re.search(_NO_PART, name) is None


def _leads_out(folder: str) -> bool:
    return folder.startswith("/") or ".." in folder.split("/") or "\\" in folder


def folder_expression(columns: Collection[str], *, check: bool = True) -> pl.Expr:
    """Return `session_folder` as an expression for a frame with these columns; null for a session whose folder is not known.

    ``check=False`` leaves out the check of labs and subjects, for frames where all of them can be names of folders.
    """
    import polars as pl

    lab, subject = pl.col("lab"), pl.col("subject")
    head = pl.when(lab == "").then(pl.lit("")).otherwise(lab + "/Subjects/")
    number = pl.col("number").cast(pl.String).str.zfill(3)
    composed = pl.concat_str(head, subject, pl.lit("/"), pl.col("date").cast(pl.String), pl.lit("/"), number)
    if check:
        composed = pl.when(~lab.str.contains(_NO_PART), ~subject.str.contains(_NO_PART), subject != "").then(
            composed
        )
    if FOLDER not in columns:
        return composed
    own = pl.col(FOLDER).cast(pl.String)
    safe = ~own.str.contains(r"^/|(?:^|/)\.\.(?:/|$)|\\")
    return pl.when(own.is_null() | (own == "")).then(composed).when(safe).then(own)


def session_folders(sessions: pl.DataFrame) -> pl.Series:
    """Return each session's path below the cache folder; null for one whose folder is not known."""
    if len(sessions) <= _FEW:
        import polars as pl

        folders = [_folder_or_none(row) for row in sessions.iter_rows(named=True)]
        return pl.Series("session_path", folders, dtype=pl.String)
    # The few names of labs and subjects are checked in less time than those of all sessions.
    check = any(sessions[name].unique().str.contains(_NO_PART).any() for name in ("lab", "subject"))
    check = check or bool((sessions["subject"] == "").any())
    return sessions.select(folder_expression(sessions.columns, check=check).alias("session_path")).to_series()


def parse_reference(text: str) -> SessionKey | None:
    """Return the key of the session that a reference ``yyyy-mm-dd_n_subject`` names; None for any other text.

    Raises ValueError for a date that does not exist.
    """
    found = REFERENCE.match(text)
    if found is None:
        return None
    return SessionKey(found["subject"], date.fromisoformat(found["date"]), int(found["sequence"]))


def parse_references(texts: pl.Series) -> pl.DataFrame | None:
    """Parse many references into a frame as `key_frame` makes it; None where not all are references."""
    import polars as pl

    parts = texts.str.splitn("_", 3).struct.unnest()
    days = parts["field_0"].str.to_date("%Y-%m-%d", strict=False)
    if days.has_nulls() or not texts.str.contains(rf"^{_DATE}_(?:{_NUMBER})_[^/\\]+$").all():
        return None
    return parts.select(
        pl.col("field_2").alias("subject"),
        days.alias("date"),
        pl.col("field_1").cast(pl.Int64).alias("number"),
        pl.lit(None, pl.String).alias("lab"),
        pl.lit(None, pl.String).alias("path"),
    )


def url_path(url: str) -> str:
    """Return the path of a URL; a ``#`` belongs to the path, since Alyx does not escape revisions."""
    return unquote(urlsplit(url, allow_fragments=False).path)


def record_url_path(url: str) -> str:
    """Return the path of an address in a record of Alyx, which escapes nothing: ``%41`` is the name's own text."""
    return urlsplit(url, allow_fragments=False).path


def split_id(path: str) -> tuple[str, str | None]:
    """Return a file's path without the dataset's id in its name, and that id in lower case if there was one."""
    folder, slash, name = path.rpartition("/")
    if len(name) > _UUID_LENGTH and (found := _NAME_WITH_ID.match(name)):
        return f"{folder}{slash}{found['stem']}{found['suffix'] or ''}", found["id"].lower()
    return path, None


def is_id(text: str) -> bool:
    """Return whether a text is a UUID, written out with hyphens."""
    return _ID.fullmatch(text) is not None


def has_id(path: str) -> bool:
    """Return whether a dataset's id is in a file's name."""
    return _NAME_WITH_ID.match(path.rpartition("/")[2]) is not None


def without_id(path: str) -> str:
    """Return a file's path without the dataset's id in its name."""
    return split_id(path)[0]


def id_expression(path: pl.Expr, did: pl.Expr) -> pl.Expr:
    """Return `with_id` as an expression, for names that have an extension."""
    import polars as pl

    suffix = path.str.extract(r"(\.[^./]*)$").fill_null("")
    stem = path.str.replace(rf"(?:\.{_UUID})?(?:\.[^./]*)?$", "")
    return pl.concat_str(stem, pl.lit("."), did, suffix)


def with_id(path: str, did: str) -> str:
    """Return a file's path with a dataset's id before the extension, in place of another: ``spikes.times.<id>.npy``."""
    folder, slash, name = without_id(path).rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{folder}{slash}{stem}.{did}{dot}{suffix}" if stem else f"{folder}{slash}{name}.{did}"


def split_ids(paths: Iterable[str]) -> pl.DataFrame:
    """Return `split_id` of many paths: rel_path, and did, null where there is none."""
    import polars as pl

    frame = pl.DataFrame({"rel_path": paths}, schema={"rel_path": pl.String})
    path = pl.col("rel_path")
    if not frame["rel_path"].str.contains(ID_IN_NAME).any():
        return frame.with_columns(did=pl.lit(None, pl.String))
    return frame.select(
        path.str.replace(ID_IN_NAME, "$2"), did=path.str.extract(ID_IN_NAME).str.to_lowercase()
    )
