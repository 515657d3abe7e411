"""Evidence of an artifact's origin: its bill of materials, and its provenance.

Formats: CycloneDX 1.6 (cyclonedx.org); in-toto Statement v1 with the SLSA Provenance v1 predicate
(github.com/in-toto/attestation, slsa.dev/spec/v1.0/provenance).
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import Message
from importlib import metadata

import msgspec

from artifact_store.artifact.evidence import PROVENANCE_SUFFIX, SBOM_SUFFIX, path_of
from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.manifest import Manifest
from artifact_store.core import actor
from fapbuild.archive.members import TarEntry
from fapbuild.archive.writer import Artifact
from fapbuild.cache import Cache
from fapbuild.project.git_tree import SourceTree
from fapbuild.wheels.vendor import VendoredWheel

SBOM = ".fap/sbom.cdx.json"
_NAMESPACE = uuid.UUID("6e1c1f0a-5d3f-5c0b-9c39-0d9a3f1b7c52")
_BUILD_TYPE = "urn:fapkit:pack:1"
_BUILDER = "urn:fapkit:builder:unidentified"
_CLASSIFIER = "License :: "
_KIND = "sbom-2"


def sbom_maker() -> str:
    """The library that writes the bill of materials with its version, since both decide the bytes."""
    return f"cyclonedx-python-lib {metadata.version('cyclonedx-python-lib')}"


def licences(headers: Message) -> tuple[str, ...]:
    """The licences in a wheel's metadata: License-Expression (PEP 639), else classifiers, else License."""
    if expression := headers.get("License-Expression"):
        return (expression.strip(),)
    classifiers = [line for line in headers.get_all("Classifier") or () if line.startswith(_CLASSIFIER)]
    names = sorted({line.rsplit(" :: ", 1)[-1].strip() for line in classifiers} - {"OSI Approved"})
    text = (headers.get("License") or "").strip()
    # Many License fields hold the whole text of a licence.
    field = (text,) if text and "\n" not in text and len(text) <= 80 and text != "UNKNOWN" else ()
    return tuple(names) or field


def sbom(artifact: ArtifactId, wheels: Sequence[VendoredWheel], cache: Cache) -> bytes:
    """Return a CycloneDX 1.6 document of the wheels: names, versions, sha256, package URLs, licences.

    The same contents give the same bytes: its serial number is a uuid5 of them and its time is 1970.
    """
    facts = [(wheel.name, wheel.version, wheel.file, wheel.sha256) for wheel in wheels]
    question = repr((sbom_maker(), artifact.app, facts))
    text, _ = cache.remember(_KIND, question, lambda: _of_wheels(artifact.app, wheels))
    bill = json.loads(text)
    contents = " ".join([str(artifact), *(wheel.sha256 for wheel in wheels)])
    bill["serialNumber"] = uuid.uuid5(_NAMESPACE, contents).urn
    bill["metadata"]["component"]["version"] = artifact.version
    return json.dumps(bill, indent=1).encode("utf-8") + b"\n"


def _of_wheels(name: str, wheels: Sequence[VendoredWheel]) -> bytes:
    """The document for any version of the app with these wheels: slow to make, and it seldom changes."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    app = Component(name=name, version="any", type=ComponentType.APPLICATION, bom_ref=name)
    factory = LicenseFactory()
    components = []
    for wheel in wheels:
        url = PackageURL("pypi", None, wheel.name, wheel.version)
        texts = licences(wheel.facts.message())
        # An expression must stand alone; several texts are one licence each.
        only = len(texts) == 1
        components.append(
            Component(
                name=wheel.name,
                version=wheel.version,
                type=ComponentType.LIBRARY,
                purl=url,
                bom_ref=str(url),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
                licenses=[
                    factory.make_from_string(text) if only else factory.make_with_name(text) for text in texts
                ],
            )
        )
    bom = Bom(
        components=components,
        serial_number=_NAMESPACE,
        metadata=BomMetaData(component=app, timestamp=datetime.fromtimestamp(0, UTC)),
    )
    bom.register_dependency(app, components)
    return JsonV1Dot6(bom).output_as_string().encode("utf-8")


def provenance(
    artifact: Artifact,
    tree: SourceTree,
    wheels: Sequence[VendoredWheel],
    origins: Mapping[str, str],
    parameters: Mapping[str, object],
    bill: bytes,
    environ: Mapping[str, str] = os.environ,
) -> bytes:
    """Return the provenance of an artifact: commit, packages, lock, tools, and in CI which run.

    `origins` names the source of each package that no index has; `parameters` are the choices of the person
    who packed; `bill` is the bill of materials. It holds no time, so outside CI the same pack gives the same
    bytes.
    """
    manifest = artifact.manifest
    run = actor.ci_run(environ)
    details: dict[str, object] = {
        "builder": {"id": _builder(environ), "version": _tools(manifest)},
        "byproducts": [{"name": path_of(artifact.path, SBOM_SUFFIX).name, "digest": _sha256(bill)}],
    }
    if run:
        attempt = environ.get("GITHUB_RUN_ATTEMPT", "")  # other systems give each attempt a URL of its own
        details["metadata"] = {"invocationId": f"{run}/attempts/{attempt}" if attempt else run}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": artifact.path.name, "digest": {"sha256": artifact.digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {"repository": tree.repository, "directory": tree.prefix, **parameters},
                "internalParameters": {
                    "lockDigest": manifest.lock_digest,
                    "target": msgspec.to_builtins(manifest.target),
                },
                "resolvedDependencies": [
                    _source(tree),
                    *(_package(wheel, origins.get(wheel.name, ""), tree) for wheel in wheels),
                ],
            },
            "runDetails": details,
        },
    }
    return msgspec.json.format(msgspec.json.encode(statement), indent=1) + b"\n"


def bill_in(entries: Sequence[TarEntry]) -> bytes:
    """The bill of materials among the entries of an artifact."""
    content = next(entry.content for entry in entries if entry.path == SBOM)
    assert isinstance(content, bytes)  # noqa: S101
    return content


def attach(artifact: Artifact, bill: bytes, statement: bytes) -> None:
    """Write both files beside the artifact, each completely or not at all."""
    for kind, content in ((SBOM_SUFFIX, bill), (PROVENANCE_SUFFIX, statement)):
        path = path_of(artifact.path, kind)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.touch(0o644)
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _source(tree: SourceTree) -> dict[str, object]:
    # Names of digests: github.com/in-toto/attestation, spec/v1/digest_set.md
    uri = {"uri": f"git+{tree.repository}@{tree.commit}"} if tree.repository else {}
    if tree.dirty:
        return {**uri, "name": "source", "digest": {"gitTree": tree.dirty}, "annotations": {"dirty": True}}
    return {**uri, "name": "source", "digest": {"gitCommit": tree.commit}}


def _package(wheel: VendoredWheel, origin: str, tree: SourceTree) -> dict[str, object]:
    uri = f"pkg:pypi/{wheel.name}@{wheel.version}"
    built = {"annotations": {"wheel": wheel.file, "wheelSha256": wheel.sha256}}
    if origin and "://" not in origin:
        return {"name": origin, "digest": _source(tree)["digest"], **built}
    if origin:
        commit = re.search(r"@([0-9a-f]{40})(#|$)", origin)
        return {"uri": origin, **({"digest": {"gitCommit": commit[1]}} if commit else {}), **built}
    if wheel.source:
        return {"uri": uri, "name": "sdist", "digest": {"sha256": wheel.source}, **built}
    return {"uri": uri, "name": wheel.file, "digest": {"sha256": wheel.sha256}}


def _builder(environ: Mapping[str, str]) -> str:
    # The workflow's own name on GitHub: docs.github.com, "Variables reference"
    server, workflow = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_WORKFLOW_REF")
    return f"{server}/{workflow}" if server and workflow else _BUILDER


def _tools(manifest: Manifest) -> dict[str, str]:
    builder = manifest.builder
    return {"fapkit": builder.version, "compressor": builder.compressor, "sbom": builder.sbom}


def _sha256(data: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(data).hexdigest()}
