#!/usr/bin/env bash
# Scores the GPT-2 Small checkpoint on ARC-Easy, HellaSwag, PIQA and WinoGrande, zero-shot.
set -euo pipefail

exec python -m runner.inside.evaluate lm-eval
