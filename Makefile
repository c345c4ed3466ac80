# `make` alone lists what there is.
WF ?= tiny
REHEARSE ?=
SET ?=
NAME ?=
TASK ?=
PYTEST ?=
CLUSTER_TESTS ?= tests/charts tests/cluster --ignore=tests/cluster/gangs
BIN := .venv/bin
study := $(WF)$(if $(REHEARSE),-rehearsal)
settings := $(foreach pair,$(SET),--set $(pair))

# One thread a process: several share the machine.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help environment run plan render status report mlflow test test-fast lint types bench gpu-check clean
.PHONY: cluster cluster-down images install uninstall doctor submit watch logs stop resubmit test-platform test-cluster bench-cluster

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  WF=tiny names the study; SET="seed=1 sft.learning_rate=1e-3" overrides its settings;'
	@echo '  REHEARSE=1 takes its rehearsal: the same tasks and pods with tiny models and data.'

environment: ## Install what uv.lock says into .venv
	@platform/environment.sh

run: environment ## Run the study WF on this machine, to its report
	@$(BIN)/rlgen run $(study) $(settings)

plan: environment ## Show what would run, why, and what it costs
	@$(BIN)/rlgen plan $(study) $(settings)

render: environment ## Print the study's Argo Workflow
	@$(BIN)/rlgen render $(study) $(settings)

status: environment ## Show the newest run's tasks
	@$(BIN)/rlgen status $(study)

report: environment ## Print where the report is
	@$(BIN)/rlgen report $(study) $(settings)

mlflow: environment ## Open MLflow's UI
	@$(BIN)/rlgen mlflow

test: environment ## Run all tests; the tiny study is one of them
	$(BIN)/python -m pytest $(PYTEST)

test-fast: environment ## Run the unit tests
	$(BIN)/python -m pytest tests/unit $(PYTEST)

lint: environment ## ruff, shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck -x $(shell git grep -lE '^\#!.*sh$$' -- .ci images platform)

types: environment ## mypy, strict
	$(BIN)/mypy

bench: environment ## Measure speed: a core's rates, harvest, crosscoder step, commands, the whole study
	$(BIN)/python -m tests.bench.core_rates
	$(BIN)/python -m tests.bench.bench_harvest
	$(BIN)/python -m tests.bench.bench_crosscoder
	$(BIN)/python -m tests.bench.bench_stream
	$(BIN)/python -m tests.bench.bench_study

gpu-check: environment ## Measure on one GPU, in at most 10 minutes: a table to paste
	@platform/environment.sh vllm
	$(BIN)/python -m tests.bench.gpu_check

cluster: ## Start a Kubernetes on this machine, for development (GPUS=8: fake GPUs; QUEUES=1: JobSet, Kueue)
	@platform/cluster/up

cluster-down: ## Stop it; nothing of it is left running
	@platform/cluster/down

images: environment ## Build the images and push them to REGISTRY (default: the development cluster's)
	@images/build

install: ## Install or upgrade the platform on the current cluster (VALUES=dev|gpu-box|production or a file; SET=minio.size=2Ti)
	@platform/install $(settings)

uninstall: ## Remove the platform; its data stay
	@platform/uninstall

doctor: environment ## Check what a submission of WF needs
	@$(BIN)/rlgen doctor $(study) $(settings)

submit: environment ## Submit the study WF to Argo
	@$(BIN)/rlgen submit $(study) $(settings)

watch: environment ## Follow a workflow (NAME=…, default: the newest)
	@$(BIN)/rlgen watch $(NAME)

logs: environment ## Print the log of a task (TASK=…, NAME=…)
	@$(BIN)/rlgen logs $(TASK) $(NAME)

stop: environment ## Stop a workflow (NAME=…, default: the newest)
	@$(BIN)/rlgen stop $(NAME)

resubmit: environment ## Submit a workflow's study again; what is finished is not run again
	@$(BIN)/rlgen resubmit $(NAME)

test-platform: environment ## Test the development cluster's commands (as root, on a machine without it)
	$(BIN)/python -m pytest tests/platform $(PYTEST)

test-cluster: environment ## Test charts, images, submissions and faults on the current cluster, installed
	$(BIN)/python -m pytest $(CLUSTER_TESTS) $(PYTEST)

bench-cluster: environment ## Measure speed on the current cluster
	$(BIN)/python -m tests.bench.bench_cluster

clean: ## Remove the environments and caches; results in .rlgen stay
	rm -rf .venv .venv-vllm .uv .pytest_cache .mypy_cache .ruff_cache
