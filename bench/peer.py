"""The peers: where each is installed, how it is started, how a clip is posted to it."""

from __future__ import annotations

import socket
import sysconfig
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

from bench.clip import ROOT
from bench.errors import SystemFailed
from bench.peers.work import BUNDLE, PORT, PRECISION, Precision
from bench.post import Errand, Target, run
from bench.process import Process
from bench.traffic import ANSWERED, Clients
from bench.wire import BinaryTensor, Form, OpenInference, Raw, Wire
from service.inference.session import usable_cores

HOME = ROOT / ".cache" / "peers"
_FOLDER = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Attributes:
        distribution: whose version is stated.
        wire: how clips are posted.
        command: what starts it, in its folder; `{port}`, `{second}` and `{third}` are free ports.
        variables: environment variables for it, likewise.
    """

    distribution: str
    wire: Wire
    command: tuple[str, ...] = ("python", "server.py")
    variables: Mapping[str, str] = field(default_factory=dict)


PEERS: dict[str, Peer] = {
    "naive": Peer("fastapi", Form("/predict", "clip")),
    "litserve": Peer("litserve", Form("/predict", "request")),
    "bentoml": Peer(
        "bentoml",
        Form("/predict", "clip"),
        ("bentoml", "serve", "server:Actions", "--host", "127.0.0.1", "--port", "{port}"),
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    "mosec": Peer(
        "mosec",
        Raw("/inference"),
        # Clips wait for longer than the three seconds and may be larger than the ten megabytes that are the defaults.
        variables={
            "MOSEC_ADDRESS": "127.0.0.1",
            "MOSEC_PORT": "{port}",
            "MOSEC_TIMEOUT": "300000",
            "MOSEC_MAX_REQUEST_SIZE": "100000000",
        },
    ),
    "rayserve": Peer("ray", Raw("/predict"), variables={"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}),
    "mlserver": Peer(
        "mlserver",
        OpenInference("/v2/models/actions/infer"),
        ("mlserver", "start", "."),
        {
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{second}",
            "MLSERVER_METRICS_PORT": "{third}",
            "MLSERVER_PARALLEL_WORKERS": str(usable_cores()),
        },
    ),
    "pytriton": Peer(
        "nvidia-pytriton",
        BinaryTensor("/v2/models/actions/infer"),
        # Its backend loads libpython by name: it must be that of this Python, not whichever the system has.
        variables={
            "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
            "PYTRITON_HOME": str(HOME / "pytriton" / "home"),
        },
    ),
}
"""By the name of the folder in `bench/peers`."""


def installed(name: str) -> bool:
    """Whether `scripts/peers` has installed it."""
    return (HOME / name / "installed.txt").is_file()


def version(name: str) -> str:
    """The version that is installed, with the distribution's name."""
    wanted = PEERS[name].distribution
    places = [str(place) for place in (HOME / name / "lib").glob("python*/site-packages")]
    found = (one.version for one in distributions(name=wanted, path=places))
    return f"{wanted} {next(found, '?')}"


class PeerServer:
    """A peer in a process of its own, on a free port of the loopback address.

    Args:
        name: its folder.
        model: directory of the bundle.
        precision: of the encoders.
        sample: a clip and its label; the peer is ready when it gives the one for the other.
    """

    def __init__(self, name: str, model: Path, precision: Precision, sample: tuple[bytes, str]) -> None:
        self.name = name
        self.url = ""
        self.wire = PEERS[name].wire
        self._model, self._precision = model, precision
        self._sample = sample
        self._process: Process | None = None

    @property
    def pids(self) -> list[int]:
        """The process that it was started as; its descendants count too."""
        return [] if self._process is None else [self._process.pid]

    def start(self) -> None:
        """Returns when it has answered a clip.

        Raises:
            SystemFailed: it is not installed, or does not get ready.
        """
        if not installed(self.name):
            raise SystemFailed(f"{self.name} is not installed: scripts/peers install {self.name}")
        peer, ports = PEERS[self.name], dict(zip(("port", "second", "third"), free_ports(3), strict=True))
        program, *arguments = (word.format(**ports) for word in peer.command)
        variables = {name: value.format(**ports) for name, value in peer.variables.items()} | {
            "PYTHONPATH": str(ROOT),
            BUNDLE: str(self._model),
            PRECISION: self._precision,
            PORT: str(ports["port"]),
        }
        command = [str(HOME / self.name / "bin" / program), *arguments]
        self._process = Process(self.name, command, _FOLDER / self.name, variables)
        self.url = f"http://127.0.0.1:{ports['port']}"
        self._process.until(self._answers)

    def _answers(self) -> bool:
        clip, label = self._sample
        errand = Errand(Target(self.url, self.wire, {"sample": label}), [Clients("", "sample", 1)], 0.001)
        return [post.outcome for post in run(errand, {"sample": clip})] == [ANSWERED]

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.stop()
            self._process = None


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]
