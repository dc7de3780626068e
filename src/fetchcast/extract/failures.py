"""What both transports say when a call has no answer: the same errors in the same words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fetchcast.errors import BodyTooLarge, BrokenAnswer, ConnectFailed, TimedOut, TransportStopped
from fetchcast.extract.addresses import redacted
from fetchcast.extract.transport_contract import TransportOptions

_CERTIFICATE_HINT = (
    "hint: for a private authority set ca_file; an expired certificate only its owner can mend"
)


def not_connected(url: str, options: TransportOptions) -> TimedOut:
    """The first of the three deadlines passed."""
    text = f"no connection within {options.connect_timeout_s:g} s (connect_timeout_s)"
    return TimedOut(redacted(url), text)


def not_begun(url: str, options: TransportOptions) -> TimedOut:
    """The second."""
    text = f"no answer began within {options.first_byte_timeout_s:g} s (first_byte_timeout_s)"
    return TimedOut(redacted(url), text)


def not_complete(url: str, options: TransportOptions) -> TimedOut:
    """The third."""
    text = f"not complete after {options.total_timeout_s:g} s (total_timeout_s)"
    return TimedOut(redacted(url), text)


def too_large(url: str, options: TransportOptions) -> BodyTooLarge:
    """Nothing of the body is kept."""
    text = f"the decoded body is larger than max_body_bytes = {options.max_body_bytes}"
    return BodyTooLarge(redacted(url), text)


def undecodable(url: str, why: object) -> BrokenAnswer:
    """The body is not what its encoding says, or not all of it."""
    text = f"the body is not what its Content-Encoding says ({why})"
    return BrokenAnswer(redacted(url), text)


def no_http(url: str, why: object) -> BrokenAnswer:
    """Something answers, in another language."""
    return BrokenAnswer(redacted(url), f"what came is not HTTP ({why})")


def no_address(url: str, why: object) -> ConnectFailed:
    """Not an http or https URL."""
    return ConnectFailed(redacted(url), f"this is no address that can be called ({why})")


def no_name(url: str, why: object) -> ConnectFailed:
    """DNS knows no such host, or cannot be asked."""
    return ConnectFailed(redacted(url), f"the name of the host cannot be resolved ({why})")


def nobody_there(url: str, why: object) -> ConnectFailed:
    """Refused, unreachable."""
    return ConnectFailed(redacted(url), f"nobody answers there ({why})")


def not_trusted(url: str, why: object) -> ConnectFailed:
    """The certificate is expired, self-signed, or for another host."""
    text = f"the server's certificate is refused ({why})\n{_CERTIFICATE_HINT}"
    return ConnectFailed(redacted(url), text)


def no_tls(url: str, why: object) -> ConnectFailed:
    """The handshake failed before there was a certificate to judge."""
    return ConnectFailed(redacted(url), f"no encrypted connection could be made ({why})")


def no_proxy(url: str, why: object) -> ConnectFailed:
    """The proxy is not there, or says no."""
    return ConnectFailed(redacted(url), f"the proxy does not let us through ({why})")


def stopped(url: str, crash: BaseException | None = None) -> TransportStopped:
    """Closed by its owner, or by a bug."""
    text = "the transport was closed" if crash is None else bug(crash)
    return TransportStopped(redacted(url), text)


def bug(crash: BaseException) -> str:
    """What to say about ``crash``."""
    return f"the transport's thread ended with {crash!r}; this is a bug"


def merged(asked: Mapping[str, str], secret: Mapping[str, str]) -> dict[str, str]:
    """The headers of a call, names in lower case; ``secret`` replaces those of the same name.

    Raises:
        ValueError: If one has a line break in it: it would smuggle a header in.
    """
    headers = {}
    for name, value in (*asked.items(), *secret.items()):
        if any(mark in name or mark in value for mark in "\r\n\0"):
            raise ValueError(f"header {name!r} has a line break in it")
        headers[name.lower()] = value
    return headers
