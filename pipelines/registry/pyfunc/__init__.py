"""The code that MLflow stores with a bundle and runs to serve it."""

from __future__ import annotations

from pathlib import Path

CODE = Path(__file__).with_name("adapter.py")
"""The file that is logged with each bundle (models from code)."""

PACKAGES = frozenset({"elp-foundry", "torch", "torchaudio", "transformers", "safetensors"})
"""Packages that a served bundle needs."""
