# Short names for what a developer or a new user types; the build itself is CMake's (CMakeLists.txt).

BUILD   ?= build
JOBS    ?= $(shell nproc)
PREFIX  ?= /usr/local
TESTS   ?= .
SECONDS_PER_TARGET ?= 20
MODELS  ?= minilm-l6 bge-small-zh smollm2-135m # what tests look for; those that miss one are skipped
CMAKE   := cmake -G Ninja -DCMAKE_EXPORT_COMPILE_COMMANDS=ON

.PHONY: help build test demo check check-sources check-gcc check-clang check-tidy check-sanitizers bench fuzz install clean
.DEFAULT_GOAL := help

help:
	@echo 'make build     install missing Debian packages, build $(BUILD)/kua'
	@echo 'make test      build, fetch the models of the tests once, run all tests (TESTS=regex picks some)'
	@echo 'make demo      from a shop'"'"'s files to transferred recommendations, on real data'
	@echo 'make check     formatting, layers, warnings of GCC and Clang, clang-tidy, tests under sanitizers'
	@echo 'make bench     run the benchmarks'
	@echo 'make fuzz      run each fuzz target for SECONDS_PER_TARGET=$(SECONDS_PER_TARGET)'
	@echo 'make install   library, headers, pkg-config file, command, man page into PREFIX=$(PREFIX)'
	@echo 'make clean     remove the build folders (the cache of fetched files stays)'

build:
	@tools/install-packages
	@$(CMAKE) -S . -B $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@tools/install-packages test
	@$(BUILD)/kua model get $(MODELS) >/dev/null || [ "$$KUA_OFFLINE" = 1 ]
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -R '$(TESTS)'

demo: build
	@KUA=$(abspath $(BUILD))/kua tools/demo

# ---- make check: each part can be called alone ----
# clang-tidy gets one file a run: its analyzer carries the state of va_lists from one to the next.

check: check-sources check-gcc check-clang check-tidy check-sanitizers
	@echo 'make check: all is well'

check-sources:
	@tools/install-packages check
	@tools/check-format
	@tools/check-layers

check-gcc:
	@CC=gcc $(CMAKE) -S . -B build-gcc -DKUA_WERROR=ON >/dev/null
	@cmake --build build-gcc -j $(JOBS)

check-clang:
	@CC=clang $(CMAKE) -S . -B build-clang -DKUA_WERROR=ON >/dev/null
	@cmake --build build-clang -j $(JOBS)

check-tidy: check-clang
	@git ls-files 'src/*.c' | xargs -P $(JOBS) -n 1 clang-tidy --quiet -p build-clang --warnings-as-errors='*'

check-sanitizers: build
	@$(BUILD)/kua model get $(MODELS) >/dev/null || [ "$$KUA_OFFLINE" = 1 ]
	@CC=gcc $(CMAKE) -S . -B build-sanitizers -DKUA_WERROR=ON -DKUA_SANITIZE=address,undefined >/dev/null
	@cmake --build build-sanitizers -j $(JOBS)
	@ctest --test-dir build-sanitizers --output-on-failure -j $(JOBS)

bench: build
	@set -e; for b in $(BUILD)/bench/*; do [ -x $$b ] && [ -f $$b ] || continue; echo "== $${b##*/}"; $$b; done

# New inputs go to build-fuzz/corpus; what is worth keeping is copied to fuzz/corpus by hand.
fuzz:
	@tools/install-packages check
	@CC=clang $(CMAKE) -S . -B build-fuzz -DKUA_FUZZ=ON -DKUA_SANITIZE=address,undefined >/dev/null
	@set -e; for source in fuzz/fuzz_*.c; do name=$${source#fuzz/fuzz_}; name=$${name%.c}; \
	    cmake --build build-fuzz -j $(JOBS) --target fuzz_$$name; \
	    mkdir -p build-fuzz/corpus/$$name; echo "== $$name"; \
	    (cd build-fuzz && fuzz/fuzz_$$name -max_total_time=$(SECONDS_PER_TARGET) -rss_limit_mb=2048 -timeout=10 \
	        -print_final_stats=1 -verbosity=0 corpus/$$name ../fuzz/corpus/$$name); done

install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build build-gcc build-clang build-sanitizers build-fuzz
