#!/usr/bin/env sh
# All set-up and all tests: sh tests/all.sh [--long]
# GLASSES_DATA names the data folder; without it the tests that need it are skipped with a reason.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && ! command -v chromedriver >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq chromium chromium-driver libseccomp2 >/dev/null
fi

venv=${GLASSES_TEST_VENV:-.venv-test}
python3 -m venv "$venv"
PATH="$PWD/$venv/bin:$PATH"
export PATH
pip install -q --upgrade pip build
rm -rf dist
python -m build -q --wheel
pip install -q -c constraints-cpu.txt "$(echo dist/*.whl)[dev,train,docs]"
pip install -q --force-reinstall --no-deps dist/*.whl

ruff format --check .
ruff check .
pyright --pythonpath "$(command -v python)"
mkdocs build --strict --quiet --site-dir "$venv/site"
pytest "$@"
