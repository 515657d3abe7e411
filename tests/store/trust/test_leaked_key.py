"""After a leaked key was taken out of the file of allowed signers: a rollback is possible at once."""

from pathlib import Path

import pytest

from artifact_store.core.actor import Actor
from artifact_store.core.errors import PolicyViolationError, UsageError, VerificationError
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust import rules
from artifact_store.trust.rules import Trust
from tests.parts.signers import Signers
from tests.parts.tgz import tgz


def test_a_rollback_after_a_leaked_key_was_removed(tmp_path: Path) -> None:
    signers = Signers(tmp_path)
    leaked, ann = signers.allow("ci"), signers.allow("ann")

    def store(key: Path) -> Store:
        trust = Trust(policy=Policy(require_signatures=True), signers=signers.path, key=key)
        return Store(open_store(f"file://{tmp_path}/store").blobs, trust=trust)

    for version in "123":
        store(leaked).artifacts.publish(tgz(tmp_path, version=version), by=Actor("ci"))
        store(leaked).artifacts.sign("shop", version, by=Actor("ci"))
        store(leaked).stages.promote("shop", version, "production", by=Actor("ci"))
    lines = signers.path.read_text().splitlines(keepends=True)
    signers.path.write_text("".join(line for line in lines if not line.startswith("ci@")))

    with pytest.raises(VerificationError):
        store(ann).stages.head_with_link("shop", "production")
    with pytest.raises(PolicyViolationError) as error:
        store(ann).stages.rollback("shop", "production", by=Actor("ann"), to="2")
    assert "fapstore sign shop 2 --key KEY" in error.value.hint
    assert "--override" in error.value.hint
    store(ann).artifacts.sign("shop", "2", by=Actor("ann"))
    store(ann).stages.rollback("shop", "production", by=Actor("ann"), to="2", override="the key of ci leaked")
    head = store(ann).stages.head_with_link("shop", "production")
    assert head is not None
    assert (head[0].version, head[0].number) == ("2", 4)
    store(ann).artifacts.sign("shop", "1", by=Actor("ann"))
    again = store(ann).stages.rollback("shop", "production", by=Actor("ann"), to="1", override="bad")
    assert again.state.number == 5


ONE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOtherKeyOfNobody"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"\ufeffann@example.com {ONE}\n", "begins with a byte order mark"),
        (
            f"ann@example.com {ONE}\nbob@example.com {ONE} laptop\n",
            "lines 1 and 2 list one key for different",
        ),
        (f'ann@example.com namespaces="a b" {ONE}\n\n#\nbob@x {ONE}\n', "lines 1 and 4 list one key"),
        (f"ann@x {ONE}\n# bob@x {ONE}\n", ""),
        (f'ann@x namespaces="fapkit-stage" {ONE}\nann@x namespaces="fapkit-artifact" {ONE}\n', ""),
        (f"ann@x,bob@x {ONE}\neve@x ssh-ed25519 AAAAC3Nz\n", ""),
    ],
)
def test_a_file_of_signers_that_ssh_keygen_would_misread(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text(content)
    if not says:
        rules.check_signers(path)
        return
    for load in (lambda: rules.signed_by(path), lambda: rules.load(tmp_path, signers=path)):
        with pytest.raises(UsageError, match=says):
            load()
