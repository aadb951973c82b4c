# Installs what tests/run needs beyond Rust, gcc, git and node; tests/run sources this file.
# Each `need_*` function may be called again at no cost. It returns 0 when its tool is usable, 1 when this
# machine cannot have it, 2 when its build broke; the reason is in $missing. Tools go into the cache, so nothing
# outside of it changes but apt packages and the wasm32 standard library beside its compiler.
# shellcheck disable=SC2034 # tests/run reads the variables.

cache="${KINDLING_CACHE:-$HOME/.cache/kindling}"
tools="$cache/tools"
trunk_version=0.21.14 # the newest that Rust 1.95 builds
playwright_version=1.64.1
binaryen_version=132.0.0
missing=""

# How to call cargo for wasm32, and which clippy belongs to that compiler; need_wasm_std changes both.
wasm_env=(env)
wasm_clippy=(cargo clippy)

# The version of a package in Cargo.lock.
locked_version() {
  awk -v name="\"$1\"" '$1 == "name" { found = $3 == name } $1 == "version" && found { gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

# Install Debian packages without ever removing one: `rustc-web` conflicts with Debian's own `rustc`.
apt_install() {
  if ! command -v apt-get >/dev/null; then
    missing="no apt-get here to install $*"
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    missing="not root: install it with apt-get install $*"
    return 1
  fi
  if [ -z "${apt_updated:-}" ]; then
    apt-get update -q && apt_updated=yes
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends --no-remove "$@" </dev/null && return 0
  missing="apt-get install $* failed"
  return 1
}

# Build a tool from crates.io into the cache. Such a tool runs for seconds and is built once, so the build
# is made quick and the program need not be: its own release profile would take several times as long.
cargo_install() {
  local install=(cargo install --quiet --root "$tools" "$@")
  local -x CARGO_TARGET_DIR="$cache/tools-target" CARGO_PROFILE_RELEASE_OPT_LEVEL=1
  local -x CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
  # A tool's own lock file may name a crate version that the registry does not have; then take what fits.
  "${install[@]}" --locked || "${install[@]}"
}

need_wasm_bindgen() {
  local version
  version="$(locked_version wasm-bindgen)"
  [ "$(wasm-bindgen --version 2>/dev/null)" = "wasm-bindgen $version" ] && return 0
  cargo_install wasm-bindgen-cli --version "$version" --force && return 0
  missing="cargo install wasm-bindgen-cli $version failed"
  return 2
}

need_trunk() {
  case "$(trunk --version 2>/dev/null)" in "trunk 0.21."*) return 0 ;; esac
  cargo_install trunk --version "$trunk_version" --no-default-features --features rustls && return 0
  missing="cargo install trunk $trunk_version failed"
  return 2
}

# Does this rustc find a standard library for wasm32 that fits it?
compiles_to_wasm() {
  local object="$cache/wasm-probe.rmeta"
  echo 'pub fn probe() -> Vec<u8> { Vec::new() }' |
    "$1" --target wasm32-unknown-unknown --crate-type lib --emit metadata -o "$object" - >/dev/null 2>&1
}

# wasm32's standard library: from rustup, else built by Debian's rustc where rustup cannot fetch.
# KINDLING_WASM_STD=debian goes straight to the second way.
need_wasm_std() {
  if [ "${KINDLING_WASM_STD:-}" != debian ]; then
    compiles_to_wasm rustc && return 0
    rustup target add wasm32-unknown-unknown && compiles_to_wasm rustc && return 0
    echo "rustup brought no wasm32 standard library: trying Debian's rustc-web"
  fi
  need_debian_rustc
}

need_debian_rustc() {
  local rustc=/usr/bin/rustc linker
  if ! dpkg -s rustc-web rust-web-src rust-web-clippy >/dev/null 2>&1; then
    apt_install rustc-web rust-web-src rust-web-clippy || return 1
  fi
  if ! compiles_to_wasm "$rustc" && ! build_wasm_std "$rustc"; then
    missing="the wasm32 standard library did not build with $rustc"
    return 2
  fi
  # Debian's package has no linker for wasm32; rustup's toolchain brings one.
  linker="$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld"
  wasm_env=(env RUSTC="$rustc" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker")
  wasm_clippy=(/usr/bin/cargo-clippy clippy)
}

# Build the wasm32 standard library in an empty crate and put it where this rustc looks for it.
build_wasm_std() {
  local crate="$cache/wasm-std" library
  library="$("$1" --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib"
  rm -rf "$crate" && mkdir -p "$crate/src" "$library" && : >"$crate/src/lib.rs" || return 1
  printf '[package]\nname = "empty"\nedition = "2024"\n[workspace]\n' >"$crate/Cargo.toml"
  # The bootstrap variable lets a stable cargo accept -Z.
  (cd "$crate" && RUSTC="$1" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$crate/target" \
    cargo build --quiet --release --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort) || return 1
  rm -f "$crate"/target/wasm32-unknown-unknown/release/deps/libempty-*
  cp "$crate"/target/wasm32-unknown-unknown/release/deps/lib*.rlib "$library/" || return 1
  rm -rf "$crate"
  compiles_to_wasm "$1"
}

# Mesa's software Vulkan driver, for the parity test of the wgpu backend. Sets $lavapipe to its manifest.
need_lavapipe() {
  find_lavapipe && return 0
  apt_install mesa-vulkan-drivers || return 1
  find_lavapipe && return 0
  missing="mesa-vulkan-drivers is installed but has no lavapipe"
  return 1
}

find_lavapipe() {
  local file
  for file in /usr/share/vulkan/icd.d/lvp_icd*.json /etc/vulkan/icd.d/lvp_icd*.json; do
    [ -f "$file" ] && lavapipe="$file" && return 0
  done
  return 1
}

# An MPI to build against, its launcher, and what reads its header files.
need_mpi() {
  local tool
  for tool in mpicc mpirun; do
    if ! command -v "$tool" >/dev/null; then
      missing="no $tool here (apt-get install libopenmpi-dev openmpi-bin libclang-dev)"
      return 1
    fi
  done
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  find /usr/lib /usr/local/lib -name 'libclang*.so*' 2>/dev/null | grep -q . && return 0
  missing="no libclang here (apt-get install libclang-dev)"
  return 1
}

# A Chromium for the tests of the page. Sets $chromium to its path.
need_chromium() {
  find_chromium && return 0
  apt_install chromium || return 1
  find_chromium && return 0
  missing="the package chromium is installed but brought no chromium"
  return 2
}

find_chromium() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    chromium="$(command -v "$name" 2>/dev/null)" && return 0
  done
  return 1
}

# playwright-core drives it, and downloads no browser of its own. Sets $playwright to its folder.
need_playwright() {
  playwright="$tools/playwright"
  npm_install "$playwright" playwright-core "$playwright_version"
}

# wasm-opt as JavaScript, for web/finish; Debian's binaryen breaks the page's modules. Sets $binaryen to its package.
need_binaryen() {
  binaryen="$tools/binaryen/node_modules/binaryen"
  npm_install "$tools/binaryen" binaryen "$binaryen_version"
}

# npm_install FOLDER PACKAGE VERSION
npm_install() {
  local program
  for program in node npm; do
    if ! command -v "$program" >/dev/null; then
      missing="no $program here: install node and npm"
      return 1
    fi
  done
  grep -qs "\"version\": \"$3\"" "$1/node_modules/$2/package.json" && return 0
  npm install --prefix "$1" "$2@$3" --no-audit --no-fund --ignore-scripts --loglevel error && return 0
  missing="npm install $2 $3 failed"
  return 2
}
