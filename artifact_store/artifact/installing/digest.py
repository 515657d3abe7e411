"""A sha256 that loads at once: OpenSSL's is faster, but takes longer to load than to hash a little."""


def new_sha256(data=b""):
    """A new sha256 object of Python's own, or OpenSSL's if it has none."""
    for name in ("_sha256", "_sha2"):  # the names up to Python 3.11, and from 3.12 on
        try:
            return __import__(name).sha256(data)
        except ImportError:
            pass
    import hashlib

    return hashlib.sha256(data)
