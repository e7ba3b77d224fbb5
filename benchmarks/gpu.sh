#!/usr/bin/env bash
# Check and measure elp_core on one GPU, in at most 8 minutes. Writes OUT/gpu.json and OUT/gpu.md (rows for
# docs/reference/benchmarks.md).
#
#   benchmarks/gpu.sh [--out OUT] [--parts training-base,host] [--toy]
#
# It needs Python 3.11 to 3.13 with torch and transformers, and elp_core from this checkout; nothing is installed or
# downloaded. If a package is missing, it stops and names the wheels to bring. On a machine without a registry:
#
#   here:   python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 -d wheels NAME==VERSION …
#   there:  python3 -m pip install --no-index --no-deps --target site wheels/*.whl; export PYTHONPATH=$PWD/site
#
# --toy runs every part on the CPU with tiny networks: it shows that the script works, its figures mean nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
