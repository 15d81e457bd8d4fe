"""A ZIP file as a bounded set of members: what its directory declares is checked before anything is inflated."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from shared.sharing.errors import UnreadableUploadError, UploadError, UploadTooLargeError
from shared.sharing.model import Finding
from shared.sharing.parsing import limits
from shared.sharing.text import shown

_CHUNK_BYTES = 16 * 1024
_ENCRYPTED = 0x1


class Archive:
    """The members of a checked archive. Opening raises UploadTooLargeError or UnreadableUploadError."""

    def __init__(self, content: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(BytesIO(content))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, UnicodeError):
            raise unreadable("a ZIP file that is damaged or cut short") from None
        members = self._zip.infolist()
        _check_sizes(members)
        _check_names(members)
        for member in members:
            _check_method(member)
        self._left = limits.INFLATED_BYTES
        self.names = frozenset(member.filename for member in members)

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes as they inflate; what all members together give is counted again, as it comes."""
        try:
            with self._zip.open(name) as member:
                while chunk := member.read(_CHUNK_BYTES):
                    self._left -= len(chunk)
                    if self._left < 0:
                        raise _too_large(f"inflates to more than {limits.INFLATED_BYTES // limits.MIB} MiB")
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
            raise unreadable(f"its member {shown(name)} is damaged") from None


def _check_sizes(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > limits.MEMBERS:
        raise _too_large(f"an archive of {len(members):,} members; at most {limits.MEMBERS}")
    declared = sum(member.file_size for member in members)
    if declared > limits.INFLATED_BYTES:
        raise _too_large(f"would inflate to more than {limits.INFLATED_BYTES // limits.MIB} MiB")
    for member in members:
        if member.file_size > limits.RATIO * max(member.compress_size, 1):
            raise _too_large(
                f"its member {shown(member.filename)} is compressed more than {limits.RATIO} times"
            )


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename
        if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
            raise unreadable(f"its member {shown(name)} has a name that no workbook would hold")
        if name.lower() in seen:
            raise unreadable(f"its member {shown(name)} is there twice")
        seen.add(name.lower())


def _check_method(member: zipfile.ZipInfo) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise unreadable("encrypted; remove the password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise unreadable(
            f"its member {shown(member.filename)} is packed by a method that workbooks do not use"
        )


def unreadable(detail: str) -> UploadError:
    """The refusal of the whole file as damaged."""
    return UnreadableUploadError([Finding("error", detail)])


def _too_large(detail: str) -> UploadError:
    return UploadTooLargeError([Finding("error", detail)])
