"""Both transports keep the same contract."""

from contextlib import AbstractAsyncContextManager

import msgspec

from fetchcast.extract.transport import Transport, TransportOptions, open_transport
from fetchcast.testing.transport_conformance import TransportConformance


class TestCurl(TransportConformance):
    def open(self, options: TransportOptions) -> AbstractAsyncContextManager[Transport]:
        return open_transport(msgspec.structs.replace(options, prefer="curl"))


class TestAiohttp(TransportConformance):
    def open(self, options: TransportOptions) -> AbstractAsyncContextManager[Transport]:
        return open_transport(msgspec.structs.replace(options, prefer="aiohttp"))
