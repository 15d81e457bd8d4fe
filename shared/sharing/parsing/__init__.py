"""Uploaded bytes -> a share pack, or every fault with its place.

upload        limits, format by content, UTF-8        -> text or archive
yaml_reader   events, never values                     -> tree
archive, package, xml_stream, cells, sheets, workbook  -> the same tree
document      one model for both                       -> SharePack

parsed = parse_upload(content, "pack.yaml").checked(known=recipients_managed_already)
pack = parsed.pack          # raises InvalidPackError
"""

from shared.sharing.parsing.upload import Parsed, parse_upload

__all__ = ["Parsed", "parse_upload"]
