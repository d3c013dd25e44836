"""*Device profiles → Add*: three steps, back and forth without loss, and one service call at the end."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from formtools.wizard.views import SessionWizardView

from console.admin_base import form_errors, log_changes
from console.profiles import key_reveal
from console.profiles.wizard_forms import DetailsForm, PermissionsForm, ProvisioningForm, generated_values
from profiles.services import profile_create

STEPS = (("details", DetailsForm), ("permissions", PermissionsForm), ("provisioning", ProvisioningForm))
TITLES = {"details": "Details", "permissions": "Permissions", "provisioning": "Provisioning"}


class ProfileWizard(SessionWizardView):
    form_list = STEPS
    storage_name = "console.profiles.encrypted_storage.EncryptedSessionStorage"
    template_name = "admin/profiles/wizard.html"
    model_admin: Any = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.model_admin.has_add_permission(request):
            raise PermissionDenied
        response: HttpResponse = super().dispatch(request, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Keep all entries when the operator goes back, valid or not."""
        current = self.request.POST.get(f"{self.prefix}-current_step")
        if "wizard_goto_step" in self.request.POST and current in self.get_form_list():
            self.storage.set_step_data(current, self.request.POST)
        return super().post(*args, **kwargs)  # type: ignore[no-any-return]

    def get_form_initial(self, step: str) -> dict[str, Any]:
        return generated_values() if step == "provisioning" else {}

    def get_context_data(self, form: BaseForm, **kwargs: Any) -> dict[str, Any]:
        _focus(form)
        return {
            **super().get_context_data(form=form, **kwargs),
            **self.model_admin.admin_site.each_context(self.request),
            "title": "New profile",
            # Instead of `opts`, so that the last breadcrumb is the title.
            "model_admin": self.model_admin,
            "step_titles": [(name, title, name == self.steps.current) for name, title in TITLES.items()],
            "step_title": TITLES[self.steps.current],
        }

    def render_done(self, form: BaseForm, **kwargs: Any) -> HttpResponse:
        """Create the profile. If the service refuses a field, go to the step of that field."""
        try:
            return super().render_done(form, **kwargs)  # type: ignore[no-any-return]
        except ValidationError as err:
            return self._refused(err)

    def render_revalidation_failure(self, step: str, form: BaseForm, **kwargs: Any) -> HttpResponse:
        """Go back to a step that is no longer valid, and say so where what was typed there is gone."""
        if not form.is_bound:
            messages.warning(self.request, "What you typed in this step can no longer be read. Fill it in again.")
        return super().render_revalidation_failure(step, form, **kwargs)  # type: ignore[no-any-return]

    def done(self, form_list: Any, **kwargs: Any) -> HttpResponse:
        values = {name: value for form in form_list for name, value in form.cleaned_data.items()}
        with transaction.atomic():
            profile, key = profile_create(**values)
            log_changes(self.request, [profile], "Added with the wizard, with its first key.", ADDITION)
        key_reveal.show_next(self.request, key)
        return HttpResponseRedirect(reverse("admin:profiles_deviceprofile_page", args=(profile.pk,)))

    def _refused(self, err: ValidationError) -> HttpResponse:
        fields = getattr(err, "message_dict", {})
        step = next((name for name, form in STEPS if set(fields) & set(form.base_fields)), "provisioning")
        self.storage.current_step = step
        form = self.get_form(step, data=self.storage.get_step_data(step))
        form.is_valid()
        form_errors(form, err)
        return self.render(form)  # type: ignore[no-any-return]


def _focus(form: BaseForm) -> None:
    """Focus the first field with an error, else the first field."""
    fields = [*form, *(field for row in getattr(form, "attributes", ()) for field in row)]
    first = next((field for field in fields if field.errors), fields[0])
    first.field.widget.attrs["autofocus"] = True
