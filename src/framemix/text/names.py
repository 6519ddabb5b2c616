"""Names in text: in one line, without terminal commands and without Markdown markup."""

import re

# Letters that move a cursor, break a line or reverse the direction of text, and bytes not UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # Python's surrogates for such bytes
# Letters that Markdown may read as markup; `_` only at the ends of words.
MARKUP = re.compile(r"[\\`*<>&|~$]|\](?=\()|\b_|_\b")


def printable(name: str) -> str:
    """Return a name in one line, with letters that cannot be printed escaped: \\n or \\x1b."""
    return UNPRINTABLE.sub(_escape, name)


def literal(name: str) -> str:
    """Return Markdown that shows a name unchanged, also in a cell of a table."""
    return MARKUP.sub(r"\\\g<0>", printable(name))


def is_utf8(name: str) -> bool:
    """Return whether all bytes of a file's name are UTF-8."""
    return not NOT_UTF8.search(name)


def code_point(letter: str) -> str:
    """Return a letter as Python writes its code point, such as \\x1b or \\u65e5."""
    return letter.encode("unicode_escape").decode()


def _escape(found: re.Match[str]) -> str:
    letter = found[0]
    return code_point(letter) if is_utf8(letter) else f"\\x{ord(letter) - 0xDC00:02x}"
