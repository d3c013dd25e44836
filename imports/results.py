"""What an import has to show for itself, as CSV: the refused rows, and the credentials that it made."""

import csv
import json
from collections.abc import Iterable, Iterator

from django.db.models import QuerySet

from devices.models import DeviceCredentials
from imports.choices import Verdict
from imports.columns import REJECTED_HEADERS
from imports.csv.formulas import escape_formula
from imports.models import ImportJob

ROWS_READ = 2_000


class _Line:
    """A file that has only the line written last."""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def rejected_rows(job: ImportJob) -> Iterator[str]:
    """Return the lines of a CSV file of the refused rows as they were, each with its line and what was wrong.

    It is written as the file was, and can be mended and imported again: the two columns are ignored then.
    """
    refused = job.row_results.filter(verdict=Verdict.REFUSED).order_by("line")
    width = len(job.columns)
    header = _without_ours(job.headers, job)
    if job.header:
        yield from _lines([[*header, *REJECTED_HEADERS]], job.delimiter)
    rows = (
        [*_without_ours(_padded(json.loads(row_result.fields), width), job), str(row_result.line), row_result.text]
        for row_result in refused.iterator(ROWS_READ)
    )
    yield from _lines(rows, job.delimiter)


def _padded(fields: list[str], width: int) -> list[str]:
    return fields + [""] * (width - len(fields))


def _without_ours(fields: list[str], job: ImportJob) -> list[str]:
    """Leave out line and error where the file was a file of rejected rows itself."""
    ours = tuple(job.headers[-2:]) == REJECTED_HEADERS and len(fields) == len(job.headers)
    return fields[:-2] if ours else fields


def generated(job: ImportJob) -> QuerySet[DeviceCredentials]:
    """Return the credentials that the import made and that are still in place."""
    return DeviceCredentials.objects.filter(device__import_job=job, generated=True)


def generated_credentials(job: ImportJob) -> Iterator[str]:
    """Return the lines of a CSV file of the credentials that the import made and that stand until now. They are secrets."""
    rows = generated(job).select_related("device").order_by("device__name")
    yield from _lines([["name", "token"]], job.delimiter)
    yield from _lines(([row.device.name, row.value] for row in rows.iterator(ROWS_READ)), job.delimiter)


def _lines(rows: Iterable[list[str]], delimiter: str) -> Iterator[str]:
    line = _Line()
    writer = csv.writer(line, delimiter=delimiter or ",")
    for row in rows:
        writer.writerow([escape_formula(cell) for cell in row])
        yield line.text
