"""Through which proxy a call goes: what the options say, else what the environment says."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # the stubs lack the second
    getproxies_environment,
    proxy_bypass_environment,
)

from fetchcast.extract.transport_contract import TransportOptions


class Proxies:
    """The proxies of one transport, as they were when it was opened; an empty text means none."""

    def __init__(self, options: TransportOptions) -> None:
        found = getproxies_environment() if options.proxy is None else {}
        every = found.get("all", "") if options.proxy is None else options.proxy
        self.plain = found.get("http", every)
        self.tls = found.get("https", every)
        self.exceptions = found.get("no", "")
        self._known: dict[str, str] = {}

    def of(self, url: str) -> str:
        """The proxy for ``url``, the exceptions considered."""
        if not self.plain and not self.tls:
            return ""
        host = urlsplit(url).netloc.rpartition("@")[2]
        key = url[:5] + host
        if key not in self._known:
            proxy = self.tls if url.startswith("https:") else self.plain
            bypassed = proxy_bypass_environment(host, {"no": self.exceptions})
            self._known[key] = "" if bypassed else proxy
        return self._known[key]
