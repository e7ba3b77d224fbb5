"""A program for another process: train, write, read and use an adapter with nothing but `elp_core`.

    python core_alone.py FOLDER [MODULE ...]

The modules named are made absent first, as if their packages were not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def hide(modules: Collection[str]) -> None:
    """Make top-level modules impossible to find."""

    class Finder(PathFinder):
        @classmethod
        def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
            return None if fullname.partition(".")[0] in modules else super().find_spec(fullname, path, target)

    place = sys.meta_path.index(PathFinder)
    # what stands behind are the finders of editable installs: they would find `pipelines`
    sys.meta_path[place:] = [Finder]


def main(folder: Path, hidden: Collection[str]) -> None:
    before = set(sys.modules)  # a .pth file of the environment may import some, such as setuptools' _distutils_hack
    hide(hidden)
    from elp_core.assemble import build, evaluate
    from elp_core.bundle import load_bundle, write_bundle
    from elp_core.config import ElpConfig, TrainConfig
    from elp_core.inference import predict
    from elp_core.tasks import make_task
    from elp_core.testing import random_clips, tiny_backbone, tone
    from elp_core.training import train

    clips, backbone = random_clips(8), tiny_backbone()
    model = build(backbone, ElpConfig(), make_task("asr", clips), seed=0)
    result = train(model, clips[:6], clips[6:], TrainConfig(epochs=1, min_steps=2, device="cpu"))
    write_bundle(folder / "bundle", model, lineage={"data": "tones"}, metrics={"wer": result.best_value})
    again = load_bundle(folder / "bundle", backbone)
    assert evaluate(again, clips[6:]).value == evaluate(model, clips[6:]).value
    (heard,) = predict(again, [tone(300, 0.5)])
    assert isinstance(heard, str)
    seen = {name.partition(".")[0] for name in set(sys.modules) - before} & set(hidden)
    assert not seen, f"imported although hidden: {sorted(seen)}"
    print(f"steps {result.steps}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
