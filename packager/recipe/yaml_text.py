"""YAML as recipes have it: stricter than its library, which keeps the last of two keys and reads `1:30` as 90.

`Loader` raises `yaml.YAMLError`, which `place_of` and `mend` put into words.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"
NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)",
    "tag:yaml.org,2002:float": r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?"
    r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}
"""How YAML 1.1 writes numbers, but for those to the base of 60."""


class Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice; YAML would silently keep the last. A key beside a merged part
    (`<<: *name`) is no second one: it holds. `1:30` is text here, not 90: nobody writes numbers to the base of 60."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, IndexError, AttributeError) as error:  # a month that no year has, `!!bool maybe`
            problem = f"'{str(node.value)[:40]}' cannot be read ({error}); text stands in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value if key.tag != MERGE]
        if sum(key.tag == MERGE for key, _ in node.value) > 1:
            keys += ["<<", "<<"]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"given twice: {', '.join(sorted(twice))}", node.start_mark
            )
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in NUMBERS.items():
    Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list("-+.0123456789"))


def place_of(error: Exception) -> str:
    """Where YAML found what is wrong, and what."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or not problem:
        return str(error)
    if problem.startswith("found character '\\t'"):
        problem = "a tab, where YAML wants spaces"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}."


def mend(error: Exception) -> str:
    return "write spaces instead of it" if "\\t" in str(error) else "correct that line, or the one above it"
