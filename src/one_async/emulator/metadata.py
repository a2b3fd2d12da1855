"""The answers to OPTIONS: what Django REST framework says of a view, from the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

from one_async.emulator.fields import WRITES
from one_async.emulator.models import MODELS

__all__ = ["describe"]

Json = dict[str, Any]
RENDERS = ["application/json", "text/html"]
PARSES = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
# Views whose classes are not named after their model
NAMES = {
    "users": ("UserList", "UserDetail"),
    "sessions": ("SessionAPIList", "SessionAPIDetail"),
    "weighings": ("WeighingAPIListCreate", "WeighingAPIDetail"),
    "water-administrations": ("WaterAdministrationAPIListCreate", "WaterAdministrationAPIDetail"),
    "locations": ("LabLocationList", "LabLocationAPIDetail"),
    "surgeries": ("SurgeriesList", "SurgeriesAPIDetail"),
    "water-type": ("WaterTypeList", "WaterTypeList"),
    "water-requirement": ("", "WaterRequirement"),
    "water-restricted-subjects": ("WaterRestrictedSubjectList", ""),
    "cache.zip": ("CacheDownload", ""),
    "cache": ("CacheVersion", "CacheVersion"),
    "uploaded": ("", "Uploaded"),
    "auth-token": ("ObtainAuthToken", ""),
    "register-file": ("RegisterFile", ""),
    "check-protected": ("ProtectedFile", ""),
    "sync-file-status": ("Sync", ""),
    "new-download": ("Download", ""),
}
FORMATS = {"date-time": "datetime", "date": "date", "email": "email", "uri": "url"}
TYPES = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean"}
# The endpoints whose records are nested in others, by the name of the component
NESTED = {
    "FOV": "fields-of-view",
    "FOVLocationList": "fov-location",
    "SessionList": "sessions",
    "WaterAdministrationDetail": "water-administrations",
    "WeighingDetail": "weighings",
}
# Texts that are read only without being computed
BARE = {("brain-regions", "acronym"), ("brain-regions", "name")}
# The limits of a field, as the framework and the document name them
LIMITS = {
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_value": "minimum",
    "max_value": "maximum",
}


def describe(schema: Json, path: str, endpoint: str, detail: bool, exists: bool) -> Json:
    """Return the description of a view; ``exists``: whether there is the record that a detail address names."""
    operations = schema["paths"].get(path, {})
    method = "put" if detail and "put" in operations else "post"
    described_by = "get" if endpoint in MODELS else "post" if endpoint == "new-download" else ""
    body: Json = {
        "name": view_name(endpoint, detail),
        "description": operations.get(described_by, {}).get("description", "").strip(),
        "renders": RENDERS,
        "parses": PARSES,
    }
    if method not in operations or not (exists or method == "post"):
        return body
    content = operations[method].get("requestBody", {}).get("content", {})
    component = component_of(schema, content.get("application/json", {}).get("schema", {}))
    body["actions"] = {method.upper(): fields(schema, component, endpoint) if component else {}}
    return body


def component_of(schema: Json, part: Json) -> Json:
    """Return the component that a part refers to, an empty one if there is none."""
    references = [part, *part.get("allOf", ()), *part.get("oneOf", ())]
    name = next((item["$ref"].rpartition("/")[2] for item in references if "$ref" in item), "")
    component: Json = schema["components"]["schemas"].get(name, {})
    return {**component, "name": name} if component else {}


def view_name(endpoint: str, detail: bool) -> str:
    """Return the name of a view, in words."""
    model = MODELS.get(endpoint)
    plain = (f"{model.singular}List", f"{model.singular}Detail") if model else ("", "")
    name = NAMES.get(endpoint, plain)[detail]
    return re.sub(r"((?<=[a-z])[A-Z])|([A-Z](?![A-Z]|$))", r" \g<0>", name).strip().title()


def fields(schema: Json, component: Json, endpoint: str = "") -> Json:
    """Return the description of each field of a component."""
    required = component.get("required", ())
    return {
        name: described(schema, name, part, name in required and not part.get("readOnly"), endpoint)
        for name, part in component["properties"].items()
    }


def described(schema: Json, name: str, part: Json, required: bool, endpoint: str) -> Json:
    """Return the description of one field."""
    part = {**part, **next((one for one in part.get("oneOf", ()) if "type" in one), {})}
    if name == "content_type":
        part = {}
    fixed = part.get("readOnly", False)
    taken = WRITES[endpoint].fields.get(name) if endpoint in WRITES else None
    inner, items = component_of(schema, part), component_of(schema, part.get("items", {}))
    choices = choices_of(inner)
    kind = "choice" if choices else kind_of(name, part, endpoint, taken is not None and bool(taken.target))
    kind = "nested object" if "properties" in inner else kind
    found: Json = {"type": kind, "required": required, "read_only": fixed}
    found["label"] = part.get("title") or name.replace("_", " ").capitalize()
    text = part.get("description", "").partition("\n\n* `")[0]
    if text and (taken is None or taken.kind not in ("slug", "link")):
        found["help_text"] = text
    if kind not in ("field", "choice"):
        found |= {ours: part[theirs] for ours, theirs in LIMITS.items() if theirs in part}
    if items:
        children = fields(schema, items, NESTED.get(items["name"], ""))
        child = {"type": "nested object", "required": False, "read_only": fixed}
        found["child"] = child | {"children": children}
    elif kind == "list":
        found["child"] = {"type": "field", "required": True, "read_only": False}
    if kind == "nested object":
        found["children"] = fields(schema, inner, NESTED.get(inner["name"], ""))
    return found | ({"choices": choices} if choices else {})


def kind_of(name: str, part: Json, endpoint: str, relation: bool) -> str:
    """Return the framework's name of a field's type."""
    fixed = part.get("readOnly", False)
    if relation or (fixed and (part.get("format") == "uri" or part.get("type") == "array")):
        return "field"
    if name == "image":
        return "image upload"
    if part.get("type") == "array":
        return "field" if "$ref" in part["items"] else "list"
    if fixed and part.get("type") == "string" and len(part) == 2 and (endpoint, name) not in BARE:
        return "field"  # computed by a method
    return FORMATS.get(part.get("format", ""), TYPES.get(part.get("type", ""), "field"))


def choices_of(component: Json) -> list[Json]:
    """Return the choices of an enumeration, whose names are in the component's description."""
    names = dict(re.findall(r"\* `(.*?)` - (.*)", component.get("description", "")))
    return [{"value": v, "display_name": names[str(v)]} for v in component.get("enum", ()) if str(v) in names]
