"""The line layout is an outside contract: recorded edits must land."""

import ast

import pytest

from templates.render import UnknownTemplateError, names, render

OVERRIDES = (
    "    # CONFIG_OVERRIDES: override training hyperparameters for your method.",
    "    CONFIG_OVERRIDES = {}",
)
RETURN_X = "        return x"
CONFIGURE = "    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):"
RETURN_OPTIMIZER = "        return optimizer"
PROJECT = "        return self.resid_dropout(self.c_proj(y))"


def rule(title: str, width: int = 77) -> str:
    return f"# ── {title} ".ljust(width, "─")


TOTALS = {
    "custom_pretrain": 437,
    "attention": 437,
    "embedding": 473,
    "residual": 441,
    "loss": 439,
    "linear-attention": 438,
}
RANGES = [
    # template, first line, last line, text of the first, text of the last
    ("custom_pretrain", 22, 31, "class LayerNorm(nn.Module):", ""),
    ("custom_pretrain", 33, 70, "class CausalSelfAttention(nn.Module):", ""),
    ("attention", 33, 70, "class CausalSelfAttention(nn.Module):", ""),
    ("attention", 245, 247, *OVERRIDES),
    ("custom_pretrain", 72, 86, "class MLP(nn.Module):", ""),
    ("custom_pretrain", 88, 100, "class Block(nn.Module):", ""),
    ("custom_pretrain", 171, 188, CONFIGURE, RETURN_OPTIMIZER),
    ("custom_pretrain", 191, 201, "def get_lr(it, learning_rate, min_lr, warmup_iters, max_iters):", ""),
    ("custom_pretrain", 245, 247, *OVERRIDES),
    ("embedding", 115, 140, "class TokenEmbedding(nn.Module):", ""),
    ("embedding", 265, 267, *OVERRIDES),
    ("residual", 88, 99, "class Block(nn.Module):", RETURN_X),
    (
        "residual", 128, 130,
        "        # ── Residual stream parameters ──", "        # Add custom residual parameters here if needed.",
    ),
    (
        "residual", 162, 164,
        "        # ── Residual stream: iterate through transformer blocks ──", "            x = block(x)",
    ),
    ("residual", 175, 192, CONFIGURE, RETURN_OPTIMIZER),
    ("residual", 251, 251, OVERRIDES[1], OVERRIDES[1]),
    ("loss", 188, 191, "def compute_loss(logits, targets):", ""),
    ("loss", 247, 249, *OVERRIDES),
    ("linear-attention", 33, 70, rule("Self-Attention"), PROJECT),
    ("linear-attention", 88, 100, rule("Transformer Block", 76), RETURN_X),
    ("linear-attention", 246, 248, *OVERRIDES),
]  # fmt: skip
LINES = [
    ("custom_pretrain", 21, rule("Normalization")),
    ("custom_pretrain", 87, rule("Transformer Block", 76)),
    ("loss", 185, RETURN_OPTIMIZER),
    ("loss", 186, ""),
    ("loss", 187, rule("Loss Computation")),
    (
        "linear-attention", 3,
        "# flash-linear-attention is available: "
        "from fla.layers import GatedLinearAttention, DeltaNet, MultiScaleRetention, etc.",
    ),
    ("residual", 129, "        # (default: none — vanilla residual x + sublayer(x) is in Block.forward)"),
    ("residual", 163, "        for block in self.transformer.h:"),
]  # fmt: skip


def lines(name: str) -> list[str]:
    return render(name).split("\n")[:-1]


def test_every_template_has_its_agreed_length() -> None:
    assert {name: len(lines(name)) for name in names()} == TOTALS


@pytest.mark.parametrize(("name", "first", "last", "first_text", "last_text"), RANGES)
def test_ranges_begin_and_end_on_their_lines(name: str, first: int, last: int, first_text: str, last_text: str) -> None:
    text = lines(name)
    assert (text[first - 1], text[last - 1]) == (first_text, last_text)


@pytest.mark.parametrize(("name", "number", "text"), LINES)
def test_recorded_lines_are_where_they_were(name: str, number: int, text: str) -> None:
    assert lines(name)[number - 1] == text


@pytest.mark.parametrize("name", names())
def test_every_range_holds_whole_statements(name: str) -> None:
    text = lines(name)
    for _, first, last, *_ in (entry for entry in RANGES if entry[0] == name):
        for node in ast.walk(ast.parse(render(name))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and first <= node.lineno <= last:
                assert node.end_lineno is not None
                assert node.end_lineno <= last, f"{node.name} goes on behind line {last}: {text[last]!r}"


@pytest.mark.parametrize("name", names())
def test_max_iters_is_bound_where_overrides_are_written(name: str) -> None:
    """Recorded overrides compute with it."""
    train = next(node for node in ast.parse(render(name)).body if getattr(node, "name", "") == "train")
    assert isinstance(train, ast.FunctionDef)
    bound = [
        t.id for node in train.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
    ]
    assert bound.index("max_iters") < bound.index("CONFIG_OVERRIDES")


@pytest.mark.parametrize("name", names())
def test_lines_fit_a_terminal(name: str) -> None:
    long = [line for line in lines(name) if len(line) > 120]
    assert not long


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownTemplateError, match="'mlp'; there are custom_pretrain, attention, embedding") as caught:
        render("mlp")
    assert caught.value.name == "mlp"


def test_a_name_cannot_leave_the_folder() -> None:
    with pytest.raises(UnknownTemplateError):
        render("../variants/loss")
