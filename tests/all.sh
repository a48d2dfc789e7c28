#!/usr/bin/env sh
# All set-up and all tests: sh tests/all.sh [--long]
# GLASSES_DATA names the data folder; without it the tests that need it are skipped with a reason.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && ! command -v chromedriver >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq chromium chromium-driver libseccomp2 >/dev/null
fi
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && ! [ -f /usr/include/sys/capability.h ]; then
    apt-get update -qq # picamera2's: it builds python-prctl, and loads libarchive
    apt-get install -y -qq libcap-dev gcc python3-dev libarchive13 >/dev/null
fi
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && ! command -v java >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq default-jre-headless >/dev/null # the IMX500 converter's
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
# Without it the conversion for the IMX500 is not tested: its environment takes 2 GB.
export GLASSES_TEST_CONVERTER="${GLASSES_TEST_CONVERTER:-$venv/imx500-converter}"
mkdocs build --strict --quiet --site-dir "$venv/site"
pytest "$@"
