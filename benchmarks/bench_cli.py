"""Start-up of the command line, as multiples of an empty Python process (median of runs, side by side).

python benchmarks/bench_cli.py [--runs 9]

The last rows are `elp predict` for a clip of one second on the tests' tiny backbone: without a server, and answered by
an `elp serve` of the same workspace. The registry is a real MLflow server on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from turns import take_turns

# the server, the bundle and the clip of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from elp_core.testing import save_tiny
from pipelines.local.http_client import free_port
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.guarded_server import guarded_server
from tests.support.speech_server import wait_until
from tests.support.versions import make_champion

ELP = str(Path(sys.executable).with_name("elp"))
SLOT = Slot("plant-a", "asr")


def main() -> None:
    """Measure the commands in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    print(f"{runs} runs each; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    os.environ.update(GIT_AUTHOR_NAME="b", GIT_AUTHOR_EMAIL="b@example.org")
    os.environ.update(GIT_COMMITTER_NAME="b", GIT_COMMITTER_EMAIL="b@example.org")
    with tempfile.TemporaryDirectory() as folder, _served_workspace(Path(folder) / "served") as served:
        plain = Path(folder) / "plain"
        subprocess.run([ELP, "init", str(plain)], check=True, capture_output=True)
        predict = [ELP, "predict", str(SLOT), "call.wav"]
        commands = {
            "python -c pass": ([sys.executable, "-c", "pass"], plain),
            "elp --help": ([ELP, "--help"], plain),
            "elp status": ([ELP, "status"], plain),
            "elp data --help": ([ELP, "data", "--help"], plain),
            "elp predict --no-server": ([*predict, "--no-server"], served),
            "elp predict": (predict, served),
        }
        # the turn that does not count writes byte code and fills the page cache
        times = take_turns({name: partial(_run, *command) for name, command in commands.items()}, runs)
    base = statistics.median(times["python -c pass"])
    print("| command | median s | min s | max s | x an empty Python |\n|---|---|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| `{name}` | {middle:.3f} | {min(values):.3f} | {max(values):.3f} | {middle / base:.1f} |")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    # the servers of the plain workspace are down, which `elp status` says
    if done.returncode and "status" not in command:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


@contextlib.contextmanager
def _served_workspace(folder: Path) -> Iterator[Path]:
    """Make a workspace with a registry, a champion and a clip; `elp serve` runs in it until the block ends."""
    with guarded_server(folder / "registry") as registry:
        os.environ["ELP_KEYS"] = str(registry.keys)
        make_champion(client := connect(registry.uri), add_bundle(client, SLOT, "benchmark", folder / "bundles"))
        save_tiny(folder / "backbone")
        (folder / "elp.yaml").write_text(f"backbone: {folder / 'backbone'}\nservers: {{mlflow_uri: {registry.uri}}}\n")
        (folder / "call.wav").write_bytes(wav(voice(1.0, 300.0, 0)))
        log = folder / "serve.log"
        with log.open("w") as output:
            command = [ELP, "serve", SLOT.site, "--port", str(free_port("127.0.0.1"))]
            server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            wait_until(lambda: "serving 1 slot" in log.read_text() or server.poll() is not None, 300)
            if server.poll() is not None:
                raise SystemExit(f"elp serve has ended:\n{log.read_text()}")
            yield folder
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
