"""The evidence of an artifact's origin: the bill of materials and the provenance."""

import hashlib
import json
import tarfile
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from artifact_store.artifact.archive import read_manifest
from artifact_store.artifact.evidence import PROVENANCE_SUFFIX, SBOM_SUFFIX, path_of
from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.open import make_store
from fapbuild.archive.writer import Artifact
from fapbuild.cache import Cache
from fapbuild.packing.evidence import SBOM, licences, provenance, sbom
from fapbuild.project.git_tree import Snapshot, SourceTree
from fapbuild.wheels.facts import WheelFacts
from fapbuild.wheels.vendor import VendoredWheel
from tests.parts.project import Project
from tests.parts.sdists import make_sdist
from tests.parts.tgz import manifest_of

GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "me/shop",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_WORKFLOW_REF": "me/shop/.github/workflows/release.yml@refs/tags/v1",
}


def test_it_lists_exactly_what_is_inside(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        file = tar.extractfile(SBOM)
        assert file is not None
        text = file.read()
        wheels = {name.rsplit("/", 1)[-1]: name for name in tar.getnames() if name.endswith(".whl")}
        digests = {
            file: hashlib.sha256(tar.extractfile(name).read()).hexdigest()  # type: ignore[union-attr]
            for file, name in wheels.items()
        }
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == "shop"
    assert document["metadata"]["timestamp"] == "1970-01-01T00:00:00+00:00"
    parts = {part["name"]: part for part in document["components"]}
    assert sorted(parts) == ["greet", "installer", "left-pad", "packaging"]
    assert {part["hashes"][0]["content"] for part in parts.values()} == set(digests.values())
    assert parts["installer"]["licenses"], "its METADATA names one"
    assert parts["greet"]["purl"] == "pkg:pypi/greet@1.0"
    assert path_of(packed, SBOM_SUFFIX).read_bytes() == text


def test_its_serial_number_follows_from_its_contents(tmp_path: Path) -> None:
    wheels = [
        VendoredWheel(name, "1", f"{name}-1-py3-none-any.whl", digit * 64, 1, tmp_path)
        for name, digit in (("b", "1"), ("a", "2"))
    ]
    shop = ArtifactId("shop", "1")
    cache = Cache(tmp_path / "cache")
    assert sbom(shop, wheels, cache) == sbom(shop, wheels, Cache(tmp_path / "other"))
    assert sbom(shop, wheels, cache) == sbom(shop, wheels, cache)
    serials = {
        json.loads(sbom(*arguments, cache))["serialNumber"]
        for arguments in ((shop, wheels), (shop, wheels[:1]), (ArtifactId("shop", "2"), wheels))
    }
    assert len(serials) == 3
    assert all(serial.startswith("urn:uuid:") and serial[23] == "5" for serial in serials)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "MIT")], ("MIT OR Apache-2.0",)),
        (
            [
                ("Classifier", "License :: OSI Approved :: MIT License"),
                ("Classifier", "License :: OSI Approved"),
                ("Classifier", "Framework :: Django"),
                ("Classifier", "License :: Public Domain"),
            ],
            ("MIT License", "Public Domain"),
        ),
        ([("License", "BSD-3-Clause")], ("BSD-3-Clause",)),
        ([("License", "Copyright me\n        Permission is hereby granted")], ()),
        ([("License", "UNKNOWN")], ()),
        ([], ()),
    ],
)
def test_licences_are_those_of_the_metadata(headers: list[tuple[str, str]], named: tuple[str, ...]) -> None:
    message = Message()
    for key, value in headers:
        message[key] = value
    assert licences(message) == named


def test_licences_become_identifiers_expressions_or_names(tmp_path: Path) -> None:
    headers = {
        "a": "License: MIT\n",
        "b": "License-Expression: MIT OR Apache-2.0\n",
        "c": "Classifier: License :: MIT\nClassifier: License :: Public Domain\n",
        "d": "License: Odd, own\n",
    }
    wheels = [
        VendoredWheel(name, "1", name, name * 64, 1, tmp_path, WheelFacts(text))
        for name, text in headers.items()
    ]
    text = sbom(ArtifactId("shop", "1"), wheels, Cache(tmp_path / "cache")).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {part["name"]: part["licenses"] for part in json.loads(text)["components"]}
    assert found["a"] == [{"license": {"id": "MIT"}}]
    assert found["b"] == [{"expression": "MIT OR Apache-2.0"}]
    assert [entry["license"]["name"] for entry in found["c"]] == ["MIT", "Public Domain"]
    assert [entry["license"]["name"] for entry in found["d"]] == ["Odd, own"]


def checked(path: Path) -> dict[str, object]:
    """The statement in the file, read by the messages that in-toto publishes, which know every field."""
    document = json.loads(path.read_text())
    message = json_format.ParseDict(document, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    predicate = json_format.ParseDict(document["predicate"], Provenance())
    assert predicate.build_definition.build_type
    assert predicate.run_details.builder.id
    for resource in (*predicate.build_definition.resolved_dependencies, *predicate.run_details.byproducts):
        ResourceDescriptor.copy_from_pb(resource).validate()
    return document


def test_provenance_names_commit_packages_lock_and_tools(packed: Path) -> None:
    manifest = read_manifest(packed)
    statement = checked(path_of(packed, PROVENANCE_SUFFIX))
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert statement["subject"] == [{"name": packed.name, "digest": {"sha256": digest}}]
    build = statement["predicate"]["buildDefinition"]  # type: ignore[index]
    assert build["externalParameters"] == {
        "repository": "",
        "directory": "",
        "ref": "HEAD",
        "version": "",
        "allowDirty": False,
        "target": "",
    }
    assert build["internalParameters"]["lockDigest"] == manifest.lock_digest
    source, *packages = build["resolvedDependencies"]
    assert source == {"name": "source", "digest": {"gitCommit": manifest.commit}}
    assert [part["uri"] for part in packages] == ["pkg:pypi/greet@1.0", "pkg:pypi/left-pad@1.0"]
    details = statement["predicate"]["runDetails"]  # type: ignore[index]
    bill = hashlib.sha256(path_of(packed, SBOM_SUFFIX).read_bytes()).hexdigest()
    assert details["byproducts"] == [{"name": path_of(packed, SBOM_SUFFIX).name, "digest": {"sha256": bill}}]
    assert "metadata" not in details


def test_provenance_is_the_same_each_time_and_names_the_run_in_ci(project: Project) -> None:
    project.git("remote", "add", "origin", "https://me:secret@example.org/shop.git")
    project.git("update-ref", "refs/remotes/origin/main", "HEAD")
    first = Path(project.pack()["path"])
    statement = path_of(first, PROVENANCE_SUFFIX)
    text = statement.read_bytes()
    assert statement.stat().st_mode & 0o777 == 0o644
    assert b"secret" not in text
    project.pack()
    assert statement.read_bytes() == text
    project.pack("--allow-dirty", **GITHUB)
    in_ci = checked(statement)["predicate"]
    commit = project.git("rev-parse", "HEAD")
    assert in_ci["buildDefinition"]["resolvedDependencies"][0]["uri"] == (  # type: ignore[index]
        f"git+https://example.org/shop@{commit}"
    )
    details = in_ci["runDetails"]  # type: ignore[index]
    assert details["builder"]["id"].endswith("me/shop/.github/workflows/release.yml@refs/tags/v1")
    assert details["metadata"] == {
        "invocationId": "https://github.com/me/shop/actions/runs/7/attempts/2",
    }
    job = "https://gitlab.com/me/shop/-/jobs/5"
    project.pack("--allow-dirty", GITLAB_CI="true", CI_JOB_URL=job)
    assert checked(statement)["predicate"]["runDetails"]["metadata"] == {"invocationId": job}  # type: ignore[index]


def test_provenance_of_a_dirty_tree_names_the_tree(project: Project) -> None:
    project.write({"new.py": ""})
    path = Path(project.pack("--allow-dirty")["path"])
    statement = checked(path_of(path, PROVENANCE_SUFFIX))
    source = statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]  # type: ignore[index]
    assert list(source["digest"]) == ["gitTree"]
    assert source["annotations"] == {"dirty": True}


def test_a_push_takes_both_along(project: Project, tmp_path: Path) -> None:
    make_store(f"file://{tmp_path / 'store'}")
    facts = project.pack("--push", f"file://{tmp_path / 'store'}", "--version=1")
    folder = tmp_path / "store" / "shop" / "artifacts" / "1" / facts["digest"]
    (push,) = folder.iterdir()
    assert sorted(path.name for path in push.iterdir()) == [
        "shop-1.provenance.json",
        "shop-1.sbom.cdx.json",
        "shop-1.tgz",
    ]


def test_provenance_names_the_sdist_that_a_wheel_was_built_from(project: Project, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, tmp_path / "log")
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    files = {"requirements.in": "homemade\n", "requirements.txt": f"homemade==1.0 --hash=sha256:{digest}\n"}
    project.commit(files)
    for _ in range(2):
        path = Path(project.pack(PIP_FIND_LINKS=str(tmp_path))["path"])
        statement = checked(path_of(path, PROVENANCE_SUFFIX))
        _, package = statement["predicate"]["buildDefinition"]["resolvedDependencies"]  # type: ignore[index]
        (wheel,) = read_manifest(path).wheels
        assert package["digest"] == {"sha256": digest}
        assert package["annotations"] == {"wheel": wheel.file, "wheelSha256": wheel.sha256}


def test_provenance_names_packages_that_no_index_has(tmp_path: Path) -> None:
    commit = "c" * 40
    origins = {
        "a": f"git+https://example.org/a@{commit}#subdirectory=x",
        "b": "https://example.org/b-1.tar.gz",
        "c": "../libs/c",
    }
    wheels = [
        VendoredWheel(name, "1", f"{name}.whl", name * 64, 1, tmp_path, source="0" * 64) for name in origins
    ]
    manifest = manifest_of({}, {}, app="shop", version="1", members=[])
    artifact = Artifact(tmp_path / "shop-1.tgz", "d" * 64, "e" * 64, 1, manifest)
    tree = SourceTree(
        commit="e" * 40,
        committed=0,
        prefix="",
        repository="",
        dirty="",
        folder=tmp_path,
        files=(),
        submodules=(),
        snapshot=Snapshot(tmp_path, "", {}),
        filtered={},
    )
    path = tmp_path / "shop-1.provenance.json"
    path.write_bytes(provenance(artifact, tree, wheels, origins, {}, b"", {}))
    build = checked(path)["predicate"]["buildDefinition"]  # type: ignore[index]
    found = [
        {**part, "annotations": part["annotations"]["wheel"]} for part in build["resolvedDependencies"][1:]
    ]
    assert found == [
        {"uri": origins["a"], "digest": {"gitCommit": commit}, "annotations": "a.whl"},
        {"uri": origins["b"], "annotations": "b.whl"},
        {"name": origins["c"], "digest": {"gitCommit": "e" * 40}, "annotations": "c.whl"},
    ]
