"""Users and subjects of the seeded world, and the records of an animal: weight, water, surgery."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from one_async.emulator.seeded_datasets import ALYX, Record
from one_async.emulator.seeded_files import uid
from one_async.emulator.seeded_plan import NOW, Session
from one_async.emulator.seeded_vocabulary import endpoint
from one_async.emulator.seeded_words import LABS, SUBJECTS, USERS

__all__ = ["people_records", "water_in_session"]

WATER = "Water 10% Sucrose"


def people_records(plan: list[Session]) -> dict[str, Record]:
    """Return the endpoints of users and subjects."""
    subjects, weighings, water, restrictions = [], [], [], []
    for nickname in sorted(SUBJECTS):
        mine = [s for s in plan if s.subject == nickname and s.protocol]
        weighed = [_weighing(s, n) for n, s in enumerate(mine) if n % 4 == 0]
        drunk = [row for s in mine if (row := _administration(s)) is not None]
        row = _subject(nickname, mine)
        subjects.append((row, {**row, "weighings": weighed, "water_administrations": drunk}))
        weighings += weighed
        water += drunk
        restrictions.append(_restriction(nickname, mine))
    restrictions.sort(key=lambda row: (row["end_time"], row["start_time"]), reverse=True)
    return {
        "users": endpoint(map(_user, sorted(USERS)), "username"),
        "subjects": {
            "list": [row for row, _ in subjects],
            "detail": {row["nickname"]: detail for row, detail in subjects},
        },
        "weighings": {"list": weighings, "detail": {row["url"][-36:]: row for row in weighings}},
        "water-administrations": {"list": water, "detail": {row["url"][-36:]: row for row in water}},
        "water-restriction": {"list": restrictions, "detail": {}},
        "water-restricted-subjects": {"list": [], "detail": {}},
        "surgeries": endpoint(_surgeries(plan)),
    }


def _user(name: str) -> Record:
    mine = [lab for lab, (_, _, user) in LABS.items() if user == name]
    return {
        "id": uid("user", name),
        "username": name,
        "email": f"{name}@example.org",
        "subjects_responsible": sorted(s for s, (lab, _, _) in SUBJECTS.items() if lab in mine),
        "lab": mine,
        "allowed_users": [],
        "is_stock_manager": False,
    }


def _subject(nickname: str, mine: list[Session]) -> Record:
    lab, sex, with_probes = SUBJECTS[nickname]
    first, last = mine[0].start.date(), mine[-1].start.date()
    birth = first - timedelta(days=90)
    death = last + timedelta(days=2 if with_probes else 14) if last < date(2025, 2, 1) else None
    projects = sorted({name for s in mine for name in s.projects})
    weight = _weight(mine[0], 0)
    return {
        "nickname": nickname,
        "url": f"{ALYX}/subjects/{nickname}",
        "id": uid("subject", nickname),
        "responsible_user": LABS[lab][2],
        "birth_date": birth.isoformat(),
        "age_weeks": ((death or NOW.date()) - birth).days // 7,
        "death_date": death.isoformat() if death else None,
        "species": "Laboratory mouse",
        "sex": sex,
        "litter": None,
        "strain": "C57BL/6J",
        "source": "Charles River",
        "line": "C57BL/6J",
        "projects": [name for name in projects if name != "practice"],
        "session_projects": projects,
        "lab": lab,
        "genotype": [],
        "description": "",
        "alive": death is None,
        "reference_weight": weight,
        "last_water_restriction": None,
        "expected_water": round(0.04 * weight, 4),
        "remaining_water": round(0.04 * weight, 4),
        "json": None,
    }


def _weight(session: Session, number: int) -> float:
    heavy = 24.0 if SUBJECTS[session.subject][1] == "M" else 20.0
    return round(heavy + 0.1 * number - 0.05 * (session.start.day % 11), 2)


def _weighing(session: Session, number: int) -> Record:
    at = session.start - timedelta(minutes=20)
    return {
        "subject": session.subject,
        "date_time": at.isoformat(),
        "weight": _weight(session, number),
        "user": session.users[0],
        "url": f"{ALYX}/weighings/{uid('weighing', session.path)}",
    }


def water_in_session(session: Session) -> tuple[str, float] | None:
    """Return the id and millilitres of the water given as a session's rewards; None if it was not recorded."""
    if session.n_correct is None or session.start.day % 3:
        return None
    return uid("water", session.path), round(session.n_correct * 0.0015, 4)


def _administration(session: Session) -> Record | None:
    given = water_in_session(session)
    return given and {
        "subject": session.subject,
        "date_time": session.end.isoformat(),
        "water_administered": given[1],
        "water_type": WATER,
        "user": session.users[0],
        "url": f"{ALYX}/water-administrations/{given[0]}",
        "session": session.id,
        "adlib": False,
    }


def _restriction(nickname: str, mine: list[Session]) -> Record:
    start, end = (datetime.combine(s.start.date(), time(9)) for s in (mine[0], mine[-1]))
    return {
        "subject": nickname,
        "start_time": (start - timedelta(days=7)).isoformat(),
        "end_time": end.isoformat(),
        "water_type": WATER,
        "reference_weight": _weight(mine[0], 0),
    }


def _surgeries(plan: list[Session]) -> list[Record]:
    rows = []
    for nickname, (lab, _, with_probes) in SUBJECTS.items():
        first = next(s for s in plan if s.subject == nickname)
        start = datetime.combine(first.start.date() - timedelta(days=21), time(10))
        if with_probes:
            rows.append(
                {
                    "id": uid("surgery", nickname),
                    "subject": nickname,
                    "name": "",
                    "json": None,
                    "narrative": "Headplate",
                    "start_time": start.isoformat(),
                    "end_time": (start + timedelta(minutes=70)).isoformat(),
                    "outcome_type": "r",
                    "implant_weight": 0.9,
                    "lab": uid("lab", lab),
                    "location": uid("location", f"_iblrig_{lab}_ephys_0"),
                    "users": [uid("user", LABS[lab][2])],
                    "procedures": [uid("procedure", "Headplate implant")],
                }
            )
    return sorted(rows, key=lambda row: str(row["start_time"]), reverse=True)
