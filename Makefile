# What people and CI run. Works with GNU make 3.81, the one that macOS ships.

SHELL := bash
CARGO ?= cargo
# Where cargo builds; it reads the same variable.
TARGET := $(or $(CARGO_TARGET_DIR),target)
POSTROAD := $(TARGET)/release/postroad
# For `make run ARGS="--dir /tmp/try"`, likewise for bench and tour.
ARGS ?=

# Ahead of a command that needs a server: finds one, or fetches it, and names it in the environment.
WITH_SERVER := NATS_SERVER=$$(scripts/nats-server.sh) && export NATS_SERVER &&
# Ahead of tests of the MCP face: fetches the clients that drive it, and names their folder in the environment.
WITH_CLIENTS := POSTROAD_MCP_CLIENTS=$$(scripts/mcp-clients.sh) && export POSTROAD_MCP_CLIENTS &&
# Ahead of a command that recalls memories: finds the model, or fetches it, and names its folder in the environment. Without it
# memories are found by their words, which is no failure.
WITH_MODEL := { POSTROAD_MODEL=$$(scripts/recall-model.sh) && export POSTROAD_MODEL || unset POSTROAD_MODEL; } &&

.DEFAULT_GOAL := help
.PHONY: help run test check format lint deny docs build bench soak tour conformance recall-bench

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## build and start Postroad with its own nats-server (ARGS go to `postroad up`)
	@$(WITH_SERVER) $(WITH_MODEL) $(CARGO) build --release --locked && \
		exec $(POSTROAD) up --nats-server "$$NATS_SERVER" $(ARGS)

# Doc tests first: the larger run closes the output. `cargo test` runs them itself.
test: ## run every test, doc tests included, against a real nats-server and with real MCP clients
	@$(WITH_SERVER) $(WITH_CLIENTS) $(WITH_MODEL) if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) test --doc --workspace --locked && \
		$(CARGO) nextest run --workspace --locked; \
	else \
		$(CARGO) test --workspace --locked; \
	fi

check: format lint deny docs ## format, Clippy, licences and advisories, docs: all must be clean

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "$(CARGO) deny check" && $(CARGO) deny check; \
	elif $(CARGO) audit --version >/dev/null 2>&1; then \
		echo "$(CARGO) audit (cargo-deny is not installed: licences and sources are not checked)" && $(CARGO) audit; \
	else \
		echo "skipped: licences and advisories (neither cargo-deny nor cargo-audit is installed)"; \
	fi

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace --locked

build:
	@$(CARGO) build --release --locked

bench: build ## measure, print a table, write target/bench/summary.json
	@$(WITH_SERVER) $(WITH_MODEL) $(POSTROAD) bench --out target/bench $(ARGS)

# A filter that matches nothing passes; a soak that killed or fuzzed nothing must not.
SOAK := $(CARGO) test --release --locked -p postroad --test it kill --
FUZZ := $(CARGO) test --release --locked -p postroad --test attack fuzz:: --
soak: ## the kill test with 100 kills, a million inputs to each fuzz entry, in release
	@$(WITH_SERVER) export POSTROAD_SOAK_KILLS=$${POSTROAD_SOAK_KILLS:-100} && \
		export POSTROAD_FUZZ_INPUTS=$${POSTROAD_FUZZ_INPUTS:-1000000} && \
		tests=$$($(SOAK) --list && $(FUZZ) --list) && \
		case "$$tests" in \
			*kill*": test"*"fuzz::"*": test"*) $(FUZZ) --nocapture && $(SOAK) --nocapture --test-threads=1 ;; \
			*) echo "soak: no kill test found in tests/it, or no fuzz test in tests/attack" >&2; exit 1 ;; \
		esac

tour: build ## a guided story on a temporary deployment
	@$(WITH_SERVER) $(WITH_MODEL) $(POSTROAD) tour $(ARGS)

CONFORMANCE := $(CARGO) test --locked -p postroad --test mcp conformance --
conformance: ## what the official MCP conformance suite finds, with what is expected of it (part of `test`, too)
	@$(WITH_SERVER) $(WITH_CLIENTS) tests=$$($(CONFORMANCE) --list) && \
		case "$$tests" in \
			*"the_conformance_suite"*": test"*) $(CONFORMANCE) --nocapture --test-threads=1 ;; \
			*) echo "conformance: no such test found in tests/mcp" >&2; exit 1 ;; \
		esac

# Words alone where the model cannot be had. Vectors are kept beside the build, so that a second run is quick.
recall-bench: ## score recall on FOLDER (memories.jsonl, queries.jsonl); ARGS="--runs DIR --scale 10000"
	@[ -n "$(FOLDER)" ] || { echo "recall-bench: say which set, FOLDER=… (memories.jsonl and queries.jsonl)" >&2; exit 2; }
	@model=$$(scripts/recall-model.sh) || model=; \
		$(CARGO) run --release --locked --quiet -p postroad-recall --example recall_bench -- "$(FOLDER)" \
		$${model:+--model "$$model"} --cache "$(TARGET)/recall-bench" $(ARGS)
