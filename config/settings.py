"""Settings, all from environment variables.

With `FIRSTLIGHT_ENV=production` an unsafe value stops the start. Otherwise the defaults are for one machine: SQLite,
the embedded MQTT broker, and secrets that are generated once, all below `FIRSTLIGHT_DATA`. A secret may also be given
as a file: `SECRET_KEY_FILE=/run/secrets/key` sets `SECRET_KEY`.
"""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from config import secret_store
from config.browser_policy import CONTENT_SECURITY_POLICY  # noqa: F401 - a setting
from config.log_format import logging_config
from config.secret_store import Secret
from console.navigation import UNFOLD  # noqa: F401 - a setting
from operations.choices import Process

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent


class _Env(environ.FileAwareEnv):  # type: ignore[misc] # django-environ has no types
    def get_value(self, var: str, *args: Any, **options: Any) -> Any:
        try:
            return super().get_value(var, *args, **options)
        except ValueError:
            raise ImproperlyConfigured(f"{var} is not a number.") from None


env = _Env()

_ENVIRONMENT = env.str("FIRSTLIGHT_ENV", default="laptop")
if _ENVIRONMENT not in ("laptop", "production"):
    # A typo must not start a production system with the defaults of a laptop.
    raise ImproperlyConfigured("FIRSTLIGHT_ENV is neither 'laptop' nor 'production'.")
PRODUCTION = _ENVIRONMENT == "production"
DATA_DIR = Path(env.str("FIRSTLIGHT_DATA", default=str(BASE_DIR / "var"))).resolve()

# --- Secrets -------------------------------------------------------------------------------------

_OWN_SECRETS = ("SECRET_KEY", "ENCRYPTION_KEYS", "LOOKUP_KEY", "MQTT_BRIDGE_PASSWORD")


def _secret(name: str) -> str:
    """Return the variable `name`, or the content of the file `{name}_FILE`; "" if neither is set.

    Without `env.str`, which treats a value that begins with $ as the name of another variable.
    """
    try:
        return Secret(env.ENVIRON.get(name, "").strip())
    except (OSError, UnicodeDecodeError) as err:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {type(err).__name__}.") from None


def _secrets() -> dict[str, str]:
    given = {name: _secret(name) for name in _OWN_SECRETS}
    missing = [name for name, value in given.items() if not value]
    if PRODUCTION:
        needed = [name for name in missing if name != "MQTT_BRIDGE_PASSWORD"]
        if needed:
            raise ImproperlyConfigured(
                f"{needed[0]} is not set. Production needs it; docs/operations.md describes how to generate it."
            )
        return given
    if missing:
        made = secret_store.load_or_create(DATA_DIR)
        given |= {name: Secret(made[name]) for name in missing}
    return given


_own = _secrets()
SECRET_KEY = _own["SECRET_KEY"]
# Fernet keys, newest first: the first encrypts, all of them decrypt (`manage.py rotate_encryption`).
ENCRYPTION_KEYS = [Secret(key.strip()) for key in _own["ENCRYPTION_KEYS"].split(",") if key.strip()]
# Keys the HMAC under which tokens and user names are looked up. It cannot be rotated: every lookup id depends on it.
LOOKUP_KEY = _own["LOOKUP_KEY"]

# --- Django --------------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Number of our proxies in front: the client's address is that many entries from the end of X-Forwarded-For.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)

if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG is on. It shows secrets to strangers and is not allowed in production.")
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is not set. Name the hosts under which devices and operators reach this server.")
if PRODUCTION and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is '*'. Name the hosts under which devices and operators reach this server.")
if len(SECRET_KEY) < 50:
    raise ImproperlyConfigured("SECRET_KEY is too short: it needs 50 characters or more.")
if len(LOOKUP_KEY) < 32:
    raise ImproperlyConfigured("LOOKUP_KEY is too short: it needs 32 characters or more.")
if LOOKUP_KEY == SECRET_KEY:
    raise ImproperlyConfigured("LOOKUP_KEY is the same as SECRET_KEY. It needs a value of its own: SECRET_KEY can be rotated.")
if not ENCRYPTION_KEYS:
    raise ImproperlyConfigured("ENCRYPTION_KEYS holds no key.")
for _number, _key in enumerate(ENCRYPTION_KEYS, start=1):
    try:
        Fernet(_key)
    except ValueError:
        raise ImproperlyConfigured(
            f"ENCRYPTION_KEYS: number {_number} is not a Fernet key (32 bytes in URL-safe base64)."
        ) from None

INSTALLED_APPS = [
    "console",  # before unfold and the admin, since it overrides their templates and static files
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "formtools",
    "rest_framework",
    "drf_spectacular",
    "operations",
    "events",
    "profiles",
    "devices",
    "imports",
    "provisioning",
    "brokers",
    "transports",
    "api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "transports.http.middleware.DeviceRequests",  # the rest is for pages
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "transports.http.middleware.UnreadableSecrets",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Static files are served from the apps themselves, so collectstatic is not needed. To have a web server in front serve
# them, name a folder here and run collectstatic.
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None
WHITENOISE_USE_FINDERS = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database ------------------------------------------------------------------------------------

_SQLITE_OPTIONS = {
    # IMMEDIATE: a transaction takes the write lock at its start, so it never fails half-way with SQLITE_BUSY.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL: rows whose reply was sent survive a power cut. The group commit pays for it once per batch.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}
_POSTGRES_OPTIONS = {
    # Statements are planned once per connection. Must be off behind a pooler in transaction mode.
    "prepare_threshold": 1 if env.bool("DATABASE_PREPARED", default=True) else None,
    "connect_timeout": 5,
    # A server whose machine failed sends nothing; without these a batch would wait a quarter of an hour for it.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s",
}


def _database() -> dict[str, Any]:
    url = _secret("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'firstlight.sqlite3'}"
    scheme = url.partition(":")[0]
    postgres = scheme in ("postgres", "postgresql")
    try:
        # Not called for other schemes: it would log a warning with the whole URL, password included.
        config: dict[str, Any] = env.db_url_config(url) if postgres or scheme == "sqlite" else {}
        config["PASSWORD"] = Secret(config["PASSWORD"])
    except (KeyError, ValueError):
        raise ImproperlyConfigured(
            "DATABASE_URL is not like postgres://user:password@host:port/name or sqlite:///path."
        ) from None
    config["OPTIONS"] = (_POSTGRES_OPTIONS if postgres else _SQLITE_OPTIONS) | config.get("OPTIONS", {})
    config["CONN_MAX_AGE"] = None
    config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": _database()}

# --- Celery --------------------------------------------------------------------------------------

REDIS_URL = _secret("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
if not REDIS_URL:
    _QUEUE_DIR = DATA_DIR / "tasks"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_QUEUE_DIR / "queue"),
        "data_folder_out": str(_QUEUE_DIR / "queue"),
        "control_folder": str(_QUEUE_DIR / "control"),
        "polling_interval": 0.5,
    }
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "tasks" / "beat")
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {
    "resume-imports": {"task": "imports.tasks.resume_imports", "schedule": 15.0},
    "tidy-imports": {"task": "imports.tasks.tidy_imports", "schedule": 3600.0},
    "prune-attempts": {"task": "provisioning.tasks.prune_attempts", "schedule": 3600.0},
    # Expires: what waited for a worker that was away needs to be done once only.
    "end-sessions": {"task": "brokers.tasks.end_sessions", "schedule": 1.0, "options": {"expires": 5}},
    "check-brokers": {"task": "brokers.tasks.check_brokers", "schedule": 600.0, "options": {"expires": 600}},
    "prune-brokers": {"task": "brokers.tasks.prune_brokers", "schedule": 86_400.0},
    "prune-events": {"task": "events.tasks.prune_events", "schedule": 3600.0},
}

# --- Provisioning --------------------------------------------------------------------------------

# Largest request body on any transport, bytes (docs/protocol.md: 413 and 4.13 above it).
MAX_REQUEST_BYTES = 64 * 1024
# Requests per minute with a wrong key or secret: from one source, and from all sources for one key.
GUESSES_PER_SOURCE = env.int("GUESSES_PER_SOURCE", default=120)
GUESSES_PER_KEY = env.int("GUESSES_PER_KEY", default=600)
# Telemetry keys, and client attributes, that one device may have.
MAX_KEYS_PER_DEVICE = env.int("MAX_KEYS_PER_DEVICE", default=1_000)
# How many days provision attempts are kept.
ATTEMPTS_KEPT_DAYS = env.int("ATTEMPTS_KEPT_DAYS", default=90)

# Days for which events are kept for a reader that has stopped (docs/events.md).
EVENTS_KEPT_DAYS = env.int("EVENTS_KEPT_DAYS", default=7)

# --- Transports ----------------------------------------------------------------------------------

HTTP_HOST = env.str("HTTP_HOST", default="127.0.0.1")
HTTP_PORT = env.int("HTTP_PORT", default=8080)
# The web server: processes, and in each of them threads, and connections that may wait for their client.
HTTP_WORKERS = env.int("HTTP_WORKERS", default=2)
HTTP_THREADS = env.int("HTTP_THREADS", default=16)
HTTP_MAX_CONNECTIONS = env.int("HTTP_MAX_CONNECTIONS", default=5_000)
# Of these, those of one client. Without effect behind a proxy of ours (TRUSTED_PROXIES), which brings everyone's requests.
HTTP_CONNECTIONS_PER_ADDRESS = env.int("HTTP_CONNECTIONS_PER_ADDRESS", default=200)
COAP_HOST = env.str("COAP_HOST", default="127.0.0.1")
COAP_PORT = env.int("COAP_PORT", default=5683)
MQTT_HOST = env.str("MQTT_HOST", default="127.0.0.1")
MQTT_PORT = env.int("MQTT_PORT", default=1883)
# The embedded broker with TLS; empty: without. Its certificate and key in PEM, default: made below DATA_DIR.
MQTT_TLS_PORT = env.int("MQTT_TLS_PORT", default=8883) if env.str("MQTT_TLS_PORT", default="8883").strip() else None
MQTT_TLS_CERT_FILE = env.str("MQTT_TLS_CERT_FILE", default="").strip()
MQTT_TLS_KEY_FILE = env.str("MQTT_TLS_KEY_FILE", default="").strip()
MQTT_TLS_FOLDER = DATA_DIR / "tls"

# Without MQTT_BROKER_URL the bridge connects to the embedded broker, as user `bridge`.
MQTT_BROKER_URL = _secret("MQTT_BROKER_URL")
MQTT_EMBEDDED_BROKER = not MQTT_BROKER_URL
MQTT_BRIDGE_USERNAME = "bridge"
MQTT_BRIDGE_PASSWORD = _own["MQTT_BRIDGE_PASSWORD"]
# The password may be in MQTT_BROKER_URL, here, or in the file MQTT_BROKER_PASSWORD_FILE.
MQTT_BROKER_PASSWORD = _secret("MQTT_BROKER_PASSWORD")
# Where devices reach the broker, if it differs from where the bridge does, e.g. mqtt://127.0.0.1:1883.
MQTT_DEVICE_URL = env.str("MQTT_DEVICE_URL", default="").strip()
# For mqtts://: the CA of the broker's certificate (default: the system's CAs), and the bridge's own certificate.
MQTT_CA_FILE = env.str("MQTT_CA_FILE", default="").strip()
MQTT_CERT_FILE = env.str("MQTT_CERT_FILE", default="").strip()
MQTT_KEY_FILE = env.str("MQTT_KEY_FILE", default="").strip()
# Requests that may be on their way to one bridge; must fit the limits of the broker (docs/mqtt.md).
MQTT_WINDOW = env.int("MQTT_WINDOW", default=200)
# How many seconds a request may wait for a bridge that is offline, or for the database. Later its device has given up, and
# would not hear of the credentials that it got.
MQTT_SESSION_EXPIRY_S = env.int("MQTT_SESSION_EXPIRY_S", default=120)
MQTT_REQUEST_TOPIC = env.str("MQTT_REQUEST_TOPIC", default="/provision/request/{client_id}")
MQTT_RESPONSE_TOPIC = env.str("MQTT_RESPONSE_TOPIC", default="/provision/response/{client_id}")
# The bridge also serves the device API on the operator's broker: telemetry, attributes, updates. The embedded broker always does.
MQTT_DEVICE_DATA = env.bool("MQTT_DEVICE_DATA", default=False)
# How many seconds the broker keeps data for the bridges when none is connected, and over how many sessions it comes. Each
# is served by one bridge at a time.
MQTT_DATA_EXPIRY_S = env.int("MQTT_DATA_EXPIRY_S", default=86_400)
MQTT_DATA_SESSIONS = env.int("MQTT_DATA_SESSIONS", default=1)
# Below which topic the messages of a device come out on that broker, and go in. As the Mosquitto plugin has it; with mount
# points (EMQX) both are devices/{id}.
MQTT_TOPIC_FROM_DEVICE = env.str("MQTT_TOPIC_FROM_DEVICE", default="devices/{name}")
MQTT_TOPIC_TO_DEVICE = env.str("MQTT_TOPIC_TO_DEVICE", default="devices/{name}/down")
# The embedded broker: maximum number of connections, and seconds until an idle provisioning session is closed.
MQTT_MAX_CONNECTIONS = env.int("MQTT_MAX_CONNECTIONS", default=10_000)
# Of those, connections from one address on which devices provision.
MQTT_MAX_CONNECTIONS_PER_ADDRESS = env.int("MQTT_MAX_CONNECTIONS_PER_ADDRESS", default=2_000)
MQTT_PROVISION_IDLE_S = env.int("MQTT_PROVISION_IDLE_S", default=300)
# Answer unmodified firmware on the shared response topic of a broker that does not keep replies apart:
# every device subscribed there at that moment sees the reply. For a test bench or a single production line.
MQTT_ALLOW_SHARED_RESPONSES = env.bool("MQTT_ALLOW_SHARED_RESPONSES", default=False)

# Where the brokers that ask us who may connect reach this installation, e.g. https://firstlight.example.com.
BROKERS_URL = env.str("BROKERS_URL", default="").strip()

# Processes that /readyz requires, e.g. `mqtt_bridge,tasks` without CoAP. Empty: all.
NEEDED_PROCESSES: list[str] = env.list("NEEDED_PROCESSES", default=[])
if unknown := set(NEEDED_PROCESSES) - {process for process in Process if process != Process.WEB}:
    raise ImproperlyConfigured(f"NEEDED_PROCESSES: unknown process '{min(unknown)}'.")

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Firstlight",
    "DESCRIPTION": "Management of devices. The requests of devices are described in docs/protocol.md.",
    "VERSION": "1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
}
# An upload that does not fit into memory goes to a file without a name, so a killed process leaves none behind.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler", "core.uploads.UnnamedFileHandler"]
# Largest list that POST /api/device/bulk_import takes while the client waits, bytes.
IMPORT_MAX_INLINE_BYTES = env.int("IMPORT_MAX_INLINE_BYTES", default=64 * 1024 * 1024)
# Largest request with a file to import, bytes. The proxy in front has a limit too (deploy/nginx).
IMPORT_MAX_UPLOAD_BYTES = env.int("IMPORT_MAX_UPLOAD_BYTES", default=512 * 1024 * 1024)

# --- Security ------------------------------------------------------------------------------------

SESSION_ENGINE = "core.sessions"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

# Logins are counted per user name and address: five failures lock that pair out for a quarter of an hour.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = env.int("LOGIN_FAILURES", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("LOGIN_LOCKOUT_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "console.accounts.failed_logins.kept_username"
# What was posted is kept with a failed login, but for these.
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]
AXES_CLIENT_IP_CALLABLE = "transports.http.addresses.client_address"
AXES_LOCKOUT_TEMPLATE = "admin/locked_out.html"
AXES_ENABLE_ADMIN = False  # has a page of its own in console/accounts/admin.py
AXES_VERBOSE = False
if PRODUCTION:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # With this prefix browsers send a cookie only to the host that set it, and only over HTTPS.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
# The proxy in front redirects browsers to HTTPS. We do not: devices do not follow redirects of a POST.
SILENCED_SYSTEM_CHECKS = ["security.W008"]

# --- Metrics -------------------------------------------------------------------------------------

# GET /metrics of the web process requires `Authorization: Bearer` with this token. Empty: no /metrics.
METRICS_TOKEN = _secret("METRICS_TOKEN")
if METRICS_TOKEN and len(METRICS_TOKEN) < 20:
    raise ImproperlyConfigured("METRICS_TOKEN is too short: it needs 20 characters or more.")
# The other processes have no web server: each serves its metrics here, without a token, if the port is set.
METRICS_HOST = env.str("METRICS_HOST", default="127.0.0.1")
METRICS_PORT = env.int("METRICS_PORT", default=0)
# Where the worker processes of one web server share their metrics; a folder that no other web server uses.
METRICS_DIR = env.str("METRICS_DIR", default=str(DATA_DIR / "metrics"))

# --- Logging -------------------------------------------------------------------------------------

LOG_FORMAT = env.str("LOG_FORMAT", default="json" if PRODUCTION else "line")
if LOG_FORMAT not in ("json", "line"):
    raise ImproperlyConfigured("LOG_FORMAT must be json or line.")
LOGGING = logging_config(as_json=LOG_FORMAT == "json", level=env.str("LOG_LEVEL", default="INFO").upper())
# Python's warnings become log lines, too.
logging.captureWarnings(True)
