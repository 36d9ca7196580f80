"""YAML into plain values that know their lines. The same safe subset as LiteLLM reads, bounded.

Two differences from `yaml.safe_load`: a key that stands twice in a mapping is a fault, and dates
stay text (`api_version: 2024-10-21` is no date to anybody).
"""

from contextlib import suppress
from typing import cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from imagegate.config.faults import Faults, Path
from imagegate.config.prices import WrittenFloat
from imagegate.types import Json

SOURCE_BYTES_MAX = 4 * 1024 * 1024
VALUES_MAX = 200_000
DEPTH_MAX = 40

_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_MAPPING_TAG = "tag:yaml.org,2002:map"
_SEQUENCE_TAG = "tag:yaml.org,2002:seq"
_MERGE_TAG = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Composes nodes with a limit on depth; resolves no timestamps."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Compose one node; deeper than `DEPTH_MAX` is an error of the document."""
        self._depth += 1
        try:
            if self._depth > DEPTH_MAX:
                mark = self.get_mark()
                raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=mark)
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_TOO_DEEP = f"nested deeper than {DEPTH_MAX} levels"
_TOO_MANY = f"aliases expand to more than {VALUES_MAX} values; write fewer of them"


class _TooLarge(Exception):
    """The aliases of the document expand beyond all measure."""


def parse_document(text: str, faults: Faults) -> dict[str, Json]:
    """Return the document in `text`; `faults` learns its lines, and what is wrong with it.

    A document that cannot be read at all comes back as an empty mapping, with its fault noted.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return _Builder(loader, faults).document(node)
    except _TooLarge as error:
        faults.add((), str(error))
    except yaml.MarkedYAMLError as error:
        faults.lines = {("",): error.problem_mark.line + 1 if error.problem_mark else 0}
        faults.add(("",), f"this is no valid YAML: {_problem(error)}")
        faults.lines = {}
    except yaml.YAMLError as error:
        faults.add((), f"this is no valid YAML: {_first_line(str(error))}")
    finally:
        loader.dispose()
    return {}


def _problem(error: yaml.MarkedYAMLError) -> str:
    # The mark's snippet would quote the line, and with it perhaps a credential: leave it out.
    context = f" ({error.context})" if error.context else ""
    return f"{error.problem or 'it cannot be parsed'}{context}"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "it cannot be parsed"


class _Builder:
    """Turns nodes into values, counting them, because aliases can expand without end."""

    def __init__(self, loader: _Loader, faults: Faults) -> None:
        self._loader = loader
        self._faults = faults
        self._lines: dict[Path, int] = {}
        self._count = 0
        faults.lines = self._lines

    def document(self, node: Node | None) -> dict[str, Json]:
        if node is None:
            self._faults.add((), "the file is empty; begin with `model_list:`")
            return {}
        value = self._build(node, ())
        if not isinstance(value, dict):
            self._faults.add((), "the file must be a mapping; begin with `model_list:`")
            return {}
        return value

    def _build(self, node: Node, path: Path) -> Json:
        self._count += 1
        if self._count > VALUES_MAX or len(path) > DEPTH_MAX:
            raise _TooLarge(_TOO_MANY)
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode) and node.tag == _MAPPING_TAG:
            return self._build_mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _SEQUENCE_TAG:
            return [self._build(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._build_plain(node, path)

    def _build_plain(self, node: Node, path: Path) -> Json:
        """Return a scalar. Anything with a tag that is not plain YAML is a fault, and None."""
        if isinstance(node, ScalarNode):
            with suppress(yaml.YAMLError, ValueError):
                value = self._loader.construct_object(node)
                return WrittenFloat(value, node.value) if isinstance(value, float) else value
        text = "this value has a tag or form that is not allowed; write it in quotes"
        self._faults.add(path, text)
        return None

    def _build_mapping(self, node: MappingNode, path: Path) -> dict[str, Json]:
        merged: dict[str, Json] = {}
        own: dict[str, Json] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                merged = self._merge(value_node, path) | merged
            else:
                self._build_item(key_node, value_node, path, own)
        return merged | own

    def _build_item(
        self, key_node: Node, value_node: Node, path: Path, own: dict[str, Json]
    ) -> None:
        key = self._key(key_node)
        at = (*path, key)
        if key in own:
            self._lines[at] = key_node.start_mark.line + 1
            self._faults.add(at, "this key stands here twice; keep one of them")
            return
        self._lines[at] = key_node.start_mark.line + 1
        own[key] = self._build(value_node, at)

    def _key(self, node: Node) -> str:
        if isinstance(node, ScalarNode):
            return cast("str", node.value)
        return "?"

    def _merge(self, node: Node, path: Path) -> dict[str, Json]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Json] = {}
        for source in sources:
            value = self._build(source, (*path, "<<"))  # a path that grows ends a cycle
            if not isinstance(value, dict):
                self._faults.add(path, "`<<` takes a mapping, or a list of mappings")
                continue
            merged = value | merged
        return merged
