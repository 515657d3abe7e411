"""The files that `fapbuild pack` writes beside an artifact: bill of materials and provenance.

Formats: CycloneDX (cyclonedx.org), and an in-toto statement v1 (in-toto.io/Statement/v1) that names the
artifact's sha256 as its subject.
"""

from pathlib import Path

import msgspec

from artifact_store.core.errors import VerificationError

SBOM_SUFFIX = ".sbom.cdx.json"
PROVENANCE_SUFFIX = ".provenance.json"


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    subject: list[_Subject]


def path_of(artifact: Path, kind: str) -> Path:
    """The path of the evidence with this suffix (SBOM_SUFFIX, PROVENANCE_SUFFIX) beside an artifact."""
    return artifact.with_name(artifact.name.removesuffix(".tgz") + kind)


def read(artifact: Path, digest: str) -> dict[str, bytes]:
    """The contents of the evidence files beside an artifact, by their suffix.

    Raises VerificationError if the provenance is not about the sha256 `digest`.
    """
    contents = {
        kind: path.read_bytes()
        for kind in (SBOM_SUFFIX, PROVENANCE_SUFFIX)
        if (path := path_of(artifact, kind)).is_file()
    }
    if PROVENANCE_SUFFIX in contents:
        name = path_of(artifact, PROVENANCE_SUFFIX).name
        hint = f"remove it, or pack {artifact.name} again"
        try:
            statement = msgspec.json.decode(contents[PROVENANCE_SUFFIX], type=_Statement)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise VerificationError(f"{name} is not an in-toto statement: {error}", hint=hint) from error
        if digest not in {subject.digest.get("sha256") for subject in statement.subject}:
            raise VerificationError(f"{name} is about other bytes than {artifact.name}", hint=hint)
    return contents
