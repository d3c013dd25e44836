"""Results of single rows: every refused one, and in a dry run the first of the others."""

import json

from core.encryption import encrypt
from core.text import sanitized
from imports import bulk
from imports.choices import Verdict
from imports.models import ImportJob, ImportRow
from imports.pipeline import Chunk
from imports.planner import Decision

# A dry run of 500,000 rows shows this many that would be created and changed, and counts the others.
SHOWN_ROWS = 1_000


def save(job: ImportJob, chunk: Chunk) -> None:
    """Keep the results of the rows of `chunk`."""
    rows = [_refused(job, one) for one in chunk.decisions if one.verdict == Verdict.REFUSED]
    if job.dry_run:
        for verdict in (Verdict.CREATED, Verdict.UPDATED):
            rows += _shown(job, chunk, verdict)
    if rows:
        bulk.insert(ImportRow, ("job", "line", "verdict", "name", "column", "sentence", "fields"), rows)


def _refused(job: ImportJob, one: Decision) -> tuple[str | int, ...]:
    assert one.refusal
    fields = encrypt(json.dumps(one.row.record.fields))
    refusal = one.refusal
    name = sanitized(one.row.name)
    return job.pk.hex, one.row.record.line, Verdict.REFUSED.value, name, refusal.column, refusal.sentence, fields


def _shown(job: ImportJob, chunk: Chunk, verdict: Verdict) -> list[tuple[str | int, ...]]:
    room = SHOWN_ROWS - ImportRow.objects.filter(job=job, verdict=verdict).count()
    shown = [one for one in chunk.decisions if one.verdict == verdict][: max(0, room)]
    return [(job.pk.hex, one.row.record.line, verdict.value, one.row.name, "", described(one), encrypt("")) for one in shown]


def described(one: Decision) -> str:
    """Return a sentence on what happens to a row."""
    match one.verdict:
        case Verdict.CREATED:
            assert one.profile
            return f"Creates {one.row.name!r} in profile {one.profile.name!r}."
        case Verdict.UPDATED:
            return f"Changes {one.row.name!r}: {'; '.join(map(str, one.changes))}."
        case Verdict.UNCHANGED:
            return f"Leaves {one.row.name!r} as it is."
    return f"Refuses the row: {one.refusal}"
