# Everything a fresh machine needs is installed by these targets: a virtual environment in .venv and, for
# the tests, Debian's openssh-server (the hosts), busybox (their other shell), sudo, systemd, cron, and the
# fronts: nginx, Caddy and HAProxy; Redis is for workers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest -n 3 --dist loadgroup
# What is measured and tested is what people run: with its bytecode, which some images switch off.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
PYTHONS ?= $(PYTHON)
DIST ?= dist
.PHONY: help install hosts lint lock audit test test-quick test-full dist pex bench demo demo-fleet clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

install: $(VENV)/installed  ## make .venv with fapkit and its tools

$(VENV)/installed: pyproject.toml requirements-ci.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-ci.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

COMMANDS := fapbuild fapstore faprelease
EXTRAS = case $$each in fapbuild) echo --extra build --extra s3;; fapstore) echo --extra s3;; faprelease) echo --extra release --extra s3;; esac
GROUPS := package test lint distribute bench
lock: install  ## write requirements-ci.txt again: the newest versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --all-extras $(GROUPS:%=--group %) --universal --no-strip-extras \
	  --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements-ci.txt
	for each in $(COMMANDS); do $(BIN)/uv pip compile --quiet pyproject.toml $$($(EXTRAS)) --constraint requirements-ci.txt \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
	  --output-file locks/$$each.txt || exit; done

audit: install  ## ask the vulnerability database of PyPI about every package of requirements-ci.txt
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements-ci.txt

HOSTS := openssh-server busybox sudo systemd nginx-light caddy haproxy redis-server cron mmdebstrap
hosts:
	@PATH="$$PATH:/usr/sbin"; \
	for each in sshd busybox sudo systemctl nginx caddy haproxy redis-server cron mmdebstrap; do command -v $$each || missing=1; done >/dev/null; \
	[ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && apt-get update -qq && apt-get install -y -qq --no-install-recommends $(HOSTS) >/dev/null; } \
	  || { echo "make: the hosts of the tests are missing; as root: apt-get install $(HOSTS)" >&2; exit 1; }

lint: install  ## ruff, mypy and the walls between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/towncrier build --draft --version next >/dev/null

test: install hosts  ## the whole test suite, on real parts
	$(PYTEST)

test-quick: install hosts  ## the tests that need no hosts, no servers and no package index, and take a minute or two
	$(PYTEST) -m "not (demo or fleet or front or index or s3 or shop or slow or supervisord or systemd)"

test-full: install hosts  ## the whole suite with every fault at every step and all races: more than an hour
	FAP_TEST_IN_FULL=1 $(PYTEST)

dist: install  ## the wheel and the sdist, checked by twine
	rm -rf $(DIST)
	$(BIN)/python -m build --quiet --no-isolation --outdir $(DIST)
	$(BIN)/twine check --strict $(DIST)/*

# pex checks the hashes of all packages or of none, so the wheel of fapkit gets one, too.
pex: dist  ## each command as one file, for each of PYTHONS, with the hashes of locks/
	set -e; wheel=$$(realpath $(DIST)/*.whl); \
	  echo "$$wheel --hash=sha256:$$(sha256sum $$wheel | cut -d ' ' -f 1)" > $(DIST)/fapkit.txt
	set -e; for python in $(PYTHONS); do for each in $(COMMANDS); do \
	  $(BIN)/pex --python $$python --venv --no-transitive --resolver-version pip-2020-resolver -r locks/$$each.txt -r $(DIST)/fapkit.txt --script $$each \
	    --output-file $(DIST)/$$each-py$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])').pex; done; done
	rm $(DIST)/fapkit.txt && cd $(DIST) && sha256sum * > SHA256SUMS

bench: install hosts  ## ratios against peers, in one run
	$(BIN)/python -m bench

demo: install  ## pack, store, promote, release, roll back: on this machine, without root
	@$(BIN)/python examples/demo.py

demo-fleet: install hosts  ## the same through an S3 server and three sshds
	@$(BIN)/python examples/demo.py --fleet

clean:  ## remove what these targets made
	[ ! -e .demo ] || chmod -R u+w .demo  # releases are read-only
	rm -rf $(VENV) .demo $(DIST)
