# make book    the HTML book from recorded results; with PROFILE=smoke it runs every notebook first
# make pdf     the whole book in _build/book.pdf; needs Chromium
# make test    every test
# make notebooks  the notebooks that changed, then all checked figures against the stored ones (nbval)
# make mutants seeded bugs, each of which a test must notice
# make faults  kills, changes and damages in every experiment (an hour); the book shows how they ended
# make floors  the fast tests at the lowest versions that pyproject.toml allows
# make check   format, lint, types, layering, spelling, dependencies, and that the ledger is complete
# make lock    write requirements.lock anew
# Set-up happens on demand: a .venv, filled from pyproject.toml. PYTHON=python3.12 chooses another Python.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN = $(VENV)/bin
READY = $(VENV)/.ready
PAGES = $(VENV)/.pages
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export TQDM_DISABLE = 1 # outputs of notebooks are kept, without bars
unexport PYTHONDONTWRITEBYTECODE # compiled modules are kept: without them every start takes many times longer

.PHONY: book pdf notebooks smoke test cluster mutants faults floors check lock clean help

book: $(if $(PROFILE),$(READY),$(PAGES))
	$(BIN)/semirobust book $(if $(PROFILE),--jobs $(JOBS) --profile $(PROFILE),--no-execute)

pdf: $(PAGES)
	$(BIN)/semirobust book --no-execute --pdf _build/book.pdf

test: $(READY)
	$(MAKE) book
	$(BIN)/pytest -n $(JOBS) --dist worksteal

cluster: $(READY)
	.ci/slurm $(BIN)/pytest -n $(JOBS) --dist worksteal -k slurm tests/workflow

notebooks: $(READY)
	$(BIN)/semirobust run --all --jobs $(JOBS) --profile smoke
	$(BIN)/pytest notebooks

# Every notebook runs once: the book is made of the copies that were compared, and made once.
smoke: notebooks
	$(MAKE) book PROFILE=smoke
	$(MAKE) book PROFILE=smoke | grep "up to date"

mutants: $(READY)
	$(BIN)/python tests/mutants.py

faults: $(READY)
	SEMIROBUST_RESULTS=results $(BIN)/python tests/faults.py

# In an environment of its own, without what needs newer ones: stubs, and Snakemake's plugin for Slurm.
floors: VENV = .venv-floors
floors:
	@$(environment)
	@$(INSTALL) --resolution lowest-direct -e '.[book,repro,test]'
	$(BIN)/pytest -m "not slow" -n $(JOBS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/deptry semirobust
	$(BIN)/python -m book._ext.ledger

# uv where it is on the path; elsewhere it is installed into the new environment (a small wheel).
define environment
test -x $(BIN)/python || (command -v uv >/dev/null && uv venv -q --seed -p $(PYTHON) $(VENV)) || $(PYTHON) -m venv $(VENV)
command -v uv >/dev/null || $(BIN)/python -m pip install -q uv
endef
INSTALL = $$(command -v uv || echo $(BIN)/uv) pip install -q -p $(BIN)/python

# The pages need the package without what it computes with: a tenth of the download.
$(PAGES): pyproject.toml
	@echo "setting up $(VENV) for the book (once)"
	@$(environment)
	@$(INSTALL) --no-deps -e .
	@$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['book'], sep='\n')" | $(INSTALL) -r -
	@touch $@

$(READY): pyproject.toml
	@echo "setting up $(VENV) with torch and everything else (once; 6 GB)"
	@$(environment)
	@$(INSTALL) -e '.[book,dev,slurm]'
	@touch $(PAGES) $@

lock: $(READY)
	@$$(command -v uv || echo $(BIN)/uv) pip compile -q --universal --no-header --no-emit-index-url --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf _build

help:
	@sed -n '1,10s/^# //p' Makefile; test ! -x $(BIN)/semirobust || $(BIN)/semirobust --help
