# Sourced by the setup scripts: installing Debian packages only when they are missing, with sudo only when needed.

# Prints a line about what is going on, to standard error so that it never mixes with a program's output.
say() { printf '%s\n' "$*" >&2; }

# need_packages NAME...: installs those of the named Debian packages that are not installed yet.
# Says nothing when there is nothing to do. Fails with advice when it cannot.
need_packages() {
  local missing=() name
  if ! command -v dpkg-query >/dev/null 2>&1; then
    say "This is not Debian or Ubuntu. Install what these packages hold by your system's own means: $*"
    return 0
  fi
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      say "Missing packages, and neither root nor sudo to install them. As root, run:"
      say "  apt-get update && apt-get install ${missing[*]}"
      return 1
    fi
    as_root=(sudo)
  fi
  say "Installing Debian packages: ${missing[*]}"
  # RUNLEVEL=1 keeps a package's own service (nginx, haproxy) from being started on the developer's machine.
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    say "Could not install: ${missing[*]}"
    say "Try it by hand: sudo apt-get update && sudo apt-get install ${missing[*]}"
    return 1
  fi
  rm -f "$log"
}
