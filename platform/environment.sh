#!/bin/sh
# Make .venv hold exactly what uv.lock says; with the argument vllm, .venv-vllm: vLLM in place of LLaMA-Factory, which no
# environment holds both of. Needs Python 3.11 or 3.12; brings its own uv where there is none.
set -eu
cd "$(dirname "$0")/.."
uv_version=0.13.8

fail() {
    echo "error: $1" >&2
    exit 2
}

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || fail "PYTHON=$PYTHON: expected Python 3.11 or 3.12, found $("$PYTHON" --version 2>&1 || echo none)"
else
    for candidate in python3 python3.12 python3.11; do
        if supported "$candidate"; then
            PYTHON=$candidate
            break
        fi
    done
    [ -n "${PYTHON:-}" ] || fail "Python: expected 3.11 or 3.12, found $(python3 --version 2>&1 || echo none); install one or set PYTHON"
fi

case "$*" in
    "") environment=.venv groups="" size="6 GB" ;;
    vllm) environment=.venv-vllm groups="--no-default-groups --group=vllm" size="1.5 GB to download beside .venv" ;;
    *) fail "$*: expected vllm, or nothing for .venv" ;;
esac

# A new Python is a new environment.
stamp=$environment/.synced
wanted="$("$PYTHON" -c 'import sys; print(sys.version, sys.base_prefix)') $(cat pyproject.toml uv.lock | cksum)"
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

uv=.uv/bin/uv
if [ ! -x "$uv" ]; then
    "$PYTHON" -m venv .uv 2>/dev/null || fail "$PYTHON -m venv: failed; on Debian and Ubuntu install python3-venv"
    echo "installing uv $uv_version into .uv" >&2
    .uv/bin/python -m pip install --quiet "uv==$uv_version"
fi
echo "installing the environment of uv.lock into $environment (about $size; minutes the first time)" >&2
# Bytecode is compiled now, once, or each of the study's processes would compile on its own.
# shellcheck disable=SC2086  # groups are words
UV_PROJECT_ENVIRONMENT=$environment UV_PYTHON_DOWNLOADS=never "$uv" sync --quiet --frozen --compile-bytecode $groups \
    --python "$("$PYTHON" -c 'import sys; print(sys.executable)')"
echo "$wanted" > "$stamp"
