# Portolan's task runner. `make up` and `make test` are all that a newcomer needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up install down test check shop-image bench conformance interop interop-kubernetes packages codegen

TARGET := $(or $(CARGO_TARGET_DIR),target)
PORTOLAN := $(TARGET)/release/portolan

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

up: packages ## Build, start Portolan on this machine, deploy the example shop
	@cargo build --release --package portolan
	@$(PORTOLAN) up
	@$(MAKE) --no-print-directory shop-image
	@$(PORTOLAN) apply --wait -f examples/shop/shop.yaml
	@$(PORTOLAN) status

install: ## Put the binary into /usr/local/bin
	@cargo build --release --package portolan
	@install -m 0755 $(PORTOLAN) /usr/local/bin/portolan

down: ## Stop Portolan and remove everything it made on this machine
	@$(PORTOLAN) down

shop-image: ## Build the example shop and its image
	@cargo rustc --quiet --release --package portolan-example-shop -- -C target-feature=+crt-static
	@mkdir -p $(TARGET)/shop-image && cp -u $(TARGET)/release/shop examples/shop/Dockerfile $(TARGET)/shop-image/
	@$(PORTOLAN) image build -t portolan/shop:1 $(TARGET)/shop-image

test: ## Run all checks and tests; leaves nothing behind
	@scripts/packages.sh test
	@scripts/test.sh

check: ## Format and lint only
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings

bench: ## Run the benches and print their ratios
	@cargo build --release --package portolan-bench --package portolan
	@scripts/bench.sh

conformance: ## Run the published tests of Kubernetes against the Portolan of `make up` (FOCUS=regular expression; needs Go)
	@conformance/images.sh $(abspath $(PORTOLAN))
	@KUBECONFIG=$$($(PORTOLAN) kubeconfig --path) conformance/run.sh

interop: ## Run published clients of the registry against the binary (SUITES=...; needs root, the net, Go, npm, Maven, Python)
	@cargo build --package portolan
	@interop/registry/run.sh $(SUITES)

interop-kubernetes: ## Drive a cluster with stock Kubernetes clients (SUITES="kubectl helm operator kube-rs go python javascript strategies parity")
	@scripts/packages.sh test
	@interop/kubernetes/run.sh $(SUITES)

codegen: ## Regenerate the API tables (OPENAPI=path of the published document; needs Go)
	@cargo xtask codegen --openapi $(OPENAPI)
	@cd interop/kubernetes && go run ./messages > messages.tmp && mv messages.tmp ../../crates/api/src/generated/messages.txt
	@cd interop/kubernetes/strategies && go run ./shapes > shapes.tmp && mv shapes.tmp ../../../crates/apiserver/src/resources/shown/shapes.txt

packages:
	@scripts/packages.sh run
