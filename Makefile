# packager: `make` builds the default recipe; `make help` lists the targets.
recipe ?= smollm2_aps
base ?=
data ?=
set ?=
nproc ?=
push ?=
to ?=
sign ?=

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# In the order in which vendor/only-libllama.cmake hashes them.
COMPILED_IN := vendor/only-libllama.cmake vendor/ggml-quants-by-lanes.c vendor/merge-rows.c vendor/amx-for-gcc.h
COMPILED_FROM = import hashlib, sys; of = lambda data: hashlib.sha256(data).hexdigest(); \
  print(of("".join(of(open(name, "rb").read()) for name in sys.argv[1:]).encode()))
READY_TO_TEST := .venv/.ready-to-test
READY_TO_COMPILE := .venv/.ready-to-compile
# Of llama.cpp only libllama is used: the rest would double the time to compile.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_INCLUDE=$(CURDIR)/vendor/only-libllama.cmake

.DEFAULT_GOAL := build
.PHONY: build check plan chat watch bundle runtime setup test test-all standin clean help

build: $(READY) ## build recipe=NAME into build/NAME/package (also: base=, data=, set="a.b=c …", push=org/name)
	@$(BIN)/packager build $(recipe) $(options)
	@$(if $(push),$(BIN)/packager push $(recipe) --repo '$(push)' $(options),true)

check: $(READY) ## check everything about recipe=NAME that can fail early
	@$(BIN)/packager check $(recipe) $(options)

plan: $(READY) ## show which stages of recipe=NAME are done, and why the others are not
	@$(BIN)/packager plan $(recipe) $(options)

chat: $(READY) ## talk to the package of recipe=NAME
	@$(BIN)/packager chat $(recipe) $(options)

watch: $(READY) ## watch the training of recipe=NAME: loss curve, speed, time left
	@$(BIN)/packager watch $(recipe)

bundle: $(READY_TO_COMPILE) ## the folder for a clinic, from the package of recipe=NAME (also: to=FOLDER sign=KEY)
	@$(BIN)/packager bundle $(recipe) $(options) $(if $(to),--to '$(to)') $(if $(sign),--sign '$(sign)')

runtime: $(READY_TO_COMPILE) ## cross-compile llama-server for clinics' machines (20 minutes, once)
	@$(BIN)/packager runtime

setup: $(READY) ## create the environment and fetch the vendored llama.cpp

test: $(READY_TO_TEST) ## lint, types, unit tests and the chain on a tiny real model
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(workers)

test-all: test ## the same, and the slow tests
	$(BIN)/pytest $(workers) -m 'slow and not gpu'

standin: $(READY) ## for developers: a 2-layer random model like arch=phi3|qwen2|llama3, into out=FOLDER
	@$(BIN)/python -m tests.standins $(arch) $(out)

clean: ## delete what was built (not the environment)
	rm -rf build

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

# Whole files go to a worker, the chain's first; each worker keeps to its share of the cores.
workers = -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
options = $(if $(base),--base '$(base)') $(if $(data),--data '$(data)') $(if $(set)$(nproc),--set '$(strip $(set) $(if $(nproc),train.devices=$(nproc)))')

$(READY): pyproject.toml constraints.txt vendor/llama.cpp.lock $(COMPILED_IN)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed; found '"$$($(PYTHON) -V)"'. Try: make PYTHON=python3.12'; exit 4; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || \
	  { echo 'A C++ compiler is needed to build llama.cpp. Debian/Ubuntu: sudo apt install build-essential'; exit 4; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo 'python3-venv is needed. Debian/Ubuntu: sudo apt install python3-venv'; exit 4; }
	@echo 'setup     installing (the first time compiles llama.cpp, a few minutes)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@case "$$CMAKE_ARGS" in *$(CURDIR)/vendor/only-libllama.cmake*) \
	  grep -qs "$$($(BIN)/python -c '$(COMPILED_FROM)' $(COMPILED_IN))" \
	    .venv/lib/python*/site-packages/llama_cpp/lib/*ggml-cpu* || { \
	    echo 'setup     compiling llama.cpp again: the one here was compiled from other files than those in vendor/'; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps \
	      --no-cache-dir --force-reinstall llama-cpp-python; } ;; esac
	@$(BIN)/packager setup
	@touch $@

$(READY_TO_TEST): $(READY)
	@echo 'setup     installing what the tests need'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(READY_TO_COMPILE): $(READY)
	@echo 'setup     installing the compiler for clinics'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[runtime]'
	@touch $@
