"""Play a recorded scenario against an emulator: each step in order, with the recording's ids replaced by the emulator's."""

from __future__ import annotations

import base64
import json
import uuid
from functools import partial
from typing import Any

import anyio
import httpx
from recorded_exchanges import DATA, build, differences, tokens

from one_async.emulator.app import App

TOPICS = ("scenarios", "registration")


def scenarios() -> dict[str, list[dict[str, Any]]]:
    """Return every recorded scenario: topic/name -> steps."""
    paths = sorted(path for topic in TOPICS for path in (DATA / "exchanges" / topic).glob("*.json"))
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8")) for path in paths}


def replaced(value: Any, ours: dict[str, str]) -> Any:
    """Replace the recording's ids by those of the server under test."""
    text = json.dumps(value)
    for recorded, mine in ours.items():
        text = text.replace(recorded, mine)
    return json.loads(text)


def at(body: Any, path: str) -> Any:
    for token in tokens(path):
        body = body[int(token)] if isinstance(body, list) else body[token]
    return body


def learn(step: dict[str, Any], body: Any, ours: dict[str, str]) -> None:
    """Record the ids that the server under test made in a step."""
    for made in step.get("creates", ()):
        if made["value"] not in ours:
            try:
                ours[made["value"]] = str(at(body, made["path"])).rsplit("/", 1)[-1]
            except (KeyError, IndexError, TypeError):
                continue


def multipart(recorded: dict[str, Any], headers: dict[str, str]) -> bytes:
    """Return a multipart body."""
    lines = []
    for part in recorded["multipart"]:
        head = f'--limit\r\ncontent-disposition: form-data; name="{part["name"]}"'
        if "filename" in part:
            kind = f"\r\ncontent-type: {part['content_type']}" if part["content_type"] else ""
            content = base64.b64decode(part["base64"])
            lines.append(f'{head}; filename="{part["filename"]}"{kind}\r\n\r\n'.encode() + content)
        else:
            lines.append(f"{head}\r\n\r\n".encode() + part["value"].encode())
    headers["content-type"] = "multipart/form-data; boundary=limit"
    return b"\r\n".join([*lines, b"--limit--\r\n"])


def arguments(app: App, recorded: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of httpx's request for a recorded request."""
    found = build(app, recorded)
    if isinstance(recorded["body"], dict) and "multipart" in recorded["body"]:
        found["content"] = multipart(recorded["body"], found["headers"])
    return found


def in_any_order(value: Any) -> Any:
    """Sort what PostgreSQL returns without an order: file records and related records."""
    if isinstance(value, dict):
        return {k: sort(in_any_order(v)) if k in UNORDERED else in_any_order(v) for k, v in value.items()}
    return [in_any_order(item) for item in value] if isinstance(value, list) else value


UNORDERED = {"file_records", "data_dataset_session_related", "notes", "weighings", "water_administrations"}
UNORDERED |= {"genotype", "projects", "session_projects", "datasets"}


def sort(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return sorted(value, key=without_ids)


def without_ids(item: Any) -> str:
    shown = (
        {k: v for k, v in item.items() if "id" not in k and "url" not in k}
        if isinstance(item, dict)
        else item
    )
    return json.dumps(shown, sort_keys=True)


async def eight_at_once(app: App) -> None:
    """Post one session eight times concurrently; the recording has only the result."""
    request = {"method": "POST", "path": "/sessions", "query": []}
    request["headers"] = {"authorization": "Token <alice>", "content-type": "application/json"}
    request["body"] = {
        "subject": "KS046",
        "users": ["alice"],
        "number": 1,
        "start_time": "2025-01-14T00:00:00",
    }
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client,
        anyio.create_task_group() as group,
    ):
        for _ in range(8):
            group.start_soon(partial(client.request, **build(app, request)))


def make_ambiguous(app: App) -> None:
    """Add the type and the format that make a file name ambiguous; the recording lacks the requests for them."""
    kind = {"id": str(uuid.uuid4()), "name": "wheel.any", "created_by": None, "description": ""}
    app.store.insert("dataset-types", {**kind, "filename_pattern": "*wheel.*"})
    form = {
        "id": str(uuid.uuid4()),
        "json": None,
        "name": "npy2",
        "description": "",
        "file_extension": ".npy",
    }
    app.store.insert("data-formats", {**form, "matlab_loader_function": "", "python_loader_function": ""})


async def play(app: App, steps: list[dict[str, Any]]) -> list[str]:
    """Play all steps; return the differences between the answers and the recorded ones."""
    if "8 clients" in steps[0].get("note", ""):
        await eight_at_once(app)
    if any("ambiguous" in step.get("note", "") for step in steps):
        make_ambiguous(app)
    ours: dict[str, str] = {}
    found = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        for number, step in enumerate(steps):
            response = await client.request(**arguments(app, replaced(step["request"], ours)))
            if step["response"]["status"] is None:
                continue
            try:
                body = response.json()
            except ValueError:
                body = None
            learn(step, body, ours)
            wanted = replaced(step, ours)
            found += [f"step {number}: {text}" for text in step_differences(wanted, response, body)]
    return found


def step_differences(step: dict[str, Any], response: httpx.Response, body: Any) -> list[str]:
    recorded = step["response"]
    step = {**step, "response": {**recorded, "body": in_any_order(recorded["body"])}}
    if not step.get("unordered") and isinstance(body, dict) and "results" in body:
        step["unordered"] = ["$.results"]
    if isinstance(body, dict | list):
        response = httpx.Response(response.status_code, headers=response.headers, json=in_any_order(body))
        response.headers["content-type"] = "application/json"
    return differences(step, response)
