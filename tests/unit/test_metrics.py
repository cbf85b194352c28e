"""Metrics: what events become that a test over HTTP does not bring about for certain."""

import pytest

from service.events import BatchEncoded, ClipFailed, Event, PicturesDropped
from service.metrics import Metrics


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (PicturesDropped(3), 'kinema_frames_total{stage="dropped"} 3.0'),
        (ClipFailed("m", "cancelled", ""), 'kinema_request_failures_total{model="m",reason="cancelled"} 1.0'),
        (BatchEncoded("motion", 4, 0.1), 'kinema_batch_size_sum{evidence="motion"} 4.0'),
    ],
)
def test_an_event_is_counted(event: Event, line: str) -> None:
    metrics = Metrics()
    metrics.observe(event)
    assert line in metrics.exposition()[0].decode().splitlines()
