"""Says at the end of a test run, whatever is captured, when there was no Python 3.13 to test with."""

import pytest

from tests.runtime313.environment import ABSENT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A red banner instead of a quiet `s`."""
    skipped = terminalreporter.stats.get("skipped", [])
    if any(ABSENT in str(report.longrepr) for report in skipped):
        terminalreporter.section("runtime313 skipped", sep="!", red=True, bold=True)
        terminalreporter.write_line(ABSENT, red=True, bold=True)
