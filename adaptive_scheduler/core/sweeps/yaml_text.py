"""Reads YAML: what a sweep's file says, without what the format hides."""

from __future__ import annotations

from typing import Any

import yaml

from adaptive_scheduler.errors import InputError

_MERGE = "tag:yaml.org,2002:merge"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class SweepLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML takes the last one; leaves dates as texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as its base class has it
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002
        """Make a dict."""
        merges = any(key.tag == _MERGE for key, _ in node.value)  # then the last one is meant
        found = super().construct_mapping(node, deep=True)
        if len(found) < len(node.value) and not merges:
            self._refuse_second(node)
        return found

    def _refuse_second(self, node: yaml.MappingNode) -> None:
        seen: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:  # as 1, 1.0 and true are
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.append(key)


def read_documents(text: str, name: str) -> list[Any]:
    """Return the documents of a YAML text; an empty one is None.

    Parameters
    ----------
    text : str
    name : str
        Of its file, for errors.

    Raises
    ------
    InputError
        It is no YAML.
    """
    try:
        return list(yaml.load_all(text, Loader=SweepLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise InputError(f"{name}{where} is no YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name} is no YAML: {' '.join(str(error).split()):.300}") from error
