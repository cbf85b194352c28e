"""Where the tests' clips and the shipped bundle are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CLIPS = ROOT / "tests" / "clips"
BUNDLE = ROOT / "model" / "artifacts" / "default"


def clip(name: str) -> bytes:
    """The bytes of a clip of `tests/clips`; `tests/clips/make` tells what it shows."""
    return (CLIPS / name).read_bytes()
