"""Wake-ups inside one process."""

import asyncio

from stellwerk.database.hints import Hints


async def test_a_listener_that_leaves_while_called_spoils_nothing() -> None:
    hints, calls = Hints(), list[str]()

    def leaving() -> None:
        calls.append("leaving")
        unlisten()

    unlisten = hints.listen("a", leaving)
    hints.listen("a", lambda: calls.append("staying"))
    for _ in range(2):
        hints.wake("a")
        await asyncio.sleep(0)
    assert calls == ["leaving", "staying", "staying"]


async def test_a_channel_may_be_woken_again_from_its_own_callback() -> None:
    hints, calls = Hints(), list[int]()

    def again() -> None:
        calls.append(1)
        if len(calls) < 3:
            hints.wake("a")

    hints.listen("a", again)
    hints.wake("a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(calls) == 3


async def test_after_a_loss_everybody_is_woken() -> None:
    hints, calls = Hints(), list[str]()
    for channel in ("a", "b"):
        hints.listen(channel, lambda channel=channel: calls.append(channel))  # type: ignore[misc]
    hints.wake_all()
    await asyncio.sleep(0)
    assert calls == ["a", "b"]
