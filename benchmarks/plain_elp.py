"""ELP as one would write it on transformers: modules wrapped, the model's own forward pass. For comparison alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class WithBottleneck(nn.Module):
    """A feed-forward block with an E-adapter after it."""

    def __init__(self, ffn: nn.Module, width: int, bottleneck: int) -> None:
        super().__init__()
        self.ffn = ffn
        self.adapter = nn.Sequential(
            nn.Linear(width, bottleneck), nn.GELU(), nn.Linear(bottleneck, width), nn.LayerNorm(width)
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        outcome = self.ffn(hidden)
        added: torch.Tensor = self.adapter(outcome)
        return outcome + added


class WithPrompt(nn.Module):
    """A feature projection with pseudo features in front."""

    def __init__(self, projection: nn.Module, count: int, channels: int) -> None:
        super().__init__()
        self.projection = projection
        self.features = nn.Parameter(torch.randn(count, channels))

    def forward(self, features: torch.Tensor) -> Any:
        pseudo = self.features.expand(len(features), -1, -1)
        return self.projection(torch.cat([pseudo, features], dim=1))


class PlainL(nn.Module):
    """Logits of waveforms by a projection of every layer's output and a weighted sum; the model runs in every step."""

    def __init__(self, model: Any, outputs: int, prompt: int = 0) -> None:
        super().__init__()
        width, count = model.config.hidden_size, model.config.num_hidden_layers
        self.model = model
        self.prompt = prompt
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 512), nn.GELU(), nn.LayerNorm(512)) for _ in range(count)
        )
        self.weights = nn.Parameter(torch.zeros(count))
        self.head = nn.Linear(512, outputs)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        states = self.model(waveforms, output_hidden_states=True).hidden_states[1:]
        shares = self.weights.softmax(0)
        total = torch.zeros((), device=waveforms.device)
        for share, layer, state in zip(shares, self.layers, states, strict=True):
            total = total + share * layer(state[:, self.prompt :])
        logits: torch.Tensor = self.head(total)
        return logits


class PlainElp(nn.Module):
    """Logits of waveforms by a transformers model with E-, L- and P-adapters and its own norms tuned in place."""

    def __init__(self, model: Any, outputs: int, prompt: int = 5) -> None:
        super().__init__()
        width, count = model.config.hidden_size, model.config.num_hidden_layers
        for parameter in model.parameters():
            parameter.requires_grad = False
        for number, layer in enumerate(model.encoder.layers):
            if number < count - 1:
                layer.feed_forward = WithBottleneck(layer.feed_forward, width, 256)
            for norm in (layer.layer_norm, layer.final_layer_norm):
                norm.requires_grad_(True)
        model.feature_projection = WithPrompt(model.feature_projection, prompt, model.config.conv_dim[-1])
        self.mix = PlainL(model, outputs, prompt)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.mix(waveforms)
        return logits


class PlainTuning(nn.Module):
    """Logits of waveforms by a transformers model and a linear layer: the caller chooses what learns in it."""

    def __init__(self, model: Any, outputs: int) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(model.config.hidden_size, outputs)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.model(waveforms).last_hidden_state)
        return logits
