#!/usr/bin/env bash
# Scores the smoke checkpoint on ARC-Easy, HellaSwag, PIQA and WinoGrande style items, zero-shot.
set -euo pipefail

exec python -m runner.inside.evaluate lm-eval
