"""When two texts count as the same: equal after case, spacing and punctuation are set aside."""

import hashlib
import re


def fingerprint(text: str) -> str:
    """16 hex digits of the SHA-256 of `text` in lower case with only its letters, digits and operators."""
    words = re.findall(r"\w+|[-+*/=<>^\\]", text.lower())
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
