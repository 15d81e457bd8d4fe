"""Where the process runs, by what its platform leaves in the environment."""

from collections.abc import Mapping

# On Flex Consumption there is no instance id; each of these has been seen without another.
AZURE_MARKERS = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_POD_NAME", "WEBSITE_SKU")


def azure_marker(environment: Mapping[str, str]) -> str:
    """The name of a variable that only Azure sets; empty elsewhere."""
    return next((marker for marker in AZURE_MARKERS if environment.get(marker)), "")
