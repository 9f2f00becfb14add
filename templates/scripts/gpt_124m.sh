#!/usr/bin/env bash
# Trains the edited script at GPT-2 Small scale, the proxy of GPT-2 Medium: one process per GPU.
set -euo pipefail

# One thread per process, and no notices from the launcher: what stands in stderr is the script's own.
export OMP_NUM_THREADS=1 TORCH_CPP_LOG_LEVEL=ERROR

# Any free port, so that two runs on one host do not meet. (torchrun --standalone would find one too, but needs the
# host's name to resolve, which it does not in a container without network.)
free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
port="${MASTER_PORT:-$(python -S -c "$free_port")}"

exec torchrun --nproc-per-node "$WORLD_SIZE_EXPECTED" --master-addr 127.0.0.1 --master-port "$port" "$SCRIPT"
