"""What is read of an ONNX file without a package for ONNX."""

from pathlib import Path

import pytest

from service.errors import ImportRefused
from service.foreign.file import GraphFile
from tests.foreign import ONNX
from tests.samples import BUNDLE


def test_float16_is_seen_in_weights_alone() -> None:
    assert {path.stem for path in ONNX.glob("*.onnx") if GraphFile.read(path).half} == {"half"}


def test_a_cast_to_float16_is_seen(tmp_path: Path) -> None:
    # The attribute of a node that says "to float32": its name, its integer, its type; here in a graph of that node.
    attribute = b"\n\x02to\x18\x01\xa0\x01\x02"
    model = (ONNX / "handmade.onnx").read_bytes()
    assert model.count(attribute) == 1
    path = tmp_path / "cast.onnx"
    path.write_bytes(model.replace(attribute, attribute.replace(b"\x18\x01", b"\x18\x0a")))
    assert GraphFile.read(path).half


def test_files_of_weights_are_named() -> None:
    assert list(GraphFile.read(ONNX / "odd-external.onnx").weights) == ["odd-external.weights"]
    assert not GraphFile.read(BUNDLE / "motion.onnx").weights


@pytest.mark.parametrize("data", [b"\x3f\x00", b"\x3a\x05\x0a\xff", b"\xff\xff"])
def test_bytes_that_are_no_message_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(ImportRefused, match=r"broken\.onnx cannot be read as ONNX"):
        GraphFile.read(path)
