"""The secret that a device presents with a provisioning key whose secret use is *derived*."""

import base64
import hmac


def device_secret(secret: str, device_name: str) -> str:
    """Return `base64(HMAC-SHA256(secret, device name))`: both as UTF-8, the name trimmed, base64 with padding.

    Source: docs/protocol.md, *Derived secrets*.
    """
    # surrogatepass: JSON can carry lone surrogates.
    digest = hmac.digest(secret.encode(), device_name.strip().encode("utf-8", "surrogatepass"), "sha256")
    return base64.b64encode(digest).decode()
