"""How large an upload may be: checked before the part that would pay for it."""

MIB = 1024 * 1024
UPLOAD_BYTES = 2 * MIB
INFLATED_BYTES = 32 * MIB
RATIO = 100
MEMBERS = 64
SHEETS = 4
ROWS = 5_000  # below the headings; as many entries has a section of YAML
COLUMNS = 64
CELL_CHARACTERS = 4_096
DEPTH = 10
# What the limits above still allow would be gigabytes of small objects: a two-byte value costs hundreds.
VALUES = 60_000
TEXT_CHARACTERS = 2 * MIB
XML_ELEMENTS = 500_000  # in one member: blank cells and rows count, too
FINDINGS = 1_000
