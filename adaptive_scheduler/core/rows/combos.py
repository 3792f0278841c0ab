"""Combinations of parameters as the database stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain_values(value: Any) -> Any:
    """Turn NumPy's scalars and arrays into Python's, tuples into lists, keys into texts."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(one) for one in value]
    if hasattr(value, "tolist") and hasattr(value, "shape"):  # NumPy's scalars have both
        return plain_values(value.tolist())
    return value
