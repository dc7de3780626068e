"""Makes credentials of what the pipeline file says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from fetchcast.clock import Clock
from fetchcast.extract.auth.credentials import Credentials, FixedHeaders
from fetchcast.extract.auth.givers import LogIn, OAuth
from fetchcast.extract.auth.keys import Keys, key_id, keys, signatures
from fetchcast.extract.auth.options import ApiKey, AuthOptions, Basic, Bearer, ClientCredentials
from fetchcast.extract.auth.secrets import Secrets
from fetchcast.extract.auth.tokens import Tokens
from fetchcast.extract.retry import RetryOptions
from fetchcast.extract.transport import TransportOptions, open_transport


@asynccontextmanager
async def open_credentials(
    options: AuthOptions | None,
    *,
    base_url: str,
    headers: Mapping[str, str],
    secrets: tuple[str, ...],
    http: TransportOptions,
    retry: RetryOptions,
    clock: Clock,
) -> AsyncIterator[Credentials]:
    """Open what signs the calls of one API.

    Args:
        options: Its ``[api.auth]``; None if there is none.
        base_url: Whose calls are signed; a call to another origin is not.
        headers: Added to every call.
        secrets: What is secret in ``headers``.
        http: How tokens are asked for: over a transport of their own, so that they need not
            wait for calls that wait for them, and without redirects: who asks for a token sends
            what proves who it is.
        retry: How stubbornly.
        clock: Time and chance.
    """
    if options is None:
        yield FixedHeaders(headers, base_url=base_url, secrets=Secrets(secrets))
        return
    if isinstance(options, Bearer | ApiKey | Basic):
        signed = signatures(options, headers, secrets)
        yield Keys(signed, base_url=base_url, headers=headers)
        return
    giver = OAuth(options) if isinstance(options, ClientCredentials) else LogIn(options, base_url)
    alone = msgspec.structs.replace(http, max_redirects=0, max_connections=1)
    async with open_transport(alone) as transport:
        tokens = Tokens(
            giver,
            transport=transport,
            clock=clock,
            retry=retry,
            base_url=base_url,
            headers=headers,
            secrets=secrets,
        )
        try:
            yield tokens
        finally:
            await tokens.close()


def lane_ids(options: AuthOptions | None) -> list[str]:
    """One name for each key, from which nothing secret can be read; ``""`` if there are none."""
    if options is None:
        return [""]
    if isinstance(options, Bearer | ApiKey | Basic):
        return [key_id(key) for key in keys(options)]
    known = options.client_id if isinstance(options, ClientCredentials) else options.path
    return [key_id(known)]
