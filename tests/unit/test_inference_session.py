"""Devices, cores and sessions: what is there is taken, and what is not is refused by naming what is."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import BundleError
from service.inference.session import (
    _PROVIDERS,
    Device,
    DeviceName,
    Session,
    _cgroup_cores,
    devices_there,
    usable_cores,
)
from tests.samples import BUNDLE

EVERY_PROVIDER = [provider.name for provider in _PROVIDERS.values()]


def test_a_device_that_is_not_there_is_refused_by_naming_those_that_are() -> None:
    with pytest.raises(BundleError, match="no device 'cuda' here") as refused:
        Device.choose("cuda", 2, there=["openvino", "cpu"])
    assert refused.value.advice == "Set KINEMA_DEVICE to openvino or cpu."


def test_nvidias_devices_are_there_only_where_the_kernel_shows_one(tmp_path: Path) -> None:
    assert devices_there(EVERY_PROVIDER, tmp_path) == ("openvino", "coreml", "cpu")
    (tmp_path / "nvidiactl").touch()
    assert "cuda" not in devices_there(EVERY_PROVIDER, tmp_path), "a driver without a card"
    (tmp_path / "nvidia0").touch()
    assert devices_there(EVERY_PROVIDER, tmp_path) == tuple(_PROVIDERS)
    assert devices_there(["CPUExecutionProvider"], tmp_path) == ("cpu",)
    assert "cpu" in devices_there()


@pytest.mark.parametrize(
    ("there", "best"),
    [
        (("cuda", "tensorrt", "cpu"), "cuda"),
        (("tensorrt", "cpu"), "cpu"),
        (("openvino", "cpu"), "openvino"),
        (("coreml", "cpu"), "coreml"),
        (("cpu",), "cpu"),
    ],
)
def test_auto_takes_the_best_that_is_there_but_tensorrt_only_on_request(there: tuple[str, ...], best: str) -> None:
    assert Device.choose("auto", 2, there=there).name == best


def test_a_cpu_runs_a_small_batch_on_each_core() -> None:
    device = Device.choose("cpu", 3)
    assert (device.slots, device.batches) == (3, (2,))
    assert Device.choose("cpu", 3, max_batch=7).batches == (7,)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "openvino", "coreml"])
def test_any_other_device_runs_one_batch_whose_size_is_found_or_set(name: DeviceName) -> None:
    device = Device.choose(name, 8, there=[name, "cpu"])
    assert (device.slots, device.batches, device.max_batch) == (1, (1, 2, 4, 8, 16, 32, 64, 128), 128)
    assert Device.choose(name, 8, max_batch=48, there=[name, "cpu"]).batches == (48,)


def test_a_provider_that_cannot_start_is_refused_and_not_replaced_by_the_cpu() -> None:
    with pytest.raises(BundleError, match="CUDAExecutionProvider"), pytest.warns(UserWarning, match="not in available"):
        Session(BUNDLE / "motion.onnx", Device("cuda", slots=1, batches=(1,)))


def test_bound_inputs_and_outputs_change_no_answer() -> None:
    session = Session(BUNDLE / "motion.onnx", Device.choose("cpu", 1))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    (plain,) = session.run(["features"], {"pictures": pictures})
    session.binding = True
    (bound,) = session.run(["features"], {"pictures": pictures})
    np.testing.assert_array_equal(bound, plain)


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", None), ("150000 100000", 1), ("50000 100000", 1), ("", None)]
)
def test_a_containers_cpu_limit_is_respected(tmp_path: Path, limit: str, cores: int | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(limit)
    assert _cgroup_cores(path) == cores
    assert _cgroup_cores(tmp_path / "not-there") is None
    assert usable_cores() >= 1
