"""What failed audits are told in: a sentence for each, with its figure and its limit.

This module imports nothing, so that the judge and whoever tells of a stored result can word a complaint alike.
"""

from __future__ import annotations

SENTENCES = {
    "parameters": "{figure:,.0f} parameters in the checkpoint, at most {limit:,.0f} are allowed",
    "normalisation": "probabilities over the vocabulary miss a sum of 1 by {figure:.3g}, allowed is {limit:g}",
    "causality": "what the model expects at a position moves by {figure:.3g} nats when only later tokens and other "
    "rows of the batch change, allowed is {limit:g}; it must depend on the tokens up to that position and nothing else",
    "commitment": "a log-probability that was scored differs by {figure:.3g} nats from what a second process of the "
    "same model expects before it has seen the token, allowed is {limit:g}; it must depend on the tokens up to that "
    "position and nothing else: no later token, no other row, no earlier call",
    "bias": "log-probabilities that were scored are {figure:.3g} nats better on average than what a second process of "
    "the same model expects before it has seen the tokens, allowed is {limit:g}",
    "spread": "log-probabilities that were scored differ by {figure:.3g} nats (root mean square) from what a second "
    "process of the same model expects before it has seen the tokens, allowed is {limit:g}",
    "certificate": "what was scored is {figure:.3g} nats a token better than what the model predicts of text that "
    "no process has seen, allowed is {limit:.3g}",
    "drift": "a log-probability moves by {figure:.3g} nats when the same tokens are scored again at the end of the "
    "evaluation, allowed is {limit:g}; evaluation must leave the model as it is",
    "canary": "random tokens are predicted {figure:.3g} nats better than anyone can, allowed is {limit:.3g}",
}
"""Name of an audit to its sentence, to be filled with `figure` and `limit`, both in the audit's unit."""


def complaint(name: str, *, figure: float, limit: float, where: str = "") -> str:
    """Which audit failed, by how much and, if the figure has a place, where: one line. `name` is one of SENTENCES."""
    place = f" ({where})" if where else ""
    return f"{name}: {SENTENCES[name].format(figure=figure, limit=limit)}{place}"
