# Two commands do everything: `make run` and `make test`. Each makes the environment in .venv first, if it is missing.

PYTHON ?= python3
DATA   ?= sample
MODEL  ?= tiny-llama
SEED   ?= 0
RECIPE ?=
SET    ?=
KEY_EMBEDDINGS ?=
PREVALENCE ?=
ALPHA  ?=
FORMAT ?=
SESSION ?=
WINDOW ?=
UNSEEN ?=
MODELS ?= tiny-llama
METHODS ?=
SPLITS ?= 0
ENCODER ?=
OTHER  ?=
CHANGED ?=
ASKED  ?=
PROMOTE ?=
SEEDS  ?= 0
SPEC   ?=
LOG    ?=
LABELS ?=
RUN    ?=
OUT    ?=
FOLLOW ?=
FAIL   ?=
ENGINE ?=

# supervised.ipynb needs labels to learn from, which the sample of the others does not keep.
LABELED := $(if $(filter sample,$(DATA)),sample_supervised,$(DATA))

VENV := .venv
BIN  := $(VENV)/bin
# Unsloth needs an NVIDIA card to be imported at all, so it is installed only where there is one.
GPU  := $(shell nvidia-smi -L 2>/dev/null)
REQUIREMENTS := $(if $(GPU),requirements/gpu.txt,requirements.txt)

.DEFAULT_GOAL := help
.PHONY: help run sweep compare supervised workflows words judge check test table notebooks lint clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo "variables of run, with defaults: DATA=sample MODEL=tiny-llama SEED=0; for a raw log SPEC=hdfs LOG=file LABELS=file;"
	@echo "for a log of your own LOG=file FORMAT=auto SESSION=regex or WINDOW=60s; ALPHA=0.01 is the false-alarm rate to keep;"
	@echo "PREVALENCE=0.0293 weighs the normals, UNSEEN=ask|words|ask-words|evolved ENCODER=name or folder handle unseen keys;"
	@echo "of compare: DATA=sample SEEDS=0 PREVALENCE= METHODS=all, as its notebook calls them;"
	@echo "of supervised the same, SPLITS=0 ENCODER=name or folder, OTHER=a second data folder;"
	@echo "of judge RUN=folder LOG=file, OUT=folder, FOLLOW=1 as the log grows, FAIL=1 for exit code 3 if there is an alarm;"
	@echo "ENGINE=ray of sweep and compare does each run on a node of a Ray cluster (docs/scale.md);"
	@echo "SET=\"learning_rate=1e-3 max_epochs=8\" trains otherwise than the recipe says, of run and sweep;"
	@echo "for pretrained models RECIPE=lora|paper KEY_EMBEDDINGS=template|random|paper"

run: $(VENV)/run.stamp ## data, training, K and test, whatever of it is missing; ends with the table of verdicts
	@$(BIN)/python -m commands.run --data "$(DATA)" --model "$(MODEL)" --seed "$(SEED)" \
		$(if $(PREVALENCE),--prevalence "$(PREVALENCE)") $(if $(UNSEEN),--unseen "$(UNSEEN)") $(if $(ENCODER),--encoder "$(ENCODER)") \
		$(if $(RECIPE),--recipe "$(RECIPE)") $(if $(SET),--set $(SET)) $(if $(KEY_EMBEDDINGS),--key-embeddings "$(KEY_EMBEDDINGS)") \
		$(if $(SPEC),--spec "$(SPEC)") $(if $(LOG),--log "$(LOG)") $(if $(LABELS),--labels "$(LABELS)") $(if $(ALPHA),--alpha "$(ALPHA)") \
		$(if $(FORMAT),--format "$(FORMAT)") $(if $(SESSION),--session "$(SESSION)") $(if $(WINDOW),--window "$(WINDOW)")

sweep: $(VENV)/run.stamp ## many runs for one table: DATA, MODELS and SEEDS with blanks between
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m commands.sweep --data $(DATA) --models $(MODELS) --seeds $(SEEDS) $(if $(SET),--set $(SET)) \
		$(if $(PREVALENCE),--prevalence "$(PREVALENCE)") $(if $(UNSEEN),--unseen "$(UNSEEN)") $(if $(ENCODER),--encoder "$(ENCODER)") \
		$(if $(ENGINE),--engine "$(ENGINE)")

compare: $(VENV)/run.stamp ## every method on DATA with SEEDS, all of METHODS by default; what the ledger lacks
	@$(BIN)/python -m commands.compare --data "$(DATA)" --seeds $(SEEDS) \
		$(if $(METHODS),--methods $(METHODS)) $(if $(PREVALENCE),--prevalence "$(PREVALENCE)") \
		$(if $(ENGINE),--engine "$(ENGINE)")

supervised: $(VENV)/run.stamp ## what learns from labels on DATA=sample_supervised with SEEDS on SPLITS; ENCODER and OTHER as in its notebook
	@$(BIN)/python -m commands.supervised --data "$(LABELED)" --seeds $(SEEDS) --splits $(SPLITS) \
		$(if $(METHODS),--methods $(METHODS)) $(if $(ENCODER),--encoder "$(ENCODER)") $(if $(OTHER),--other "$(OTHER)")

workflows: $(VENV)/run.stamp ## jobs of scientific workflows, DATA="1000genome montage" LOG=folder; by default two simulated ones
	@$(BIN)/python -m commands.workflows $(if $(filter-out sample,$(DATA)),--data $(DATA)) --splits $(SPLITS) \
		$(if $(LOG),--log "$(LOG)") $(if $(filter-out tiny-llama,$(MODEL)),--model "$(MODEL)") $(if $(ASKED),--asked "$(ASKED)")

words: $(VENV)/run.stamp ## what words say of keys that come new, DATA split by time, and of texts that change, CHANGED; ENCODER=name or folder
	@$(BIN)/python -m commands.words $(if $(filter-out sample,$(DATA)),--data "$(DATA)") $(if $(CHANGED),--changed "$(CHANGED)") \
		--model "$(MODEL)" --seed "$(SEED)" $(if $(ENCODER),--encoder "$(ENCODER)")

judge: $(VENV)/run.stamp ## a new LOG judged by a trained RUN: its strangest sequences first, labels or not; by default the sample and its own log
	@$(BIN)/python -m commands.judge $(or $(RUN),results/sample/next_key-tiny-llama-s0) $(or $(LOG),data/sample/simulated.log) \
		$(if $(LABELS),--labels "$(LABELS)") $(if $(UNSEEN),--unseen "$(UNSEEN)") $(if $(ENCODER),--encoder "$(ENCODER)") \
		$(if $(OUT),--out "$(OUT)") $(if $(FOLLOW),--follow) $(if $(FAIL),--fail-on-alarm)

check: $(VENV)/test.stamp ## style, types and the fast tests, about a minute
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test: $(VENV)/test.stamp ## style check and all tests, offline
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

table: $(VENV)/run.stamp ## rebuild the result tables of README.md and results/README.md from results/results.csv; PROMOTE=data takes yours over
	@$(BIN)/python -m commands.table $(if $(PROMOTE),--promote "$(PROMOTE)")

notebooks: $(VENV)/test.stamp ## run the sample and keep its outputs in the seven notebooks, for a commit
	@rm -rf results/sample results/sample_supervised results/sample_jobs* results/sample_mosaic* results/sample_update
	@$(MAKE) --no-print-directory run DATA=sample MODEL=tiny-llama SEED=0
	@$(MAKE) --no-print-directory compare DATA=sample SEEDS=0
	@$(MAKE) --no-print-directory supervised DATA=sample SEEDS=0
	@$(MAKE) --no-print-directory workflows DATA=sample
	@$(MAKE) --no-print-directory words DATA=sample
	@$(BIN)/python tests/keep_outputs.py results/sample/next_key-tiny-llama-s0/*.ipynb results/sample/compare/compare.ipynb \
		results/sample_supervised/supervised/supervised.ipynb results/sample_jobs/workflows/workflows.ipynb \
		results/sample_update/words/words.ipynb

lint: $(VENV)/test.stamp ## put the code in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment; data and results stay
	rm -rf $(VENV)

$(VENV)/run.stamp: requirements.txt $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12 run")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "No environment: install python3-venv, or see README, 'Start'."; exit 2; }
	@echo "installing $(REQUIREMENTS) into $(VENV), once; about 2 GB and two minutes without a GPU"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS) -r requirements/dev.txt
	@touch $@
