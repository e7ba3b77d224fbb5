"""The hashes of data that Git repositories name.

A dataset version or a golden set names what its slot's folder tracked at its tag. Every other ref (a branch, a stash, a
tag of another kind) and the working tree name whatever any ``.dvc`` file or ``dvc.lock`` in them names. Of another
repository the whole history counts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.audit.data_index import FOLDERS
from pipelines.datasets.dvc import metafile
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.registry.retention import RetentionPolicy
from pipelines.registry.slot import Slot

_MD5 = re.compile(r"\bmd5: ['\"]?([0-9a-f]{32}(?:\.dir)?)\b")
_REWRITTEN = re.compile(r"\[rejected\] +(?P<tag>\S+) +-> .*would clobber existing tag")
_METAFILES = ("*.dvc", "dvc.lock", "*/dvc.lock")


@dataclass(frozen=True)
class TaggedData:
    """A dataset version or a golden set, with the hashes of its tracked folders (``<hex>.dir``)."""

    tag: str
    slot: Slot
    kind: str
    """``data`` or ``golden``."""
    number: int
    made: str
    """When the tag was set: ISO 8601."""
    hashes: tuple[str, ...]


def fetch_named(root: Path, address: str) -> None:
    """Fetch the tags and branches of the repository that the workers push to.

    Raise VersioningError if that fails, or if a tag was rewritten there: the old one may name data that is kept.
    """
    branches = "+refs/heads/*:refs/remotes/elp-gc/*"
    # without --quiet, which would hide the reason if a tag is rejected
    git.git(root, "fetch", "--prune", "--no-write-fetch-head", address, branches)
    try:
        # without --prune: a version that was not pushed yet keeps its tag
        git.git(root, "fetch", "--no-write-fetch-head", address, "refs/tags/*:refs/tags/*")
    except VersioningError as error:
        if not (found := _REWRITTEN.search(str(error))):
            raise
        tag = found["tag"]
        raise VersioningError(
            f"{address} has another commit at the tag {tag} than this workspace, so the tag was rewritten; keep the "
            f"data that the old tag names on a branch: git branch kept/{tag} {tag}; then take the new tag: "
            f"git fetch {address} +refs/tags/{tag}:refs/tags/{tag}"
        ) from error


def tagged_data(root: Path) -> list[TaggedData]:
    """Return every dataset version and golden set of a repository, by slot, kind and number.

    Raises VersioningError if it is a shallow clone.
    """
    _refuse_shallow(root, str(root))
    form = "%(refname:strip=2) %(creatordate:iso-strict)"
    lines = git.lines(git.git(root, "for-each-ref", f"--format={form}", "refs/tags/data", "refs/tags/golden"))
    dated = [line.rsplit(" ", 1) for line in lines]
    # whatever another tag is, `named_elsewhere` reads it
    known = [(tag, made, *named, tag.partition("/")[0]) for tag, made in dated if (named := Slot.of_tag(tag))]
    asked = [
        (f"refs/tags/{tag}", metafile(slot.folder / folder))
        for tag, _, slot, _, kind in known
        for folder in FOLDERS[kind]
    ]
    texts = iter(git.show_each(root, asked))
    found = []
    for tag, made, slot, number, kind in known:
        hashes = tuple(md5 for _ in FOLDERS[kind] for md5 in _MD5.findall(next(texts) or ""))
        found.append(TaggedData(tag, slot, kind, number, made, hashes))
    return sorted(found, key=lambda one: (str(one.slot), one.kind, one.number))


def lost_data(root: Path, others: Iterable[Path], named: Iterable[str], tagged: Iterable[TaggedData]) -> str:
    """Return why the data of some dataset versions is not known: their tags are gone; empty if it is.

    `others` are copies of the repositories that share the remote, and whose adapters the same server may have. Versions
    of slots that the repository at `root` never had data of are of another one, too.
    """
    here = {one.tag for one in tagged}.union(*(git.tags(other, "data") for other in others))
    for tag in sorted(set(named) - here):
        if found := Slot.of_tag(tag):
            paths = [metafile(found[0].folder / folder).as_posix() for folder in FOLDERS["data"]]
            if git.git(root, "log", "--all", "--max-count=1", "--format=%H", "--", *paths).strip():
                return (
                    f"{root} lacks the tag {tag}, whose data an adapter, a training or a hold needs, so nothing would "
                    "seem to name its files; fetch it: git fetch --tags; if no repository has it, set it on its "
                    f"commit: git tag {tag} COMMIT"
                )
    return ""


def named_elsewhere(root: Path, tagged: Iterable[TaggedData]) -> set[str]:
    """Return every hash that another ref or the working tree names."""
    ours = {f"refs/tags/{one.tag}" for one in tagged}
    refs = [ref for ref in git.lines(git.git(root, "for-each-ref", "--format=%(refname)")) if ref not in ours]
    found = set[str]()
    # refs of one commit name the same; a tag may name something else than a commit
    commits = {commit for ref in (*refs, "HEAD") if (commit := git.resolve(root, ref))}
    # a ref names the newest stash only, and the untracked files of each are in a parent
    commits.update(git.git(root, "stash", "list", "--format=%H %P").split())
    for commit in commits:
        # each entry is ``MODE TYPE HASH<tab>PATH``
        entries = [entry.partition("\t") for entry in git.listed(root, "ls-tree", "-r", commit)]
        blobs = [about.split(" ")[2] for about, _, path in entries if _is_metafile(path)]
        for text in git.show_each(root, [(blob, None) for blob in blobs]):
            found.update(_MD5.findall(text or ""))
    for path in git.listed(root, "ls-files", "--cached", "--others", "--exclude-standard", "--", *_METAFILES):
        # a file that Git lists may have been removed from the working tree
        if _is_metafile(path) and (root / path).is_file():
            found.update(_MD5.findall((root / path).read_text(encoding="utf-8", errors="replace")))
    return found


def _refuse_shallow(root: Path, name: str) -> None:
    if git.is_shallow(root):
        raise VersioningError(
            f"{name} is a shallow clone: it lacks commits and tags, so data that they name would look like data that "
            f"nothing names; expected a whole one; in it: git fetch --unshallow --tags"
        )


def _is_metafile(path: str) -> bool:
    # the folder ``.dvc`` is none
    return Path(path).suffix == ".dvc" or Path(path).name == "dvc.lock"


def copies_of_others(policy: RetentionPolicy, cache: Path) -> list[Path]:
    """Return a folder of each repository that uses the same remote.

    Raises VersioningError if one is a shallow clone.
    """
    found = []
    for repository in policy.shared_with or ():
        found.append(git.local_copy(repository, cache))
        _refuse_shallow(found[-1], repository)
    return found


def named_in_history(folder: Path) -> set[str]:
    """Return every hash that any commit of another repository names."""
    # every change of such a file in any commit, merges included: the text before it and after it
    options = ("--all", "--reflog", "--full-history", "-m", "--raw", "--no-abbrev", "--format=")
    lines = git.lines(git.git(folder, "log", *options, "--", *_METAFILES))
    changes = (line.split("\t", 1)[0].split(" ") for line in lines if line.startswith(":"))
    blobs = sorted({blob for change in changes for blob in change[2:4] if blob.strip("0")})
    texts = git.show_each(folder, [(blob, None) for blob in blobs])
    return {md5 for text in texts for md5 in _MD5.findall(text or "")}
