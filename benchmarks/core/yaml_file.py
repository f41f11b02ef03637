"""Reading a YAML file of the user's, with one line for what is wrong, and writing a config."""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.core.errors import ConfigError
from results.files.bounded_yaml import BoundedLoader, load
from results.files.plain_file import read_plain_text


class _NoKeyTwice(BoundedLoader):
    """PyYAML keeps the last of two equal keys without a word: of two ids, one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        seen = set()
        for key in keys:
            if isinstance(key, Hashable) and key in seen:
                raise ValueError(f"{key!r} twice in one mapping")
            seen |= {key} if isinstance(key, Hashable) else set()  # PyYAML has a line for a list as a key
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        """YAML 1.1 reads 24:00:00 in base 60 and 0123 in base 8; whoever writes that means a time, and a name."""
        is_text = ":" in node.value or re.match(r"[-+]?0[0-9_]", node.value)
        return node.value if is_text else super().construct_yaml_int(node)


_NoKeyTwice.add_constructor("tag:yaml.org,2002:int", _NoKeyTwice.construct_yaml_int)  # type: ignore[type-var]


@lru_cache(maxsize=8)  # a grid of a thousand runs asks for its protocol a thousand times
def _parsed(text: str) -> Any:
    return load(text, _NoKeyTwice)


def read_yaml(path: Path, what: str) -> Any:
    """The content of a file that is to hold ``what``, such as "a grid".

    Raises:
        ConfigError: one line naming the file, for one that is not there, no YAML, beyond the
            bounds of `results.files.bounded_yaml`, or has a key twice in one mapping.
    """
    try:
        return copy.deepcopy(_parsed(read_plain_text(path)))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected {what} in YAML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}), expected {what} in YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from None


def dumped(cfg: Mapping[str, Any]) -> str:
    """The text of ``cfg.dump()``, by libyaml where PyYAML has it: of a thousand configs in one second, not in five."""
    return str(yaml.dump(_plain(cfg), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))


def _plain(value: Any) -> Any:
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value
