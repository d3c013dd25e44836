"""Results of an import as CSV: refused rows, and generated credentials."""

import csv
import json
from collections.abc import Iterable, Iterator

from django.db.models import QuerySet

from devices.models import DeviceCredentials
from imports.choices import Verdict
from imports.columns import REFUSED_HEADERS
from imports.csv.formulas import escape_formula
from imports.models import ImportJob

ROWS_READ = 2_000


class _Line:
    """A file that holds only the last line written."""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def refused_rows(job: ImportJob) -> Iterator[str]:
    """Return the lines of a CSV file of the refused rows, unchanged, each with its line and what was wrong.

    It has the format of the imported file, so it can be corrected and imported again; the two columns are then ignored.
    """
    refused = job.row_results.filter(verdict=Verdict.REFUSED).order_by("line")
    width = len(job.columns)
    header = _without_ours(job.headers, job)
    if job.header:
        yield from _lines([[*header, *REFUSED_HEADERS]], job.delimiter)
    rows = (
        [*_without_ours(_padded(json.loads(row_result.fields), width), job), str(row_result.line), row_result.text]
        for row_result in refused.iterator(ROWS_READ)
    )
    yield from _lines(rows, job.delimiter)


def _padded(fields: list[str], width: int) -> list[str]:
    return fields + [""] * (width - len(fields))


def _without_ours(fields: list[str], job: ImportJob) -> list[str]:
    """Leave out line and error if the imported file had them already."""
    ours = tuple(job.headers[-2:]) == REFUSED_HEADERS and len(fields) == len(job.headers)
    return fields[:-2] if ours else fields


def generated(job: ImportJob) -> QuerySet[DeviceCredentials]:
    """Return the credentials that the import made and that are still in place."""
    return DeviceCredentials.objects.filter(device__import_job=job, generated=True)


def generated_credentials(job: ImportJob) -> Iterator[str]:
    """Return the lines of a CSV file of the credentials that the import generated and that still exist. They are secret."""
    rows = generated(job).select_related("device").order_by("device__name")
    yield from _lines([["name", "token"]], job.delimiter)
    yield from _lines(([row.device.name, row.value] for row in rows.iterator(ROWS_READ)), job.delimiter)


def _lines(rows: Iterable[list[str]], delimiter: str) -> Iterator[str]:
    line = _Line()
    writer = csv.writer(line, delimiter=delimiter or ",")
    for row in rows:
        writer.writerow([escape_formula(cell) for cell in row])
        yield line.text
