"""Characters in a name that people cannot see, or take for others. They are allowed, and pointed out on pages."""

import unicodedata

# Alphabets whose letters look alike. The first word of a letter's Unicode name says which it belongs to.
_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
# Blank, though Unicode calls them letters, marks or symbols.
_BLANK = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0", "\u034f", *map(chr, range(0xFE00, 0xFE10))}
_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}


def name_warnings(name: str) -> list[str]:
    """Return a sentence for each thing about `name` that misleads the eye; none for a plain name.

    Invisible characters, unusual blanks, compatibility forms (full-width letters and the like), and letters of several
    alphabets that look alike, e.g. one Cyrillic letter among Latin ones. A name of one foreign alphabet is a plain name.
    """
    if name.isascii() and name.isprintable():
        return []
    warnings = []
    hidden = sorted({one for one in name if one != " " and (one in _BLANK or unicodedata.category(one) in _INVISIBLE_CATEGORIES)})
    if hidden:
        warnings.append(f"The name has characters that cannot be seen: {', '.join(map(_described, hidden))}.")
    forms = sorted({one for one in name if one not in hidden and unicodedata.normalize("NFKC", one) != one})
    if forms:
        warnings.append(f"The name has characters that look like others: {', '.join(map(_described, forms))}.")
    alphabets = [alphabet for alphabet in _ALPHABETS if any(_alphabet(one) == alphabet for one in name)]
    if len(alphabets) > 1:
        warnings.append(f"The name mixes letters that look alike: {' and '.join(map(str.capitalize, alphabets))}.")
    return warnings


def _alphabet(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def _described(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'unnamed')}"
