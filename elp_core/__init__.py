"""ELP adapters (Encoder, Layer, Prompt; arXiv 2407.21066) on one frozen speech backbone.

In the order that data meets them:

- `elp_core.audio`: any sound file to mono float32 16 kHz, and its measurements; `elp_core.sound_files`,
  `elp_core.sound_streams`, `elp_core.channels`, `elp_core.resampling`: its steps, each under bounds;
  `elp_core.containers`: what a file's header and bytes say of its length; `elp_core.media`: m4a, AAC, AMR, WebM, video.
- `elp_core.conditions`: rooms, voices, noises, codecs and lines, simulated for training and for the sweep.
- `elp_core.languages`: normalisers, units and the deciding metric of each language.
- `elp_core.data`: clips from your recordings and their splits, shards of clips, batches, augmentation, noise, and the
  cache of what the frozen prefix gives.
- `elp_core.backbones`: load and fingerprint a frozen checkpoint, run its encoder with adapters passed in.
- `elp_core.frame_rate`: a backbone's frames a second, read without loading it.
- `elp_core.checkpoint_folders`: the folder that a relative name of a checkpoint means.
- `elp_core.adapters`, `elp_core.model`: the E-, L- and P-adapters and tuned norms; `ElpModel` joins them with a head;
  `elp_core.dropout`: PyTorch's, drawn four at a time on the CPU.
- `elp_core.methods`: what ELP is compared with: full fine-tuning, weighted sum, top layers, LoRA, bottlenecks.
- `elp_core.decoding`, `elp_core.beam_labels`: beam search with an n-gram model and hotwords, to transcripts.
- `elp_core.task_specs`, `elp_core.tasks`: ASR, ASV, SER, SIC and how another task joins: head, loss, answers.
- `elp_core.presets`: settings of adapters and task that belong together, by name.
- `elp_core.metrics`: WER, EER and minDCF, accuracies, score normalisation, and their bootstrap.
- `elp_core.assemble`, `elp_core.training`: configuration to a seeded model; the resumable training loop; evaluation.
- `elp_core.bundle`, `elp_core.inference`: a bundle on disk, verified before it is opened; answers for waveforms, of one
  model or of many adapters on one backbone (`AdapterHost`); transcripts of long recordings, with times.
- `elp_core.transcript`, `elp_core.subtitles`: a transcript as a value; its subtitles. `elp_core.class_answer`: a class.
- `elp_core.config`, `elp_core.types`, `elp_core.errors`, `elp_core.files`: settings, values with units, one
  tree of errors, files written whole; `elp_core.fail_points`: where tests end a process;
  `elp_core.names`, `elp_core.groups`: one form of each name, and of what is known of a speaker's groups;
  `elp_core.private_names`: the private names of other packages that are used.
- `elp_core.testing`: tiny random backbones, tones and clips for your tests too.

Importing this package loads none of them. An adapter for the embedded backbone, not yet trained:

>>> from elp_core.assemble import build
>>> from elp_core.backbones import Backbone
>>> from elp_core.config import ElpConfig
>>> from elp_core.tasks import make_task
>>> from elp_core.testing import random_clips
>>> model = build(Backbone.from_pretrained("elp:tiny"), ElpConfig(), make_task("asr", random_clips(4)), seed=0)
>>> model.task.name
'asr'

`docs/reference/adapters.md` continues with training, bundles and answers.
"""
