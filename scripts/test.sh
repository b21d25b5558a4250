#!/usr/bin/env bash
# test.sh [SUITE...]: runs the suites named, or all of them, and fails if any test fails.
#
# This file is the list of everything that must pass. Each suite is a line of suites(): its name, the group that make
# targets use (check, lab, browser), and what must exist for it to make sense. Everything runs in the dev profile, so
# that there is one build. Logs and the sum of all counts go to .run/test.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$SCRIPTS/build.sh"

RESULTS=$ROOT/.run/test
export NO_COLOR=1 CARGO_TERM_COLOR=never

# name group needs
suites() {
    cat <<'EOF'
shell       check    scripts
format      check    Cargo.toml
clippy      check    Cargo.toml
rust        check    Cargo.toml
postgres    check    Cargo.toml
page-check  check    ui/package.json
page-unit   check    ui/package.json
agent       lab      agent/tests/real
lab         lab      tests/lab/Cargo.toml
ops-14      lab      server/tests/ops_14
simulated   lab      server/tests/simulated
browser     browser  ui/e2e
EOF
}

# ---- the suites ----

suite_shell() {
    cd "$ROOT"
    shellcheck scripts/*.sh tests/lab/*.sh .ci/run
    shellcheck -s dash scripts/guest-image/initrd-init scripts/guest-image/root/etc/rc* \
        scripts/guest-image/root/sbin/* scripts/guest-image/root/usr/sbin/*
}

suite_format() { cd "$ROOT" && cargo fmt --all --check; }

suite_clippy() { cd "$ROOT" && cargo clippy --workspace --all-targets -- -D warnings; }

# The lab's tests need machines of their own; see suite_lab.
suite_rust() {
    cd "$ROOT"
    local lab=()
    if [[ -f tests/lab/Cargo.toml ]]; then lab=(--exclude cairn-lab); fi
    cargo test --workspace "${lab[@]}" --no-fail-fast
}

# The tests of store and queries, and those of the server that ask most of a database, on PostgreSQL. All of the server's:
# CAIRN_TEST_STORE=... cargo test -p cairn-server --test it
suite_postgres() {
    cd "$ROOT"
    "$SCRIPTS/install-packages.sh" packages-postgres.txt
    local folder status=0
    folder=$(mktemp -d "${TMPDIR:-/tmp}/cairn-postgres.XXXXXX")
    chmod 755 "$folder"
    # shellcheck disable=SC2064 # the folder of now
    trap "'$SCRIPTS/postgres.sh' stop '$folder/pg'; rm -rf '$folder'" EXIT
    CAIRN_POSTGRES_FAST=1 "$SCRIPTS/postgres.sh" start "$folder/pg" >/dev/null
    CAIRN_TEST_STORE=$("$SCRIPTS/postgres.sh" url "$folder/pg" postgres)
    export CAIRN_TEST_STORE
    cargo test -p cairn-store -p cairn-query --no-fail-fast -- --include-ignored || status=$?
    cargo test -p cairn-server --test it --no-fail-fast -- kit:: platform:: identity:: races:: network::races effects:: || status=$?
    return "$status"
}

suite_page_check() {
    install_page_modules
    cd "$ROOT/ui" && npm run check
}

suite_page_unit() {
    install_page_modules
    cd "$ROOT/ui" && npm test
}

# Real guests, one test at a time. The programs and the guest image are those of this checkout.
suite_lab() {
    cd "$ROOT"
    cargo build --workspace --bins
    CAIRN_GUEST_IMAGE=$("$SCRIPTS/guest-image.sh")
    export CAIRN_GUEST_IMAGE
    "$SCRIPTS/bare-machine.sh"
    cargo test -p cairn-lab --no-run
    export CAIRN_BIN=$TARGET/debug
    local status=0
    "$SCRIPTS/test-host.sh" cargo test -p cairn-lab --test lab --no-fail-fast -- --test-threads=1 || status=$?
    # These make their own machines beside this one.
    cargo test -p cairn-lab --lib --test 'add_host*' --test 'bare*' --no-fail-fast -- --test-threads=1 || status=$?
    return "$status"
}

# The agent alone against the real libvirt, QEMU, dnsmasq and nft, in network and processes of its own.
suite_agent() {
    cd "$ROOT"
    CAIRN_GUEST_IMAGE=$("$SCRIPTS/guest-image.sh")
    export CAIRN_GUEST_IMAGE
    cargo test -p cairn-agent --features lab --test real --no-run
    "$SCRIPTS/test-host.sh" cargo test -p cairn-agent --features lab --test real --no-fail-fast -- --test-threads=1
}

# Three servers on PostgreSQL and NATS under load: one after the other is killed, one is stopped and wakes up, and hosts of a
# simulator, a process of its own, outlive their leader.
suite_ops_14() {
    cd "$ROOT"
    "$SCRIPTS/install-packages.sh" packages-postgres.txt
    cargo build -p cairn-agent --bins
    cargo test -p cairn-server --test ops_14 --no-fail-fast -- --test-threads=1
}

# A server and a simulator as processes of their own.
suite_simulated() {
    cd "$ROOT"
    cargo build -p cairn-server -p cairn-agent --bins
    cargo test -p cairn-server --test simulated --no-fail-fast -- --test-threads=1
}

# A whole installation and a real browser.
suite_browser() {
    export PROFILE=debug CAIRN_RUN=$ROOT/.run/browser-test
    BIN=$TARGET/debug
    mkdir -p "$CAIRN_RUN/log"
    build_programs
    build_page
    "$SCRIPTS/guest-image.sh" >/dev/null
    "$SCRIPTS/test-host.sh" "$SCRIPTS/browser-test.sh"
}

# ---- counting ----

# Adds up what the test runners say in a log: cargo, node --test (both reporters) and vitest. Prints: PASSED FAILED
count_tests() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /^test result: / {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed/) failed += $(i - 1)
            }
        }
        /^(#|ℹ) pass [0-9]+$/ { passed += $3 }
        /^(#|ℹ) (fail|cancelled) [0-9]+$/ { failed += $3 }
        /^ *Tests  .*\([0-9]+\)$/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed") passed += $(i - 1)
                if ($i == "failed") failed += $(i - 1)
            }
        }
        END { print passed + 0, failed + 0 }'
}

# A suite without counts (a formatter, a compiler) is one test; so is a suite that broke before or after its tests.
run_suite() {
    local name=$1 log=$RESULTS/$1.log status began=$SECONDS passed failed verdict=ok
    say "suite $name"
    # No ||, no if: in a condition the shell would ignore set -e inside the suite too.
    set +e
    (set -e; "suite_${name//-/_}") </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    read -r passed failed < <(count_tests "$log")
    if ((status != 0 && failed == 0)); then failed=1; fi
    if ((status == 0 && passed == 0 && failed == 0)); then passed=1; fi
    if ((status != 0 || failed != 0)); then verdict=FAILED; fi
    printf '%-12s %-7s %6d passed %5d failed %6d s   %s\n' \
        "$name" "$verdict" "$passed" "$failed" $((SECONDS - began)) "${log#"$ROOT/"}" >>"$RESULTS/summary"
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
}

# Names of the suites whose group or name was asked for (all if nothing was) and whose folder exists.
chosen_suites() {
    local name group needs wanted
    while read -r name group needs; do
        [[ -e $ROOT/$needs ]] || continue
        if [[ $# -eq 0 ]]; then echo "$name"; fi
        for wanted in "$@"; do
            if [[ $wanted == "$name" || $wanted == "$group" ]]; then
                echo "$name"
                break
            fi
        done
    done < <(suites)
}

main() {
    local wanted name
    for wanted in "$@"; do
        suites | grep -qwF -- "$wanted" || fail "there is no suite or group $wanted" "There are: $(suites | awk '{ print $1 }' | xargs)"
    done
    mkdir -p "$RESULTS"
    rm -f "$RESULTS"/*
    PASSED=0 FAILED=0
    "$SCRIPTS/install-packages.sh" || exit 1
    while read -r name <&8; do
        run_suite "$name"
    done 8< <(chosen_suites "$@")
    echo
    cat "$RESULTS/summary"
    echo "$PASSED passed, $FAILED failed" >"$RESULTS/total"
    say "in all: $PASSED passed and $FAILED failed"
    ((FAILED == 0))
}

main "$@"
