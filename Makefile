# Everything from a fresh checkout: Python 3.11 or newer, make, and a package index that pip finds.

PYTHON ?= python3

# Each Python has environments of its own, so that one can be tested after the other.
OF_ITS_OWN := $(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
VENV := .venv$(OF_ITS_OWN)
FLOOR_VENV := .venv-floor$(OF_ITS_OWN)
MUTANTS_VENV := .venv-mutants$(OF_ITS_OWN)
CANARY_VENV := .venv-canary$(OF_ITS_OWN)
DEMO_VENV := .venv-demo$(OF_ITS_OWN)
RELEASE_VENV := .venv-release$(OF_ITS_OWN)
UNIT_VENV := $(if $(OF_ITS_OWN),.venv-unit$(OF_ITS_OWN),$(VENV))

# The quick tests run on Windows, too, where programs are elsewhere and no test has an alarm.
BIN := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
ALARM := $(if $(filter Windows_NT,$(OS)),--timeout-method=thread)

# What pip has to say about itself is left out; what it installs takes minutes, and is shown.
PIP_FLAGS := --disable-pip-version-check --progress-bar off

# Four processes, as tests wait more than they work, each with an emulator of its own, and a file of
# tests never split: those that take long begin first, which is tests/conftest.py's order and not
# that of how many tests are in them. What judges rates needs the machine to itself, afterwards.
FILES := --numprocesses 4 --dist loadfile --no-loadscope-reorder
PARALLEL := $(FILES) -m "not soak and not timing"
ALONE := --numprocesses 0 -m "timing and not soak"
FEWER := --hypothesis-profile=fewer

# Pages, programs that are run, injected faults of an installation, and what the emulator answers
# depend on no version, and are judged on current ones alone; as are rates. With old libraries on
# the same Python so are all other commands and findings of the doctor, but for whether they work at
# all, the search for a server, and models of a fleet.
ONCE := docs benchmarks package commands/test_cli_[ces]* doctor/test_doctor.py emulator/test_[!m]*
ON_CURRENT := commands/test_cli_[bgp]* commands/test_demo.py doctor/test_doctor_[!h]* \
  failover/test_failover_probers.py connect/test_fleet_model.py
ONCE := $(ONCE:%=--ignore-glob=tests/%)
ON_CURRENT := $(ON_CURRENT:%=--ignore-glob=tests/%)

# A MariaDB for the tests: that of the machine, else one that apt-get brings into this user's cache;
# where neither is possible they skip, and say why. Every part is run, whatever has become of those
# before it.
define suite
-@$(1)/bin/python -m sqlalchemy_rds_iam.testing.server.mariadb_fetch
@failed=0; \
for part in $(2); do \
  echo "$(1): pytest $$part"; \
  eval "$(1)/bin/python -m pytest --quiet $$part" || failed=1; \
done; exit $$failed
endef

.PHONY: help demo test current floor canary unit portable check docs bench bench-all dialect mutants soak programs dist release upload clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 24

# It is run once or twice: what Python would keep of compiling it takes more room than time.
demo: $(DEMO_VENV)/installed  ## the whole story on this machine, without AWS, in ten seconds
	PYTHONDONTWRITEBYTECODE=1 $(DEMO_VENV)/bin/rds-iam demo

test: $(VENV)/installed $(FLOOR_VENV)/installed  ## the suite on current and on floor versions
	@$(MAKE) --no-print-directory --keep-going --jobs 1 current floor

current: $(VENV)/installed  ## the suite on current versions
	$(call suite,$(VENV),'$(PARALLEL)' '$(ALONE)')

floor: $(FLOOR_VENV)/installed  ## the suite on the oldest supported versions, without aiobotocore
	$(call suite,$(FLOOR_VENV),'$(PARALLEL) $(FEWER) $(ONCE) $(ON_CURRENT)')

canary: $(CANARY_VENV)/installed  ## the suite on SQLAlchemy's main branch and the newest botocore
	$(call suite,$(CANARY_VENV),'$(PARALLEL) $(FEWER) $(ONCE)')

unit: $(UNIT_VENV)/installed  ## the quick tests, which need neither an emulator nor a network
	$(UNIT_VENV)/$(BIN)/python -m pytest --quiet --numprocesses 2 -m unit $(ALARM) $(FEWER) tests/unit

portable: $(UNIT_VENV)/installed  ## what needs no emulator and may depend on versions, for another PYTHON
	$(UNIT_VENV)/$(BIN)/python -m pytest --quiet --numprocesses 4 -m unit $(FEWER) $(ONCE)

check: $(VENV)/installed  ## formatting, lint, types and the words of the pages
	$(VENV)/bin/python -m ruff format --check --quiet .
	$(VENV)/bin/python -m ruff check --quiet .
	$(VENV)/bin/python -m mypy --strict
	$(VENV)/bin/python -m mypy --strict tests/package/typed_api.py
	$(VENV)/bin/python tests/docs/prose.py

docs: $(VENV)/installed  ## the documentation, strictly, in build/docs
	$(VENV)/bin/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs build/docs

bench: $(VENV)/installed  ## the core of the benchmarks in 15 minutes; results in docs/benchmarks.md
	@$(VENV)/bin/python -m benchmarks.suite.everything

bench-all: $(VENV)/installed  ## the same with peers, a network, failovers and simulated fleets, in an hour
	@$(VENV)/bin/python -m benchmarks.suite.everything --all

dialect: $(VENV)/installed  ## SQLAlchemy's own dialect suite on MariaDB, with and without the plugin
	@PYTHONPATH=tests $(VENV)/bin/python -m dialect

# A sample of so many mutants of each room, or of the one that ROOM names; all of them with MUTANTS=0.
MUTANTS ?= 300
SEED ?= 1

mutants: $(MUTANTS_VENV)/installed  ## whether the unit tests notice when a line of the core is changed
	@PYTHONPATH=tests $(MUTANTS_VENV)/bin/python -m mutants --mutants $(MUTANTS) --seed $(SEED) \
	  $(if $(ROOM),--room $(ROOM)) $(MUTANTS_FLAGS)

# Seconds, each of which brings some 60 connects; what has to grow to be seen takes minutes.
SOAK_SECONDS ?= 1200

soak: $(VENV)/installed  ## twenty minutes of load and faults, every failed connect judged
	$(VENV)/bin/python -m pytest --quiet -m soak
	PYTHONPATH=tests $(VENV)/bin/python -m soak --seconds $(SOAK_SECONDS)

# Those that PROGRAMS names, such as airflow,optuna; else all that have changed.
programs: $(VENV)/installed  ## programs of others with the plugin in their URL; results in docs/programs.md
	@PYTHONPATH=tests $(VENV)/bin/python -m programs $(PROGRAMS_FLAGS) $(PROGRAMS)

dist: $(RELEASE_VENV)/installed  ## sdist and wheel in dist/, checked, and a login with them
	@$(RELEASE_VENV)/bin/python tests/package/distributions.py dist

release: dist  ## the same, if nothing keeps this version from being uploaded: RELEASING.md
	@$(RELEASE_VENV)/bin/python tests/package/release.py

# By trusted publishing in the release workflow, which has no token; elsewhere with one that twine finds.
upload: $(RELEASE_VENV)/installed  ## what is in dist/, to the package index
	@$(RELEASE_VENV)/bin/python -m twine upload --non-interactive dist/*

clean:  ## remove what the other targets have made
	rm -rf .venv .venv-* .programs build/docs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find sqlalchemy_rds_iam tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

# The oldest gevent and eventlet there are wheels for.
OLDEST_GREENLETS = $(shell $(PYTHON) -c 'import sys; \
  print("gevent==" + ("25.9.1" if sys.version_info >= (3, 14) else "24.10.1"), "eventlet==0.40.4")')

# Drivers that pip compiles, where there is what they are compiled against.
COMPILED := $(if $(shell command -v mariadb_config && command -v gcc),$(shell echo ,mysqlclient,mariadb))

COMMA := ,

# What the tests take beside the groups: each extra that pip need not compile, but for aiobotocore.
ALL := psycopg,asyncpg,psycopg2,pg8000,pymysql,asyncmy,aiomysql,mysqlconnector,cname,redis,otel,doctor,testing

$(VENV)/installed: EXTRAS := $(ALL),aiobotocore$(COMPILED)
$(VENV)/installed: GROUP := dev greenlets soak frameworks docs schemas programs
.venv-unit$(OF_ITS_OWN)/installed: EXTRAS := $(ALL),aiobotocore
.venv-unit$(OF_ITS_OWN)/installed: GROUP := dev
$(MUTANTS_VENV)/installed: EXTRAS := $(ALL),aiobotocore
$(MUTANTS_VENV)/installed: GROUP := dev mutants
# Without aiobotocore, which holds botocore back. Made once: remove it for what is newer.
SQLALCHEMY_MAIN ?= git+https://github.com/sqlalchemy/sqlalchemy@main
$(CANARY_VENV)/installed: EXTRAS := $(ALL)$(COMPILED)
$(CANARY_VENV)/installed: GROUP := dev
$(CANARY_VENV)/installed: FLOOR = "SQLAlchemy[asyncio] @ $(SQLALCHEMY_MAIN)" greenlet
# As little as there can be: the wheel's PostgreSQL only where the machine has none, nothing compiled,
# and for pip that of Python itself where there is one.
POSTGRESQL := $(wildcard /usr/lib/postgresql/*/bin/initdb) $(shell command -v initdb)
$(DEMO_VENV)/installed: EXTRAS := cli,psycopg,$(if $(strip $(POSTGRESQL)),emulator,testing)
$(DEMO_VENV)/installed: PIP_FLAGS := --disable-pip-version-check --no-compile
$(DEMO_VENV)/installed: FLOOR := "SQLAlchemy[asyncio]"
PYTHONS_PIP = $(shell $(PYTHON) -m pip --version 2>&1 | grep '^pip ')
$(DEMO_VENV)/installed: VENV_FLAGS = $(if $(PYTHONS_PIP),--without-pip)
$(DEMO_VENV)/installed: PIP = $(if $(PYTHONS_PIP),$(PYTHON) -m pip --python $*/$(BIN)/python,$(OWN_PIP))
# Wheels bring more: headers and clients of PostgreSQL, and the descriptions of AWS's services, of
# which all commands use these.
SERVICES := logs rds secretsmanager signin sso sso-oidc sts
$(DEMO_VENV)/installed: UNUSED = find $*/lib \( -type d -path '*/botocore/data/*' ! -path '*/data/*/*' $(SERVICES:%=! -name %) \
  -o -path '*/pginstall/include' -o -path '*/pginstall/lib/*.a' \
  -o -path '*/pginstall/bin/*' ! -name postgres ! -name initdb \) -prune -exec rm -r {} +
$(RELEASE_VENV)/installed: GROUP := release
$(FLOOR_VENV)/installed: EXTRAS := $(ALL)$(COMPILED)
$(FLOOR_VENV)/installed: GROUP := dev greenlets
$(FLOOR_VENV)/installed: FLOOR = $(shell $(PYTHON) tests/package/floors.py $(subst $(COMMA), ,$(EXTRAS))) \
  "opentelemetry-sdk==1.30.0" "prometheus-client==0.17.0" $(OLDEST_GREENLETS) greenlet

OWN_PIP = $*/$(BIN)/python -m pip
PIP = $(OWN_PIP)

# Written last, so that an installation that was cut short is done again. pip knows groups from 25.1
# on, and a Python may bring an older one.
%/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + \
	  ": make PYTHON=python3.12 ...")'
	@echo "installing into $* ..."
	@$(PYTHON) -m venv $(VENV_FLAGS) $*
	@$(if $(GROUP),$(PIP) install $(PIP_FLAGS) --quiet "pip>=25.1")
	@$(PIP) install $(PIP_FLAGS) --editable ".$(EXTRAS:%=[%])" $(GROUP:%=--group %) $(FLOOR)
	@$(UNUSED)
	@touch $@
