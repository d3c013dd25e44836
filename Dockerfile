# One image for all processes; the command selects one (deploy/compose.yaml).
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 FIRSTLIGHT_DATA=/data HTTP_HOST=0.0.0.0
RUN useradd --system --uid 10001 --home-dir /opt/firstlight firstlight && install -d -o firstlight -m 0700 /data
WORKDIR /opt/firstlight
COPY requirements.txt .
RUN pip install --require-hashes --requirement requirements.txt
COPY . .
USER firstlight
VOLUME /data
CMD ["python", "manage.py", "http_server"]
