# Shared by tools/test, tools/demo and .ci/run, which source it from the project's root: installs what is missing,
# chooses the compiler, configures, builds, runs tests and counts them.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Packages that every build needs, whatever it builds.
base_packages=(meson ninja-build pkgconf liburing-dev libseccomp-dev libssl-dev libcereal-dev)
tool_packages=(libcli11-dev libfmt-dev nlohmann-json3-dev zlib1g-dev libtomlplusplus-dev libncurses-dev)
test_packages=(catch2 libbenchmark-dev libspdlog-dev clang-format-19 libasio-dev libboost-dev libglib2.0-dev libuv1-dev
  iproute2 nats-server openssl python3-prometheus-client spin)

# What examples/image_service decodes images and parses HTTP with.
image_packages=(libturbojpeg0-dev libpng-dev libwebp-dev libboost-dev)

# What builds the documentation as a site.
site_packages=(mkdocs mkdocs-material)

# What programs that use an installed leasepool are compiled by, and what Debian packages are made by.
# shellcheck disable=SC2034  # used by the scripts that source this
consumer_packages=(clang-19 libclang-rt-19-dev lld-19 g++-12 cmake)
# shellcheck disable=SC2034
form_packages=(valgrind)  # what puts tests into forms of the machine
# shellcheck disable=SC2034
debian_packages=(debhelper dpkg-dev fakeroot lintian g++)

# install_missing PACKAGE...: installs by apt those that are not there. Says nothing where all are.
install_missing() {
  local missing=() package as_root=() log
  if ! command -v dpkg-query >/dev/null; then
    say "Not a Debian system: nothing is installed here. What is needed, by Debian's names: $*"
    return
  fi
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0

  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || die "missing packages, and neither root nor sudo to install them: ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing: ${missing[*]}"
  log=$(mktemp)
  if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt could not install: ${missing[*]} (all of its output: $log)"
  fi
  rm -f "$log"
}

# Whether the command named is a GCC of 13 or newer. GCC 12 works too, but not for all that a coroutine may hold.
is_full_gcc() {
  local version
  version=$("$1" -dumpversion 2>/dev/null) && [[ ${version%%.*} -ge 13 ]]
}

# choose_compiler: exports CXX and sets compiler_package. The caller's own CXX wins; then a g++ that is new enough or
# about to be installed; then, where the system's g++ is older (Debian 12), clang++-19.
choose_compiler() {
  if [[ -n ${CXX:-} ]]; then
    compiler_package=()
    command -v "${CXX%% *}" >/dev/null || die "CXX names a compiler that is not there: $CXX"
  elif is_full_gcc g++ || { ! command -v g++ >/dev/null && ! on_debian_12; }; then
    compiler_package=(g++)
    CXX=g++
  else
    compiler_package=(clang-19)
    CXX=clang++-19
  fi
  export CXX
}

on_debian_12() { (. /etc/os-release 2>/dev/null && [[ ${ID:-}${VERSION_ID:-} == debian12 ]]); }

# configure DIRECTORY [MESON_ARGUMENT...]: once; ninja itself sees to it when a meson.build changes later.
configure() {
  local log
  [[ ! -f $1/build.ninja ]] || return 0
  say "Configuring $1/ with $CXX"
  log=$(mktemp)
  meson setup "$@" </dev/null >"$log" 2>&1 || { cat "$log" >&2; die "meson could not configure $1/"; }
  rm -f "$log"
}

# run_tests DIRECTORY [MESON_ARGUMENT...]: runs what is built there and adds to the counts. Never fails by itself, so
# that what follows runs too: print_counts does. A test program that could run only some of its cases says of each other
# one, in a line of its own, `skipped: NAME: REASON` (tests/support/skip.hpp): these are shown, and counted as skipped.
# Half as many programs again as there are processors run at once, as they wait about that much.
passed=0 failed=0 skipped=0
run_tests() {
  local results entry lines line
  rm -f "$1"/meson-logs/testlog*.json
  meson test -C "$1" --no-rebuild --print-errorlogs --num-processes "$((($(nproc) * 3 + 1) / 2))" "${@:2}" || true
  results=$(ls "$1"/meson-logs/testlog*.json 2>/dev/null)  # its name says which set-up that was
  [[ -s $results ]] || die "meson ran no test in $1"
  while IFS= read -r entry; do
    lines=()
    while IFS= read -r line; do
      lines+=("$line")
      say "$line"
    done < <(grep -oE '(\\n|"stdout": ")skipped: ([^"\\]|\\[^n])*' <<<"$entry" | sed -E 's/^.*(skipped: )/\1/; s/\\(["\\])/\1/g')
    case $entry in
      *'"result": "OK"'* | *'"result": "EXPECTEDFAIL"'*) passed=$((passed + 1)) skipped=$((skipped + ${#lines[@]})) ;;
      *'"result": "SKIP"'*) skipped=$((skipped + 1)) ;;
      *'"result": "'*) failed=$((failed + 1)) skipped=$((skipped + ${#lines[@]})) ;;
    esac
  done <"$results"
}

# print_counts: the line that ends a run; fails if a test did.
print_counts() {
  local skips=''
  [[ $skipped -eq 0 ]] || skips=", $skipped skipped"
  say "$passed passed, $failed failed$skips"
  [[ $failed -eq 0 ]]
}
