"""Register water administrations and weighings, each exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from one_async._boundary import reading
from one_async.errors import InputError, RegistrationError
from one_async.ids import parse_session
from one_async.registration.local import session_folder_of
from one_async.registration.sessions import find_session, local_time
from one_async.registration.vocabulary import Row, Vocabulary
from one_async.registration.write_once import write_once

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient

__all__ = ["register_water", "register_weight"]


async def register_water(
    alyx: AsyncAlyxClient,
    subject: str,
    volume: float,
    date_time: object,
    water_type: str,
    user: str | None,
    session: object,
    adlib: bool,
) -> dict[str, Any]:
    """Register a water administration unless an equal one is registered already."""
    number = _checked_amount("volume", volume)
    when = local_time(date_time, "date_time")
    if not isinstance(adlib, bool):
        raise InputError.of("adlib", adlib, "True or False")
    author = await _check_names(alyx, subject, user, when, water_type)
    data: dict[str, Any] = {
        "subject": subject,
        "date_time": when,
        "water_administered": float(f"{number:.4g}"),
        "water_type": water_type,
        **author,
        "adlib": adlib,
    }
    if session is not None:
        data["session"] = await _session_of(alyx, subject, session)
    return await _create(alyx, "water-administrations", data, "water_administered")


async def register_weight(
    alyx: AsyncAlyxClient, subject: str, weight: float, date_time: object, user: str | None
) -> dict[str, Any]:
    """Register a weighing unless an equal one is registered already."""
    number = _checked_amount("weight", weight)
    when = local_time(date_time, "date_time")
    author = await _check_names(alyx, subject, user, when)
    data = {"subject": subject, "date_time": when, "weight": float(f"{number:.4g}"), **author}
    return await _create(alyx, "weighings", data, "weight")


def _checked_amount(argument: str, value: object) -> float:
    if not isinstance(value, bool) and hasattr(value, "__float__"):
        number = float(value)
        if 1e-4 <= number < 1e6:
            return number
    raise InputError.of(argument, value, "a number from 0.0001 to below 1,000,000")


async def _check_names(
    alyx: AsyncAlyxClient, subject: str, user: str | None, when: str, water_type: str | None = None
) -> dict[str, str]:
    """Check the names, and that the subject was alive at that time; return the user's field."""
    vocabulary = Vocabulary(alyx)
    subjects = await vocabulary.find("subjects", [subject])
    if subject not in subjects:
        raise InputError.of("subject", subject, "the nickname of a subject of the database")
    died = subjects[subject].get("death_date")
    if died and when[:10] > died:
        raise InputError.of("date_time", when, f"a time before the death of {subject} on {died}")
    if water_type is not None and not await vocabulary.find("water-type", [water_type]):
        types = ", ".join(str(row["name"]) for row in await vocabulary.rows("water-type"))
        raise InputError.of("water_type", water_type, types)
    name = user or alyx.user
    if user is not None and not await vocabulary.find("users", [user]):
        raise InputError.of("user", user, "a user of the database")
    return {"user": name} if name else {}


async def _session_of(alyx: AsyncAlyxClient, subject: str, session: object) -> str:
    """Return the id of a session. It must be one of the subject, which Alyx does not check."""
    if isinstance(session, Mapping) and "url" in session:
        session = str(session["url"])[-36:]
    accepted = "the id, folder or record of a session of the subject"
    if isinstance(session, str | UUID) and (eid := _eid(session)) is not None:
        row = await alyx.get(f"/sessions/{eid}", no_cache=True)
        if row.get("subject") != subject:
            raise InputError.of(
                "session", str(session), f"{accepted}; this one belongs to {row.get('subject')}"
            )
        return eid
    if not isinstance(session, str | PathLike):
        raise InputError.of("session", session, accepted)
    folder = session_folder_of(session, "session")
    if folder.subject != subject:
        raise InputError.of("session", str(session), accepted)
    found = await find_session(alyx, folder)
    if found is None:
        raise InputError.of("session", str(session), f"{accepted}; the database has no such session")
    return found


def _eid(value: str | UUID) -> str | None:
    try:
        parsed = parse_session(value)
    except InputError:
        return None
    return str(parsed) if isinstance(parsed, UUID) else None


async def _create(alyx: AsyncAlyxClient, endpoint: str, data: dict[str, Any], amount: str) -> dict[str, Any]:
    query = f"subject__nickname,{data['subject']},date_time,{data['date_time']}"
    names = ("subject", "user", "water_type", "session", "adlib")

    async def find() -> Row | None:
        rows = await alyx.get(f"/{endpoint}?{urlencode({'django': query})}", no_cache=True)
        with reading(f"/{endpoint}"):
            matching = [
                row
                for row in rows
                if _parse_time(row["date_time"]) == _parse_time(data["date_time"])
                and abs(float(row[amount]) - data[amount]) < 5e-5
                and all(row.get(name) == data[name] for name in names if name in data)
                and (amount == "weight" or row.get("session") == data.get("session"))
            ]
        if len(matching) > 1:
            urls = ", ".join(sorted(str(row["url"]) for row in matching))
            reason = (
                f"the database has {len(matching)} indistinguishable records of this time and amount: {urls}"
            )
            raise RegistrationError.of({data["subject"]: reason})
        return dict(matching[0]) if matching else None

    async def create() -> Row | None:
        return dict(await alyx.post(f"/{endpoint}", data))

    row = await find() or await write_once(create, find)
    assert row is not None
    return row


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
