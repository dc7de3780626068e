"""Published helpers for tests of code that calls APIs: a server that obeys, a clock that jumps.

    async with running_api({"/trains": [Reply(429), Reply(200, body=b"[]")]}) as api:
        ...
        assert api.hits == ["/trains", "/trains"]

Nothing here replaces a part of fetchcast but time: sockets, files and databases stay real.
"""

from fetchcast.testing.api import Api, Asked, Says, running_api
from fetchcast.testing.clock import FakeClock
from fetchcast.testing.paging import (
    Beyond,
    cursor_pages,
    link_pages,
    next_url_pages,
    numbered_pages,
    offset_pages,
)
from fetchcast.testing.reply import Reply, gzip_bomb, gzip_reply, json_reply, redirect
from fetchcast.testing.tokens import TokenServer

__all__ = [
    "Api",
    "Asked",
    "Beyond",
    "FakeClock",
    "Reply",
    "Says",
    "TokenServer",
    "cursor_pages",
    "gzip_bomb",
    "gzip_reply",
    "json_reply",
    "link_pages",
    "next_url_pages",
    "numbered_pages",
    "offset_pages",
    "redirect",
    "running_api",
]
