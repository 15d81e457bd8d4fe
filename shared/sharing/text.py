"""Text from files that people write: trimmed, normalised, and searched for characters that deceive the eye."""

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # scripts and emoji need them inside words
_ZERO_WIDTH = f"\u200b\u2060\ufeff\u00ad\u180e{_JOINERS}"
_EDGES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + _ZERO_WIDTH
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHOWN = 60


def trimmed(text: str) -> str:
    """Without spaces of any kind and width at its edges."""
    return text.strip(_EDGES)


def prose(text: str) -> str:
    """Text for people: NFC, `\\n` for every line break, trimmed."""
    return trimmed(unicodedata.normalize("NFC", text.replace("\r\n", "\n")))


def word(text: str) -> str:
    """Text for machines: NFKC, so full-width letters become plain ones; trimmed."""
    return trimmed(unicodedata.normalize("NFKC", text))


def unseen(text: str) -> str | None:
    """The first control, bidirectional or otherwise invisible character, by name; line breaks and tabs are fine."""
    for character in text:
        if (
            character not in "\n\t"
            and character not in _JOINERS
            and unicodedata.category(character) in _UNSEEN
        ):
            return character_name(character)
    return None


def foreign(text: str) -> str | None:
    """The first character outside ASCII, by name: it may look like a letter and be another."""
    found = re.search(r"[^\x00-\x7f]", text)
    return character_name(found[0]) if found else None


def character_name(character: str) -> str:
    """`U+0430 CYRILLIC SMALL LETTER A`."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'CONTROL CHARACTER')}"


def shown(text: str) -> str:
    """The text quoted for a message: short, on one line, nothing in it that could forge another."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ascii(cut) if unseen(cut) or "\n" in cut or "\t" in cut else f"'{cut}'"
