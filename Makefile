# The developer's commands; CI runs check, test, a part of walk, and docs.
VENV ?= .venv
# the first Python on the PATH that is in the supported range
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
ELP := $(VENV)/bin/elp
PYTEST := $(VENV)/bin/python -m pytest
STAMP := $(VENV)/.installed
# Test processes side by side; each one keeps to a single thread of arithmetic. One more than CI has cores: tests wait for
# servers about a quarter of their time
JOBS ?= 3
# Which tests `make test` runs; CI adds one of `make walk`, which leaves the processor to the others for most of its time
TESTS ?= not slow and not faults

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export DO_NOT_TRACK = 1

.PHONY: help setup check test fuzz faults soak test-all walk fleet demo demo-down bench mutants docs dist lock format clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

setup: $(STAMP)  ## make the virtual environment and install everything from the lock

$(STAMP): pyproject.toml constraints.txt tests/object-store.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "no Python 3.11, 3.12 or 3.13 is on the PATH; name one with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@echo "making $(VENV) (about 3.6 GB, three minutes)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt setuptools wheel
	@echo "installing the packages of constraints.txt"
	@# several at a time: pip alone uses one core. The next line says what fails, and installs what a system needs besides
	@grep -v '^#' constraints.txt | xargs -n 32 -P 4 $(VENV)/bin/python -m pip install --quiet --no-deps --no-compile 2>/dev/null || true
	@$(VENV)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[pipelines,dev]'
	@$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement tests/object-store.txt
	@# on all cores, where pip uses one; templates among the packages are no Python and cannot be compiled. The last three
	@# are ours: each of the processes of the tests would compile them
	@$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib elp_core pipelines tests/support || true
	@touch $@
	@echo "installed; try: $(ELP) --help"

check: $(STAMP)  ## format, lint, types, imports
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: $(STAMP)  ## the tests that need no root and take minutes
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist worksteal -m "$(TESTS)"

fuzz: $(STAMP)  ## 20,000 spoilt deliveries through every importer (about 15 minutes), others each time
	ELP_FUZZ=20000 OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) tests/pipelines/datasets/test_fuzz_importers.py \
		tests/pipelines/datasets/test_fuzz_annotations.py

faults: $(STAMP)  ## kill, stop and starve every process, for about an hour
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist worksteal -m faults tests/faults tests/pipelines/local/test_worker_host.py

soak: $(STAMP)  ## the main job under random faults for eight hours
	$(VENV)/bin/python benchmarks/soak.py --hours 8

test-all: $(STAMP)  ## every test, the long ones too
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not faults"

walk: $(STAMP)  ## every command of the documentation, in real workspaces with servers and workers
	$(PYTEST) -n $(JOBS) --dist worksteal -m slow tests/docs

fleet: $(STAMP)  ## seven hosts of this machine's own, as root: servers, Git, a store and three workers that share nothing
	$(PYTEST) -s tests/fleet

demo: $(STAMP)  ## the main job on the embedded corpus, in a workspace of its own
	@$(ELP) demo

demo-down: $(STAMP)  ## end the demo's servers
	@$(ELP) demo --down

bench: $(STAMP)  ## the measurements behind docs/reference/benchmarks.md
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(VENV)/bin/python $$file || exit 1; done

mutants: $(STAMP)  ## the mutation score of the core functions (about an hour), into docs/reference/mutation.md
	@$(VENV)/bin/python benchmarks/mutation_score.py

format: $(STAMP)  ## write the format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

docs: $(STAMP)  ## the documentation as a static site in site/, with every link checked
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet

dist: $(STAMP)  ## the wheel, the source archive and the pins of their packages in dist/
	@rm -rf dist
	@$(VENV)/bin/python -m build --no-isolation --outdir dist .
	@cp constraints.txt dist/
	@echo "install on another machine: pip install --constraint constraints.txt 'FILE.whl[pipelines]'"

lock: $(STAMP)  ## renew constraints.txt from what is installed
	@{ sed -n '/^#/p' constraints.txt; $(VENV)/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new && mv constraints.new constraints.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
