"""The format of log lines: JSON objects for machines, or readable text. The same in every process."""

import logging
import re
from http import HTTPStatus
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

# Django attaches the request to some records. Its text contains the path, and a device's path contains its token.
_NEVER_LOGGED = ("request", "response")

# docs/protocol.md, *With the credentials afterwards*: the path contains the token, which may have slashes and blanks.
_DEVICE_PATH = re.compile(r'(/api/v1/)(?!provision(?:[\s"?]|$))(?:.+(/(?:telemetry|attributes)\b)|[^\s"]+)', re.DOTALL)


def logging_config(*, as_json: bool, level: str) -> dict[str, Any]:
    """Return the argument of `logging.config.dictConfig` for `level` and above, to standard error.

    A JSON line has time (ISO 8601, UTC), level, logger, message and pid, exc_info where there was an exception, and
    what the caller gave in `extra`, such as request_id.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "not_unavailable": {"()": "django.utils.log.CallbackFilter", "callback": _is_not_unavailable},
            "no_tokens": {"()": "django.utils.log.CallbackFilter", "callback": _without_tokens},
        },
        "formatters": {
            "line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["levelname", "name", "message", "process"],
                "rename_fields": {"levelname": "level", "name": "logger", "process": "pid"},
                "reserved_attrs": [*RESERVED_ATTRS, *_NEVER_LOGGED],
                "timestamp": "time",
                "json_ensure_ascii": False,
            },
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "json" if as_json else "line",
                "filters": ["no_tokens"],
            }
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # A refused host or an oversized body is the sender's doing, not an error of ours.
            "django.security": {"level": "CRITICAL"},
            "django.request": {"level": "ERROR", "filters": ["not_unavailable"]},
            # With DEBUG, Django gives these a handler of its own.
            "django": {"handlers": []},
            "amqtt": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            # At INFO it tells three lines of every periodic task, twelve a minute when nothing happens.
            "celery": {"level": "WARNING"},
            "transitions": {"level": "WARNING"},
            "coap-server": {"level": "WARNING"},
            # At WARNING, a client that sends nonsense would fill the log.
            "uvicorn": {"level": "ERROR"},
        },
    }


def _is_not_unavailable(record: logging.LogRecord) -> bool:
    """Return False for a 503: it says that something else is away, and /readyz is asked all the time."""
    return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE


def _without_tokens(record: logging.LogRecord) -> bool:
    """Take the device's token out of every path in the text of `record`: Django and the web server log paths."""
    text = record.getMessage()
    if "/api/v1/" in text:
        record.msg, record.args = _DEVICE_PATH.sub(r"\1…\2", text), ()
    return True
