#!/bin/sh
# Makes .venv: with $PYTHON, or the newest fitting Python that is installed, or one that uv brings.
set -eu

NEEDED='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
UVS_OWN=3.13

for python in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
  if "$python" -c "$NEEDED" 2>/dev/null; then
    exec "$python" -m venv .venv
  fi
done
if [ -n "${PYTHON:-}" ]; then
  echo "PYTHON=$PYTHON: expected Python 3.11 to 3.14 with its modules venv and ensurepip (Debian: python3-venv)" >&2
  exit 1
fi
if ! command -v uv >/dev/null && python3 -m venv .uv 2>/dev/null; then
  .uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV"
  PATH="$PWD/.uv/bin:$PATH"
fi
if command -v uv >/dev/null; then
  echo "No Python 3.11 to 3.14 is installed here: uv brings Python $UVS_OWN"
  exec uv venv --quiet --seed --managed-python --python "$UVS_OWN" .venv
fi
echo "Install Python 3.11 to 3.14 with its modules venv and ensurepip (Debian: python3-venv), or uv, which brings one" >&2
exit 1
