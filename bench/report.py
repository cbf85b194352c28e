"""The report: what was measured, where, and the tables."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.contestant import BOUND, DECODE, ENCODE
from bench.measurement import Row, Spread
from service.inference.card import Card
from service.runtime import Options

_PACKAGES = ("kinema", "numpy", "onnxruntime", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class Run:
    """How it was measured.

    Attributes:
        cores: usable ones.
        clip: the file that was posted.
        seconds: of each measurement.
        rounds: how many.
        repeated: measurements made again because other work disturbed them.
    """

    cores: int
    clip: Path
    seconds: float
    rounds: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found out.

    Attributes:
        when: the date, UTC.
        machine: CPU, cores, versions.
        clip: name, bytes, sha256.
        model: name, version, sampling.
        setup: device, slots, largest batch, decoders.
        seconds: of each measurement.
        rounds: how many.
        repeated: measurements made again because other work disturbed them.
        rows: the contestants.
    """

    when: str
    machine: Mapping[str, str | int]
    clip: Mapping[str, str | int]
    model: Mapping[str, Any]
    setup: Mapping[str, str | int]
    seconds: float
    rounds: int
    repeated: int
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def systems(self) -> list[Row]:
        """The rows of systems under test."""
        return [row for row in self.rows if row.name not in {BOUND, DECODE, ENCODE}]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times and rates carry their unit in their name."""
        return asdict(self)


def report(options: Options, card: Card, run: Run, rows: tuple[Row, ...]) -> Report:
    """The report of rows measured here and now."""
    data = run.clip.read_bytes()
    return Report(
        when=now(),
        machine=machine(run.cores),
        clip={"name": run.clip.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()},
        model={"name": card.name, "version": card.version, "sampling": card.sampling.model_dump()},
        setup={
            "device": options.device.name,
            "slots": options.device.slots,
            "max_batch": options.device.max_batch,
            "decoders": options.lanes.short,
        },
        seconds=run.seconds,
        rounds=run.rounds,
        repeated=run.repeated,
        rows=rows,
    )


def now() -> str:
    """The date and time, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def machine(cores: int) -> dict[str, str | int]:
    """What it is measured on: the CPU, its usable cores, and the versions that matter."""
    return {
        "cpu": _cpu(),
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def _cpu() -> str:
    """The CPU's name, or of a virtual one what its hypervisor lets on, with the vector instructions that decide."""
    words: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        words.setdefault(key.strip(), value.strip())
    flags = set(words.get("flags", words.get("Features", "")).split())
    vectors = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimddp") if name in flags]
    return f"{words.get('model name', os.uname().machine)} ({', '.join(vectors)})"


def show(found: Report, console: Console) -> None:
    """Prints the tables, as Markdown."""
    here, model = found.machine, found.model
    lines = [
        f"{found.when}. {here['cpu']}, {here['cores']} cores.",
        "Python {python}, onnxruntime {onnxruntime}, OpenCV {opencv-python-headless}.".format(**here),
        f"{model['name']} {model['version']} on {found.clip['name']}, {found.clip['bytes']} bytes.",
        f"{found.rounds} rounds of {found.seconds:g} s each: medians over rounds (least-most), times of all clips.",
        "",
    ]
    console.print("\n".join(lines), highlight=False)
    console.print(throughput(found))
    console.print(stages(found))
    console.print("\n".join([*_lone_clip(found), _posting(found), *_faults(found)]), highlight=False, soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(box=box.MARKDOWN)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def throughput(found: Report) -> Table:
    """The bound, and the systems under test beside it."""
    table = _table("", "clips/s", "of bound", "p50 ms", "p95 ms", "CPU s", "MB")
    for row in [found.row(BOUND), *found.systems]:
        table.add_row(
            row.name,
            _spread(row.clips_per_s),
            _percent(row.ratio),
            f"{row.p50_ms:.0f}",
            f"{row.p95_ms:.0f}",
            f"{row.cpu_s_a_clip.median:.3f}",
            f"{row.peak_mb:.0f}",
        )
    return table


def stages(found: Report) -> Table:
    """Where the time of an answer goes, in milliseconds: medians of the answers' own account."""
    names = list(dict.fromkeys(stage for row in found.systems for stage in row.stages_ms))
    table = _table("timing_ms", *names)
    for row in found.systems:
        table.add_row(row.name, *(f"{row.stages_ms[name]:.1f}" if name in row.stages_ms else "" for name in names))
    return table


def _spread(value: Spread) -> str:
    digits = 2 if value.most < 10 else 1  # so that the table fits 80 columns
    return f"{value.median:.{digits}f} ({value.least:.{digits}f}-{value.most:.{digits}f})"


def _percent(value: Spread | None) -> str:
    if value is None or value.least == value.most:
        return "" if value is None else f"{value.median:.0%}"
    return f"{value.median:.0%} ({value.least * 100:.0f}-{value.most * 100:.0f})"


def _lone_clip(found: Report) -> list[str]:
    """What one clip costs alone."""
    decode, encode = found.row(DECODE).p50_ms, found.row(ENCODE).p50_ms
    cores = int(found.machine["cores"])
    floor = found.row(BOUND).cpu_s_a_clip.median * 1000 / cores
    return [
        f"One clip alone: decode {decode:.0f} ms on 1 thread, encode {encode:.0f} ms on {found.setup['slots']} slots; "
        f"the longer {max(decode, encode):.0f} ms, both {decode + encode:.0f} ms.",
        f"All its work, evenly over {cores} cores: {floor:.0f} ms.",
    ]


def _posting(found: Report) -> str:
    costs = ", ".join(f"{row.name} {row.load_cpu_s_a_clip * 1000:.1f} ms" for row in found.systems)
    return f"Posting costs CPU too, a clip: {costs}."


def _faults(found: Report) -> Iterator[str]:
    """What makes figures worth less."""
    taken = max(row.others_share.most for row in found.rows)
    yield f"Other work took at most {taken:.0%} of the machine; {found.repeated} disturbed measurements made again."
    for row in found.rows:
        if row.errors:
            told = ", ".join(f"{count} x {error}" for error, count in row.errors.items())
            yield f"[bold red]{row.name}: not answered: {told}[/]"
