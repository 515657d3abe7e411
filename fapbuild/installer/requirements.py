"""Whether every package finds what it needs, as `pip check` asks, on this very host."""

import platform
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from refusal import RefusedError


def check(site):
    """Raise RefusedError if a package is missing, or not for this Python; return warnings of other versions.

    Markers are evaluated here. Extras count where one package asks for them of another. A version outside
    of what was asked for is a warning, as at the build: locks may override what packages say.
    """
    found = [dist.metadata for dist in metadata.distributions(path=[str(site)])]
    there = {canonicalize_name(facts["Name"]): facts for facts in found}
    problems = [line for name in sorted(there) for line in _wrong_python(name, there[name])]
    warnings = []
    asked = [(name, "") for name in sorted(there)]
    for name, extra in asked:  # grows while it is walked
        for needed in _needs(there[name], extra):
            other = canonicalize_name(needed.name)
            if other not in there:
                problems.append(f"{name} needs {needed}, which is not in this artifact")
                continue
            if not needed.specifier.contains(there[other]["Version"], prereleases=True):
                warnings.append(f"{name} wants {needed}, and this artifact has {there[other]['Version']}")
            asked += [(other, one) for one in sorted(needed.extras) if (other, one) not in asked]
    if problems:
        hint = f"lock and pack again with the Python of your hosts, {platform.python_version()}"
        raise RefusedError("\n  ".join([*dict.fromkeys(problems), hint]))
    return list(dict.fromkeys(warnings))


def _needs(facts, extra):
    for line in facts.get_all("Requires-Dist") or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            yield needed


def _wrong_python(name, facts):
    here, wanted = platform.python_version(), facts["Requires-Python"] or ""
    try:
        fits = SpecifierSet(wanted).contains(here, prereleases=True)
    except InvalidSpecifier:  # of the years before PEP 440
        fits = True
    return () if fits else (f"{name} {facts['Version']} needs Python {wanted}, and this is {here}",)
