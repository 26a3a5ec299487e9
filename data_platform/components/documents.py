"""Parses the YAML of `defs/`. A feed's parsing is the slowest part of loading it. No component is known here."""

from __future__ import annotations

from typing import Any

import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str) -> Any:
    """The one document in a YAML text, as `yaml.safe_load` returns it. It takes half the time, because it builds the
    kinds of values that feeds mostly have itself. Raises yaml.YAMLError."""
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node)
    finally:
        loader.dispose()


def _value(loader: Any, node: yaml.Node) -> Any:
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    if node.tag == "tag:yaml.org,2002:seq":
        return [_value(loader, item) for item in node.value]
    if node.tag == "tag:yaml.org,2002:map" and all(key.tag == "tag:yaml.org,2002:str" for key, _ in node.value):
        return {key.value: _value(loader, value) for key, value in node.value}
    return loader.construct_object(node, deep=True)  # numbers, dates, merged mappings, tagged values
