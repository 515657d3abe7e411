"""A storage whose check and write are two steps, as in OpenStack Swift: now and then two writers succeed."""

import random
import time
from typing import BinaryIO

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.errors import ConflictError


class TwoSteps(MemoryBlobs):
    """Blobs in memory that are checked for first, and written a little later."""

    is_atomic = False

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        if self.size(key) is not None:
            raise ConflictError(key)
        time.sleep(random.uniform(0, 0.002))
        self.delete(key)
        super().create(key, body, sha256)
