"""The form in which an address is asked for and kept, so that spellings of one address are asked for once.

Only what no geocoder can take for another address: case, blanks, and punctuation at the ends. Abbreviations, units and
fractions are the service's business.
"""

from __future__ import annotations

import re
import unicodedata

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f\x85\u200b\ufeff]+")
_BEFORE_COMMA = re.compile(r"[ ,;]*,[ ,;]*")
_AT_THE_ENDS = " ,;.:"
LONGEST = 300
"""Characters. A longer text is no address."""


def normalized(text: str | None) -> str:
    """The address in capitals (Unicode NFC), with single blanks, one comma between parts, and no punctuation at its
    ends; "" where the text has no letter or digit, or is longer than LONGEST. Applied again, it changes nothing."""
    if text is None or len(text) > LONGEST:
        return ""
    found = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).upper())
    found = _BEFORE_COMMA.sub(", ", _BLANKS.sub(" ", found)).strip(_AT_THE_ENDS)
    return found if any(character.isalnum() for character in found) else ""
