"""What every integration test may use besides the servers of the root conftest."""

from tests.integration.harness import make_world

__all__ = ["make_world"]
