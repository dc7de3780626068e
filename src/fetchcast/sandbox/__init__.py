"""The two reference APIs on loopback, from recorded answers, with limits and faults.

async with serve_sandbox(SandboxOptions(latency_ms=0)) as sandbox:   # in this event loop
with running_sandbox(SandboxOptions(concurrency=10)) as sandbox:     # in its own process
    sandbox.rail_url, sandbox.prh_v1_url, sandbox.prh_v3_url, sandbox.stats()
"""

from fetchcast.sandbox.options import SandboxOptions
from fetchcast.sandbox.process import running_sandbox
from fetchcast.sandbox.server import Sandbox, serve_sandbox

__all__ = [
    "Sandbox",
    "SandboxOptions",
    "running_sandbox",
    "serve_sandbox",
]
