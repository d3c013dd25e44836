# Firstlight. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Can be set on the command line or in the environment; docs/operations.md lists every setting.
HTTP_PORT ?= 8080
MQTT_PORT ?= 1883
COAP_PORT ?= 5683
export HTTP_PORT MQTT_PORT COAP_PORT
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help run password check test soak attack bench mosquitto-plugin lock proto screenshots clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

run: $(BIN)/.installed ## install, migrate, and start everything on 127.0.0.1
	@python manage.py first_run
	@exec python deploy/start.py

password: $(BIN)/.installed ## set a new password for the admin user
	@python manage.py changepassword admin

$(BIN)/python:
	@deploy/make-venv $(PYTHON) $(VENV)

$(BIN)/.installed: requirements.txt | $(BIN)/python
	@echo "Installing requirements.txt into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(BIN)/.installed-dev: requirements-dev.txt $(BIN)/.installed
	@echo "Installing requirements-dev.txt into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

check: export FIRSTLIGHT_DATA := $(CURDIR)/.check
check: $(BIN)/.installed-dev ## style, types, import order, settings, migrations
	ruff format --check .
	ruff check .
	mypy .
	lint-imports
	deploy/check-production
	python manage.py makemigrations --check

# Each program that the tests run, and its Debian package.
TEST_PROGRAMS := git=git curl=curl mosquitto=mosquitto mosquitto_rr=mosquitto-clients coap-client-notls=libcoap3-bin \
	postgres=postgresql redis-server=redis-server rabbitmq-server=rabbitmq-server nginx=nginx-light chromium=chromium
# What the Mosquitto plugin is built with: programs, and headers by their path.
PLUGIN_PROGRAMS := make=make gcc=gcc /usr/include/stdio.h=libc6-dev /usr/include/mosquitto_plugin.h=mosquitto-dev \
	/usr/include/mosquitto.h=libmosquitto-dev curl-config=libcurl4-openssl-dev /usr/include/openssl/hmac.h=libssl-dev
PYTEST := python -m pytest -q --numprocesses 2 --dist loadfile

test: $(BIN)/.installed-dev ## all tests, those of the database on SQLite and on PostgreSQL
	@deploy/apt-install $(TEST_PROGRAMS) $(PLUGIN_PROGRAMS)
	$(PYTEST)
	TEST_DATABASE=postgres $(PYTEST) -m 'database and not soak'

soak: $(BIN)/.installed-dev ## the tests that take a long time
	@deploy/apt-install $(TEST_PROGRAMS) $(PLUGIN_PROGRAMS) valgrind=valgrind
	python -m pytest -m soak --timeout 0 --capture no

attack: $(BIN)/.installed-dev ## attacks on the product, the heavy ones too
	@deploy/apt-install $(TEST_PROGRAMS)
	python -m pytest -m 'soak or not soak' --timeout 0 --log-cli-level INFO tests/e2e/test_attack_*.py

bench: $(BIN)/.installed-dev ## the benchmarks
	python -m benchmarks

mosquitto-plugin: ## build deploy/mosquitto/plugin/build/firstlight.so
	@deploy/apt-install $(PLUGIN_PROGRAMS)
	$(MAKE) -C deploy/mosquitto/plugin

COMPILE := pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --strip-extras

lock: $(BIN)/.installed-dev ## update the pinned dependencies
	$(COMPILE) --upgrade -o requirements.txt requirements.in
	$(COMPILE) --upgrade -o requirements-dev.txt requirements-dev.in
	$(COMPILE) --upgrade -o tests/soak/thingsboard-gateway.txt tests/soak/thingsboard-gateway.in

screenshots: $(BIN)/.installed-dev ## docs/images, from a running product
	python -m tests.e2e.screenshots

proto: $(BIN)/.installed-dev ## generate the Protobuf classes
	python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. transports/codecs/provision.proto

clean: ## remove .venv and caches; the data in var/ stays
	rm -rf $(VENV) .check .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
