"""The water that a subject needs and gets, computed from its weighings, water, restrictions and surgeries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from .query import Failed
from .records import Record, Records

__all__ = ["WaterControl", "water_control", "water_requirement"]

T = TypeVar("T")
Weight = tuple[datetime, float]


@dataclass(frozen=True)
class Restriction:
    """A time under water restriction, and the weight of the subject at its start."""

    start: datetime
    end: datetime | None
    weight: float


@dataclass
class WaterControl:
    """The values that determine the water of one subject; times are those of its lab, restrictions in UTC."""

    now: datetime
    reference_share: float = 0.0
    zscore_share: float = 0.0
    birth: datetime | None = None
    restrictions: list[Restriction] = field(default_factory=list)
    weighings: list[Weight] = field(default_factory=list)
    implants: list[Weight] = field(default_factory=list)
    given: list[tuple[datetime, float | None, bool]] = field(default_factory=list)

    def restriction(self, day: datetime) -> Restriction | None:
        """Return the restriction that holds at a time."""
        begun = [item for item in self.restrictions if item.start.date() <= day.date()]
        return begun[-1] if begun and (begun[-1].end is None or day <= begun[-1].end) else None

    def implant(self, day: datetime) -> float:
        """Return the weight of the last implant up to a day."""
        return last(self.implants, day, 0)

    def reference_implant(self, day: datetime) -> float:
        """Return the weight of the implant at the start of the restriction, or on the day if there is none."""
        held = self.restriction(day)
        return self.implant(held.start if held else day)

    def reference_weight(self, day: datetime) -> float:
        """Return the weight at the start of the restriction, without the implant."""
        newest, held = self.restrictions[-1:], self.restriction(day)
        found: float | None = None
        if newest and newest[0].weight and day >= newest[0].start:
            found = newest[0].weight
        elif held is not None:
            found = held.weight or last(self.weighings, held.start, None)
        return 0.0 if found is None else found - self.reference_implant(day)

    def shares(self, day: datetime) -> float:
        """Return the weight below which a subject is underweight, without the implant.

        A real Alyx takes a share of the weight that its growth tables expect at this age; the emulator has no such
        tables, and takes the reference weight instead.
        """
        return self.reference_weight(day) * (self.reference_share + self.zscore_share)

    def expected_weight(self, day: datetime) -> float:
        """Return the weight that is expected, with the implant; 0 where the lab does not define one."""
        if not self.reference_share + self.zscore_share:
            return 0
        return self.reference_weight(day) + (self.implant(day) or 0.0)

    def expected_water(self, day: datetime) -> float:
        """Return the daily need in ml: 4 % of the weight in g, 5 % for a subject that is underweight."""
        implant = self.implant(day) or 0.0
        weight = last(self.weighings, day, 0.0)
        share = self.reference_share + self.zscore_share
        least = share * (self.expected_weight(day) - implant) + implant
        return 0.05 * (weight - implant) if weight < least else 0.04 * (weight - implant)

    def water(self, day: datetime, in_session: bool | None = None) -> float:
        """Return the water given on a day: all, or only that given in (or outside of) a session."""
        amounts = [
            amount
            for time, amount, session in self.given
            if time.date() == day.date() and amount is not None and in_session in (None, session)
        ]
        return sum(amounts)

    def remaining_water(self, day: datetime) -> float:
        """Return the water that is still to be given on a day."""
        return self.expected_water(day) - self.water(day)

    def row(self, day: datetime) -> Record:
        """Return the record of one day."""
        implant, weight = self.implant(day), last(self.weighings, day, 0)
        expected, bare = self.expected_weight(day), self.expected_weight(day) - (implant or 0.0)
        on_day = [value for time, value in self.weighings if time.date() == day.date()]
        return {
            "date": day.date().isoformat(),
            "weight": weight,
            "weighing_at": on_day[-1] if on_day else None,
            "reference_weight": self.reference_weight(day),
            "expected_weight": expected,
            "min_weight": self.shares(day) + (implant or 0.0),
            "percentage_weight": 100 * (weight - (implant or 0.0)) / bare if bare > 0 else 0.0,
            "given_water_reward": self.water(day, True),
            "given_water_supplement": self.water(day, False),
            "given_water_total": self.water(day),
            "expected_water": self.expected_water(day),
            "excess_water": -self.remaining_water(day),
            "is_water_restricted": self.restriction(day) is not None,
            "implant_weight": implant,
        }

    def days(self, start: str | None, end: str | None) -> Iterator[datetime]:
        """Iterate over the days from the first record (or birth) until today, or between two given days."""
        times = [item[0] for item in self.given] + [item[0] for item in self.weighings]
        first = noon(start) if start else min(times, default=self.birth)
        final = noon(end) if end else self.now
        if first is None:
            raise Failed("")
        for number in range((final.date() - first.date()).days + 1):
            yield first + timedelta(number)


def last(values: list[Weight], day: datetime, default: T) -> float | T:
    """Return the last value up to a day."""
    return next((value for time, value in reversed(values) if time.date() <= day.date()), default)


def noon(text: str) -> datetime:
    """Parse a date. Raise Failed with Python's own complaint."""
    try:
        return datetime.strptime(f"{text} 12:00:00", "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise Failed(str(error)) from None


def water_control(rows: Records, subject: Record) -> WaterControl:
    """Collect the values that determine the water of a subject."""
    lab, name = rows.get("labs", subject["lab"]) or {}, subject["nickname"]
    zone = ZoneInfo(lab.get("timezone") or "UTC")

    def local(time: datetime) -> datetime:
        return time.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)

    def records(endpoint: str, time: str) -> list[tuple[datetime, Record]]:
        found = [
            (datetime.fromisoformat(item[time]).replace(tzinfo=None), item)
            for item in rows.all(endpoint, subject=name)
        ]
        return sorted(found, key=lambda pair: pair[0])

    return WaterControl(
        local(rows.clock()),
        lab.get("reference_weight_pct") or 0.0,
        lab.get("zscore_weight_pct") or 0.0,
        noon(subject["birth_date"]) if subject.get("birth_date") else None,
        [
            Restriction(
                time, item["end_time"] and datetime.fromisoformat(item["end_time"]), item["reference_weight"]
            )
            for time, item in records("water-restriction", "start_time")
        ],
        [(local(time), item["weight"]) for time, item in records("weighings", "date_time")],
        [
            (local(time), item["implant_weight"])
            for time, item in records("surgeries", "start_time")
            if item["implant_weight"]
        ],
        [
            (local(time), item["water_administered"], bool(item["session"]))
            for time, item in records("water-administrations", "date_time")
        ],
    )


def water_requirement(rows: Records, nickname: str, start: str | None, end: str | None) -> Record:
    """Return the body of ``/water-requirement/<nickname>``: one record for each day."""
    subject = rows.get("subjects", nickname)
    if subject is None:
        raise Failed("Subject matching query does not exist.")
    control = water_control(rows, subject)
    records = [control.row(day) for day in control.days(start, end)]
    return {
        "subject": nickname,
        "implant_weight": control.reference_implant(datetime.fromisoformat(start) if start else control.now),
        "reference_weight_pct": control.reference_share,
        "zscore_weight_pct": control.zscore_share,
        "records": records,
    }
