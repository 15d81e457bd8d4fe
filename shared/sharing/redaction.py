"""What of a value may be kept: credentials out, everything else as it was."""

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
# `token_id` and `token_expiry_days` are facts about a token; `token`, `bearer_token` and `tokens` are the thing itself.
_NAMES = re.compile(
    r"(?i)(^|_)(secret|password|pwd|credential|token|bearer|sharing_code|activation\w*)s?(_value|_url|_link)?$"
)
_VALUES = re.compile(
    r"(?i)(\S*data_sharing_activation\S*|bearer\s+[\w\-.~+/=]{8,}|\bdapi[0-9a-f]{16,}\S*"
    r"|\b(?:password|pwd|secret|token|client_secret|sig|accountkey)\s*[=:]\s*[^\s;,&\"']+"
    r"|\b[a-z][a-z0-9+]*://[^\s/@:]+:[^\s/@]+@|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"
)


def redacted(value: Any) -> Any:
    """The value without anything that opens a door: members by name, text by what it looks like."""
    if isinstance(value, Mapping):
        return {str(k): REDACTED if _hides(str(k), v) else redacted(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(each) for each in value]
    return _VALUES.sub(REDACTED, value) if isinstance(value, str) else value


def _hides(name: str, value: Any) -> bool:
    # Whether there is one may be known; a mapping is looked into.
    return value is not None and not isinstance(value, (bool, Mapping)) and bool(_NAMES.search(name))
