#!/usr/bin/env bash
# Build the wheel, install it with the pinned dependencies into an environment of its own, and run the tests against that.
# Arguments go to pytest: tools/test.sh tests/unit -k units
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv/wheel
uv=.venv/bin/uv

rm -rf build dist
.venv/bin/python -m build --wheel --no-isolation -o dist . >/dev/null
[ -x "$venv/bin/python" ] || "$uv" venv -q "$venv" --python .venv/bin/python
"$uv" pip sync -q --python "$venv/bin/python" --require-hashes requirements/dev.txt
"$uv" pip install -q --python "$venv/bin/python" --no-deps --reinstall-package ffrtmp dist/ffrtmp-*.whl

# what the tests need from the system; as root on Debian it is installed, elsewhere they skip with their reason
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  tools/system_packages.sh test
fi
exec "$venv/bin/python" -P -m pytest "$@"
