"""Checkov over the Bicep files, by the Python of its own environment; prints what it found as one JSON object.

Checkov says nothing of a file that it cannot read, nor of the rest of a file when one of its checks breaks. Here
both are reported. Each file is read alone: the scanner's graph takes equal names in two files for one resource.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any


class Broken(logging.Handler):
    """Keeps what the scanner logs as an error: a check that broke."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message's first line."""
        self.said.append(record.getMessage().splitlines()[0])


def scan(path: Path) -> dict[str, Any]:
    """What the scanner made of one file."""
    import checkov.arm
    import checkov.bicep  # noqa: F401  # importing the packages registers their checks
    from checkov.bicep.runner import Runner
    from checkov.runner_filter import RunnerFilter

    found = Runner().run(root_folder=None, files=[str(path)], runner_filter=RunnerFilter(framework=["bicep"]))
    return {
        "unread": list(found.parsing_errors),
        "checked": sorted({each.resource for each in [*found.passed_checks, *found.failed_checks]}),
        "passed": len(found.passed_checks),
        "skipped": [
            {
                "check": each.check_id,
                "resource": each.resource,
                "reason": each.check_result["suppress_comment"],
            }
            for each in found.skipped_checks
        ],
        "failed": [
            {
                "check": each.check_id,
                "resource": each.resource,
                "lines": each.file_line_range,
                "says": each.check_name,
            }
            for each in found.failed_checks
        ],
    }


def main(paths: list[str]) -> None:
    """Scan the files named."""
    broken = Broken()
    logging.getLogger().addHandler(broken)
    files = {name: scan(Path(name)) for name in paths}
    from checkov.arm.registry import arm_resource_registry
    from checkov.bicep.checks.resource.registry import registry

    known = {*registry.checks, *arm_resource_registry.checks}
    sys.stdout.write(json.dumps({"files": files, "broken": broken.said, "types": sorted(known)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
