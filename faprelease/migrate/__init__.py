"""Migration from fapistrano, beeper or Capistrano to deploy.yml and fapbuild.toml."""

from pathlib import Path

from faprelease.errors import ConfigError
from faprelease.migrate.findings import Finding, Migration, toml

__all__ = ["Finding", "Migration", "migrate", "write"]

DEPLOY, BUILD = "deploy.yml", "fapbuild.toml"


def migrate(path: Path) -> Migration:
    """Migrate a deploy.yml of fapistrano, a beeper.yml, or a deploy.rb of Capistrano with its stages in
    `deploy/*.rb`. Raises ConfigError if the file can't be read, or is none of these."""
    text = _read(path)
    if path.suffix == ".rb":
        from faprelease.migrate import capistrano

        files = sorted((path.parent / "deploy").glob("*.rb"))
        stages = {file.stem: (f"{path.parent.name}/deploy/{file.name}", _read(file)) for file in files}
        return capistrano.migrate(f"{path.parent.name}/{path.name}", text, stages)
    if path.suffix not in (".yml", ".yaml"):
        raise ConfigError(
            f"{path} can't be migrated",
            hint="give fapistrano's deploy.yml, beeper.yml or Capistrano's config/deploy.rb",
        )
    if path.stem == "beeper" or "\napplication:" in f"\n{text}":
        from faprelease.migrate import beeper

        return beeper.migrate(path.name, text)
    from faprelease.migrate import fapistrano

    return fapistrano.migrate(path.name, text)


def write(migration: Migration, folder: Path) -> list[Path]:
    """Write both files into `folder`. Raises ConfigError if one of them already exists."""
    texts = {folder / DEPLOY: migration.deploy, folder / BUILD: toml(migration.build)}
    for path in texts:
        if path.exists():
            raise ConfigError(f"{path} already exists", hint="give another folder: --output DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(
            f"can't write {folder}: {error}", hint="give another folder: --output DIR"
        ) from error
    return list(texts)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"can't read {path}: {error}", hint="give the path of the file: faprelease migrate FILE"
        ) from error
