"""The bill of materials inside an artifact."""

import json
import tarfile
from pathlib import Path

from artifact_store.archive import read_manifest
from artifact_store.artifact import ArtifactId
from fapbuild.evidence import SBOM, sbom
from fapbuild.wheels import Vendored


def test_it_lists_exactly_what_is_vendored(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        file = tar.extractfile(SBOM)
        assert file is not None
        document = json.load(file)
    manifest = read_manifest(packed)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "shop"
    assert document["metadata"]["timestamp"] == "1970-01-01T00:00:00+00:00"
    found = [(part["name"], part["version"], part["purl"], part["hashes"]) for part in document["components"]]
    assert found == [
        (
            wheel.name,
            wheel.version,
            f"pkg:pypi/{wheel.name}@{wheel.version}",
            [{"alg": "SHA-256", "content": wheel.sha256}],
        )
        for wheel in manifest.wheels
    ]


def test_its_serial_number_follows_from_its_contents(tmp_path: Path) -> None:
    wheels = [
        Vendored(name, "1", f"{name}-1-py3-none-any.whl", digit * 64, 1, tmp_path)
        for name, digit in (("b", "1"), ("a", "2"))
    ]
    shop = ArtifactId("shop", "1")
    assert sbom(shop, wheels) == sbom(shop, wheels)
    serials = {
        json.loads(sbom(*arguments))["serialNumber"]
        for arguments in ((shop, wheels), (shop, wheels[:1]), (ArtifactId("shop", "2"), wheels))
    }
    assert len(serials) == 3
    assert all(serial.startswith("urn:uuid:") and serial[23] == "5" for serial in serials)
