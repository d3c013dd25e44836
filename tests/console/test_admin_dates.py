"""The days, months and years of a list, from its first row to its last."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from console.admin_dates import SpannedQuerySet
from provisioning.models import ProvisionAttempt

pytestmark = pytest.mark.django_db


def spanned(*times, kind, zone="UTC"):
    ProvisionAttempt.objects.bulk_create([ProvisionAttempt(created_at=time, outcome="FAILURE", reason="X") for time in times])
    with timezone.override(ZoneInfo(zone)):
        return [start.strftime("%Y-%m-%d %H:%M") for start in SpannedQuerySet(ProvisionAttempt).datetimes("created_at", kind)]


def test_no_row_has_no_day():
    assert spanned(kind="day") == []


def test_days_go_from_the_first_row_to_the_last_over_the_end_of_a_month():
    ends = datetime(2026, 2, 27, 23, 59, tzinfo=UTC), datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    assert spanned(*ends, kind="day") == ["2026-02-27 00:00", "2026-02-28 00:00", "2026-03-01 00:00"]


def test_months_and_years_skip_none():
    ends = datetime(2024, 11, 30, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)
    assert spanned(*ends, kind="month") == ["2024-11-01 00:00", "2024-12-01 00:00", "2025-01-01 00:00", "2025-02-01 00:00"]
    assert spanned(kind="year") == ["2024-01-01 00:00", "2025-01-01 00:00"]


@pytest.mark.parametrize("month", [3, 10])
def test_change_of_the_clocks_loses_and_doubles_no_day(month):
    ends = datetime(2026, month, 24, 12, tzinfo=UTC), datetime(2026, month, 27, 12, tzinfo=UTC)
    days = spanned(*ends, kind="day", zone="Europe/Berlin")
    assert days == [f"2026-{month:02}-{day} 00:00" for day in (24, 25, 26, 27)]
