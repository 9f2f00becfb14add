"""The judge: scores a checkpoint and audits the answers, and never loads an agent's script."""
