"""Git, through its command: what is recorded, what has changed, commit paths, set tags."""

import hashlib
import io
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from elp_core.fail_points import durable_write
from elp_core.types import Seconds
from pipelines.errors import VersioningError, WorkspaceError

_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
_ANY = "surrogateescape"
"""The name of a ref need not be UTF-8, and is written back as it was read."""


def git(folder: Path, *arguments: str, extra: Mapping[str, str] | None = None, timeout: Seconds | None = None) -> str:
    """Run ``git`` in `folder`; return its standard output without the last line's end, or raise a VersioningError.

    `extra` are environment variables; a command that takes longer than `timeout` is ended.
    """
    return _run(folder, *arguments, extra=extra, timeout=timeout).decode(errors=_ANY).rstrip("\r\n")


def lines(text: str) -> list[str]:
    """Return the lines of what Git printed; the name of a ref may have a line separator of Unicode in it."""
    return text.split("\n") if text else []


def listed(folder: Path, command: str, *arguments: str) -> list[str]:
    """Return what a command of Git lists, such as paths, each as it is."""
    # without -z, Git quotes a path that is not ASCII
    return [os.fsdecode(entry) for entry in _run(folder, command, "-z", *arguments).split(b"\0")[:-1]]


def _run(
    folder: Path,
    *arguments: str,
    stdin: bytes | None = None,
    extra: Mapping[str, str] | None = None,
    timeout: Seconds | None = None,
) -> bytes:
    # the environment of a hook names the index of another repository; a prompt would wait for ever
    environment = {key: value for key, value in os.environ.items() if key not in _INHERITED}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
    command = ["git", "-C", str(folder), *arguments]
    try:
        # not as text, which would change the ends of lines in what Git shows
        done = subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise VersioningError(f"git {arguments[0]} did not end within {error.timeout:.0f} s in {folder}") from error
    except FileNotFoundError as error:
        raise VersioningError("git is not installed (or not on PATH); install it and try again") from error
    except OSError as error:
        raise VersioningError(f"git cannot be run: {error.strerror}; check the git on PATH") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or b"nothing").decode(errors="replace")[-2000:]
        raise VersioningError(f"git {arguments[0]} failed in {folder}: {said}")
    return done.stdout


def _try(folder: Path, *arguments: str) -> str | None:
    try:
        return git(folder, *arguments)
    except VersioningError:
        return None


def is_repository(folder: Path) -> bool:
    """Return whether `folder` is the top of a Git working tree."""
    top = _try(folder, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == folder.resolve()


def delete_refs(folder: Path, names: Iterable[str]) -> None:
    """Delete branches and tags by their full names, all or none."""
    _run(folder, "update-ref", "--stdin", stdin="".join(f"delete {name}\n" for name in names).encode(errors=_ANY))


def current_branch(folder: Path) -> str:
    """Return the name of the branch that is checked out, or raise a WorkspaceError."""
    branch = _try(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    if branch is None:
        raise WorkspaceError(
            f"{folder} has no branch checked out (detached HEAD), a version would be lost; run: git switch BRANCH"
        )
    return branch


def configured(folder: Path, name: str) -> str:
    """Return the value of a setting of Git; empty if it has none."""
    return _try(folder, "config", "--get", name) or ""


def is_ancestor(folder: Path, old: str, new: str) -> bool:
    """Return whether the commit `new` contains `old`; a commit that is not here is contained in none."""
    return _try(folder, "merge-base", "--is-ancestor", old, new) is not None


def is_shallow(folder: Path) -> bool:
    """Return whether a repository lacks commits before some that it has, as a clone with ``--depth`` does."""
    return git(folder, "rev-parse", "--is-shallow-repository").strip() == "true"


def is_whole(folder: Path, commit: str) -> bool:
    """Return whether the files of a commit are all here."""
    return _try(folder, "rev-list", "--objects", "--quiet", "--no-walk", commit) is not None


def require_identity(folder: Path) -> None:
    """Raise a WorkspaceError, with the two commands that set an identity, if a commit would have no author."""
    try:
        for variable in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            # without useConfigOnly, Git makes up an identity from the names of the user and the host
            git(folder, "-c", "user.useConfigOnly=true", "var", variable)
    except VersioningError as error:
        raise WorkspaceError(
            "Git does not know who you are, and every dataset version has an author; run:\n"
            '  git config --global user.name "Your Name"\n'
            '  git config --global user.email "you@example.org"'
        ) from error


def require_clean(folder: Path, path: Path) -> None:
    """Raise a WorkspaceError if there is no repository or no branch, or if changes are staged or are under `path`."""
    if not is_repository(folder):
        raise WorkspaceError(f"{folder} is not the top of a Git repository; make a workspace with: elp init DIR")
    current_branch(folder)
    if staged := listed(folder, "diff", "--cached", "--name-only"):
        raise WorkspaceError(
            f"{folder} has staged changes ({_some(staged)}); commit them, or unstage them with: git restore --staged ."
        )
    entries = listed(folder, "status", "--porcelain", "--no-renames", "--untracked-files=all", "--", str(path))
    # an entry begins with two status letters and a space
    if changed := [entry[3:] for entry in entries]:
        raise WorkspaceError(
            f"{path} has changes that are not committed ({_some(changed)}); commit them or put them back "
            f"with: git restore {path}"
        )


def commit(folder: Path, paths: Sequence[Path], message: str) -> str:
    """Commit exactly `paths` (relative to `folder`) and return the revision."""
    names = [str(path) for path in paths]
    # first, because `git commit PATH` refuses a path that Git does not track yet
    with durable_write("git add"):
        git(folder, "add", "--", *names)
    # with the paths again: what anyone else has staged stays out of this commit
    with durable_write("git commit"):
        git(folder, "commit", "--quiet", "--message", message, "--", *names)
    return resolve(folder)


def unstage(folder: Path, paths: Sequence[Path]) -> None:
    """Take `paths` out of the index again; the files stay as they are."""
    if resolve(folder):
        git(folder, "reset", "--quiet", "HEAD", "--", *map(str, paths))
    else:
        # before the first commit there is no HEAD to reset to
        git(folder, "rm", "--cached", "--quiet", "--ignore-unmatch", "--", *map(str, paths))


def tag(folder: Path, name: str, message: str, revision: str = "HEAD", *, force: bool = False) -> None:
    """Set an annotated tag; with `force`, move the one of this name."""
    with durable_write("git tag"):
        git(folder, "tag", "--annotate", *(["--force"] if force else []), "--message", message, name, revision)


def tags(folder: Path, pattern: str) -> dict[str, str]:
    """Return the commit of every tag that matches `pattern` (``data/plant-a/asr/v*``) or is under it (``data``)."""
    # an annotated tag is an object: the star follows it to its commit, and a plain tag has nothing to follow
    form = "%(refname:strip=2) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    found = lines(git(folder, "for-each-ref", f"--format={form}", f"refs/tags/{pattern}"))
    return dict(line.rsplit(" ", 1) for line in found)


def resolve(folder: Path, revision: str = "HEAD") -> str:
    """Return the commit that `revision` (a tag, a branch, a hash) names; empty if there is none."""
    # a revision that begins with a dash must not be read as an option
    return _try(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}") or ""


def show(folder: Path, revision: str, path: Path) -> str | None:
    """Return the text of a file at a revision; None if it is not there. Raise UnicodeDecodeError if it is not UTF-8."""
    try:
        return _run(folder, "show", f"{revision}:{path.as_posix()}").decode().rstrip("\r\n")
    except VersioningError:
        return None


def show_all(folder: Path, revisions: Sequence[str], path: Path) -> list[str | None]:
    """Return the text of one file at many revisions, in one call of Git."""
    return show_each(folder, [(revision, path) for revision in revisions])


def show_each(folder: Path, wanted: Sequence[tuple[str, Path | None]]) -> list[str | None]:
    """Return the text of each of these files at its revision (None: of the object itself), in one call of Git."""
    if not wanted:
        return []
    asked = "".join(f"{one}\n" if path is None else f"{one}:{path.as_posix()}\n" for one, path in wanted)
    # each answer is a line that ends with the size in bytes (or with "missing"), then so many bytes, then a line's end
    answers = io.BytesIO(_run(folder, "cat-file", "--batch", stdin=asked.encode(errors=_ANY)))
    texts: list[str | None] = []
    for _ in wanted:
        size = answers.readline().split()[-1]
        texts.append(None if size == b"missing" else answers.read(int(size)).decode(errors="replace"))
        if size != b"missing":
            answers.readline()
    return texts


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def local_copy(repository: str, cache: Path) -> Path:
    """Return a local folder of `repository`: itself if it is a folder here, else a mirror in `cache`."""
    plain = repository.removeprefix("file://")
    if Path(plain).is_dir():
        return Path(plain).resolve()
    mirror = cache / "repositories" / hashlib.sha256(repository.encode()).hexdigest()[:16]
    if mirror.is_dir():
        # the mirror of a shallow clone stays shallow until it asks for more
        more = ["--unshallow"] if is_shallow(mirror) else []
        # without --force Git keeps its old copy of a tag that was moved
        git(mirror, "fetch", "--quiet", "--prune", "--tags", "--force", *more)
        return mirror
    mirror.parent.mkdir(parents=True, exist_ok=True)
    # an interrupted clone must not look like a mirror to the next call
    with tempfile.TemporaryDirectory(dir=mirror.parent) as folder:
        git(Path(folder), "clone", "--quiet", "--mirror", repository, "mirror")
        with durable_write("git mirror"):
            os.replace(Path(folder) / "mirror", mirror)
    return mirror
