"""The question before one or many failed attempts are fixed, and what happens once the operator has confirmed."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from console.admin_base import attempt_service, log_changes
from console.attempts.fixes import OfferedFix, apply_fix, distinct_fixes, sentence_of
from provisioning.models import ProvisionAttempt

# Attempts that are fixed at once; the page says when more were selected.
MAX_AT_ONCE = 1_000
NAMES_SHOWN = 20
# Of the sentences after it.
SHOWN_AFTERWARDS = 3


def confirm_or_fix(
    model_admin: Any, request: HttpRequest, attempts: QuerySet[ProvisionAttempt], *, back: str, hidden: list[tuple[str, str]]
) -> HttpResponse | None:
    """Return the page that asks; None once the operator has confirmed and the fixes are applied, as far as they still help.

    `attempts` come from `with_fix_state`. `back` is where Cancel leads. `hidden` are the fields
    with which the same request comes again.
    """
    selected = list(attempts[: MAX_AT_ONCE + 1])
    found = [
        (attempt, offered)
        for attempt, offered in distinct_fixes(selected[:MAX_AT_ONCE], timezone.now())
        if request.user.has_perm(offered.permission)
    ]
    if request.method == "POST" and "confirmed" in request.POST:
        _fix(request, found)
        return None
    sentences = [sentence_of(attempt, offered) for attempt, offered in found]
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Fix",
        "opts": model_admin.opts,
        "question": f"{sentences[0]}?" if len(found) == 1 else f"Apply {len(found):,} fixes?" if found else "Nothing to fix",
        "consequences": list(dict.fromkeys(offered.consequence for _, offered in found)),
        "sentences": sentences[:NAMES_SHOWN] if len(found) > 1 else [],
        "more": max(0, len(found) - NAMES_SHOWN),
        "limit": MAX_AT_ONCE if len(selected) > MAX_AT_ONCE else None,
        "button": found[0][1].fix.label if len(found) == 1 else "Apply",
        "hidden": hidden,
        "back": back,
        "count": len(found),
    }
    return TemplateResponse(request, "admin/attempts/confirm_fix.html", context)


def _fix(request: HttpRequest, found: list[tuple[ProvisionAttempt, OfferedFix]]) -> None:
    if not found:
        messages.info(request, "Already fixed.")
    done = []
    for attempt, _ in found:
        with transaction.atomic():
            fixed = attempt_service(request, partial(apply_fix, attempt=attempt))
            if fixed:
                row, sentence = fixed
                log_changes(request, [row], f"{sentence} From a failed attempt.")
                done.append(sentence)
    for sentence in done[:SHOWN_AFTERWARDS]:
        messages.success(request, sentence)
    if len(done) > SHOWN_AFTERWARDS:
        messages.success(request, f"And {len(done) - SHOWN_AFTERWARDS:,} more.")


def fields_of_selection(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the fields of a list's action, so that its confirmed request selects the same rows."""
    ids = [("_selected_action", value) for value in request.POST.getlist("_selected_action")]
    return [*ids, ("select_across", request.POST.get("select_across", "0")), ("action", request.POST.get("action", ""))]
