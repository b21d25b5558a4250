# shellcheck shell=bash
# Builds the programs and the page, each only when its sources changed. Sourced after lib.sh.

build_programs() {
    command -v cargo >/dev/null || fail "cargo is not here" \
        "Install the Rust toolchain (https://rustup.rs), open a new shell, and run this again"
    local flags=()
    [[ $PROFILE == debug ]] || flags=(--profile "$PROFILE")
    (cd "$ROOT" && cargo build "${flags[@]}" --bin cairn-server --bin cairn-agent --bin cairn --bin cairn-ctl </dev/null) ||
        fail "the programs do not build (compiler output above)" "Repair the code, or go back to a commit that builds"
}

require_node() {
    command -v npm >/dev/null || fail "npm is not here" "Install Node.js 20 or newer with npm, and run this again"
}

# The node modules of exactly ui/package-lock.json.
install_page_modules() {
    require_node
    local stamp=$ROOT/ui/node_modules/.cairn-lock wanted
    wanted=$(sha256sum <"$ROOT/ui/package-lock.json")
    [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return
    say "fetching the page's libraries"
    cd "$ROOT/ui" || exit
    # Behind a registry mirror without the packages of other platforms, npm ci finds the lock file incomplete; npm
    # install takes the same versions from it and leaves it as it is.
    npm ci --no-audit --no-fund >/dev/null 2>&1 </dev/null ||
        logged npm-install "Check the network and the npm registry, then run this again" \
            npm install --no-save --no-audit --no-fund
    cd "$ROOT" || exit
    echo "$wanted" >"$stamp"
}

page_sources_hash() {
    (cd "$ROOT/ui" && git ls-files -co --exclude-standard -z -- . ':!e2e' 2>/dev/null |
        sort -z | xargs -0 sha256sum 2>/dev/null | sha256sum)
}

build_page() {
    [[ -f $ROOT/ui/package.json ]] || return 0
    local stamp=$ROOT/ui/node_modules/.cairn-built wanted
    install_page_modules
    wanted=$(page_sources_hash)
    [[ -f $ROOT/ui/dist/index.html && $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return
    say "building the page"
    (cd "$ROOT/ui" && logged npm-build "Repair the page's sources, or go back to a commit that builds" npm run build)
    echo "$wanted" >"$stamp"
}
