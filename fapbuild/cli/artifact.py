"""Commands that read finished artifacts: inspect, diff and verify."""

from pathlib import Path

import click

from fapbuild.cli.group import fapbuild, json_option, path_or_url, print_artifact, print_result, say


@fapbuild.command()
@click.argument("artifact", metavar="ARTIFACT|URL", callback=path_or_url)
@json_option
def inspect(artifact: str, as_json: bool) -> None:
    """Show what an artifact contains, with sizes.

    From a URL, only the manifest and the project's settings are downloaded. `-` reads the path or URL from
    standard input, which keeps a secret URL out of sight.
    """
    from artifact_store.artifact.peek import open_source, peek
    from fapbuild.inspecting import single_file, summary

    with open_source(artifact) as source:
        outline = peek(source)
        settings = single_file.settings(source, outline)
    print_result(summary.facts(outline, settings), summary.lines(outline, settings), as_json)


@fapbuild.command()
@click.argument("before", metavar="A", callback=path_or_url)
@click.argument("after", metavar="B", callback=path_or_url)
@json_option
def diff(before: str, after: str, as_json: bool) -> None:
    """Show what changed between artifacts A and B.

    Also shows how much a host running A would download for B. A and B are paths or URLs; `-` reads one from
    standard input. From a URL, only the manifest is downloaded.
    """
    from artifact_store.artifact.peek import open_source, peek
    from fapbuild.inspecting import diff

    outlines = []
    for where in (before, after):
        with open_source(where) as source:
            outlines.append(peek(source))
    print_result(diff.facts(*outlines), diff.lines(*outlines), as_json)


@fapbuild.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
def verify(artifact: Path, as_json: bool) -> None:
    """Verify every byte and wheel of an artifact.

    Checks all digests, the list of files, and the wheels against requirements.lock. If it has bytecode of the
    wheels, that is compiled again and compared, which needs the release of Python that compiled it. Exits 6
    and shows the problem if anything does not match.
    """
    from fapbuild.inspecting import bytecode
    from fapbuild.inspecting.verify import verify

    verified = verify(artifact)
    manifest = verified.manifest
    bytecode.check(artifact, manifest)
    say(
        f"{manifest.app} {manifest.version} is intact: {len(manifest.files)} files, "
        f"{len(manifest.wheels)} wheels, {len(manifest.members) + 1} gzip members"
    )
    print_artifact(verified, as_json)
