# `make demo` and `make test` do all their set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint docs slow clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $(READY)

demo: setup
	$(BIN)/bench run --suite synthetic-demo --methods random,target-shift,ks-shift,regression-invariance,ut-igsp,dci,cdn --out results/demo/synthetic-demo
	$(BIN)/bench run --suite petshop --methods random,target-shift,effect-size,baro,rcd,cdn --out results/demo/petshop
	$(BIN)/bench report results/demo --table comparisons
	$(BIN)/bench report results/demo --html results/report.html --csv results/report.csv
	@echo "The report is in results/report.html, its numbers in results/report.csv."
	@echo "How to go on (or put $(BIN) on your PATH and write bench):"
	@echo "  your own samples:   $(BIN)/bench predict control.csv treated.csv"
	@echo "  compare methods:    $(BIN)/bench run --suite synthetic --methods target-shift,ut-igsp,cdn"
	@echo "  add a method:       $(BIN)/pip install -e examples/third_party && $(BIN)/bench run --suite synthetic-mini --methods variance-ratio,target-shift"

# Each process of pytest has one core to itself: threads of its own would only wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

slow: setup
	$(BIN)/pytest -m slow

lint: $(VENV)/.lint-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/types && mkdir -p build/types
	cp -R bench build/types/cdnbench && cp -R methods datasets runners reports build/types/cdnbench/
	$(BIN)/pyright

$(VENV)/.lint-ready: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lint]'
	touch $@

docs: $(VENV)/.docs-ready
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs build/site
	@echo "The site is in build/site/index.html."

$(VENV)/.docs-ready: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build docs/methods docs/suites docs/_extra *.egg-info
