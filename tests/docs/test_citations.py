"""Every document that code, templates and documents cite exists, and so does every cited section."""

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MAX_LINE = 120

# docs/protocol.md, *Request*, *Response* and *HTTP*: a path, then sections between asterisks.
CITATION = re.compile(r"(?P<path>[\w./-]*\w\.md)\b(?P<sections>(?:,? (?:and )?\*[^*\n]+\*)*)")
SECTION = re.compile(r"\*([^*]+)\*")
LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
# A citation may continue on the next line of a comment: line break and comment sign count as one blank.
LINE_BREAK = re.compile(r"\n[ \t]*(?:#|//|\*(?= ))?[ \t]*")


@cache
def headings(document: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE))


def anchor(heading: str) -> str:
    """Return the fragment by which GitHub addresses `heading`."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def text_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    files = [
        ROOT / name for name in listed if not name.endswith((".png", ".woff2", ".min.js", ".json")) and "vendor/" not in name
    ]
    return [path for path in files if path.is_file() and not path.is_symlink()]


def cited(path: str, source: Path) -> Path | None:
    """Return the document that `source` cites as `path`, from the root or from its own folder; None if there is none."""
    return next((base / path for base in (ROOT, source.parent) if (base / path).is_file()), None)


def test_cited_documents_and_sections_exist():
    wrong, found = [], 0
    for source in text_files():
        text = LINE_BREAK.sub(" ", source.read_text(errors="ignore"))
        for citation in CITATION.finditer(text):
            if "://" in text[max(0, citation.start() - 30) : citation.start()].rpartition(" ")[2]:
                continue
            found += 1
            document = cited(citation["path"], source)
            if document is None:
                wrong.append(f"{source.relative_to(ROOT)} cites {citation['path']}, which does not exist")
                continue
            wrong += [
                f"{source.relative_to(ROOT)} cites {citation['path']}, *{section}*, which has no such section"
                for section in SECTION.findall(citation["sections"])
                if section not in headings(document)
            ]

    assert found > 50
    assert not wrong, "\n".join(wrong)


def test_links_between_documents_lead_somewhere():
    wrong = []
    for source in DOCS:
        for link in LINK.finditer(source.read_text()):
            if "://" in link["path"] or link["path"].startswith("mailto:"):
                continue
            target = (source.parent / link["path"]).resolve() if link["path"] else source
            if not target.exists():
                wrong.append(f"{source.relative_to(ROOT)}: {link['path']}")
            elif link["anchor"] and link["anchor"] not in {anchor(heading) for heading in headings(target)}:
                wrong.append(f"{source.relative_to(ROOT)}: {link[0]}")

    assert wrong == []


def test_lines_of_documents_outside_of_tables_are_short():
    assert [
        f"{path.relative_to(ROOT)}:{number} has {len(line)} characters"
        for path in DOCS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MAX_LINE and not line.startswith("|")
    ] == []
