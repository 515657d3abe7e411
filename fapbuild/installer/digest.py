"""A sha256 that is there at once: OpenSSL's is faster, and takes longer to load than to hash a little."""


def new_sha256(data=b""):
    for name in ("_sha256", "_sha2"):  # as Python up to 3.11 and later ones call theirs
        try:
            return __import__(name).sha256(data)
        except ImportError:
            pass
    import hashlib

    return hashlib.sha256(data)
