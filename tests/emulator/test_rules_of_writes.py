"""Rules of writing of Alyx 3.6.1 that its recordings show once or not at all, each applied to several endpoints.

The expected texts are those that Alyx 3.6.1 with Django REST framework 3.16 answers to the same requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from app_requests import ask

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
REQUIRED = "This field is required."


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world, data_url="https://data.test", now=lambda: world.now)
    yield app
    app.store.close()


@pytest.fixture
def written(world: World) -> Iterator[App]:
    """An emulator that a test may write to."""
    app = App(world, data_url="https://data.test", now=lambda: world.now)
    yield app
    app.store.close()


def first(world: World, endpoint: str) -> str:
    return str(next(iter(world.records[endpoint]["detail"])))


# ---- bodies that are no object ----


@pytest.mark.parametrize("endpoint", ["projects", "subjects", "sessions", "tags", "datasets", "trajectories"])
async def test_null_is_no_data(app: App, world: World, endpoint: str) -> None:
    targets = [("POST", f"/{endpoint}"), ("PATCH", f"/{endpoint}/{first(world, endpoint)}")]
    for method, target in targets:
        response = await ask(
            app, method, target, content=b"null", headers={"content-type": "application/json"}
        )
        assert response.status_code == 400
        assert response.json() == {"non_field_errors": ["No data provided"], "status_code": 400}


@pytest.mark.parametrize("path", ["/register-file", "/new-download", "/trajectories"])
@pytest.mark.parametrize(("body", "kind"), [([], "list"), ("a", "str"), (5, "int")])
async def test_some_views_fail_on_what_is_no_object(app: App, path: str, body: Any, kind: str) -> None:
    response = await ask(app, "POST", path, json=body)
    assert (response.status_code, response.json()["detail"]) == (
        500,
        f"'{kind}' object has no attribute 'get'",
    )


# ---- references ----


@pytest.mark.parametrize(
    ("endpoint", "body", "text"),
    [
        ("sessions", {"subject": ""}, "This field may not be null."),
        ("sessions", {"lab": ""}, "This field may not be null."),
        ("channels", {"brain_region": ""}, "This field may not be null."),
        ("water-administrations", {"subject": [None]}, "Object with nickname=[None] does not exist."),
        ("sessions", {"lab": {"a": 1}}, "Object with name={'a': 1} does not exist."),
        ("tasks", {"session": "x"}, "“x” is not a valid UUID."),
        ("tasks", {"session": 5}, "Object with id=5 does not exist."),
        ("channels", {"brain_region": "x"}, "Invalid value."),
        ("surgeries", {"location": True}, "Incorrect type. Expected pk value, received bool."),
        ("fields-of-view", {"session": 5}, 'Invalid pk "5" - object does not exist.'),
        ("channels", {"brain_region": 10**30}, f"Object with id={10**30} does not exist."),
        ("files", {"dataset": 5}, "Incorrect type. Expected URL string, received int."),
        ("files", {"dataset": "x"}, "Invalid hyperlink - No URL match."),
        ("datasets", {"subject": "x"}, "Object with nickname=x does not exist."),
        ("datasets", {"number": "x"}, "A valid integer is required."),
        ("notes", {"image": None}, "This field may not be null."),
        ("surgeries", {"outcome_type": "x"}, '"x" is not a valid choice.'),
        ("users", {"email": "x"}, "Enter a valid email address."),
        ("data-repository", {"data_url": []}, "Enter a valid URL."),
        ("dataset-types", {"filename_pattern": "*spikes.times*.npy"}, None),
    ],
)
async def test_what_a_reference_or_a_choice_must_be(
    app: App, world: World, endpoint: str, body: dict[str, Any], text: str | None
) -> None:
    if text is None:
        text = "dataset type with this filename pattern already exists."
        rows = world.records["dataset-types"]["list"]
        body = {
            "filename_pattern": next(row["filename_pattern"] for row in rows[1:] if row["filename_pattern"])
        }
    response = await ask(app, "PATCH", f"/{endpoint}/{first(world, endpoint)}", json=body)
    assert response.status_code == 400
    assert response.json() == {**{name: [text] for name in body}, "status_code": 400}


# ---- what must be there ----


@pytest.mark.parametrize(
    ("endpoint", "body", "missing"),
    [
        ("insertions", {}, ["name"]),
        ("insertions", {"name": "probe07"}, ["session"]),
        ("fields-of-view", {}, ["name", "session"]),
        ("channels", {"axial": 1}, ["trajectory_estimate"]),
        ("tasks", {"name": "x"}, ["session"]),
        ("data-formats", {"name": "x"}, ["file_extension"]),
        ("users", {}, ["username", "subjects_responsible", "allowed_users"]),
        ("subjects", {}, ["lab"]),
        ("files", {}, ["dataset", "data_repository", "relative_path"]),
    ],
)
async def test_fields_that_a_new_record_needs(app: App, endpoint: str, body: Any, missing: list[str]) -> None:
    response = await ask(app, "POST", f"/{endpoint}", json=body)
    assert response.status_code == 400
    assert response.json() == {**{name: [REQUIRED] for name in missing}, "status_code": 400}


async def test_a_field_that_must_be_unique_together_with_others_has_a_default_in_put(
    written: App, world: World
) -> None:
    channel = first(world, "channels")
    assert (await ask(written, "PATCH", f"/channels/{channel}", json={})).json()["axial"] is not None
    body = (await ask(written, "PUT", f"/channels/{channel}", json={})).json()
    assert (body["axial"], body["lateral"]) == (None, None)
    task = first(world, "tasks")
    assert (await ask(written, "PUT", f"/tasks/{task}", json={})).json()["name"] is None


# ---- patterns and ranges ----


@pytest.mark.parametrize(
    ("endpoint", "body", "texts"),
    [
        (
            "labs",
            {"name": "new-lab"},
            ["Lab name must only contain letters, numbers, and underscores."],
        ),
        ("data-repository", {"name": "x", "hostname": "a b"}, ["Invalid hostname"]),
        (
            "data-formats",
            {"name": "x", "file_extension": "npy"},
            ["Invalid file extension, should start with a dot"],
        ),
        (
            "revisions",
            {"name": "a" * 300 + "!"},
            [
                "Revisions must only contain letters, numbers, hyphens, underscores and forward slashes.",
                "Ensure this field has no more than 255 characters.",
            ],
        ),
    ],
)
async def test_a_text_names_each_rule_that_it_breaks(
    app: App, endpoint: str, body: Any, texts: list[str]
) -> None:
    response = await ask(app, "POST", f"/{endpoint}", json=body)
    assert response.status_code == 400
    [complaint] = [value for name, value in response.json().items() if name != "status_code"]
    assert complaint == texts


@pytest.mark.parametrize(
    ("endpoint", "field", "value", "text"),
    [
        ("tasks", "priority", 2**15, "Ensure this value is less than or equal to 32767."),
        ("tasks", "cpu", -(2**15) - 1, "Ensure this value is greater than or equal to -32768."),
        ("sessions", "n_trials", 2**31, "Ensure this value is less than or equal to 2147483647."),
        ("sessions", "number", -(2**40), "Ensure this value is greater than or equal to -2147483648."),
    ],
)
async def test_whole_numbers_have_the_range_of_their_column(
    app: App, world: World, endpoint: str, field: str, value: int, text: str
) -> None:
    response = await ask(app, "PATCH", f"/{endpoint}/{first(world, endpoint)}", json={field: value})
    assert (response.status_code, response.json()) == (400, {field: [text], "status_code": 400})


async def test_a_form_that_is_silent_about_a_box_or_a_list_clears_it(written: App, world: World) -> None:
    tag = next(row for row in world.records["tags"]["list"] if row["protected"] and row["public"])
    kept = (await ask(written, "PATCH", f"/tags/{tag['name']}", data={"description": "x"})).json()
    assert (kept["protected"], kept["public"]) == (True, True)
    cleared = (await ask(written, "PUT", f"/tags/{tag['name']}", data={"name": tag["name"]})).json()
    assert (cleared["protected"], cleared["public"]) == (False, False)
    notice = next(row for row in world.records["data-notices"]["list"] if row["datasets"])
    body = (await ask(written, "PUT", f"/data-notices/{notice['id']}", data={"name": "x"})).json()
    assert body["datasets"] == []


# ---- effects on other records ----


async def test_the_responsible_user_lists_a_subject(written: App) -> None:
    async def subjects(user: str) -> list[str]:
        found = (await ask(written, "GET", f"/users/{user}")).json()["subjects_responsible"]
        return [str(name) for name in found]

    before = await subjects("bruno")
    body = {"nickname": "KS500", "lab": "cortexlab", "responsible_user": "bruno"}
    assert (await ask(written, "POST", "/subjects", json=body)).status_code == 201
    assert await subjects("bruno") == sorted([*before, "KS500"])
    await ask(written, "PATCH", "/subjects/KS500", json={"responsible_user": "alice"})
    assert await subjects("bruno") == before
    assert "KS500" in await subjects("alice")
    changed = await ask(written, "PATCH", "/users/chiara", json={"subjects_responsible": ["KS500"]})
    assert changed.json()["subjects_responsible"] == ["KS500"]
    assert (await ask(written, "GET", "/subjects/KS500")).json()["responsible_user"] == "chiara"
    await ask(written, "DELETE", "/subjects/KS500")
    assert await subjects("chiara") == []


async def test_death_ends_a_water_restriction(written: App) -> None:
    restricted = (await ask(written, "GET", "/water-restricted-subjects")).json()["results"]
    assert [row["nickname"] for row in restricted] == ["KS046"]
    changed = await ask(written, "PATCH", "/subjects/KS046", json={"death_date": "2025-01-14"})
    assert changed.json()["last_water_restriction"] is None
    assert (await ask(written, "GET", "/water-restricted-subjects")).json()["count"] == 0
    rows = (await ask(written, "GET", "/water-restriction?subject=KS046")).json()["results"]
    assert [row["end_time"] for row in rows] == ["2025-01-14T00:00:00"]


async def test_a_probe_holds_the_datasets_of_the_collections_that_its_name_is_in(
    written: App, world: World
) -> None:
    probe = next(row for row in world.records["insertions"]["list"] if row["datasets"])
    target = f"/insertions/{probe['id']}"
    assert (await ask(written, "PATCH", target, json={"name": "nosuch"})).json()["datasets"] == []
    renamed = (await ask(written, "PATCH", target, json={"name": probe["name"].upper()})).json()["datasets"]
    rows = (await ask(written, "GET", f"/datasets?session={probe['session']}&exists=True&limit=1000")).json()
    wanted = {r["url"] for r in rows["results"] if probe["name"] in (r["collection"] or "")}
    assert wanted
    assert {row["url"] for row in renamed} == wanted
    listed = (await ask(written, "GET", f"/insertions?id={probe['id']}")).json()["results"]
    assert set(probe["datasets"]) == set(listed[0]["datasets"])


async def test_a_new_channel_saves_its_trajectory(written: App, world: World) -> None:
    track = first(world, "trajectories")
    body = {"trajectory_estimate": track, "axial": 1.5, "lateral": 2.5}
    assert (await ask(written, "POST", "/channels", json=body)).status_code == 201
    shown = (await ask(written, "GET", f"/trajectories/{track}")).json()
    assert shown["datetime"] == world.now.isoformat()


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("POST", "/projects", {"name": "x"}, "'LabMember' object is not iterable"),
        ("PUT", "/projects/practice", {"name": "practice"}, "'LabMember' object is not iterable"),
        ("PATCH", "/subjects/KS046", {"json": [1]}, "'list' object has no attribute 'get'"),
        ("POST", "/chronic-insertions", {"name": "x"}, 'null value in column "subject_id"'),
        ("PATCH", "location", {"x": [1, "a"]}, "Field 'x' expected a number but got 'a'."),
        ("PATCH", "location", {"n_xyz": ["1.5"]}, "Field 'n_xyz' expected a number but got '1.5'."),
    ],
)
async def test_where_alyx_itself_fails(
    app: App, world: World, method: str, path: str, body: Any, text: str
) -> None:
    path = f"/fov-location/{first(world, 'fov-location')}" if path == "location" else path
    response = await ask(app, method, path, json=body)
    assert response.status_code == 500
    assert response.json()["detail"].startswith(text)


# ---- register-file and new-download ----


def registration(**changes: Any) -> dict[str, Any]:
    given = {"created_by": "alice", "name": "cortexlab_SR", "path": "KS046/2024-12-31/001"}
    return {**given, "filenames": ["alf/_ibl_trials.table.pqt"], **changes}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"filenames": None}, "'NoneType' object is not iterable"),
        ({"hashes": 5}, "'int' object is not iterable"),
        ({"versions": True}, "'bool' object is not iterable"),
        ({"projects": None}, 'can only concatenate list (not "NoneType") to list'),
        ({"labs": 5}, "unsupported operand type(s) for +: 'int' and 'list'"),
        ({"path": 5}, "'int' object has no attribute 'replace'"),
        ({"created_by": ["alice"]}, "LabMember matching query does not exist."),
        (
            {"path": "KS046/2024-02-30/001"},
            "['“2024-02-30” value has the correct format (YYYY-MM-DD) but it is an invalid date.']",
        ),
    ],
)
async def test_register_file_fails_on_values_of_another_type(
    written: App, changes: dict[str, Any], text: str
) -> None:
    response = await ask(written, "POST", "/register-file", json=registration(**changes))
    assert (response.status_code, response.json()["detail"]) == (500, text)


async def test_register_file_takes_qc_by_number_and_no_absolute_name(written: App) -> None:
    for qc, level in ((10, 10), ("50", 50), ("warning", 30), (None, 0)):
        [body] = (await ask(written, "POST", "/register-file", json=registration(qc=[qc]))).json()
        assert body["qc"] == level
    refused = await ask(
        written, "POST", "/register-file", json=registration(filenames=["/alf/spikes.times.npy"])
    )
    assert (refused.status_code, refused.json()["detail"][:17]) == (400, "Invalid ALF path.")


async def test_a_revision_that_becomes_the_default_saves_the_one_before(written: App, world: World) -> None:
    files = {"path": "KS046/2024-12-30/001", "filenames": ["alf/#2024-02-15#/_ibl_trials.table.pqt"]}
    query = "/datasets?subject=KS046&date=2024-12-30&name=_ibl_trials.table.pqt"
    [before] = (await ask(written, "GET", query)).json()["results"]
    assert before["default_dataset"]
    assert before["auto_datetime"] != world.now.isoformat()
    assert (await ask(written, "POST", "/register-file", json=registration(**files))).status_code == 201
    after = {row["revision"]: row for row in (await ask(written, "GET", query)).json()["results"]}
    assert (after[""]["default_dataset"], after["2024-02-15"]["default_dataset"]) == (False, True)
    assert after[""]["auto_datetime"] == world.now.isoformat()


@pytest.mark.parametrize(
    ("datasets", "text"),
    [
        ("x", "['“x” is not a valid UUID.']"),
        ("", "['“” is not a valid UUID.']"),
        ([None], "Dataset matching query does not exist."),
        (5, "'int' object is not iterable"),
    ],
)
async def test_new_download_fails_on_what_is_no_dataset(app: App, datasets: Any, text: str) -> None:
    response = await ask(app, "POST", "/new-download", json={"datasets": datasets})
    assert (response.status_code, response.json()["detail"]) == (500, text)
