"""What can go wrong while the zip is built."""


class PackageError(Exception):
    """The zip would be wrong, so none was written; the message names the file or package and the next step."""
