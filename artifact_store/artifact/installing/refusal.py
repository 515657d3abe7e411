"""The one error of the installer."""


class RefusedError(Exception):
    """The reason, for people, why the artifact can't be installed here; `code` is the exit code."""

    def __init__(self, message, code=1):
        super().__init__(message, code)
        self.code = code

    def __str__(self):
        return self.args[0]
