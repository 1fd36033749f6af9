# Sourced by start.sh and check.sh: a private environment with the package built into it.
#
#   environment APT-PACKAGES... -- PIP-EXTRAS
#
# Uses $PYTHON (default python3) and $BANKAI_VENV (default .venv in the checkout).

need_apt() { # install what of these Debian packages is missing, or say how
    wanted=""
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || wanted="$wanted $package"
    done
    [ -n "$wanted" ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "Missing system packages:$wanted. Install them with your package manager." >&2
        return 0
    fi
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $wanted >/dev/null
}

environment() {
    apt=""
    while [ "$1" != "--" ]; do apt="$apt $1"; shift; done
    extras=$2
    python=${PYTHON:-python3}
    # Debian splits venv and headers off python3; other Pythons bring them along.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt="$apt python3-venv"
    "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' \
        2>/dev/null || apt="$apt python3-dev"
    command -v gcc >/dev/null || apt="$apt gcc libc6-dev"
    need_apt $apt
    venv=${BANKAI_VENV:-.venv}
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check ".$extras"
    PATH="$PWD/$venv/bin:$PATH"
    case $venv in /*) PATH="$venv/bin:$PATH" ;; esac
    export PATH
}
