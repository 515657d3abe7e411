"""Checks that every package has what it needs on this host, as `pip check` does."""

import platform
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion
from refusal import RefusedError


def check(site):
    """Raise RefusedError if a package is missing, or not for this Python; return warnings about versions.

    Markers are evaluated here. Extras count if one package requires them of another. A version that does not
    fit a requirement is a warning, as in the build: locks may override requirements.
    """
    headers = [dist.metadata for dist in metadata.distributions(path=[str(site)])]
    installed = {canonicalize_name(facts["Name"]): facts for facts in headers}
    problems = [line for name in sorted(installed) for line in _wrong_python(name, installed[name])]
    warnings = []
    queue = [(name, "") for name in sorted(installed)]
    for name, extra in queue:  # grows during the loop
        for needed in _needs(installed[name], extra):
            other = canonicalize_name(needed.name)
            if other not in installed:
                problems.append(f"{name} needs {needed}, which is not in this artifact")
                continue
            if not needed.specifier.contains(installed[other]["Version"], prereleases=True):
                warnings.append(f"{name} wants {needed}, but this artifact has {installed[other]['Version']}")
            queue += [(other, one) for one in sorted(needed.extras) if (other, one) not in queue]
    if problems:
        hint = f"lock and pack again with the Python of your hosts, {platform.python_version()}"
        raise RefusedError("\n  ".join([*dict.fromkeys(problems), hint]))
    return list(dict.fromkeys(warnings))


def _needs(facts, extra):
    for line in facts.get_all("Requires-Dist") or ():
        needed = Requirement(line)
        if needed.marker is None or _holds(needed.marker, extra):
            yield needed


def _holds(marker, extra):
    """Whether the marker holds; not if it compares versions with the release of a kernel, which is none."""
    try:
        return marker.evaluate({"extra": extra})
    except InvalidVersion:
        return False


def _wrong_python(name, facts):
    here, wanted = platform.python_version().rstrip("+"), facts["Requires-Python"] or ""
    try:
        fits = SpecifierSet(wanted).contains(here, prereleases=True)
    except InvalidSpecifier:  # from before PEP 440
        fits = True
    return () if fits else (f"{name} {facts['Version']} needs Python {wanted}, but this is {here}",)
