"""What a view says of itself when asked by OPTIONS, drawn from the schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .models import MODELS

__all__ = ["description"]

MEDIA = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
KINDS = {
    "date-time": "datetime",
    "date": "date",
    "integer": "integer",
    "number": "float",
    "boolean": "boolean",
}


def description(path: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a view: its name, its media types and the fields that a write takes."""
    operations = schema["paths"].get(path, {})
    endpoint = path.split("/")[1]
    singular = MODELS[endpoint].singular if endpoint in MODELS else endpoint.title()
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", singular)
    about: dict[str, Any] = {
        "name": f"{words} {'Detail' if '{' in path else 'List'}",
        "description": operations.get("get", {}).get("description", ""),
        "renders": ["application/json", "text/html"],
        "parses": MEDIA,
    }
    method = next((name for name in ("post", "put") if name in operations), None)
    content = operations[method].get("requestBody", {}).get("content", {}) if method else {}
    reference = content.get(MEDIA[0], {}).get("schema", {}).get("$ref")
    if method and reference:
        component = schema["components"]["schemas"][reference.rsplit("/", 1)[-1]]
        required = component.get("required", ())
        fields = {name: one_field(name, what, required) for name, what in component["properties"].items()}
        about["actions"] = {method.upper(): fields}
    return about


def one_field(name: str, what: Mapping[str, Any], required: Any) -> dict[str, Any]:
    """Describe one field."""
    value = what.get("oneOf", [what])[0]
    kind = KINDS.get(value.get("format", "")) or KINDS.get(value.get("type", ""))
    read_only = bool(what.get("readOnly"))
    about: dict[str, Any] = {
        "type": kind or ("string" if value.get("type") == "string" else "field"),
        "required": name in required and not read_only,
        "read_only": read_only,
        "label": name.replace("_", " ").capitalize(),
    }
    if "description" in what:
        about["help_text"] = what["description"]
    if "maxLength" in value:
        about["max_length"] = value["maxLength"]
    return about
