"""The servers that `bench_serve.py` compares, each a process of its own on the same plant and the same route.

python benchmarks/serve_ways.py WAY PLANT PORT [--threads N]

WAY is elp (`elp serve`), alone (our library behind a lock), peft (`transformers` with `peft` behind a lock), ray or
litserve (our library in Ray Serve or LitServe, which are not in the lock).
"""

from __future__ import annotations

import argparse
import importlib
import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import soundfile
from fastapi import FastAPI, File, Form, UploadFile
from serve_outputs import answer_body, open_outputs
from serve_plant import PlantChampions, ServedPlant

Classify = Callable[[str, bytes], dict[str, Any]]
"""The body of an answer for a slot and a recording."""


def elp(plant: ServedPlant, asked: argparse.Namespace) -> None:
    """Run `elp serve`."""
    from pipelines.local.settings import Settings
    from pipelines.serving.http.api_keys import ApiKeyFile
    from pipelines.serving.http.serve_options import ServeOptions
    from pipelines.serving.http.serve_process import listening_socket, open_service, web_server

    memory_bytes, most = asked.memory * 2**20 or None, asked.threads
    options = ServeOptions(
        port=asked.port, every=0.2, memory_bytes=memory_bytes, most_batches=most, batch_seconds=asked.batch
    )
    keys = ApiKeyFile(plant.root / "keys.json")
    settings = Settings(backbone=plant.backbone)
    listener = listening_socket(options)
    with listener, open_service(PlantChampions(plant), settings, options, keys, print) as opened:
        listener.listen(2048)
        web_server(opened.app, options).run(sockets=[listener])


def alone(plant: ServedPlant, asked: argparse.Namespace) -> None:
    """Run our library as most do it: a thread for each request, one at a time computes."""
    outputs, lock = open_outputs(plant, asked.threads), threading.Lock()

    def classify(slot: str, content: bytes) -> dict[str, Any]:
        samples = soundfile.read(io.BytesIO(content), dtype="float32")[0]
        with lock:
            return answer_body(outputs([(slot, samples)])[0])

    _run(classify, asked.port)


def peft(plant: ServedPlant, asked: argparse.Namespace) -> None:
    """Run `transformers` with `peft`: LoRA of rank 8 on the feed-forward layers, a linear head for each slot."""
    import torch

    from elp_core.private_names import torchaudio

    torchaudio()  # transformers and peft import it
    from peft import LoraConfig, get_peft_model
    from transformers import AutoFeatureExtractor, AutoModel

    lora = LoraConfig(r=8, target_modules=["intermediate_dense", "output_dense"])
    extractor = AutoFeatureExtractor.from_pretrained(plant.checkpoint)
    names = {slot: str(number) for number, slot in enumerate(plant.slots)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = get_peft_model(AutoModel.from_pretrained(plant.checkpoint).eval(), lora, adapter_name="0")
        for name in list(names.values())[1:]:
            model.add_adapter(name, lora)
    model.eval()
    heads = {slot: torch.nn.Linear(model.config.hidden_size, 4) for slot in plant.slots}
    lock = threading.Lock()

    def classify(slot: str, content: bytes) -> dict[str, Any]:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
        inputs = extractor(samples, sampling_rate=rate, return_tensors="pt")
        with lock, torch.inference_mode():
            model.set_adapter(names[slot])
            frames = model(**inputs).last_hidden_state
            return answer_body(heads[slot](frames.mean(1)).softmax(-1)[0])

    _run(classify, asked.port)


def kept(plant: ServedPlant, asked: argparse.Namespace) -> None:
    """Run our library in a server that others keep; its module names the packages that it needs."""
    importlib.import_module(f"serve_{asked.way}").run(plant, asked.threads, asked.port)


def _run(classify: Classify, port: int) -> None:
    import uvicorn

    app = FastAPI()

    @app.post("/v1/classify")
    def answer(model: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        return classify(model, file.file.read())

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


WAYS = {"elp": elp, "alone": alone, "peft": peft, "ray": kept, "litserve": kept}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("plant", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", type=int, default=2, help="of torch; for elp, batches at once")
    parser.add_argument("--batch", type=float, default=32.0, help="seconds of audio in a batch of elp; 0: one request")
    parser.add_argument("--memory", type=int, default=0, help="MB of adapters in memory, for elp")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _options()
    if chosen.way != "elp":
        import torch

        torch.set_num_threads(chosen.threads)
    WAYS[chosen.way](ServedPlant.read(chosen.plant), chosen)
