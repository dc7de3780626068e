"""``fetchcast sandbox``: the reference APIs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fetchcast.sandbox import Sandbox, SandboxOptions


@click.command()
@click.option(
    "--latency", "latency_ms", default=100.0, show_default=True, help="Milliseconds to an answer."
)
@click.option("--rate", type=float, help="Calls a second that are let in.  [default: any number]")
@click.option(
    "--concurrency",
    type=int,
    help="Calls answered at one time, for each API.  [default: any number, 10 for PRH v1]",
)
@click.option(
    "--fail-share",
    default=0.0,
    show_default=True,
    help="Share of calls answered by 500, 503 or a reset connection; never thrice in a row.",
)
@click.option(
    "--seed", default=27, show_default=True, help="Decides the resampled days and the failures."
)
@click.option("--port", default=8027, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
def sandbox(
    *,
    latency_ms: float,
    rate: float | None,
    concurrency: int | None,
    fail_share: float,
    seed: int,
    port: int,
    host: str,
) -> None:
    """Serve the two reference APIs on this machine, until Ctrl-C.

    The rail API knows train 27 (recorded 2020-01-01 to 2020-02-29; resampled from those days, and
    marked so, for 2021-03-23 to 2022-03-23 and for the last 400 days) and an earlier train 25. The
    company API knows 2,102 companies, in its versions 1 and 3. /stats counts every call.

    Exit status: 0 when stopped, 2 if the port is taken or a value makes no sense.
    """
    import asyncio
    import contextlib

    from fetchcast.sandbox import SandboxOptions

    options = SandboxOptions(
        latency_ms=latency_ms,
        rate=rate,
        concurrency=concurrency,
        fail_share=fail_share,
        seed=seed,
        port=port,
        host=host,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options))


async def _serve(options: SandboxOptions) -> None:
    import asyncio
    import contextlib
    import signal

    from fetchcast.sandbox import serve_sandbox

    end = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows has no such signal to handle.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with serve_sandbox(options) as running:
        click.echo(_greeting(running, options))
        await end.wait()


def _greeting(running: Sandbox, options: SandboxOptions) -> str:
    rate = "any rate" if options.rate is None else f"at most {options.rate:g} calls a second"
    at_once = (
        f"at most {options.prh_v1_concurrency} calls at one time on PRH v1"
        if options.concurrency is None
        else f"at most {options.concurrency} calls at one time on each API"
    )
    failing = f"{options.fail_share:.0%} of calls fail" if options.fail_share else "no call fails"
    enforced = (
        f"Answers after {options.latency_ms:g} ms; {rate}; {at_once}; "
        f"{failing}; seed {options.seed}. Ctrl-C stops it."
    )
    return "\n".join(
        [
            f"rail    {running.rail_url}",
            f"PRH v1  {running.prh_v1_url}",
            f"PRH v3  {running.prh_v3_url}",
            f"stats   {running.url}/stats",
            enforced,
        ]
    )
