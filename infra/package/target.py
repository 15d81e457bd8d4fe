"""The platform that the zip runs on: CPython 3.13 on Linux, x86-64.

pip chooses wheels for another platform but judges environment markers by the Python it runs on. What the markers
mean on the target is therefore worked out here, and what pip installed is compared with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHON = "3.13"
# The image of the Python 3.13 worker has glibc 2.36; wheels newer than 2_28 are rare and not worth the risk.
PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)))
ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": f"{PYTHON}.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}


def applicable(lines: Iterable[str]) -> list[Requirement]:
    """The requirements of a requirements file that hold on the target, without their markers."""
    stated = (line.partition("#")[0].strip() for line in lines)
    return [_unmarked(one) for one in map(Requirement, filter(None, stated)) if _holds(one)]


@dataclass(frozen=True, slots=True)
class Closure:
    """What stands against what is needed: requirements not met, distributions nothing asks for."""

    lacking: list[str]
    unneeded: list[Distribution]


def closure(wanted: Iterable[Requirement], site_packages: Path) -> Closure:
    """Compare `wanted` and all that it depends on, on the target, with what is in `site_packages`."""
    installed = {canonicalize_name(one.name): one for one in distributions(path=[str(site_packages)])}
    lacking, seen, waiting = set[str](), set[tuple[str, str]](), list(wanted)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        found = installed.get(name)
        if found is None or not requirement.specifier.contains(found.version, prereleases=True):
            lacking.add(str(_unmarked(requirement)))
        elif (key := (name, ",".join(sorted(requirement.extras)))) not in seen:
            seen.add(key)
            waiting += _dependencies(found, requirement.extras)
    needed = {name for name, _ in seen}
    return Closure(sorted(lacking), [one for name, one in sorted(installed.items()) if name not in needed])


def _dependencies(distribution: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if _holds(requirement, extras):
            yield requirement


def _holds(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({**ENVIRONMENT, "extra": extra}) for extra in ("", *extras))


def _unmarked(requirement: Requirement) -> Requirement:
    plain = Requirement(str(requirement))
    plain.marker = None
    return plain
