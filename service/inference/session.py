"""Everything that is particular to onnxruntime and to a device."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal, NamedTuple

# onnxruntime's wheels for Linux send usage data unless told otherwise before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import BundleError
from service.inference.card import LENGTHS, LOGITS, NEXT, Evidence
from service.video.preprocess import Picture

DeviceName = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "coreml"]


@dataclass(frozen=True, slots=True)
class _Provider:
    """One of onnxruntime's execution providers.

    Attributes:
        name: onnxruntime's name for it.
        options: its options, as onnxruntime takes them.
        binding: whether inputs and outputs are bound. That saves a copy where the device has a memory of its own.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    binding: bool = False


# Best first. What a provider does not know how to compute goes to the CPU.
_PROVIDERS = {
    # cuDNN would otherwise try every algorithm for each new batch size.
    "cuda": _Provider("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}, binding=True),
    # Building its engines takes minutes; kept, they are built once.
    "tensorrt": _Provider(
        "TensorrtExecutionProvider",
        {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(Path(gettempdir()) / "kinema-tensorrt")},
        binding=True,
    ),
    "openvino": _Provider("OpenVINOExecutionProvider", {"device_type": "AUTO"}),
    "coreml": _Provider("CoreMLExecutionProvider", {"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}),
    "cpu": _Provider("CPUExecutionProvider"),
}
# A build of onnxruntime for NVIDIA offers TensorRT even where its libraries are missing, and it is slow to start.
_ON_REQUEST = frozenset({"tensorrt"})
_BATCHES = tuple(2**power for power in range(8))
_CPU_BATCH = 2
# It makes convolutions two to three times as fast.
_CRASHES_ON_HALF = ("NchwcTransformer",)


def devices_there(built_in: Collection[str] | None = None, nodes: Path = Path("/dev")) -> tuple[str, ...]:
    """The names of the devices that are there, best first.

    Args:
        built_in: the providers that this build of onnxruntime has; by default it is asked.
        nodes: where the kernel shows its devices. A build for NVIDIA says nothing about the machine it is on.
    """
    offered = set(ort.get_available_providers() if built_in is None else built_in)
    nvidia = any(nodes.glob("nvidia[0-9]*")) or (nodes / "dxg").exists()  # dxg: NVIDIA's driver under WSL
    return tuple(
        name
        for name, provider in _PROVIDERS.items()
        if provider.name in offered and (nvidia or name not in {"cuda", "tensorrt"})
    )


@dataclass(frozen=True, slots=True)
class Device:
    """Where graphs run, and how that place likes its work.

    Attributes:
        name: `cpu`, `cuda`, `tensorrt`, `openvino` or `coreml`.
        slots: batches that run at the same time.
        batches: the numbers of pictures in a batch that come into question, ascending; of more than one, the best is
            found when a model is loaded.
    """

    name: str
    slots: int
    batches: tuple[int, ...]

    @classmethod
    def choose(
        cls, wanted: DeviceName, cores: int, max_batch: int | None = None, there: Sequence[str] | None = None
    ) -> Device:
        """Finds a device; `auto` takes the best that is there, TensorRT excepted.

        A CPU's cores each run a small batch of their own: there, two sessions' worth of single threads carry up to
        1.9 times what one session with two threads does. Everywhere else the opposite holds.

        Args:
            wanted: its name, or `auto`.
            cores: that the process may use.
            max_batch: pictures in a batch; None takes what suits the device.
            there: the devices that are there, best first; by default `devices_there`.

        Raises:
            BundleError: the device wanted is not there; the advice names those that are.
        """
        present = devices_there() if there is None else there
        name = next(one for one in present if one not in _ON_REQUEST) if wanted == "auto" else wanted
        if name not in present:
            raise BundleError(f"there is no device {wanted!r} here", f"Set KINEMA_DEVICE to {' or '.join(present)}.")
        if name == "cpu":
            return cls(name, slots=cores, batches=(max_batch or _CPU_BATCH,))
        return cls(name, slots=1, batches=(max_batch,) if max_batch else _BATCHES)

    @property
    def max_batch(self) -> int:
        """The most pictures in a batch, as far as that is known before a model is loaded."""
        return self.batches[-1]

    @property
    def provider(self) -> _Provider:
        """The execution provider that does the work."""
        return _PROVIDERS[self.name]


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
    """One ONNX graph, loaded. `run` may be called from several threads at once.

    Args:
        path: its file.
        device: where it runs.
        half: whether anything in it is float16. onnxruntime 1.24 to 1.32 may crash while it lays such a graph out for
            the CPU (https://github.com/microsoft/onnxruntime/issues/28392), so there it does without.
    """

    def __init__(self, path: Path, device: Device, *, half: bool = False) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors only: warnings about unused initialisers help nobody who serves
        # On a CPU every slot is a thread already; providers for other devices have threads of their own.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        wanted = device.provider
        providers = dict.fromkeys((wanted.name, _PROVIDERS["cpu"].name))
        provider_options = [dict(wanted.options), {}][: len(providers)]
        try:
            self._session = ort.InferenceSession(
                path, options, list(providers), provider_options, disabled_optimizers=_CRASHES_ON_HALF if half else None
            )
        except Exception as error:
            raise BundleError(f"{path.name} is not a graph that onnxruntime can load: {error}") from error
        # onnxruntime goes on without a provider that cannot start, many times slower, and only warns.
        if wanted.name not in self._session.get_providers():
            raise BundleError(
                f"onnxruntime cannot start {wanted.name} for the device {device.name!r}",
                "Install the libraries and the driver that it needs, or set KINEMA_DEVICE to cpu.",
            )
        self.binding = wanted.binding
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Runs the graph and returns the outputs named."""
        if self.binding:
            return self._run_bound(outputs, inputs)
        return list(self._session.run(list(outputs), dict(inputs)))

    def _run_bound(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        bound = self._session.io_binding()
        for name, value in inputs.items():
            bound.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in outputs:
            bound.bind_output(name)
        self._session.run_with_iobinding(bound)
        return list(bound.copy_outputs_to_cpu())


def _tensor(node: Any) -> Tensor:
    return Tensor(node.name, tuple(side if isinstance(side, int) else None for side in node.shape), node.type)


class Encoder:
    """The CNN of one kind of evidence.

    Args:
        session: its graph.
        kind: what it gives, and to which inputs of the recurrent graph.
    """

    INPUT, OUTPUT, MAP = "pictures", "features", "map"

    def __init__(self, session: Session, kind: Evidence) -> None:
        self.session = session
        self.reads = 1
        """Pictures that one item of a batch is made of."""
        self._inputs = tuple(kind.inputs)
        self._outputs = (self.OUTPUT, self.MAP)[: len(self._inputs)]

    def blank(self, size: int) -> Picture:
        """An item of a batch, for measuring: what a run takes does not depend on what pictures show.

        Args:
            size: side of a picture.
        """
        return np.zeros((size, size, 3), dtype=np.uint8)

    def encode(self, pictures: Sequence[Picture]) -> Mapping[str, NDArray[np.float32]]:
        """Encodes pictures, each uint8 [H, W, 3].

        Returns:
            By the input of the recurrent graph that it is for: the features, float32 [N, D], and where the card says
            that the head reads it, the map, float32 [N, rows, columns, channels].
        """
        encoded = self.session.run(self._outputs, {self.INPUT: np.stack(pictures)})
        return dict(zip(self._inputs, encoded, strict=True))


State = Mapping[str, NDArray[np.float32]]
"""What the recurrent head carries from call to call: float32 [B, size] by name."""


class Reading(NamedTuple):
    """What the recurrent head says of B sequences.

    Attributes:
        logits: float32 [B, C], those after each row's last step.
        state: where each row ended.
        outputs: what was asked for beside, float32 [B, ...] by name.
        steps: float32 [B, T, C], the logits after each step; those after a row's last one mean nothing.
    """

    logits: NDArray[np.float32]
    state: State
    outputs: Mapping[str, NDArray[np.float32]]
    steps: NDArray[np.float32]


class Recurrent:
    """The recurrent head: features in, logits out, state in and out."""

    def __init__(self, session: Session, state: Mapping[str, int]) -> None:
        self.session = session
        self._state = dict(state)

    def start(self, rows: int) -> State:
        """The state before the first step of `rows` sequences: zeros."""
        return {name: np.zeros((rows, size), dtype=np.float32) for name, size in self._state.items()}

    def run(self, inputs: Mapping[str, NDArray[Any]], state: State | None = None) -> tuple[NDArray[np.float32], State]:
        """Reads the steps of B sequences, and says no more than `Reading.logits` and `Reading.state`."""
        reading = self.read(inputs, state)
        return reading.logits, reading.state

    def read(
        self, inputs: Mapping[str, NDArray[Any]], state: State | None = None, outputs: Sequence[str] = ()
    ) -> Reading:
        """Reads the steps of B sequences.

        Args:
            inputs: what `Sequence.inputs` returns: float32 [B, T, ...] for each input, int64 [B] `lengths`.
            state: where an earlier call ended; None starts anew.
            outputs: the names of the card's further outputs that are wanted.
        """
        lengths = inputs[LENGTHS]
        carried = self.start(len(lengths)) if state is None else state
        names = [LOGITS, *(NEXT + name for name in self._state), *outputs]
        logits, *others = self.session.run(names, {**inputs, **carried})
        steps = np.asarray(logits, dtype=np.float32)
        following, further = others[: len(self._state)], others[len(self._state) :]
        return Reading(
            steps[np.arange(len(lengths)), lengths - 1],
            dict(zip(self._state, following, strict=True)),
            dict(zip(outputs, further, strict=True)),
            steps,
        )
