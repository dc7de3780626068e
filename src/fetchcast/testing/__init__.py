"""Published helpers for tests of code that calls APIs: a server that obeys, a clock that jumps.

    async with running_api({"/trains": [Reply(429), Reply(200, body=b"[]")]}) as api:
        ...
        assert api.hits == ["/trains", "/trains"]

Nothing here replaces a part of fetchcast but time: sockets, files and databases stay real.
"""

from fetchcast.testing.api import Api, Asked, Says, running_api
from fetchcast.testing.clock import FakeClock
from fetchcast.testing.reply import Reply, gzip_bomb, gzip_reply, json_reply, redirect

__all__ = [
    "Api",
    "Asked",
    "FakeClock",
    "Reply",
    "Says",
    "gzip_bomb",
    "gzip_reply",
    "json_reply",
    "redirect",
    "running_api",
]
