"""Messages to a receiver that is slow, refuses, fails or is not there."""

from collections.abc import Iterator

import anyio
import pytest

from service.watch import facts
from service.watch.webhook import Patience, Webhook
from tests.receiver import Receiver
from tests.server import PATIENCE_S
from tests.streams import free_port

QUICK = Patience(first_delay_s=0.01, timeout_s=5.0, ending_s=5.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


async def post(url: str, count: int, patience: Patience = QUICK) -> tuple[Webhook, list[facts.Trouble]]:
    told: list[facts.Fact] = []
    async with Webhook(url, told.append, patience) as webhook:
        for number in range(count):
            webhook.post({"number": number})
    return webhook, [fact for fact in told if isinstance(fact, facts.Trouble)]


def numbers(receiver: Receiver) -> list[int]:
    return [body["number"] for body, _ in receiver.received]


async def test_messages_arrive_in_their_order_and_are_who_they_say(receiver: Receiver) -> None:
    webhook, told = await post(receiver.url, 5)
    assert numbers(receiver) == [0, 1, 2, 3, 4]
    assert (webhook.posted, webhook.lost, told) == (5, 0, [])
    headers = [headers for _, headers in receiver.received]
    assert len({one["Idempotency-Key"] for one in headers}) == 5
    assert headers[0]["Content-Type"] == "application/json"
    assert headers[0]["User-Agent"].startswith("kinema/")
    assert headers[0]["Authorization"] == "Basic dXNlcjpzZWNyZXQ="


async def test_what_may_go_better_is_tried_again_with_the_same_key(receiver: Receiver) -> None:
    receiver.statuses = [500, 503, 429, 408]
    webhook, told = await post(receiver.url, 2)
    assert numbers(receiver) == [0, 0, 0, 0, 0, 1]
    keys = [headers["Idempotency-Key"] for _, headers in receiver.received]
    assert len(set(keys[:5])) == 1
    assert keys[5] != keys[0]
    assert (webhook.posted, told) == (2, [])


async def test_what_is_refused_is_given_up_told_and_not_tried_again(receiver: Receiver) -> None:
    receiver.statuses = [400]
    webhook, (trouble,) = await post(receiver.url, 2)
    assert numbers(receiver) == [0, 1]
    assert (webhook.posted, webhook.lost, trouble.lost) == (1, 1, 1)
    assert trouble.detail.endswith("/hook answered 400")
    assert "secret" not in trouble.detail


async def test_so_many_tries_are_enough(receiver: Receiver) -> None:
    receiver.statuses = [500] * 3
    webhook, told = await post(receiver.url, 2, Patience(attempts=3, first_delay_s=0.01))
    assert numbers(receiver) == [0, 0, 0, 1]
    assert (webhook.posted, len(told)) == (1, 1)


async def test_a_receiver_that_asks_to_wait_is_waited_for(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [503], {"Retry-After": "1"}
    with anyio.fail_after(PATIENCE_S):
        started = anyio.current_time()
        await post(receiver.url, 1)
    assert numbers(receiver) == [0, 0]
    assert anyio.current_time() - started >= 1


async def test_nothing_waits_for_a_receiver_that_hangs_and_the_oldest_are_given_up(receiver: Receiver) -> None:
    receiver.open.clear()
    webhook, told = await post(receiver.url, 50, Patience(waiting=10, ending_s=0.1))
    assert webhook.posted == 0
    assert webhook.lost == 50
    assert told[0].detail == "too many wait; the oldest was given up"
    assert told[-1].detail == "the watch ended before it got there"
    assert told[-1].lost == 50


async def test_a_receiver_that_is_not_there_is_told() -> None:
    url = f"http://127.0.0.1:{free_port()}/hook"
    webhook, (trouble,) = await post(url, 1, Patience(attempts=2, first_delay_s=0.01))
    assert webhook.lost == 1
    assert trouble.detail.startswith(url)
