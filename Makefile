# `make` alone prints this help. Everything below sets up what it needs first.
.DEFAULT_GOAL := help
PYTEST := .venv/bin/python -m pytest
LAB_COMPILE := yes
BENCH :=
FUZZ_SECONDS := 60
COMPILED := tests/contract $(wildcard tests/integration/test_c*.py) tests/integration/test_addon_charts.py \
	tests/integration/test_lab_upstream.py

.PHONY: help setup demo test contract fuzz audit endurance e2e e2e-flannel e2e-back e2e-ha bench lint format clean

help: ## print this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install Debian packages and .venv (the other targets do it by themselves)
	@.ci/setup

demo: setup ## the main job, shown: build a bundle, carry it, install a node that has no route out
	@.venv/bin/python -m tests.lab demo

test: setup ## lint, types, unit, golden, contract and integration tests (about 12 minutes on two processors)
	@$(PYTEST) -n auto tests/unit tests/golden tests/house
	@$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder tests/contract tests/integration tests/fuzz

fuzz: setup ## every parser of outside bytes, fuzzed for FUZZ_SECONDS each (60 unless given)
	@.venv/bin/python -m tests.fuzz all $(FUZZ_SECONDS)

contract: setup ## the tests with compiled programs, which `make test` leaves out until they were compiled
	@LAB_COMPILE=$(LAB_COMPILE) $(PYTEST) -n 3 --dist loadfile $(COMPILED)

audit: ## ask the public list of advisories about every Python package that is used (needs the network)
	@.ci/audit

e2e: endurance ## real Kubernetes on virtual machines without a route out, 50 killed installs, `endurance` (25 minutes)
	@$(PYTEST) tests/e2e/test_demo.py tests/e2e/test_kills.py tests/e2e/test_journey.py -s

endurance: setup ## 200 killed builds, 300 disturbed ones, and a bundle of 30 GiB
	@$(PYTEST) -n 2 --dist loadfile tests/endurance

e2e-flannel: setup ## the same journey with flannel, and with add-ons: a DNS cache on each node, volumes, metrics
	@$(PYTEST) tests/e2e/test_journey.py -s --cni flannel

e2e-back: setup ## an install killed at every kind of step, undone, reset and made anew, on a data disk
	@$(PYTEST) tests/e2e/test_back.py -s

e2e-ha: setup ## three control planes and two workers, one powered off (five machines of 2 GiB, about 20 minutes)
	@$(PYTEST) tests/e2e/test_ha.py -s

bench: setup ## speed and size beside oras, skopeo and crane, on the same bytes (BENCH='--sizes 0.25 --runs 3' for less)
	@.venv/bin/python -m tests.bench $(BENCH)

lint: setup ## ruff, mypy and shellcheck only
	@$(PYTEST) tests/house -q

format: setup ## rewrite the sources as ruff formats them
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

clean: ## remove what was built here (caches outside the checkout stay)
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
