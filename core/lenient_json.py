"""JSON as ThingsBoard reads it: strictly first, and if that fails, as Gson's lenient reader does.

Firmware in the field sends `{temperature:25}` or `{'a':1}`, and ThingsBoard takes it. The rules are those of Gson's
`JsonParser.parseString` (version 2.13): bare and single-quoted names and strings, comments, `;` for `,`, `=` and `=>`
for `:`, any case of `true`, `false` and `null`, a missing array element as null. Nothing but blanks may follow the
document, not even a comment. Of a repeated name the last value counts.

Own code, because none of the Python libraries reads as Gson does (docs/dependencies.md).
"""

import json
import re
from collections.abc import Callable
from typing import Any

# Gson's own limit. The strict reader is limited by the interpreter's recursion limit instead.
MAX_DEPTH = 255
# Gson reads a number into a buffer of this many characters, and takes a longer one for a bare word.
NUMBER_BUFFER = 1024

_BLANKS = re.compile(r"(?:[ \t\r\n]+|(?://|#)[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[^/\\;#={}\[\]:, \t\f\r\n]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_KEYWORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", "\n": "\n", "'": "'", '"': '"', "\\": "\\", "/": "/"}
# Some web servers put this in front of JSON so that it cannot run as a script; Gson skips it.
_NON_EXECUTE_PREFIX = ")]}'\n"
_MISSING = frozenset(",;]")


class InvalidJson(ValueError):
    """A text that is no JSON, not even leniently. The message has the position and nothing of the text."""


def number_from(text: str) -> int | float:
    """Return the number in `text`, as the json module does: an integer if it has no fraction and no exponent."""
    return float(text) if set(text) & set(".eE") else int(text)


class LenientDecoder:
    """Decodes documents. `number` makes the value of a number, `word` that of a bare word, NaN and Infinity among them.

    They must not return a dict or a list.
    """

    def __init__(self, *, number: Callable[[str], Any] | None = None, word: Callable[[str], Any] = str) -> None:
        self._strict = json.JSONDecoder(parse_int=number, parse_float=number, parse_constant=word)
        self._number = number or number_from
        self._word = word

    def decode(self, text: str) -> Any:
        """Return the document in `text`, in time linear in its length. Raises InvalidJson."""
        try:
            return self._strict.decode(text)
        except RecursionError:
            raise InvalidJson("The document is nested too deeply.") from None
        except ValueError:
            # Also an integer with more digits than int() takes: to Gson a bare word.
            return self.decode_leniently(text)

    def decode_leniently(self, text: str) -> Any:
        """Return the document in `text`, read without the strict attempt. Raises InvalidJson."""
        return _Reader(text, self._number, self._word).document()


class _Reader:
    """One pass over one text. It has its own stack, so that no document exhausts the interpreter's."""

    __slots__ = ("_at", "_number", "_text", "_word")

    def __init__(self, text: str, number: Callable[[str], Any], word: Callable[[str], Any]) -> None:
        self._text = text
        self._at = 0
        self._number = number
        self._word = word

    def document(self) -> Any:
        self._peek()
        if self._text.startswith(_NON_EXECUTE_PREFIX, self._at):
            self._at += len(_NON_EXECUTE_PREFIX)
        root = self._value()
        unfinished: list[dict[str, Any] | list[Any]] = [root] if type(root) in (dict, list) else []
        while unfinished:
            container = unfinished[-1]
            head = self._peek()
            if head == ("}" if type(container) is dict else "]"):
                self._at += 1
                unfinished.pop()
                continue
            if container:  # not the first member
                self._separator(head)
            value = self._member(container)
            if type(value) in (dict, list):
                if len(unfinished) == MAX_DEPTH:
                    raise self._error("Nested too deeply")
                unfinished.append(value)
        if self._text[self._at :].strip(" \t\r\n"):
            raise self._error("Unexpected text after the document")
        return root

    def _peek(self) -> str:
        """Skip blanks and comments; return the next character, "" at the end of the text."""
        match = _BLANKS.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _separator(self, head: str) -> None:
        if head not in {",", ";"}:
            raise self._error("Expected a comma or the end of the object or array")
        self._at += 1

    def _member(self, container: dict[str, Any] | list[Any]) -> Any:
        """Read the next member into `container`; return its value, an empty dict or list if one begins here."""
        if isinstance(container, dict):
            name = self._name()
            value = container[name] = self._value()
        else:
            value = None if self._peek() in _MISSING else self._value()
            container.append(value)
        return value

    def _name(self) -> str:
        head = self._peek()
        name = self._string(head) if head in _PLAIN else self._bare("Expected a name")
        head = self._peek()
        if head not in {":", "="}:
            raise self._error("Expected a colon")
        self._at += 2 if self._text.startswith("=>", self._at) else 1
        return name

    def _value(self) -> Any:
        head = self._peek()
        if head in _PLAIN:
            return self._string(head)
        if head == "{":
            self._at += 1
            return {}
        if head == "[":
            self._at += 1
            return []
        word = self._bare("Expected a value")
        keyword = word.lower()
        if keyword in _KEYWORDS:
            return _KEYWORDS[keyword]
        if len(word) < NUMBER_BUFFER and _NUMBER.fullmatch(word):
            return self._number(word)
        return self._word(word)

    def _bare(self, otherwise: str) -> str:
        match = _WORD.match(self._text, self._at)
        if match is None:
            raise self._error(otherwise)
        self._at = match.end()
        return match.group()

    def _string(self, quote: str) -> str:
        self._at += 1
        parts = []
        while True:
            match = _PLAIN[quote].match(self._text, self._at)
            assert match is not None
            parts.append(match.group())
            self._at = match.end() + 1
            if match.end() == len(self._text):
                raise self._error("Unterminated string")
            if self._text[match.end()] == quote:
                return parts[0] if len(parts) == 1 else _paired("".join(parts))
            parts.append(self._escape())

    def _escape(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter == "u" and (match := _HEX4.match(self._text, self._at)):
            self._at = match.end()
            return chr(int(match.group(), 16))
        if letter not in _ESCAPES:
            raise self._error("Invalid escape sequence")
        return _ESCAPES[letter]

    def _error(self, what: str) -> InvalidJson:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        return InvalidJson(f"{what} at line {line}, column {column}.")


def _paired(text: str) -> str:
    """Return `text` with each pair of surrogates, which two escapes made, as one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
