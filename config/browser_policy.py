"""What a browser may do with a page of ours: nothing inline, nothing from or to a foreign host.

Neither 'unsafe-inline' nor 'unsafe-eval' stands here: templates/unfold/ says what that took.
"""

_SELF = "'self'"
_NONE = "'none'"

CONTENT_SECURITY_POLICY = {
    # What devices call is no page.
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
