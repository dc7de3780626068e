"""The system's clock: short waits are exact, and hold whatever becomes of their sleepers."""

import asyncio
import time
from statistics import median

from fetchcast.clock import SystemClock


async def _late_s(clock: SystemClock, seconds: float) -> float:
    began = time.monotonic()
    await clock.sleep(seconds)
    return time.monotonic() - began - seconds


async def test_nobody_wakes_too_early_and_short_waits_are_nearly_exact() -> None:
    """An event loop's own timers are two thirds of a millisecond late in the median."""
    clock = SystemClock()
    late = [await _late_s(clock, 0.0023) for _ in range(60)]
    assert min(late) >= 0
    assert median(late) < 0.0005 or median(late) < 0.8 * median(
        [await _loop_late_s(0.0023) for _ in range(60)]
    )


async def _loop_late_s(seconds: float) -> float:
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return time.monotonic() - began - seconds


async def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    clock, woken, began = SystemClock(), list[int](), time.monotonic()

    async def sleeper(number: int) -> None:
        await clock.sleep(began + 0.011 + 0.002 * number - time.monotonic())
        woken.append(number)

    await asyncio.gather(*(sleeper(number) for number in (3, 1, 4, 0, 2)))
    assert woken == [0, 1, 2, 3, 4]


async def test_a_cancelled_sleeper_wakes_nobody_else() -> None:
    clock = SystemClock()
    first = asyncio.ensure_future(clock.sleep(0.005))
    second = asyncio.ensure_future(clock.sleep(0.010))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    assert await _late_s(clock, 0.003) >= 0


def test_a_loop_that_was_closed_over_its_sleepers_does_no_harm() -> None:
    clock = SystemClock()

    async def leave_one_asleep() -> None:
        asyncio.ensure_future(clock.sleep(0.004)).cancel()

    for _ in range(3):
        asyncio.run(leave_one_asleep())
    time.sleep(0.01)
    assert asyncio.run(_late_s(clock, 0.003)) >= 0
