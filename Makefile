# Firstlight. `make help` lists what can be made.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# All of them can be set on the command line or in the environment; docs/operations.md lists every setting.
HTTP_PORT ?= 8080
MQTT_PORT ?= 1883
COAP_PORT ?= 5683
export HTTP_PORT MQTT_PORT COAP_PORT
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# With a broker of your own, the embedded one is not started.
PROCESSES := $(if $(MQTT_BROKER_URL)$(MQTT_BROKER_URL_FILE),web mqtt_bridge coap tasks status)

.DEFAULT_GOAL := help
.PHONY: help run password check test soak lock proto clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: $(BIN)/.installed ## install, migrate, and start everything on 127.0.0.1
	@python manage.py first_run
	@exec honcho --env /dev/null start $(PROCESSES)

password: $(BIN)/.installed ## set a new password for the admin user
	@python manage.py changepassword admin

$(BIN)/python:
	@deploy/make-venv $(PYTHON) $(VENV)

$(BIN)/.installed: requirements.txt | $(BIN)/python
	@echo "Installing requirements.txt into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BIN)/.installed-dev: requirements-dev.txt $(BIN)/.installed
	@echo "Installing requirements-dev.txt into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
