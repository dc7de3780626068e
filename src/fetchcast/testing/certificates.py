"""Certificates for tests: one that is fine, one that has expired, one that nobody signed.

The keys are public and protect nothing. All are for ``localhost`` and ``127.0.0.1``.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIUG5JaZbYAr7kGBk1fnJihoc4sccAwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYZmV0Y2hjYXN0IHRlc3QgYXV0aG9yaXR5MCAXDTI2MTEyMTIy
MDUxNVoYDzIxMjYxMDI4MjIwNTE1WjAjMSEwHwYDVQQDDBhmZXRjaGNhc3QgdGVz
dCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARhB3TW0LBeiGzA
Sv9Yxv2RAWIZWUXkEDLgI8izQqhegbNWbDU5IRHJTAfd6QwdC8BJt9EuXBongPoV
px1Y7kmAo1MwUTAdBgNVHQ4EFgQUwAhc7j/Ru1aflVvt9i3RrGqqtHgwHwYDVR0j
BBgwFoAUwAhc7j/Ru1aflVvt9i3RrGqqtHgwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiBS2DnjQLGjH0LNeh6N8abh2ygbyFtYgkgSC17pqrbn4gIh
AIowP3GxnCvPFOXpJgfzBl9C/axIMzk3Dx8aJmjryIpB
-----END CERTIFICATE-----
"""
"""Has signed `GOOD` and `EXPIRED`; to be given as ``ca_file``."""

GOOD = """\
-----BEGIN CERTIFICATE-----
MIIBvjCCAWOgAwIBAgIUYJ65WjDjsIwv4agCnawwI5F09oIwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYZmV0Y2hjYXN0IHRlc3QgYXV0aG9yaXR5MCAXDTI2MTEyMTIy
MDUxNVoYDzIxMjYxMDI4MjIwNTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAAQEVB19EHwoYnHcReMAwKQDf5yarGFUUCvR
x+kwKZ3Tn5v/f126S1Z/Kw+wqS4rP010XnGIyBP5nT1wI7TlgG6Mo4GBMH8wGgYD
VR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMAwGA1UdEwEB/wQCMAAwEwYDVR0lBAww
CgYIKwYBBQUHAwEwHQYDVR0OBBYEFHIG97W7Kyjj9FiNM5wNw6GNCCyIMB8GA1Ud
IwQYMBaAFMAIXO4/0btWn5Vb7fYt0axqqrR4MAoGCCqGSM49BAMCA0kAMEYCIQDa
mVJhTIyrv0L4dBUlkx8XU3W7VanNMfZY7NzCRgD2+wIhAN0dGvU+HELnIr+DlJeP
jOOaKT15SWKZ08CeukMpp3Dh
-----END CERTIFICATE-----
"""
"""Valid until 2126."""

EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBqDCCAU6gAwIBAgIBATAKBggqhkjOPQQDAjAjMSEwHwYDVQQDDBhmZXRjaGNh
c3QgdGVzdCBhdXRob3JpdHkwHhcNMjAwMTAxMDAwMDAwWhcNMjAwMTAyMDAwMDAw
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQEVB19EHwoYnHcReMAwKQDf5yarGFUUCvRx+kwKZ3Tn5v/f126S1Z/Kw+wqS4r
P010XnGIyBP5nT1wI7TlgG6Mo4GBMH8wGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/
AAABMAwGA1UdEwEB/wQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYE
FHIG97W7Kyjj9FiNM5wNw6GNCCyIMB8GA1UdIwQYMBaAFMAIXO4/0btWn5Vb7fYt
0axqqrR4MAoGCCqGSM49BAMCA0gAMEUCIFiIqD0sfJAQ6DgZW4oc4XSLuLZB/P5W
n72+DAka049BAiEA4fkNflyri7mra3Nnh71nxkVEJPZoQWFcUx/HjDYIxEA=
-----END CERTIFICATE-----
"""
"""Was valid on the first of January 2020."""

SELF_SIGNED = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIURHJUbIK+0q7k5sgA0OvBVqZVk+UwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIyMDUxNVoYDzIxMjYxMDI4
MjIwNTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQEVB19EHwoYnHcReMAwKQDf5yarGFUUCvRx+kwKZ3Tn5v/f126S1Z/
Kw+wqS4rP010XnGIyBP5nT1wI7TlgG6Mo28wbTAdBgNVHQ4EFgQUcgb3tbsrKOP0
WI0znA3DoY0ILIgwHwYDVR0jBBgwFoAUcgb3tbsrKOP0WI0znA3DoY0ILIgwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAOFnBTcJvRG+VOmyBjQOxxs+TqI2dSw1soEhDko86iy8AiB8
Vl67lBJdynJ9pHwKpxDsKy5+nYPPktju+JrRls3Cng==
-----END CERTIFICATE-----
"""
"""Valid until 2126, signed by itself."""

KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIC0zbhgzpLeJ7Bl3P4L9CoWdQT/x+wo9/rXC88msUo2SoAoGCCqGSM49
AwEHoUQDQgAEBFQdfRB8KGJx3EXjAMCkA3+cmqxhVFAr0cfpMCmd05+b/39duktW
fysPsKkuKz9NdF5xiMgT+Z09cCO05YBujA==
-----END EC PRIVATE KEY-----
"""
"""The private key of the last three."""


def server_context(certificate: str = GOOD) -> ssl.SSLContext:
    """What a test server needs to speak TLS with one of the certificates above."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        chain.write_text(KEY + certificate)
        context.load_cert_chain(chain)
    return context
