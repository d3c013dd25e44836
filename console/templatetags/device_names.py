"""Device names on pages. Devices choose them, so those that mislead the eye carry a mark."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.lookalikes import name_warnings

register = template.Library()


@register.filter
def marked_name(name: str) -> SafeString | str:
    """Return `name`; if it has invisible or look-alike characters, with a mark whose title says which."""
    warnings = name_warnings(name)
    if not warnings:
        return name
    # bdi: a name with a right-to-left override must not turn the text beside it around.
    mark = '<bdi>{}</bdi> <span class="fl-badge fl-warning" title="{}">misleading name</span>'
    return format_html(mark, name, " ".join(warnings))
