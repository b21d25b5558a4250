# What people do with this repository; `make` alone lists it. The work is done by scripts/.

.PHONY: help run stop clean-data test check lab browser-test bench soak image

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## from nothing to a running virtual machine on this computer (needs root); STORE=postgres: data in PostgreSQL
	@scripts/run.sh

stop: ## end it; the data stays
	@scripts/stop.sh

clean-data: ## remove the data (asks first; CAIRN_YES=1 does not)
	@scripts/clean-data.sh

test: ## everything that must pass: check, lab, browser-test (needs root)
	@scripts/test.sh

check: ## format, lints, unit and simulated tests
	@scripts/test.sh check

lab: ## tests on real libvirt, QEMU and guests (needs root)
	@scripts/test.sh lab

browser-test: ## the page in a real browser, on a whole installation (needs root)
	@scripts/test.sh browser

bench: ## measure, print a table, write target/bench/latest.json (needs root)
	@scripts/bench.sh

soak: ## robots for long: SEEDS (20) of OPS (10000) operations, none begun after TIME seconds
	@scripts/soak.sh

image: ## build the small guest image and print its path
	@scripts/guest-image.sh
