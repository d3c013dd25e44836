"""All pages of the console. Importing a page's module registers it with Django's admin."""

from django.contrib import admin

from console.accounts import admin as accounts
from console.accounts import tokens
from console.attempts import admin as attempts
from console.brokers import admin as brokers
from console.devices import admin as devices
from console.imports import admin as imports
from console.operations import admin as operations
from console.profiles import admin as profiles

admin.site.index_title = "Dashboard"

__all__ = ["accounts", "attempts", "brokers", "devices", "imports", "operations", "profiles", "tokens"]
