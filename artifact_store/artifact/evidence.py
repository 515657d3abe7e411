"""What `fapbuild pack` lays beside an artifact: its bill of materials, and where it comes from.

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
    """The contents, by kind, of what lies beside the artifact's file, whose sha256 is `digest`.

    Raises VerificationError if the provenance is about other bytes.
    """
    found = {
        kind: path.read_bytes()
        for kind in (SBOM_SUFFIX, PROVENANCE_SUFFIX)
        if (path := path_of(artifact, kind)).is_file()
    }
    if PROVENANCE_SUFFIX in found:
        name = path_of(artifact, PROVENANCE_SUFFIX).name
        hint = f"remove it, or pack {artifact.name} again"
        try:
            statement = msgspec.json.decode(found[PROVENANCE_SUFFIX], type=_Statement)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise VerificationError(f"{name} is no in-toto statement: {error}", hint=hint) from error
        if digest not in {subject.digest.get("sha256") for subject in statement.subject}:
            raise VerificationError(f"{name} is about other bytes than {artifact.name}", hint=hint)
    return found
