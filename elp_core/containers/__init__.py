"""Containers of sound: what a file's header says of its length, and what its bytes hold; nothing is decoded.

- `elp_core.containers.lengths`: `file_length` of any file, `None` for a container that is not examined
  here; `require_one_length` refuses a file whose lengths disagree.
- `elp_core.containers.riff`: WAV, RF64, AIFF and 8SVX, streamed ones included; `elp_core.containers.flac`,
  `elp_core.containers.mp3`, `elp_core.containers.ogg`; `elp_core.containers.sized_blocks`: Wave64, CAF, VOC, MATLAB;
  `elp_core.containers.fixed_headers`: AU, NIST SPHERE and others. The headers of IRCAM, PAF and PVF name no length.
"""

from elp_core.containers.lengths import (
    Buffer,
    FileLength,
    content_of,
    file_length,
    lengths_differ,
    require_one_length,
)

__all__ = ["Buffer", "FileLength", "content_of", "file_length", "lengths_differ", "require_one_length"]
"""What other packages use."""
