"""What the admin shows of each model whose page shows things of several apps. Importing it registers them."""

from console import accounts, device_page, profile_page

__all__ = ["accounts", "device_page", "profile_page"]
