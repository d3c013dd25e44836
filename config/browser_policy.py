"""The Content-Security-Policy: nothing inline, nothing from or to a foreign host.

It needs neither 'unsafe-inline' nor 'unsafe-eval'; templates/unfold/ has the changes that make this possible.
"""

_SELF = "'self'"
_NONE = "'none'"

CONTENT_SECURITY_POLICY = {
    # Requests of devices are not pages.
    "EXCLUDE_URL_PREFIXES": ("/api/", "/healthz", "/readyz"),
    "DIRECTIVES": {
        "default-src": [_NONE],
        "script-src": [_SELF],
        "style-src": [_SELF],
        "img-src": [_SELF, "data:"],
        "font-src": [_SELF],
        "connect-src": [_SELF],
        "form-action": [_SELF],
        "base-uri": [_NONE],
        "frame-ancestors": [_NONE],
    },
}
