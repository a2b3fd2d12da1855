"""Water requirements, compared with an independent reading of the weighings and the water of the recorded world.

The recordings have six answers of a real Alyx, which test_recorded.py compares; days are those of the lab's time zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
SUBJECTS = ["KS014", "KS046", "RV_1085", "RV_2240"]


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world, now=lambda: world.now)
    yield app
    app.store.close()


async def requirement(app: App, subject: str, method: str = "GET", **query: str) -> httpx.Response:
    headers = {"authorization": f"Token {app.token('admin')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        url = f"https://alyx.test/water-requirement/{subject}"
        return await client.request(method, url, params=query)


def by_day(world: World, endpoint: str, subject: str) -> dict[date, list[dict[str, Any]]]:
    """The records of a subject by their day in the lab, oldest first."""
    lab = next(s["lab"] for s in world.records["subjects"]["list"] if s["nickname"] == subject)
    zone = ZoneInfo(world.records["labs"]["detail"][lab]["timezone"])
    found: dict[date, list[dict[str, Any]]] = {}
    rows = [row for row in world.records[endpoint]["list"] if row["subject"] == subject]
    for row in sorted(rows, key=lambda row: str(row["date_time"])):
        when = datetime.fromisoformat(row["date_time"]).replace(tzinfo=UTC).astimezone(zone)
        found.setdefault(when.date(), []).append(row)
    return found


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_each_day_has_its_weight_and_its_water(app: App, world: World, subject: str) -> None:
    weighings = by_day(world, "weighings", subject)
    given = by_day(world, "water-administrations", subject)
    first, final = min([*weighings, *given], default=date(2020, 1, 1)), date(2022, 12, 31)
    final = max([final, *weighings, *given])
    dates = {"start_date": str(first), "end_date": str(final)}
    body = (await requirement(app, subject, **dates)).json()
    assert [row["date"] for row in body["records"]] == [
        str(first + timedelta(n)) for n in range((final - first).days + 1)
    ]
    weight = 0.0
    for row in body["records"]:
        day = date.fromisoformat(row["date"])
        weighed = [item["weight"] for item in weighings.get(day, ())]
        weight = weighed[-1] if weighed else weight
        assert row["weighing_at"] == (weighed[-1] if weighed else None)
        assert row["weight"] == weight
        water = [(item["water_administered"] or 0, bool(item["session"])) for item in given.get(day, ())]
        assert row["given_water_total"] == pytest.approx(sum(amount for amount, _ in water))
        assert row["given_water_reward"] == pytest.approx(sum(amount for amount, session in water if session))
        rest = row["given_water_total"] - row["given_water_reward"]
        assert row["given_water_supplement"] == pytest.approx(rest)
        assert row["excess_water"] == pytest.approx(row["given_water_total"] - row["expected_water"])
        share = row["expected_water"] / (row["weight"] - row["implant_weight"] or 1)
        assert share == 0 or share == pytest.approx(0.04) or share == pytest.approx(0.05)


async def test_without_dates_it_goes_from_the_first_record_until_today(app: App, world: World) -> None:
    rows = (await requirement(app, "KS046")).json()["records"]
    assert (rows[0]["date"], rows[-1]["date"]) == ("2024-12-18", str(world.now.date()))
    born = next(s for s in world.records["subjects"]["list"] if s["nickname"] == "ibl_summit_29")
    rows = (await requirement(app, "ibl_summit_29")).json()["records"]
    assert (rows[0]["date"], rows[-1]["date"]) == (born["birth_date"], str(world.now.date()))


@pytest.mark.parametrize(
    ("subject", "query", "text"),
    [
        (
            "KS046",
            {"start_date": "15/01/2025"},
            "time data '15/01/2025 12:00:00' does not match format '%Y-%m-%d %H:%M:%S'",
        ),
        (
            "KS046",
            {"end_date": "soon"},
            "time data 'soon 12:00:00' does not match format '%Y-%m-%d %H:%M:%S'",
        ),
        ("KS099", {}, ""),
        ("Nobody", {}, "Subject matching query does not exist."),
    ],
)
async def test_what_cannot_be_computed_is_an_error_500(
    app: App, subject: str, query: dict[str, str], text: str
) -> None:
    response = await requirement(app, subject, **query)
    assert (response.status_code, response.json()) == (500, {"status_code": 500, "detail": text})


async def test_it_can_only_be_read(app: App) -> None:
    response = await requirement(app, "KS046", method="POST")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
