"""Every KINEMA_* variable, typed, with its default and its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.inference.bundle import PrecisionName
from service.inference.session import Device, DeviceName, usable_cores
from service.runtime import Options
from service.stream.streams import StreamLimits
from service.video.pool import Lanes
from service.video.source import Limits

_SHIPPED_MODEL = Path(__file__).parent.parent / "model" / "artifacts" / "default"


class Settings(BaseSettings):
    """How this process serves. A field `x` is set by the environment variable `KINEMA_X`."""

    model_config = SettingsConfigDict(env_prefix="KINEMA_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; a container needs 0.0.0.0.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    model: Path = Field(_SHIPPED_MODEL, description="Directory of the bundle to serve.")
    device: DeviceName = Field("auto", description="Where graphs run: auto, cpu, cuda, tensorrt, openvino or coreml.")
    precision: PrecisionName = Field(
        "auto",
        description="What encoders compute in: fp32, int8, or auto: int8 where it is faster and costs no accuracy.",
    )

    max_upload_mb: float = Field(100, gt=0, description="Largest clip in megabytes (10^6 bytes); reading stops there.")
    upload_memory_mb: float = Field(
        8,
        gt=0,
        description="So much of an upload is kept in memory, in megabytes; a larger one goes to a file in TMPDIR.",
    )
    max_pixels: int = Field(
        4096 * 2304, gt=0, description="Most pixels of one frame; 4K passes. A small file can hold huge frames."
    )
    max_duration_s: float = Field(600, gt=0, description="Longest clip in seconds.")
    max_frames: int = Field(
        36_000, gt=0, description="Most frames decoded for one answer; a header can lie about duration and rate."
    )
    max_in_flight: int = Field(
        64, gt=0, description="Clips in flight, which bounds memory; one more is answered 429 at once."
    )
    max_backlog_s: float = Field(
        5, gt=0, description="How long the clips in flight may keep all cores busy; what would exceed it: 429 at once."
    )
    decoders: int = Field(
        0,
        ge=0,
        description="Short clips, and as many long ones, decoded at the same time; 0: one a core.",
    )
    decode: Literal["auto", "exact"] = Field(
        "auto",
        description="exact: every frame up to the last looked at; auto: seek and leave frames out where that will do.",
    )
    decoder_memory_mb: int = Field(
        1024, gt=0, description="Memory in megabytes that decoding one clip may take; beyond it the clip fails."
    )
    max_batch: int = Field(0, ge=0, description="Pictures in a batch; 0 means what suits the device.")

    streams: int = Field(1000, gt=0, description="Most live streams at the same time; more are refused with 429.")
    stream_state_mb: float = Field(
        256, gt=0, description="Memory in megabytes that the states of all streams may take; more are refused with 429."
    )
    stream_queue: int = Field(8, gt=0, description="Frames of one stream that may wait to be looked at.")
    stream_buffer_mb: float = Field(64, gt=0, description="Megabytes that the waiting frames of all streams may take.")
    max_frame_mb: float = Field(8, gt=0, description="Largest encoded frame of a stream in megabytes.")
    stream_ttl_s: float = Field(60, gt=0, description="A stream of which nothing is heard for so long ends.")
    video_streams: int = Field(
        8, ge=0, description="Most live streams of encoded video; each has a decoder process of its own."
    )
    stream_gap_s: float = Field(
        2, gt=0, description="A longer pause between the timestamps of two frames makes a stream begin anew."
    )

    upload_stall_s: float = Field(10, gt=0, description="An upload that sends nothing for so long is answered 408.")
    upload_timeout_s: float = Field(120, gt=0, description="An upload that takes longer than this is answered 408.")
    request_timeout_s: float = Field(60, gt=0, description="No answer so long after the upload: 504.")
    drain_s: float = Field(
        30, gt=0, description="After SIGTERM, how long admitted clips may take; keep below the orchestrator's grace."
    )

    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: coloured lines on a terminal, JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")

    @property
    def max_upload_bytes(self) -> int:
        """The largest clip in bytes."""
        return int(self.max_upload_mb * 1_000_000)

    @property
    def stream_limits(self) -> StreamLimits:
        """What streams may take."""
        return StreamLimits(
            most=self.streams,
            state_bytes=int(self.stream_state_mb * 1_000_000),
            waiting=self.stream_queue,
            waiting_bytes=int(self.stream_buffer_mb * 1_000_000),
            frame_bytes=int(self.max_frame_mb * 1_000_000),
            ttl_s=self.stream_ttl_s,
            gap_s=self.stream_gap_s,
            feeds=self.video_streams,
        )

    def options(self) -> Options:
        """What the runtime needs of these settings.

        Raises:
            BundleError: the device asked for is not there.
        """
        cores = usable_cores()
        return Options(
            model=self.model,
            device=Device.choose(self.device, cores, self.max_batch or None),
            precision=self.precision,
            limits=Limits(self.max_pixels, self.max_duration_s, self.max_frames),
            cores=cores,
            max_in_flight=self.max_in_flight,
            backlog_s=self.max_backlog_s,
            lanes=Lanes(self.decoders or cores, self.decoders or cores, self.decoder_memory_mb, self.decoders or cores),
            exact=self.decode == "exact",
            request_timeout_s=self.request_timeout_s,
            streams=self.stream_limits,
        )
