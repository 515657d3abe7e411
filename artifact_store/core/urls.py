"""URLs without their secrets, for messages."""

import re


def redact_url(url: str) -> str:
    """The URL without user, password, query and fragment. A presigned URL has its signature in the query."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
