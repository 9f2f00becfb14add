# Trains the script in one process, and without the import of torch's compiler: each of torchrun and that import takes
# as long as a short training. Settings of a CPU leave code uncompiled; whoever compiles all the same gets the compiler.
set -euo pipefail
export OMP_NUM_THREADS=1 TORCH_CPP_LOG_LEVEL=ERROR RANK=0 WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=0
exec python -c '
import sys, types, torch

class _Absent(types.ModuleType):
    """What optimizers ask of the compiler: to be left alone."""
    disable = staticmethod(lambda fn=None, *_, **__: fn)
    graph_break = staticmethod(lambda *_, **__: None)

def _compile(*args, _compile=torch.compile, **options):
    if isinstance(sys.modules["torch._dynamo"], _Absent):
        del sys.modules["torch._dynamo"]
    torch.compile = _compile
    return _compile(*args, **options)

sys.modules["torch._dynamo"] = _Absent("torch._dynamo")
torch.compile = _compile
sys.argv = sys.argv[1:]
__file__ = sys.argv[0]
with open(__file__) as file:
    exec(compile(file.read(), __file__, "exec"))
' "$SCRIPT"
