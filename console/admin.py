"""What the admin shows of each model whose page shows things of several apps. Importing it registers them."""

from django.contrib import admin

from console import accounts, device_page, profile_page

admin.site.index_title = "Dashboard"

__all__ = ["accounts", "device_page", "profile_page"]
