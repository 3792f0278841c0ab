"""JSON for programs: one value a line."""

from __future__ import annotations

import sys
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Plain data of a struct; fields that have their default value are there, too."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return [plain(one) for one in value] if isinstance(value, list) else value


def print_json(value: Any) -> None:
    """Print one line, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()
