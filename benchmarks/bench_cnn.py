"""The CNN of `elp:tiny`: channels last against transformers' own layers, side by side, 8 clips of 4 s."""

from __future__ import annotations

import statistics

import torch
from turns import take_turns

from elp_core.backbones import Backbone
from elp_core.backbones.convolve import convolve


@torch.inference_mode()
def main() -> None:
    cnn = Backbone.from_pretrained("elp:tiny").feature_extractor
    waveforms = 0.1 * torch.randn(8, 64_000)
    ways = {"transformers": lambda: cnn(waveforms), "channels last": lambda: convolve(cnn, waveforms)}
    times = take_turns(ways, 10, warm_up=2)
    base = statistics.median(times["transformers"])
    print("| CNN | median ms | speed |\n|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| {name} | {1000 * middle:.0f} | {base / middle:.2f} x |")


if __name__ == "__main__":
    main()
