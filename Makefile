# make demo      the bundled recording, understood, searched; then it ends
# make test      all tests (the long ones shortened)
# make check     ruff, mypy --strict, import-linter
# make soak      the long tests in full
# make record-demo   make the bundled recording anew
#
# Each makes the virtual environment that it needs, once. PYTHON=... chooses the interpreter, VENV=... the folder.

VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet

# The first interpreter that runs, is new enough and can make an environment (a pyenv shim may be there and not run).
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$python; break; fi; done)

.PHONY: demo test check soak record-demo clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready
	@$(PY) -m daemon demo

test: $(VENV)/.ready-dev
	$(PY) -m pytest

check: $(VENV)/.ready-dev
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

soak: $(VENV)/.ready-dev
	SENSORIUM_SOAK=1 $(PY) -m pytest -m soak

record-demo: $(VENV)/.ready-dev
	$(PY) -m examples.make_recording

clean:
	rm -rf $(VENV)

$(VENV)/.ready: pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: sensorium needs Python 3.11 or newer with venv and pip." >&2; \
		echo "make: install it (Debian, Ubuntu: sudo apt install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi
	@$(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
		|| { echo "making $(VENV) with $(PYTHON)" && $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing sensorium into $(VENV) (the first time this takes minutes)"
	@$(PIP) install -e '.[media]'
	@touch $@

# pip knows dependency groups from 25.1 on; read here, any pip will do.
$(VENV)/.ready-dev: $(VENV)/.ready
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > $(VENV)/dev.txt
	@$(PIP) install -r $(VENV)/dev.txt
	@touch $@
