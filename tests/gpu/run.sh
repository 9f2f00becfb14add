#!/usr/bin/env bash
# The GPU runs of docs/gpu-runs.md, on a host whose python3 has torch, this package's service dependencies and tiktoken,
# and with an engine at DOCKER_HOST that has the image named in IMAGE. Usage: tests/gpu/run.sh norm oom nan deadline linear
# (play.py), or PLAY=probe tests/gpu/run.sh (probe.py).
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p /tmp/rf && cp -r runner /tmp/rf/ && cp -r "$TIKTOKEN_CACHE_DIR" /tmp/rf/bpe && chmod -R a+rX /tmp/rf
python3 tests/gpu/corpus.py /tmp/gpu-data
tasks=(); for task in tests/gpu/tasks/*; do tasks+=(--tasks "$task"); done
state=$(mktemp -d)
python3 -m env.cli serve --runner docker --image "${IMAGE:-hostshell:1}" --sandbox tests/gpu/sandbox.toml \
    "${tasks[@]}" --data /tmp/gpu-data --state "$state" --port 18080 --scale gpt-345m &
trap 'kill %1' EXIT
for _ in $(seq 60); do curl -s localhost:18080/healthz >/dev/null && break; sleep 0.5; done
python3 "tests/gpu/${PLAY:-play}.py" http://127.0.0.1:18080 "$@"
