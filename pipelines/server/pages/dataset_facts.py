"""What signed lineages say of a dataset version or a golden set."""

from pipelines.server.read_models.dependents import Dependents
from pipelines.texts.message_catalogue import Texts


def dataset_facts(said: Texts, page: Dependents, golden: bool) -> list[tuple[str, str]]:
    """Return names and values from the newest signed lineage that names the data; empty without one."""
    if page.origin is None:
        return []
    named = {material.name: material for material in page.origin.statement.materials}
    material = named.get("golden" if golden else "dataset")
    if material is None:
        return []
    found = [(said.say("tag"), page.name)]
    if material.uri:
        found.append((said.say("Git repository"), material.uri))
    titles = {
        "gitCommit": said.say("Git commit"),
        "dvcMd5": said.say("DVC hash (MD5)"),
        "elpIds": said.say("digest of the clips' ids"),
    }
    found += [(titles.get(name, name), digest) for name, digest in material.digest.items()]
    if not golden and "clips" in named:
        found.append((said.say("digest of the ids in training"), next(iter(named["clips"].digest.values()))))
    flat = {name: value for name, value in material.annotations.items() if isinstance(value, str | int | float)}
    return found + [(name.replace("_", " "), f"{value}") for name, value in flat.items() if name != "tag"]
