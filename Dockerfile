# One image for all processes; the command says which (deploy/compose.yaml).
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 FIRSTLIGHT_DATA=/data
RUN useradd --system --uid 10001 --home-dir /opt/firstlight firstlight && install -d -o firstlight -m 0700 /data
WORKDIR /opt/firstlight
COPY requirements.txt .
RUN pip install --requirement requirements.txt
COPY . .
USER firstlight
VOLUME /data
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8080", "--workers", "2", "--blocking-threads", "32", \
     "--no-ws", "--respawn-failed-workers", "--workers-kill-timeout", "10", \
     "--log-config", "deploy/granian-logging.json", "config.wsgi:application"]
