"""Pretraining: the loop, its optimizers, checkpoints and ranks."""
