"""Decoding any span of a clip by any plan: what the receipt must say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ClipError, SpanOutsideClip
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.sample import SamplingPlan
from service.video.source import Limits
from service.video.spec import Flow, PictureSpec
from tests.samples import clip

LIMITS = Limits(max_pixels=1_000_000, max_duration_s=60, max_frames=10_000)
FLOW = Flow(size=16, preset="ultrafast", scale=10, magnitude_scale=16)

plans = st.builds(
    SamplingPlan, num_clips=st.integers(1, 4), clip_len=st.integers(1, 12), fps=st.floats(1, 40), anchored=st.just(True)
)


@st.composite
def spans(draw: st.DrawFn) -> tuple[float, float | None]:
    start_s = draw(st.floats(0, 2.5))
    return start_s, draw(st.none() | st.floats(start_s + 1e-3, start_s + 3))


@given(st.sampled_from(["short.mp4", "slow.mp4", "vfr.mp4", "cut-index-first.mp4"]), plans, spans(), st.integers(1, 4))
def test_the_receipt_accounts_for_every_moment_and_picture(
    name: str, plan: SamplingPlan, span: tuple[float, float | None], cadence: int
) -> None:
    look = PictureSpec(name="look", picture="rgb", size=8, cadence=cadence)
    drift = PictureSpec(name="drift", picture="flow", size=8, cadence=1, flow=FLOW)
    made: list[MadePicture] = []
    start_s, end_s = span
    try:
        decoded = decode(clip(name), DecodeTask(plan, (look, drift), LIMITS, start_s, end_s), made.append)
    except SpanOutsideClip:
        return
    times = decoded.times_s
    assert list(times) == sorted(times)
    assert times[0] >= start_s - 1e-3
    assert end_s is None or times[-1] < end_s
    assert times[-1] < decoded.media.duration_s
    assert 1 <= len(decoded.steps) <= plan.num_clips
    assert all(1 <= steps <= plan.clip_len for steps in decoded.steps)
    # A clip may end between a window's anchor and its first step.
    assert sum(decoded.steps) <= len(times) <= sum(decoded.steps) + plan.num_clips
    assert 0 <= decoded.padded < len(times)
    assert len(set(times)) == len(times) - decoded.padded
    for kind, every in (("look", cadence), ("drift", 1)):
        keys = [(one.window, one.step) for one in made if one.kind == kind]
        assert keys == [
            (window, step) for window, steps in enumerate(decoded.steps) for step in range(0, steps, every)
        ], "what the recurrent head will ask for"
        assert decoded.pictures[kind] == len(keys)


@given(
    st.binary(max_size=600), st.sampled_from([b"", b"\0\0\0\x18ftypisom", b"RIFF\0\0\0\0AVI ", b"\x1aE\xdf\xa3", b"G"])
)
def test_any_bytes_are_refused_in_words(data: bytes, head: bytes) -> None:
    task = DecodeTask(SamplingPlan(1, 1, 1, anchored=False), (), LIMITS)
    with pytest.raises(ClipError) as refused:
        decode(head + data, task, lambda made: None)
    assert refused.value.detail
    assert refused.value.advice
