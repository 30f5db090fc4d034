# `make demo` and `make test` work in a fresh clone: they make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
SLOW := $(filter true,$(CI))

.PHONY: setup demo test readme outputs

setup: .venv/ready

.venv/ready: settings.ini setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,sentiment,wandb,tensorboard]'
	$(BIN)/python -c "import torchvision" 2>/dev/null || $(BIN)/pip uninstall -q -y torchvision
	touch $@

demo: setup
	$(BIN)/ulmtweet demo
	@echo 'Open the page with: $(BIN)/streamlit run app.py'

test: setup
	OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nbdev-test --n-workers 2 $(if $(SLOW),--flags slow)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(if $(SLOW),-m "slow or not slow")

readme: setup # README.md is the front page of the documentation
	$(BIN)/python tests/readme.py > README.md

outputs: setup # run every notebook and keep what it shows
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nbdev-test --n-workers 1 --flags slow --save
	$(BIN)/nbdev-clean
