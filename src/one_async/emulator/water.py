"""How much water a subject gets and should get, day by day: what `/water-requirement` computes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from .query import Failed
from .store import Store

__all__ = ["requirement"]

NORMAL, LOW = (
    0.04,
    0.05,
)  # millilitres for each gram of body weight; more below the lab's share of the reference
Timeline = list[tuple[Any, ...]]


def requirement(store: Store, now: datetime, nickname: str, query: dict[str, str]) -> dict[str, Any]:
    """Compute the records of one subject; Failed for an unknown subject or an unreadable date."""
    found = store.select(
        "SELECT l.reference_weight_pct, l.zscore_weight_pct, s.birth_date FROM subjects s"
        " LEFT JOIN labs l ON l.name = s.lab WHERE s.nickname = ?",
        nickname,
    )
    if not found:
        raise Failed("Subject matching query does not exist.")
    share, zscore, birth = found[0]
    timelines = {
        name: store.select(f"SELECT {columns} FROM {table} WHERE subject = ? ORDER BY 1", nickname)
        for name, columns, table in (
            ("weighings", "date_time, weight", "weighings"),
            ("water", "date_time, water_administered, session", '"water-administrations"'),
            ("restrictions", "start_time, end_time, reference_weight", '"water-restriction"'),
            ("surgeries", "start_time, implant_weight", "surgeries"),
        )
    }
    first = min([row[0] for name in ("weighings", "water") for row in timelines[name]], default=birth)
    start = day_of(query.get("start_date") or (first or now.isoformat())[:10])
    end = day_of(query.get("end_date") or now.date().isoformat())
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    return {
        "subject": nickname,
        "implant_weight": implant(timelines["surgeries"], max(now.date(), end)),
        "reference_weight_pct": share,
        "zscore_weight_pct": zscore,
        "records": [one_day(day, share or 0.0, timelines) for day in days],
    }


def day_of(text: str) -> date:
    """Read a date as Alyx does."""
    try:
        return datetime.strptime(f"{text} 12:00:00", "%Y-%m-%d %H:%M:%S").date()
    except ValueError as error:
        raise Failed(str(error)) from None


def until(rows: Timeline, day: date) -> Timeline:
    """Keep what began on a day or before."""
    return [row for row in rows if row[0][:10] <= day.isoformat()]


def implant(surgeries: Timeline, day: date) -> float:
    """Give the implant's weight in grams: that of the last surgery with one."""
    weights = [row[1] for row in until(surgeries, day) if row[1]]
    return float(weights[-1]) if weights else 0


def one_day(day: date, share: float, timelines: dict[str, Timeline]) -> dict[str, Any]:
    """Compute the record of one day."""
    today = day.isoformat()
    weighed = until(timelines["weighings"], day)
    weight = weighed[-1][1] if weighed else 0
    begun = until(timelines["restrictions"], day)
    restricted = any(row[1] is None or row[1][:10] >= today for row in begun)
    implanted = implant(timelines["surgeries"], day)
    reference = float(begun[-1][2] - implanted) if begun and begun[-1][2] else 0.0
    percentage = 100 * (weight - implanted) / reference if reference else 0.0
    expected = (LOW if reference and percentage < 100 * share else NORMAL) * (weight - implanted)
    given = [row for row in timelines["water"] if row[0][:10] == today]
    reward = sum(row[1] or 0 for row in given if row[2] is not None)
    supplement = sum(row[1] or 0 for row in given if row[2] is None)
    return {
        "date": today,
        "weight": weight,
        "weighing_at": weighed[-1][1] if weighed and weighed[-1][0][:10] == today else None,
        "reference_weight": reference,
        "expected_weight": reference + implanted,
        "min_weight": reference * share + implanted,
        "percentage_weight": percentage,
        "given_water_reward": reward,
        "given_water_supplement": supplement,
        "given_water_total": reward + supplement,
        "expected_water": expected,
        "excess_water": reward + supplement - expected,
        "is_water_restricted": restricted,
        "implant_weight": implanted,
    }
