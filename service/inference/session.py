"""Everything that is particular to onnxruntime and to a device."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# onnxruntime's wheels for Linux send usage data unless told otherwise before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import BundleError
from service.video.preprocess import Picture

DeviceName = Literal["auto", "cpu", "cuda"]

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


@dataclass(frozen=True, slots=True)
class Device:
    """Where graphs run, and how that place likes its work.

    Attributes:
        name: `cpu` or `cuda`.
        providers: onnxruntime's execution providers, best first.
        slots: batches that run at the same time.
        max_batch: pictures in a batch.
    """

    name: str
    providers: tuple[str, ...]
    slots: int
    max_batch: int

    @classmethod
    def choose(cls, wanted: DeviceName, cores: int, max_batch: int | None = None) -> Device:
        """Finds a device; `auto` takes the best that this build of onnxruntime has.

        A CPU's cores each run a small batch of their own: there, two sessions' worth of single threads carry up to
        1.9 times what one session with two threads does. On a GPU the opposite holds.

        Raises:
            BundleError: the device wanted is not there; the advice names those that are.
        """
        built_in = set(ort.get_available_providers())
        there = [name for name, provider in _PROVIDERS.items() if provider in built_in]
        name = there[0] if wanted == "auto" else wanted
        if name not in there:
            raise BundleError(f"there is no device {wanted!r} here", f"Set KINEMA_DEVICE to {' or '.join(there)}.")
        if name == "cuda":
            return cls(name, (_PROVIDERS["cuda"], _PROVIDERS["cpu"]), slots=1, max_batch=max_batch or 64)
        return cls(name, (_PROVIDERS["cpu"],), slots=cores, max_batch=max_batch or 2)


def usable_cores() -> int:
    """The cores that this process may use, which in a container can be fewer than the machine has."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(affinity, _cgroup_cores() or affinity))


def _cgroup_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    try:
        quota, period = limit.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A graph's input or output: its name, its shape (None: may vary), and its type as onnxruntime names it."""

    name: str
    shape: tuple[int | None, ...]
    type: str

    def __str__(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.type.removeprefix('tensor(').removesuffix(')')} [{sides}]"


class Session:
    """One ONNX graph, loaded. `run` may be called from several threads at once."""

    def __init__(self, path: Path, device: Device) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: warnings about unused initialisers help nobody who serves
        try:
            self._session = ort.InferenceSession(path, options, providers=list(device.providers))
        except Exception as error:
            raise BundleError(f"{path.name} is not a graph that onnxruntime can load: {error}") from error
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Runs the graph and returns the outputs named."""
        return list(self._session.run(list(outputs), dict(inputs)))


def _tensor(node: Any) -> Tensor:
    return Tensor(node.name, tuple(side if isinstance(side, int) else None for side in node.shape), node.type)


class Encoder:
    """The CNN of one kind of evidence."""

    INPUT, OUTPUT = "pictures", "features"

    def __init__(self, session: Session) -> None:
        self.session = session

    def encode(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Pictures, each uint8 [H, W, 3], to features float32 [N, D]."""
        (features,) = self.session.run([self.OUTPUT], {self.INPUT: np.stack(pictures)})
        return np.asarray(features, dtype=np.float32)


State = Mapping[str, NDArray[np.float32]]
"""What the recurrent head carries from call to call: float32 [B, size] by name."""


class Recurrent:
    """The recurrent head: features in, logits out, state in and out."""

    LOGITS, NEXT = "logits", "next_"

    def __init__(self, session: Session, state: Mapping[str, int]) -> None:
        self.session = session
        self._state = dict(state)

    def start(self, rows: int) -> State:
        """The state before the first step of `rows` sequences: zeros."""
        return {name: np.zeros((rows, size), dtype=np.float32) for name, size in self._state.items()}

    def run(self, inputs: Mapping[str, NDArray[Any]], state: State | None = None) -> tuple[NDArray[np.float32], State]:
        """Reads the steps of B sequences.

        Args:
            inputs: what `Sequence.inputs` returns: float32 [B, T, D] for each kind, int64 [B] `lengths`.
            state: where an earlier call ended; None starts anew.

        Returns:
            The logits after each row's last step, float32 [B, C], and the state there.
        """
        lengths = inputs["lengths"]
        carried = self.start(len(lengths)) if state is None else state
        names = [self.LOGITS, *(self.NEXT + name for name in self._state)]
        logits, *following = self.session.run(names, {**inputs, **carried})
        last = np.asarray(logits, dtype=np.float32)[np.arange(len(lengths)), lengths - 1]
        return last, dict(zip(self._state, following, strict=True))
