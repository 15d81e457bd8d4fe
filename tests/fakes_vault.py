"""A vault in memory that counts reads, rotates and can be throttled. tests/contract holds it to the real one's ways."""

from shared.errors import ConfigurationError, SourceThrottledError


class FakeVault:
    """Values by secret name; underscores of keywords stand for hyphens."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] = {}
        self.reads, self.throttled = 0, False
        self.rotate(**values)

    def rotate(self, **values: str) -> None:
        self.values |= {name.replace("_", "-"): value for name, value in values.items()}

    def read(self, name: str) -> str:
        self.reads += 1
        self._breathe()
        if name not in self.values:
            raise ConfigurationError(f"secret {name!r}: not there")
        return self.values[name]

    def write(self, name: str, value: str) -> None:
        self._breathe()
        self.values[name] = value

    def _breathe(self) -> None:
        if self.throttled:
            raise SourceThrottledError("vault: throttled")
