"""The image, built once, and the clip that its model knows the answer to."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from service.inference.card import Card
from tests.container import podman
from tests.require import need

BUNDLE = podman.ROOT / "model" / "artifacts" / "default"


@pytest.fixture(scope="session")
def tag() -> Iterator[str]:
    """The tag of the image `kinema`, built from the repository's Dockerfile."""
    need("containers", podman.available(), "podman and podman-compose have to be installed")
    tag = f"test-{secrets.token_hex(4)}"
    # The format keeps HEALTHCHECK, which the other one does not know.
    podman.run("podman", "build", "--format=docker", f"--tag=kinema:{tag}", ".", timeout_s=600)
    yield tag
    podman.run("podman", "rmi", "--force", f"kinema:{tag}")


@pytest.fixture(scope="session")
def image(tag: str) -> str:
    """The name of the image."""
    return f"localhost/kinema:{tag}"


@dataclass(frozen=True)
class Golden:
    """The clip that the bundle brings along, and what its card says of it."""

    clip: bytes
    label: str
    score: float


@pytest.fixture(scope="session")
def golden() -> Golden:
    card = Card.read(BUNDLE)
    score, label = max(zip(card.golden.scores, card.labels, strict=True))
    return Golden(card.path(BUNDLE, card.golden.clip).read_bytes(), label, score)
