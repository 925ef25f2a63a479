# ffrtmp: `make help` lists the targets. Everything is set up by the targets themselves.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lock wheel bench bench-quick corpus simulate mutants model interleavings crash campaign kill-matrix fleet evidence clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## make the environment in .venv from the pinned lock

demo: $(STAMP) ## start a master and two agents, transcode a real clip, show what was made
	@$(BIN)/python tools/demo.py

test: $(STAMP) ## build the wheel and run every test against it
	@tools/test.sh -q -n 3 --dist worksteal

check: $(STAMP) ## the quality gate: ruff, mypy, import-linter, file sizes
	$(BIN)/ruff format --check src tests bench tools
	$(BIN)/ruff check src tests bench tools
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/file_sizes.py

format: $(STAMP) ## format the code and mend what can be mended
	$(BIN)/ruff format src tests bench tools
	$(BIN)/ruff check --fix src tests bench tools

lock: $(STAMP) ## pin the dependencies anew
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links requirements/uv.in -o requirements/uv.txt

wheel: $(STAMP) ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation -o dist .

bench: $(STAMP) ## measure, and write docs/benchmarks.md
	$(BIN)/python -m bench

bench-quick: $(STAMP) ## a short run of every measurement, which writes nothing
	$(BIN)/python -m bench --quick

corpus: $(STAMP) ## every source into every output, writes docs/media-support.md
	$(BIN)/python -m tests.corpus

simulate: $(STAMP) ## farms under faults in simulated time: make simulate SEEDS=0-2999 REPORT=yes
	$(BIN)/python -m ffrtmp.testing.simulator --seeds $(or $(SEEDS),0-199) $(if $(REPORT),--report)

mutants: $(STAMP) ## each deliberate fault is found by what is there for it, writes the report: make mutants, make mutants ONLY=no-fence
	$(BIN)/python -m ffrtmp.testing.mutation $(if $(ONLY),--only $(ONLY),--report)

crash: $(STAMP) ## kill databases under load, writes the report: make crash SQLITE=1000 POWER=300 POSTGRES=100
	$(BIN)/python -m ffrtmp.testing.crash --sqlite $(or $(SQLITE),30) --power $(or $(POWER),0) --postgres $(or $(POSTGRES),0) --report

model: $(STAMP) ## the store against its model, on both databases: make model EXAMPLES=1000
	MODEL_EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/python -m pytest -q tests/store/test_model.py -k as_the_model_says

interleavings: $(STAMP) ## two masters on one PostgreSQL, stopped at every statement of every pair of operations
	INTERLEAVINGS=all $(BIN)/python -m pytest -q tests/store/test_interleavings.py

campaign: $(STAMP) ## real processes under faults, writes the report: make campaign DB=postgres JOBS=10000 FAULTS=200 SEED=1
	$(BIN)/python -m ffrtmp.testing.campaign --db $(or $(DB),sqlite) --jobs $(or $(JOBS),10000) \
	  --faults $(or $(FAULTS),200) --seed $(or $(SEED),1) --report

kill-matrix: $(STAMP) ## kill -9 at each point of each transition, writes the report: make kill-matrix DB=postgres
	$(BIN)/python -m ffrtmp.testing.kills --db $(or $(DB),sqlite) --report

fleet: $(STAMP) ## thousands of simulated agents on one master, writes the report: make fleet AGENTS=5000 MINUTES=10 DB=sqlite
	$(BIN)/python -m ffrtmp.testing.fleet --agents $(or $(AGENTS),5000) --minutes $(or $(MINUTES),10) \
	  --db $(or $(DB),sqlite) --report

evidence: ## everything that docs/reliability-report.md tells, one after another; most of a day
	$(MAKE) mutants
	$(MAKE) model EXAMPLES=1000
	$(MAKE) interleavings
	$(MAKE) crash SQLITE=1000 POWER=300 POSTGRES=100
	$(MAKE) kill-matrix DB=sqlite
	$(MAKE) kill-matrix DB=postgres
	$(MAKE) campaign DB=sqlite JOBS=10000 FAULTS=200
	$(MAKE) campaign DB=postgres JOBS=10000 FAULTS=200
	$(MAKE) fleet AGENTS=5000 MINUTES=10
	$(MAKE) simulate SEEDS=0-99999 REPORT=yes

clean: ## remove the environment and what was built
	rm -rf $(VENV) .cache build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
