# make demo | test | lint | doctor: each builds .venv where it is missing or stale, then runs.
# Needs python3 3.10-3.12 with venv, and make.   Override: make PYTHON=python3.11 test
SHELL := /bin/bash
.DEFAULT_GOAL := help
TORCH := torch==2.13.0
TORCH_CPU := https://download.pytorch.org/whl/cpu

# The interpreter below an activated environment, which may be the very .venv that is made here.
usable = $(shell for p in $(1); do "$$p" -c 'import sys, venv, ensurepip; \
  (3, 10) <= sys.version_info[:2] <= (3, 12) or sys.exit(1); \
  print(sys._base_executable or sys.executable)' 2>/dev/null && break; done)
PYTHON ?= $(call usable,python3 python3.11 python3.12 python3.10)

# A sourced ROS 2 whose rclpy this Python can import is used; without one, the wheels of [ros] are.
ROS := $(if $(PYTHON),$(shell $(PYTHON) -c 'import rclpy' 2>/dev/null && echo system || echo wheels))
GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
comma := ,
EXTRAS := $(if $(filter system,$(ROS)),test,ros$(comma)test)
KIND := $(if $(PYTHON),$(shell $(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-$(ROS)-$(GPU))
HASH := $(shell cat setup.py pyproject.toml Makefile | cksum | cut -d' ' -f1)
READY := .venv/.ready-$(KIND)-$(HASH)

PIP := .venv/bin/python -m pip --disable-pip-version-check
# Byte code is written by the first import, not for all of torch at set-up: that halves the set-up.
RUN := PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/.venv/bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/.venv"

.PHONY: help venv demo test test-slow lint doctor clean
help:
	@echo 'make demo       an instruction moves the arm: real nodes, shipped weights; writes out/demo/'
	@echo 'make test       the tests'
	@echo 'make test-slow  the tests that take minutes'
	@echo 'make lint       ruff: rules and format; import-linter: who may import whom'
	@echo 'make doctor     what is installed, what is missing and how to mend it'
	@echo 'make clean      remove .venv and build outputs'

venv: $(READY)

$(READY):
	@test -n "$(PYTHON)" || { echo 'make: no python3 of version 3.10 to 3.12 with venv was found.' \
	  'On Debian or Ubuntu: sudo apt install python3 python3-venv' >&2; exit 1; }
	@echo "Setting up .venv ($(KIND)): about two minutes and 4 GB ..."
	@set -e; start=$$(date +%s); \
	made=$$(cat .venv/.made-for 2>/dev/null || echo $(KIND)); \
	if [ "$$made" != $(KIND) ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf .venv; $(PYTHON) -m venv .venv; fi; \
	echo $(KIND) > .venv/.made-for; rm -f .venv/.ready-*; \
	if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' \
	   && ! command -v c++ >/dev/null && ! .venv/bin/python -c 'import pybullet' 2>/dev/null; then \
	  echo 'make: PyBullet has no wheel for Python 3.12 and is built from source, which needs a' \
	    'compiler: sudo apt install build-essential python3-dev; or make PYTHON=python3.11' >&2; \
	  exit 1; fi; \
	index=; if [ $(GPU) = cpu ] && .venv/bin/python -c 'import urllib.request as u; \
	  u.urlopen("$(TORCH_CPU)/torch/", timeout=5)' 2>/dev/null; then \
	  index='--extra-index-url $(TORCH_CPU)'; fi; \
	$(PIP) install -qq --no-compile $(TORCH) $$index -e '.[$(EXTRAS)]'; \
	touch $@; echo "Set up in $$(( $$(date +%s) - start )) s"

demo: $(READY)
	@$(RUN) vw2 demo $(ARGS)

test: $(READY)
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -q -m 'not slow' -n 2 --dist worksteal $(ARGS)

test-slow: $(READY)
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -q -m slow $(ARGS)

lint: $(READY)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) .ci/layers

doctor: $(READY)
	@$(RUN) vw2 doctor

clean:
	rm -rf .venv build install log .pytest_cache .ruff_cache *.egg-info
