"""ELP adapters (Encoder, Layer, Prompt; arXiv 2407.21066) on one frozen speech backbone.

In the order that data meets them:

- `elp_core.audio`: any sound file to mono float32 16 kHz, and its measurements.
- `elp_core.data`: shards of clips, transcripts and alphabet, batches, augmentation, noise, kept values of the prefix.
- `elp_core.backbones`: load and fingerprint a frozen checkpoint, run its encoder with adapters passed in.
- `elp_core.adapters`, `elp_core.model`: the E-, L- and P-adapters and tuned norms; `ElpModel` joins them with a head.
- `elp_core.methods`: what ELP is compared with (fine-tuning, LoRA, bottlenecks, weighted sum), on the same model.
- `elp_core.tasks`, `elp_core.metrics`: ASR and ASV: head, loss, answers; WER, EER and their bootstrap.
- `elp_core.assemble`, `elp_core.training`: configuration to a seeded model; the resumable training loop; evaluation.
- `elp_core.bundle`, `elp_core.inference`: a bundle on disk, verified before it is opened; answers for waveforms.
- `elp_core.testing`: tiny random backbones, tones and clips for your tests too.

Importing this package loads none of them. `docs/adapters.md` has a runnable example.
"""
