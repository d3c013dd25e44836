"""API tokens in the browser: everybody makes and revokes their own, and a token is shown once."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import ADDITION, DELETION
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from api.choices import Scope
from api.models import ApiToken
from api.services import DEFAULT_DAYS, MAX_DAYS, token_create, token_revoke
from console.admin_base import BoundedAdmin, log_changes
from core.encryption import DecryptionFailed, decrypt, encrypt

# With this permission a user sees and revokes the tokens of all users.
MANAGE = "auth.change_user"
_SESSION_KEY = "token_to_show"


class TokenForm(forms.Form):
    name = forms.CharField(
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"class": "fl-input"}),
        help_text="What the token is for, e.g. Factory line 2.",
    )
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="The token reaches these parts of the API, as far as your own rights go.",
    )
    days = forms.IntegerField(
        label="Valid for",
        initial=DEFAULT_DAYS,
        min_value=1,
        max_value=MAX_DAYS,
        widget=forms.NumberInput(attrs={"class": "fl-input"}),
        help_text="Days until the token expires.",
    )


@admin.register(ApiToken)
class ApiTokenAdmin(BoundedAdmin):
    list_display = ("token", "name", "owner", "scopes_shown", "created_at", "expires_at", "last_used_at")
    list_display_links = None
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "owner__username")
    search_help_text = "A name, the beginning of a token, or a user."

    @display(description="token")
    def token(self, row: ApiToken) -> str:
        return f"{row.prefix}…"

    @display(description="scopes")
    def scopes_shown(self, row: ApiToken) -> str:
        return ", ".join(row.scopes)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request)
        return tokens if request.user.has_perm(MANAGE) else tokens.filter(owner_id=request.user.pk)

    # Every operator has a list of tokens, which `get_queryset` bounds to what they may see.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return True

    def get_urls(self) -> list[URLPattern]:
        made = path("made/", self.admin_site.admin_view(self.made_view), name="api_apitoken_made")
        return [made, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form = TokenForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            return self._page(request, "new_token", title="New API token", form=form)
        assert isinstance(request.user, User)
        token, text = token_create(owner=request.user, **form.cleaned_data)
        log_changes(request, [token], f"Made, with scopes {', '.join(token.scopes)}.", ADDITION)
        request.session[_SESSION_KEY] = encrypt(text)
        return HttpResponseRedirect(reverse("admin:api_apitoken_made"))

    def made_view(self, request: HttpRequest) -> HttpResponse:
        """Show the token that was just made, once."""
        return self._page(request, "token_made", title="Your new API token", text=_take(request))

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        token_revoke(token=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            token_revoke(token=token)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        log_changes(request, queryset, "Revoked.", DELETION)

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, f"admin/accounts/{name}.html", shared | context)


def _take(request: HttpRequest) -> str:
    """Return the token to show, and forget it; "" when there is none any more."""
    kept = request.session.pop(_SESSION_KEY, None)
    try:
        return decrypt(kept) if kept else ""
    except DecryptionFailed:
        return ""
