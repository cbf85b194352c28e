"""What onnxruntime does not tell of a graph, read from its file without a package for ONNX.

An ONNX file is one protobuf message (https://protobuf.dev/programming-guides/encoding); the numbers of its fields are
those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import ImportRefused

_FLOAT16 = 10
# ModelProto, GraphProto, FunctionProto, NodeProto, AttributeProto, TensorProto, StringStringEntryProto
_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_FUNCTION_NODE = 7
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 1, 3, 5, 6
_TENSOR_TYPE, _TENSOR_EXTERNAL = 2, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


@dataclass(slots=True)
class GraphFile:
    """What was read.

    Attributes:
        half: whether anything in the graph is float16.
        weights: names of the files beside it that weights lie in.
    """

    half: bool = False
    weights: dict[str, None] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> GraphFile:
        """Reads a file that onnxruntime has loaded.

        Raises:
            ImportRefused: it is not laid out as ONNX files are.
        """
        found = cls()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _model(data, found)
            except (IndexError, ValueError) as error:
                raise ImportRefused(f"{path.name} cannot be read as ONNX: {error}", "Export it anew.") from error
        return found


@dataclass(frozen=True, slots=True)
class _Message:
    """A part of the file that is a message, or the bytes of a field."""

    data: mmap.mmap
    start: int
    end: int

    def bytes(self) -> bytes:
        return self.data[self.start : self.end]

    def fields(self) -> Iterator[tuple[int, int | _Message]]:
        """Each field's number with its integer or with its bytes; numbers of fixed width are passed."""
        at = self.start
        while at < self.end:
            tag, at = self._varint(at)
            match tag & 7:
                case 0:
                    value, at = self._varint(at)
                    yield tag >> 3, value
                case 1:
                    at += 8
                case 2:
                    size, at = self._varint(at)
                    yield tag >> 3, _Message(self.data, at, at + size)
                    at += size
                case 5:
                    at += 4
                case kind:
                    raise ValueError(f"byte {at} begins a field of kind {kind}")

    def messages(self, *numbers: int) -> Iterator[_Message]:
        """The messages in the fields of these numbers."""
        for number, value in self.fields():
            if number in numbers and isinstance(value, _Message):
                yield value

    def _varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at


def _model(data: mmap.mmap, found: GraphFile) -> None:
    model = _Message(data, 0, len(data))
    for graph in model.messages(_MODEL_GRAPH):
        _graph(graph, found)
    for function in model.messages(_MODEL_FUNCTION):
        for node in function.messages(_FUNCTION_NODE):
            _node(node, found)


def _graph(graph: _Message, found: GraphFile) -> None:
    for tensor in graph.messages(_GRAPH_INITIALIZER):
        _tensor(tensor, found)
    for node in graph.messages(_GRAPH_NODE):
        _node(node, found)


def _node(node: _Message, found: GraphFile) -> None:
    for attribute in node.messages(_NODE_ATTRIBUTE):
        values = dict(attribute.fields())
        name = values.get(_ATTRIBUTE_NAME)
        if isinstance(name, _Message) and name.bytes() == b"to" and values.get(_ATTRIBUTE_INT) == _FLOAT16:
            found.half = True
        for tensor in attribute.messages(_ATTRIBUTE_TENSOR):
            _tensor(tensor, found)
        for graph in attribute.messages(_ATTRIBUTE_GRAPH):
            _graph(graph, found)


def _tensor(tensor: _Message, found: GraphFile) -> None:
    for number, value in tensor.fields():
        if number == _TENSOR_TYPE and value == _FLOAT16:
            found.half = True
        if number == _TENSOR_EXTERNAL and isinstance(value, _Message):
            entry = {key: text.bytes().decode() for key, text in value.fields() if isinstance(text, _Message)}
            if entry.get(_ENTRY_KEY) == "location":
                found.weights[entry[_ENTRY_VALUE]] = None
