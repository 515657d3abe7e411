"""The releaser: an artifact and a configuration become a release on hosts. It builds nothing."""
