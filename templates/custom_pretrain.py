"""Custom GPT-2 Pretraining Script
Based on Andrej Karpathy's nanoGPT, evaluated on FineWeb dataset.
"""

import math
import inspect
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
from torch.nn import functional as F

# ============================================================================
# Model Components
# ============================================================================

# ── Normalization ──────────────────────────────────────────────────────────
class LayerNorm(nn.Module):
    """LayerNorm but with an optional bias."""
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.bias = nn.Parameter(torch.zeros(ndim)) if bias else None

    def forward(self, input):
        return F.layer_norm(input, self.weight.shape, self.weight, self.bias, 1e-5)

# ── Self-Attention ─────────────────────────────────────────────────────────
class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_embd % config.n_head == 0
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head = config.n_head
        self.n_embd = config.n_embd
        self.head_dim = config.n_embd // config.n_head

    def split_heads(self, x):
        """(B, T, C) to (B, n_head, T, head_dim): heads beside the batch, each a sequence of its own."""
        B, T, _ = x.size()
        return x.view(B, T, self.n_head, self.head_dim).transpose(1, 2)

    def merge_heads(self, x):
        """The inverse of split_heads: (B, n_head, T, head_dim) to (B, T, C)."""
        B, _, T, _ = x.size()
        return x.transpose(1, 2).contiguous().view(B, T, self.n_embd)

    def forward(self, x):
        """(B, T, C) to (B, T, C); position t takes in positions 0 to t."""
        # One matmul makes queries, keys and values of all heads.
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q, k, v = self.split_heads(q), self.split_heads(k), self.split_heads(v)

        # softmax(q k^T / sqrt(head_dim)) v with the future masked out. Where the device has a kernel
        # that never stores the T x T matrix, PyTorch picks it.
        y = F.scaled_dot_product_attention(
            q, k, v,
            dropout_p=self.attn_dropout.p if self.training else 0.0,
            is_causal=True,
        )
        y = self.merge_heads(y)
        return self.resid_dropout(self.c_proj(y))

# ── Feed-Forward ───────────────────────────────────────────────────────────
class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        # Four times as wide inside: two thirds of a block's parameters are here.
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        x = self.c_fc(x)
        x = self.gelu(x)
        x = self.c_proj(x)
        return self.dropout(x)

# ── Transformer Block ─────────────────────────────────────────────────────
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x

# ── GPT ────────────────────────────────────────────────────────────────────
@dataclass
class GPTConfig:
    """The shape of the model, GPT-2 Small by default. Training takes it from the environment."""
    block_size: int = 1024   # longest context, in tokens
    vocab_size: int = 50304  # GPT-2's 50257, rounded up to a multiple of 64 for faster matmuls
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    bias: bool = False       # biases in linear layers and norms

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(config.vocab_size, config.n_embd),
            wpe=nn.Embedding(config.block_size, config.n_embd),
            drop=nn.Dropout(config.dropout),
            h=nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
            ln_f=LayerNorm(config.n_embd, bias=config.bias),
        ))
        self.init_weights()
        # Tied: the table that reads tokens in also scores them on the way out.
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def init_weights(self):
        """GPT-2's initialization of every Linear and Embedding; other parameters keep what they have."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        # 2 * n_layer projections add to the residual stream: smaller ones keep its variance from growing.
        std = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, mean=0.0, std=std)

    def get_num_params(self):
        """Parameters without the position table; a tied tensor counts once."""
        total = sum(p.numel() for p in self.parameters())
        return total - self.transformer.wpe.weight.numel()

    def forward(self, idx, targets=None):
        """Logits (B, T, vocab_size) for tokens (B, T), and the mean loss if targets (B, T) are given."""
        T = idx.size(1)
        if T > self.config.block_size:
            raise ValueError(f"{T} tokens do not fit the block size of {self.config.block_size}")

        # What each token is and where it stands: two vectors, added.
        pos = torch.arange(T, device=idx.device)
        tok_emb = self.transformer.wte(idx)  # (B, T, C)
        pos_emb = self.transformer.wpe(pos)  # (T, C), the same for every row of the batch
        x = self.transformer.drop(tok_emb + pos_emb)

        for block in self.transformer.h:
            x = block(x)
        x = self.transformer.ln_f(x)
        logits = self.lm_head(x)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1),
                ignore_index=-1,
            )
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        param_dict = {name: p for name, p in self.named_parameters() if p.requires_grad}
        # Matrices and tables decay. Biases and norm gains do not: there are few of them,
        # and pulling them to zero would only work against the normalization.
        decay = [p for p in param_dict.values() if p.dim() >= 2]
        no_decay = [p for p in param_dict.values() if p.dim() < 2]
        optim_groups = [
            {"params": decay, "weight_decay": weight_decay},
            {"params": no_decay, "weight_decay": 0.0},
        ]
        for label, group in (("decayed", decay), ("not decayed", no_decay)):
            count = sum(p.numel() for p in group)
            print(f"parameters {label}: {count:,} in {len(group)} tensors")
        # The fused kernel updates all tensors in a few launches, on CUDA only.
        use_fused = device_type == "cuda" and "fused" in inspect.signature(torch.optim.AdamW).parameters
        optimizer = torch.optim.AdamW(optim_groups, lr=learning_rate, betas=betas, fused=use_fused)
        print(f"fused AdamW: {use_fused}")
        return optimizer

# ── Learning Rate ──────────────────────────────────────────────────────────
def get_lr(it, learning_rate, min_lr, warmup_iters, max_iters):
    """Learning rate of iteration `it`: up in a straight line, then down half a cosine to min_lr."""
    if it < warmup_iters:
        # Counted from one, so that the first step already moves.
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it >= max_iters:
        return min_lr
    progress = (it - warmup_iters) / (max_iters - warmup_iters)  # 0 at the peak, 1 at the end
    weight = 0.5 * (1.0 + math.cos(math.pi * progress))
    return min_lr + weight * (learning_rate - min_lr)

# ── Data Loading ───────────────────────────────────────────────────────────
def get_batch(path, batch_size, block_size, rng, device):
    """Random stretches of a token file: inputs and the tokens after them, int64 (batch_size, block_size)."""
    # Mapped anew each time: the pages of a long-lived map would count as memory of this process.
    tokens = np.memmap(path, dtype="<u2", mode="r")
    starts = rng.integers(len(tokens) - block_size, size=batch_size)
    rows = np.stack([tokens[start : start + block_size + 1] for start in starts])
    rows = torch.from_numpy(rows.astype(np.int64))
    if device.type == "cuda":
        rows = rows.pin_memory().to(device, non_blocking=True)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

# ============================================================================
# Training
# ============================================================================

import json
import sys

import torch.distributed as dist
from safetensors.torch import save_model
from torch.nn.parallel import DistributedDataParallel as DDP

def setting(name, kind, least=0, default=None):
    """Environment variable `name` as an int or float of at least `least`; ends with one line if it is not."""
    text = os.environ.get(name, default)
    try:
        value = kind(text)
        if least <= value < math.inf:
            return value
    except (TypeError, ValueError):
        pass
    raise SystemExit(f"{name} is {text!r} in the environment: expected {kind.__name__} of at least {least}")

def train():
    """Train a GPT as the environment says, in one of the processes that torchrun started."""
    max_iters = setting("MAX_ITERS", int, least=1)
    learning_rate = setting("LEARNING_RATE", float)
    weight_decay = setting("WEIGHT_DECAY", float)
    grad_clip = setting("GRAD_CLIP", float)  # largest gradient norm; 0 leaves gradients as they are
    warmup_iters = setting("WARMUP_ITERS", int, default=round(0.04 * max_iters))
    min_lr = setting("MIN_LR", float, default=learning_rate / 10)

    # CONFIG_OVERRIDES: override training hyperparameters for your method.
    # Allowed keys: learning_rate, weight_decay, warmup_iters, min_lr, grad_clip.
    CONFIG_OVERRIDES = {}

    hyper = with_overrides(CONFIG_OVERRIDES, {
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warmup_iters": warmup_iters,
        "min_lr": min_lr,
        "grad_clip": grad_clip,
    })

    # ── The other settings ──
    config = GPTConfig(
        block_size=setting("BLOCK_SIZE", int, least=1),
        vocab_size=setting("VOCAB_SIZE", int, least=1),
        n_layer=setting("N_LAYER", int, least=1),
        n_head=setting("N_HEAD", int, least=1),
        n_embd=setting("N_EMBD", int, least=1),
        dropout=setting("DROPOUT", float),
        bias=choice("BIAS", ("0", "1")) == "1",
    )
    betas = (setting("BETA1", float), setting("BETA2", float))
    batch_size = setting("BATCH_SIZE", int, least=1)  # sequences in a micro-batch, per process
    grad_accum = setting("GRAD_ACCUM", int, least=1)  # micro-batches in an iteration, all processes together
    eval_interval = setting("EVAL_INTERVAL", int, least=1)
    eval_iters = setting("EVAL_ITERS", int, least=1)  # batches in an evaluation, all processes together
    seed = setting("SEED", int)
    compile_model = choice("COMPILE", ("0", "1")) == "1"
    device_type = choice("DEVICE", ("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    dtype = choice("DTYPE", ("bfloat16", "float32"))
    out_dir = folder("OUT_DIR")
    data_dir = folder("DATA_DIR")
    for name in ("train.bin", "dev.bin"):
        if os.path.getsize(os.path.join(data_dir, name)) <= 2 * config.block_size:
            raise SystemExit(f"{name} is too short for a block of {config.block_size} tokens of two bytes each")

    # ── Processes ──
    # Checked before they meet: a process that is missing would leave the others waiting for it.
    rank = setting("RANK", int)
    local_rank = setting("LOCAL_RANK", int, default=rank)
    world_size = setting("WORLD_SIZE", int, least=1)
    expected = setting("WORLD_SIZE_EXPECTED", int, least=1)
    if world_size != expected:
        raise SystemExit(f"{world_size} processes were started, but this run is made for {expected}")
    if grad_accum % world_size:
        raise SystemExit(f"GRAD_ACCUM={grad_accum} micro-batches cannot be shared by {world_size} processes")
    if device_type == "cuda":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
        dist.init_process_group("nccl", device_id=device)
    else:
        device = torch.device("cpu")
        dist.init_process_group("gloo")
    if rank != 0:
        # All ranks print the same things, once is enough. Errors still come from every rank.
        sys.stdout = open(os.devnull, "w")

    # ── Model ──
    torch.manual_seed(seed)
    model = GPT(config).to(device)
    parameters = int(model.get_num_params())
    print(f"model: {parameters:,} parameters")
    optimizer = model.configure_optimizers(hyper["weight_decay"], hyper["learning_rate"], betas, device_type)
    # A group may have been given a rate of its own: the schedule keeps its ratio to the common one.
    ratios = [group["lr"] / max(hyper["learning_rate"], 1e-30) for group in optimizer.param_groups]
    forward = torch.compile(model) if compile_model else model
    ddp = DDP(forward, device_ids=[local_rank] if device_type == "cuda" else None)

    # ── Batches ──
    torch.manual_seed(seed + rank)  # another dropout on every rank
    rng = np.random.default_rng((seed, rank))

    def next_batch(split, rng):
        return get_batch(os.path.join(data_dir, split + ".bin"), batch_size, config.block_size, rng, device)

    def autocast():
        return torch.autocast(device_type, torch.bfloat16) if dtype == "bfloat16" else nullcontext()

    @torch.no_grad()
    def dev_loss():
        """Mean loss on the dev split: the same batches each time, so that two steps can be compared."""
        dev_rng = np.random.default_rng((seed, rank, 1))
        share = math.ceil(eval_iters / world_size)
        total = torch.zeros((), device=device)
        model.eval()
        for _ in range(share):
            x, y = next_batch("dev", dev_rng)
            with autocast():
                total += forward(x, y)[1]
        model.train()
        return mean_over_ranks(total / share)

    # ── Training Loop ──
    # Iteration `it` reports the model after `it` updates. The last one only reports.
    micro_steps = grad_accum // world_size
    started = time.monotonic()
    for it in range(max_iters + 1):
        loss_sum = torch.zeros((), device=device)
        for micro_step in range(micro_steps):
            x, y = next_batch("train", rng)
            # Gradients are averaged over the ranks once, during the last backward pass.
            with ddp.no_sync() if micro_step < micro_steps - 1 else nullcontext():
                with autocast():
                    loss = ddp(x, y)[1]
                (loss / micro_steps).backward()
            loss_sum += loss.detach()

        # Reading a loss makes the host wait for the GPU, so most iterations do without.
        report = it % eval_interval == 0 or it == max_iters
        if report or it % 5 == 0:
            train_loss = mean_over_ranks(loss_sum / micro_steps)
            val_loss = math.nan
            diverged = not math.isfinite(train_loss)
            if report and not diverged:
                val_loss = dev_loss()
            if report or diverged:
                metrics = f"step={it}, train_loss={train_loss:.4f}, val_loss={val_loss:.4f}"
                print(f"TRAIN_METRICS: {metrics}", flush=True)
            if diverged:
                # All ranks know the same mean, so all of them get here.
                if rank == 0:
                    print(f"stopped: the training loss is {train_loss} at step {it}", file=sys.stderr)
                leave(3)
        if it == max_iters:
            break

        lr = get_lr(it, hyper["learning_rate"], hyper["min_lr"], hyper["warmup_iters"], max_iters)
        for group, ratio in zip(optimizer.param_groups, ratios):
            group["lr"] = lr * ratio
        if hyper["grad_clip"] > 0:
            nn.utils.clip_grad_norm_(model.parameters(), hyper["grad_clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    # ── Checkpoint ──
    if rank == 0:
        # A tied tensor is stored once. The name appears only when the file is whole.
        path = os.path.join(out_dir, "model.safetensors")
        save_model(model, path + ".part")
        os.replace(path + ".part", path)
        summary = {
            "iterations": max_iters,
            "seconds": round(time.monotonic() - started, 3),
            "parameters": parameters,
            "overrides": CONFIG_OVERRIDES,
        }
        with open(os.path.join(out_dir, "train.json"), "w") as file:
            json.dump(summary, file)
    leave(0)

def choice(name, options, default=None):
    """Environment variable `name` as one of the options; ends with one line if it is not."""
    value = os.environ.get(name, default)
    if value not in options:
        raise SystemExit(f"{name} is {value!r} in the environment: expected one of {', '.join(options)}")
    return value

def folder(name):
    """Environment variable `name` as a folder that exists; ends with one line if it does not."""
    path = os.environ.get(name, "")
    if not os.path.isdir(path):
        raise SystemExit(f"{name} is {path!r} in the environment: expected a folder")
    return path

def with_overrides(overrides, defaults):
    """The defaults with the method's own values over them; ends with one line that names what is allowed."""
    for key, value in overrides.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if key not in defaults or not is_number or not 0 <= value < math.inf:
            raise SystemExit(
                f"CONFIG_OVERRIDES has {key!r}: {value!r}. Allowed keys are {', '.join(defaults)}; "
                "each value must be a finite number, zero or more"
            )
    return {**defaults, **overrides}

def mean_over_ranks(value):
    """The mean of a one-element tensor over all processes, as a float."""
    dist.all_reduce(value)
    return value.item() / dist.get_world_size()

def leave(code):
    """End this process with `code` when every other has come this far as well."""
    dist.barrier()
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: while the interpreter shuts down, a thread of gloo's sometimes aborts the process.
    os._exit(code)

if __name__ == "__main__":
    train()
