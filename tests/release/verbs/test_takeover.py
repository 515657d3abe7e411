"""The folder of an app that fapistrano or Capistrano released until now is taken over where it is."""

from pathlib import Path

import pytest

from tests.parts.site import Site, artifact

pytestmark = pytest.mark.slow  # whole releases, one after another

OLD = ["160314-083000", "160314-085322"]


@pytest.mark.parametrize("ids", [OLD, ["20160314083000", "20160314085322"]], ids=["fapistrano", "capistrano"])
def test_the_first_release_goes_beside_the_old_ones_and_back(ids: list[str], tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure("linked_files: [settings.py]\nkeep_releases: 2")
    for name in ids:
        folder = site.path / "releases" / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(f"VERSION = '{name}'\n")
    (site.path / "shared").mkdir()
    (site.path / "shared/settings.py").touch()
    # Both tools write absolute links.
    (site.path / "current").symlink_to(site.path / "releases" / ids[1])
    new = site.release(artifact(tmp_path / "new", "1"))
    assert site.version() == "1"
    assert site.folders() == sorted([*ids, new])
    site.rollback()
    assert site.version() == ids[1]
    assert site.states() == {ids[1]: "live", new: "bad"}
    # From here on it counts as a release of ours; what was never live under our eyes is left alone.
    newer = [site.release(artifact(tmp_path / str(number), str(number))) for number in range(2, 5)]
    assert ids[0] in site.folders()
    assert ids[1] not in site.folders()
    assert newer[-1] in site.folders()
