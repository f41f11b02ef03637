"""Reading a YAML file of the user's, with one line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import ConfigError


class _NoKeyTwice(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word: of two ids, one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key!r} twice in one mapping")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        """YAML 1.1 reads 24:00:00 as a number in base 60; whoever writes that means a time."""
        return node.value if ":" in node.value else super().construct_yaml_int(node)


_NoKeyTwice.add_constructor("tag:yaml.org,2002:int", _NoKeyTwice.construct_yaml_int)


def read_yaml(path: Path, what: str) -> Any:
    """The content of a file that is to hold ``what``, such as "a grid".

    Raises:
        ConfigError: one line naming the file, for one that is not there, no YAML, or has a key twice in one mapping.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _NoKeyTwice)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected {what} in YAML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}), expected {what} in YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from None
