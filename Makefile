# Each target makes the environment that it needs. `make help` lists them.
# PYTHON: 3.11 or newer. WEBUI_PYTHON: 3.10 or 3.11, because that is what the WebUI's pins exist for.
PYTHON ?= python3
WEBUI_PYTHON ?= $(PYTHON)
PYTEST_FLAGS ?= -n auto --maxprocesses=4 --dist worksteal

BIN := .venv/bin
WEBUI_BIN := .venv-webui/bin
# Most of what is installed is never imported; Python compiles the rest when it is.
PIP := python -m pip --disable-pip-version-check install --no-compile

# Small models gain nothing from threads, and test processes would fight for the cores.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo page test test-webui-pins pocket lint live clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' Makefile | expand -t 18

demo: .venv/cli.stamp ## the main job on what ships with the project -> outputs/demo.png
	$(BIN)/python -m pocket.demo

page: .venv/page.stamp ## the panel in a browser, on the pocket model, without any WebUI
	$(BIN)/python -m pocket.page

test: .venv/dev.stamp ## the whole test suite, with today's versions
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

# The command line is never run with the WebUI's packages: its typer cannot live with their pydantic.
NOT_IN_THE_WEBUI := tests/cli tests/hosts/test_diffusers_checkpoint.py tests/hosts/test_diffusers_sdxl_file.py tests/live
# Nor are the trainer, which only the command line starts, the pocket model, which is trained by it, and the diffusers
# pipeline, on which both run.
NOT_IN_THE_WEBUI += tests/training tests/pocket tests/hosts/test_diffusers.py
# These floors import nothing but torch, and that is the same in both environments; so do tests of shapes and pickles.
TORCH_ALONE := against_diffusers bad_files convert dtypes identity lora pickle_header variant
NOT_IN_THE_WEBUI += tests/maths tests/patch $(addprefix tests/session/test_,layering.py memory.py) $(TORCH_ALONE:%=tests/model/test_%.py)

test-webui-pins: .venv-webui/stamp ## the same with what WebUI 1.10.1 pins, except the command line
	$(WEBUI_BIN)/python -m pytest $(PYTEST_FLAGS) $(NOT_IN_THE_WEBUI:%=--ignore=%)

pocket: .venv/dev.stamp ## train the pocket model from nothing; goes on where it was stopped
	$(BIN)/python -m pocket.make

lint: .venv/dev.stamp ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

live: .venv/dev.stamp ## the live suite: make live WEBUI_DIR=... [CONTROLNET_DIR=...]
	@test -n "$(WEBUI_DIR)" || { echo "make live WEBUI_DIR=folder-of-an-installed-WebUI [CONTROLNET_DIR=...]"; exit 2; }
	WEBUI_DIR="$(WEBUI_DIR)" CONTROLNET_DIR="$(CONTROLNET_DIR)" $(BIN)/python -m pytest tests/live

clean: ## remove the environments and what was made
	rm -rf .venv .venv-webui outputs .pytest_cache .ruff_cache .hypothesis

.venv/cli.stamp: requirements/torch.txt requirements/cli.txt
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP) -r requirements/cli.txt
	touch $@

.venv/page.stamp: .venv/cli.stamp requirements/page.txt
	$(BIN)/$(PIP) -r requirements/page.txt
	touch $@

.venv/dev.stamp: .venv/page.stamp requirements/train.txt requirements/dev.txt requirements/nodeps.txt
	$(BIN)/$(PIP) -r requirements/dev.txt
	$(BIN)/$(PIP) --no-deps -r requirements/nodeps.txt
	touch $@

.venv-webui/stamp: requirements/torch.txt requirements/webui.txt requirements/nodeps.txt
	@$(WEBUI_PYTHON) -c "import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))" || \
		{ echo "The WebUI's pins need Python 3.10 or 3.11: make $(MAKECMDGOALS) WEBUI_PYTHON=python3.11"; exit 2; }
	$(WEBUI_PYTHON) -m venv .venv-webui
	$(WEBUI_BIN)/$(PIP) -r requirements/webui.txt
	$(WEBUI_BIN)/$(PIP) --no-deps -r requirements/nodeps.txt
	touch $@
