# A fresh machine needs python3 with pip and venv, and make: every target sets up what it needs.
PYTHON ?= python3
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
# The fast tests run in this many processes; those with a real Airflow, one at a time.
WORKERS ?= 3
FAST = -n $(WORKERS) --dist loadfile -m "not airflow and not full" --durations=20
# What knows nothing of Airflow is not run again on an older one; nor are the schedules: what they drive is the same.
SAME_ON_ALL = --ignore=tests/reliability --ignore=tests/media --ignore=tests/api --ignore=tests/sandbox --ignore=tests/docs --ignore=tests/benchmarks \
	$(foreach page,jobs look player run trouble,--ignore=tests/plugin/test_pages_$(page).py)
READY := .venv/.ready

.PHONY: help chromium proxies demo test test-all test-compat bench lint format clean
.PRECIOUS: .venv-%/.ready

help:
	@echo "make demo        run the whole way once: text, speech, lip-synced video, published (KEEP=1 leaves the UI up;"
	@echo "                 WEBHOOK=1 turns the webhook receiver on, and the vendor's call wakes the task)"
	@echo "make test        all tests that CI runs, on Airflow 3.3"
	@echo "make test-all    the long ones too, and Airflow 3.1 and 3.2"
	@echo "make test-compat the fast tests on Airflow 3.1 and 3.2; test-compat-3.1 on one of them"
	@echo "make chromium    Debian's chromium, which looks at the pages in the tests (as root; elsewhere install it yourself)"
	@echo "make proxies     Debian's nginx and caddy for the tests of docs/webhooks/, unpacked into .proxies (as root; likewise)"
	@echo "make bench       the figures of docs and notes, measured on this machine (80 minutes; BENCH_ARGS=\"waiting --rounds 1\")"
	@echo "make lint        ruff, mypy, pyright"

.venv/.ready: pyproject.toml constraints/airflow-3.3.txt
	@echo "setting up .venv (Airflow 3.3.2 and what the tests and the demo need); this is done once"
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP_INSTALL) -c constraints/airflow-3.3.txt -e '.[dev]'
	@touch $@

.venv-bench/.ready: pyproject.toml constraints/bench.txt
	@echo "setting up .venv-bench (Airflow 3.3.2 and the providers that are measured)"
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(PIP_INSTALL) -c constraints/bench.txt -e '.[bench]'
	@touch $@

.venv-%/.ready: pyproject.toml constraints/airflow-%.txt
	@echo "setting up .venv-$* (Airflow $*)"
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python $(PIP_INSTALL) -c constraints/airflow-$*.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	.venv/bin/python -m demo $(if $(KEEP),--keep,) $(if $(WEBHOOK),--webhook,)

# tests/reliability by name, too: the process that reports its counts is not one of those that collect it.
test: $(READY)
	.venv/bin/python -m pytest $(FAST) $(PYTEST_ARGS) tests tests/reliability
	.venv/bin/python -m pytest -m "airflow and not full" --durations=20 $(PYTEST_ARGS)

test-all: $(READY)
	.venv/bin/python -m pytest $(PYTEST_ARGS)
	$(MAKE) test-compat

test-compat: test-compat-3.1 test-compat-3.2

test-compat-%: .venv-%/.ready
	.venv-$*/bin/python -m pytest $(FAST) $(SAME_ON_ALL) $(PYTEST_ARGS)

chromium:
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core)

# Unpacked, not installed: no service starts on this machine, and nothing has to be taken away again.
proxies:
	@(command -v nginx && command -v caddy) >/dev/null || test -x .proxies/usr/bin/caddy || ( \
		mkdir -p .proxies && cd .proxies && apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root nginx caddy && \
		dpkg --extract nginx_*.deb . && dpkg --extract caddy_*.deb . && rm -- *.deb)

# BENCH_ARGS: which parts (transfer, waiting, pace, webhooks; all without), and the options of benchmarks/README.md.
bench: .venv-bench/.ready
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGS)

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy -p airflow_provider_lipsync
	.venv/bin/mypy example_dags
	.venv/bin/pyright example_dags

format: $(READY)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv .venv-* .demo .proxies build dist
