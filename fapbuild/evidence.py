"""What is known of an artifact's origin: its software bill of materials."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from artifact_store.artifact import ArtifactId
from fapbuild.wheels import Vendored

SBOM = ".fap/sbom.cdx.json"
_NAMESPACE = uuid.UUID("6e1c1f0a-5d3f-5c0b-9c39-0d9a3f1b7c52")


def sbom(artifact: ArtifactId, vendored: Sequence[Vendored]) -> bytes:
    """A CycloneDX 1.6 document of the vendored wheels: names, versions, sha256 and package URLs.

    The same contents give the same bytes: its serial number is a uuid5 of them and its time is 1970.
    """
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    app = Component(
        name=artifact.app, version=artifact.version, type=ComponentType.APPLICATION, bom_ref=artifact.app
    )
    components = []
    for wheel in vendored:
        url = PackageURL("pypi", None, wheel.name, wheel.version)
        components.append(
            Component(
                name=wheel.name,
                version=wheel.version,
                type=ComponentType.LIBRARY,
                purl=url,
                bom_ref=str(url),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
            )
        )
    contents = " ".join([str(artifact), *(wheel.sha256 for wheel in vendored)])
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(_NAMESPACE, contents),
        metadata=BomMetaData(component=app, timestamp=datetime.fromtimestamp(0, UTC)),
    )
    bom.register_dependency(app, components)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode("utf-8") + b"\n"
