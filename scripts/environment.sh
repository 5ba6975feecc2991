# Creates .venv in the root of the repository, with the pinned dependencies and this checkout. Sourced by the scripts.
#
#     make_environment EXTRAS     EXTRAS such as "[test]", or ""
#
# Does nothing if the environment is up to date. Uses the first Python 3.11 to 3.13 that it finds, or $PYTHON.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "${PYTHON:-python3} must be Python 3.11, 3.12 or 3.13, but is not: install one of them, or set PYTHON=/path/to/python" >&2
    return 1
}

make_environment() {
    local extras=$1 python wanted stamp="$root/.venv/installed$1"
    python=$(find_python)
    wanted="$root $("$python" --version) $(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    echo "creating the environment in $root/.venv (about a minute, once) ..." >&2
    if ! { "$root/.venv/bin/python" --version | grep -qxF "$("$python" --version)" &&
        "$root/.venv/bin/python" -m pip --version; } > /dev/null 2>&1; then # missing, of another version, or incomplete
        rm -rf "$root/.venv"
        "$python" -m venv "$root/.venv"
    fi
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root$extras" >&2
    echo "$wanted" | tee "$stamp" > "$root/.venv/installed"
}
