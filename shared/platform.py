"""Where the process runs: by what its platform leaves in the environment, and whom it trusts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

# On Flex Consumption there is no instance id; each of these has been seen without another.
AZURE_MARKERS = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_POD_NAME", "WEBSITE_SKU")
# Debian and Alpine, Red Hat, SUSE, macOS.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def azure_marker(environment: Mapping[str, str]) -> str:
    """The name of a variable that only Azure sets; empty elsewhere."""
    return next((marker for marker in AZURE_MARKERS if environment.get(marker)), "")


def certificate_authorities(places: Sequence[str] = _AUTHORITIES) -> str:
    """The file of the authorities that this machine trusts, for libpq's `sslrootcert`; `system` where none is found.

    libpq's own `system` will not do: psycopg's wheel brings an OpenSSL that looks where no machine keeps them.
    SSL_CERT_FILE comes first.
    """
    import ssl

    known = (ssl.get_default_verify_paths().cafile, *places)
    return next((each for each in known if each and Path(each).is_file()), "system")


def root_certificates(sslmode: str, stated: str | None) -> str | None:
    """`sslrootcert` for this mode: what was stated, else, where names are verified, the machine's authorities."""
    if sslmode == "verify-full" and stated in (None, "", "system"):
        return certificate_authorities()
    return stated
