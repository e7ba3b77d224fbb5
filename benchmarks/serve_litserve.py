"""LitServe in front of one `AdapterHost`, for `bench_serve.py`: one route, whose batches hold requests of all slots.

LitServe is not in the lock: pip install litserve. It reads the annotation of `decode_request` as a type, so annotations
are not postponed here.
"""

import io
from typing import Any

import litserve
import soundfile
from fastapi import Request
from serve_outputs import MOST, WAIT, answer_body, open_outputs
from serve_plant import ServedPlant


class Classifier(litserve.LitAPI):
    """The steps of a request; `setup` is called in the process that computes."""

    def __init__(self, plant: ServedPlant, threads: int) -> None:
        super().__init__(max_batch_size=MOST, batch_timeout=WAIT, api_path="/v1/classify")
        self.plant, self.threads = plant, threads

    def setup(self, device: str) -> None:
        self.outputs = open_outputs(self.plant, self.threads)

    def decode_request(self, request: Request) -> tuple[str, Any]:
        samples = soundfile.read(io.BytesIO(request["file"].file.read()), dtype="float32")[0]
        return request["model"], samples

    def batch(self, inputs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return inputs

    def predict(self, pairs: list[tuple[str, Any]]) -> list[Any]:
        return self.outputs(pairs)

    def unbatch(self, found: list[Any]) -> list[Any]:
        return found

    def encode_response(self, found: Any) -> dict[str, Any]:
        return answer_body(found)


def run(plant: ServedPlant, threads: int, port: int) -> None:
    """Serve until the process is ended."""
    server = litserve.LitServer(Classifier(plant, threads), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, num_api_servers=1)
