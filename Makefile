# Needs Python >= 3.11, make and a package registry; nothing else. `make` lists what can be made: each
# target's words for it follow its ##.
#
# Environments are made on demand in .venv, from the hash-locked files in requirements/.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers/bin/python
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes

NAME ?= swin_nano_patch4_window7_224
ASKED := $(NAME) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(PRECISION),--precision $(PRECISION))
# An artifact of another precision is another file.
ARTIFACT := models/$(NAME)$(patsubst %,.%,$(filter-out fp32,$(PRECISION))).onnx
MODEL := $(or $(SWIN_MODEL),$(ARTIFACT))

.DEFAULT_GOAL := help
.PHONY: help bench bench-peers bench-graph setup setup-clients setup-frameworks setup-scale setup-torch proto serve train teach evaluate test test-all lint format hostile soak faults alerts overload export lock clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

serve: $(VENV)/.serve ## serve a model, the default or NAME=swin_tiny_patch4_window7_224 [PRECISION=int8] [SWIN_MODEL=FILE]
	@exec $(BIN)/python -m swin_embed serve $(or $(SWIN_MODEL),$(ASKED))

# Two at a time: more share two cores and start too many servers at once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

test: $(VENV)/.dev ## run the tests but the long ones, in a few minutes
	@$(PYTEST) -m "not slow and not torch"

test-all: $(VENV)/.dev ## run every test but of the largest models, as CI does; lists what was skipped
	@$(PYTEST) --known-skips -m "not large"

lint: $(VENV)/.dev ## ruff and mypy, as CI runs them
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

export: $(VENV)/.serve ## make an artifact in models, NAME=swin_tiny_patch4_window7_224 [WEIGHTS=random] [PRECISION=int8]
	@$(BIN)/python -m model_export $(ASKED)

$(BIN)/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "swin-embed needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.serve: requirements/serve.txt $(BIN)/uv
	@echo "installing the service and the exporter from requirements/serve.txt"
	@$(UV) -r requirements/serve.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.serve
	@echo "installing the tools for tests and lint from requirements/dev.txt"
	@$(UV) -r requirements/dev.txt
	@touch $@

# torch is for comparisons in tests only. pip, not uv: its CPU build may come from a local wheel.
$(VENV)/.torch: requirements/torch.txt $(VENV)/.dev
	@echo "installing torch and transformers for the comparisons"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	@touch $@

$(VENV)/.plots: requirements/training.txt $(VENV)/.dev
	@echo "installing what draws plots, and training takes, from requirements/training.txt"
	@$(UV) -r requirements/training.txt
	@touch $@

$(VENV)/.training: $(VENV)/.plots $(VENV)/.torch
	@touch $@

# An object store, vector engines, readers of tables and Ray, for the tests of whole collections.
$(VENV)/.scale: requirements/scale.txt $(VENV)/.dev
	@echo "installing what the tests of whole collections run against, from requirements/scale.txt"
	@$(UV) -r requirements/scale.txt
	@touch $@

setup: $(VENV)/.dev ## install what tests and lint take, in .venv

setup-scale: $(VENV)/.scale ## an object store, vector engines and Ray, for tests of collections

setup-torch: $(VENV)/.torch ## PyTorch and transformers, for the tests that compare with them

# The official clients, for the test that compares them; those of Node where npm is there.
$(VENV)/.clients: requirements/clients.txt tests/clients/package-lock.json $(BIN)/uv
	@echo "installing the official clients in $(VENV)/clients"
	@$(PYTHON) -m venv $(VENV)/clients
	@$(BIN)/uv pip install --quiet --python $(VENV)/clients/bin/python --require-hashes -r requirements/clients.txt
	@if command -v npm > /dev/null; then mkdir -p $(VENV)/clients/node && cp tests/clients/package*.json $(VENV)/clients/node && cd $(VENV)/clients/node && npm ci --silent; \
	else echo "npm is not there: the test skips the Node client"; fi
	@touch $@

setup-clients: $(VENV)/.clients ## the official clients, for the test that compares them

# A gigabyte, and imports of many seconds: CI skips what needs it.
$(VENV)/.frameworks: requirements/frameworks.txt $(BIN)/uv
	@echo "installing frameworks and vector databases in $(VENV)/frameworks"
	@$(PYTHON) -m venv $(VENV)/frameworks
	@$(BIN)/uv pip install --quiet --python $(VENV)/frameworks/bin/python --require-hashes -r requirements/frameworks.txt
	@touch $@

setup-frameworks: $(VENV)/.frameworks ## LangChain, Chroma and others, for the recipes of docs/clients.md

$(ARTIFACT): $(wildcard model_export/weights/$(NAME).safetensors) | $(VENV)/.serve
	@$(BIN)/python -m model_export $(ASKED) --output $@

# How the default model came about; FOLDER keeps its checkpoint.
FOLDER ?= training/run
train: $(VENV)/.training ## train the default model anew, hours [FOLDER=training/run]
	@$(BIN)/python -m training --output $(FOLDER)

# Not a part of how the default model came about: a run on top of it, which learns from a network
# trained on photos what pictures show. TAUGHT keeps its checkpoint.
TAUGHT ?= training/tuition
teach: $(VENV)/.training ## teach the default model what pictures show, hours [TAUGHT=training/tuition]
	@$(BIN)/python -m training.collected training/collected
	@$(BIN)/python -m training.tuition --output $(TAUGHT) \
	  --from model_export/weights/swin_nano_patch4_window7_224.safetensors

evaluate: $(VENV)/.training $(ARTIFACT) ## how well an artifact finds copies of real photos [NAME=...]
	@$(BIN)/python -m training.evaluate $(ARTIFACT) $(if $(wildcard training/collected),--collected training/collected)

# The peers have an environment of their own, so that none of them meets our dependencies.
$(PEERS): requirements/peers.txt $(VENV)/.dev
	@echo "installing the peers from requirements/peers.txt"
	@$(BIN)/uv venv --quiet --clear .venv-peers
	@$(BIN)/uv pip install --quiet --python $(PEERS) -r requirements/peers.txt
	@touch $@

# Both precisions of the smallest published model, weights of its own seed. OPTIONS="--seconds 1
# --repeats 1" is a try.
BENCH_NAME ?= swin_tiny_patch4_window7_224
BENCH_MODELS := models/bench-fp32.onnx models/bench-int8.onnx

models/bench-%.onnx: | $(VENV)/.dev
	@$(BIN)/python -m model_export $(BENCH_NAME) --weights random --precision $* --output $@

bench: $(VENV)/.plots $(BENCH_MODELS) ## the service beside its ceilings [OPTIONS="--seconds 1 --repeats 1"]
	@$(BIN)/python -m benchmarks ceilings served free photo --models $(BENCH_MODELS) $(OPTIONS)

# What becomes of good clients when there are too many, or bad ones beside them.
overload: $(VENV)/.dev ## too many clients, and bad ones beside good ones
	@$(BIN)/python -m benchmarks.overload
	@$(BIN)/python -m benchmarks.bad_clients

# What people run today, transformers' network and its export, where there is torch to make them.
TORCH := $(if $(wildcard $(VENV)/.torch),models/bench-torch/model.onnx)

models/bench-torch/model.onnx: | $(VENV)/.torch
	@$(BIN)/python -W ignore -m benchmarks.torch_swin $(BENCH_NAME) --output $(@D)

# Some 25 minutes: 16 servers, 4 numbers of clients, 3 turns.
bench-peers: $(VENV)/.plots $(PEERS) $(BENCH_MODELS) $(TORCH) ## the service beside its peers, 25 minutes
	@$(if $(TORCH),,echo "torch is not installed, so it is not compared with; make setup-torch")
	@$(BIN)/python -m benchmarks served --models $(BENCH_MODELS) --peers $(PEERS) $(TORCH:%/model.onnx=--torch %) $(OPTIONS)

# Our graphs beside torch's export and OpenVINO, without a service.
bench-graph: $(PEERS) $(BENCH_MODELS) models/bench-torch/model.onnx ## the graphs beside torch's and OpenVINO's
	@$(PEERS) -m benchmarks.graph quantize models
	@$(PEERS) -m benchmarks.graph measure models $(OPTIONS)

hostile: $(VENV)/.dev $(MODEL) ## 20,000 hostile images and 6,000 hostile texts
	@SWIN_MODEL=$(MODEL) $(BIN)/python -W ignore -m tests.hostile

MINUTES ?= 10
soak: $(VENV)/.plots $(MODEL) ## mixed traffic for long [MINUTES=10]
	@SWIN_MODEL=$(MODEL) $(BIN)/python -W ignore -m tests.soak --minutes $(MINUTES)

faults: $(VENV)/.dev $(MODEL) ## processes killed, hung and stopped at bad moments
	@$(BIN)/python -m tests.faults --model $(MODEL)
	@$(BIN)/python -m tests.faults.stop --model $(MODEL)

alerts: $(VENV)/.dev $(SWIN_MODEL) ## every alert fired once by a real Prometheus, 8 minutes
	@$(BIN)/python -m tests.alerts --trained $(SWIN_MODEL)

format: $(VENV)/.dev ## what ruff can mend by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: $(VENV)/.dev ## generate the gRPC messages from their .proto
	@$(BIN)/python -m grpc_tools.protoc -I service/api/proto --python_out=service/api/proto --pyi_out=service/api/proto open_inference.proto

# Locks are universal (any platform, Python >= 3.11) and carry hashes but no index address.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-annotate --custom-compile-command "make lock"
PROJECT := $(COMPILE) pyproject.toml

lock: $(BIN)/uv ## resolve the dependencies of pyproject.toml anew
	@$(PROJECT) --extra cpu --extra export --extra grpc --extra urls -o requirements/serve.txt
	@$(PROJECT) --extra cpu --extra export --extra grpc --extra urls --extra batch --extra explore --extra heic --group dev -c requirements/serve.txt -o requirements/dev.txt
	@$(PROJECT) --extra cpu --extra export --extra grpc --extra urls --extra batch --extra s3 --extra search --extra ray --group dev --group scale --group simulation -c requirements/dev.txt -o requirements/scale.txt
	@$(PROJECT) --extra cpu --extra export --group training -c requirements/dev.txt -o requirements/training.txt
	@$(PROJECT) --extra onnxruntime --extra urls -c requirements/serve.txt -o requirements/cpu.txt
	@$(PROJECT) --extra onnxruntime-gpu --extra urls -c requirements/cpu.txt -o requirements/gpu.txt
	@$(COMPILE) --group clients -o requirements/clients.txt
	@$(COMPILE) --group frameworks -o requirements/frameworks.txt
	@$(PROJECT) --extra onnxruntime --extra urls --extra tracing -c requirements/cpu.txt -o requirements/tracing.txt
	@$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt

clean: ## remove environments and artifacts
	rm -rf $(VENV) .venv-peers models/*.onnx models/bench-*
