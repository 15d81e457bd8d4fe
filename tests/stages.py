"""A pytest plugin that says how long each stage took: the folders directly below tests/, in the order they ran."""

from collections import defaultdict

import pytest


class Stages:
    """Seconds by folder, set-up and tear-down of shared servers included."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.tests: defaultdict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        folder = report.nodeid.split("/")[1] if report.nodeid.count("/") else "tests"
        self.seconds[folder] += report.duration
        self.tests[folder] += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("stages")
        for folder, seconds in self.seconds.items():
            terminalreporter.write_line(f"{folder:<12} {self.tests[folder]:>5} tests  {seconds:7.1f} s")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stages(), "tributary-stages")
