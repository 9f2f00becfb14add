# Trains the script in one process: what is tested needs a trained model, not the launcher.
set -euo pipefail
export OMP_NUM_THREADS=1 TORCH_CPP_LOG_LEVEL=ERROR RANK=0 WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=0
exec python "$SCRIPT"
