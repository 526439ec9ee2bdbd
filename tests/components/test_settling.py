"""The wait for everything that a program has started."""

import asyncio

import pytest
from pulumi.runtime.settings import SETTINGS

from components import settle


def test_everything_outstanding_is_waited_for_also_what_it_starts_itself() -> None:
    done: list[int] = []

    async def step(left: int) -> None:
        await asyncio.sleep(0)
        done.append(left)
        if left:
            tasks.append(asyncio.ensure_future(step(left - 1)))

    async def program() -> None:
        tasks.append(asyncio.ensure_future(step(3)))
        await settle()

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(program())
    assert done == [3, 2, 1, 0]


@pytest.mark.parametrize("fails_before", [False, True])
def test_nothing_is_waited_for_after_a_failure(fails_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on a registration that failed never completes; the SDK reports the failure after the wait."""

    async def failing() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("the monitor refused it")

    async def program() -> None:
        never = asyncio.ensure_future(asyncio.Event().wait())
        if fails_before:
            monkeypatch.setattr(SETTINGS.rpc_manager, "unhandled_exception", ValueError("refused"))
        else:
            tasks.append(asyncio.ensure_future(failing()))
        async with asyncio.timeout(10):
            await settle()
        assert not never.done()
        never.cancel()

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(program())
