from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "alyx"


@cache
def exchanges() -> dict[str, dict[str, Any]]:
    """Every recorded read exchange: topic/name -> exchange."""
    paths = sorted(path for path in (DATA / "exchanges").glob("*/*.json") if path.parent.name != "scenarios")
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8")) for path in paths}
