"""What remains of a person after an erasure, and where it is."""

from pipelines.audit.trained_on import TrainedOn
from pipelines.texts.english_phrases import phrase


def what_stays(found: TrainedOn) -> tuple[str, ...]:
    """Return what no command removes, one sentence for each place."""
    stays: list[str] = [
        phrase(
            "Git: the records of all versions, with counts, names of deliveries, the ids of dropped clips and digests "
            "of the earlier words of corrected clips, no sound and no speaker. A delivery that was named after the "
            "person keeps that name."
        ),
        phrase(
            "The ledger and the statements: digests of data and bundles, no sound, no speaker. They cannot be "
            "rewritten."
        ),
    ]
    golden = [one.tag for one in found.holdings if one.kind == "golden"]
    if golden:
        stays.append(
            phrase(
                "MLflow: the evidence of every verdict on %(golden)s holds ids, speakers, groups, transcripts and "
                "answers of its clips (gate/ among the artifacts of the runs).",
                golden=", ".join(golden),
            )
        )
    if found.adapters:
        names = ", ".join(f"{one.slot} v{one.version}" for one in found.adapters)
        stays.append(
            phrase(
                "MLflow: the adapters that were trained on them (%(names)s) stay unchanged. The retention removes "
                "those that were never champion: %(command)s.",
                names=names,
                command="elp gc",
            )
        )
    if found.unknown:
        stays.append(phrase("Adapters with unknown training data are listed with the reason: check each by hand."))
    if found.subject.speaker:
        stays.append(
            phrase(
                "The monitor: the looks of a slot (%(looks)s, the last one in %(state)s) have the names of sessions or "
                "speakers with too few recordings. Each line has the digest of the one before it, so none can be "
                "removed.",
                looks=".elp/monitor/SITE/TASK/looks.jsonl",
                state="state.json",
            )
        )
        stays.append(
            phrase(
                "Enrolled voices: a template and its kept recordings have the name that the enrolment gave, which may "
                "differ from the speaker's name in the data. List them with %(list)s, and delete them with %(revoke)s, "
                "for those of an edge box at the box, with %(box)s.",
                list="elp enrol list SITE/asv",
                revoke="elp enrol revoke SITE/asv NAME --reason TEXT",
                box="--box DIR",
            )
        )
    stays.append(
        phrase(
            "The request logs of other hosts that run %(serve)s, and files of %(export)s: look there with %(erase)s.",
            serve="elp serve",
            export="elp requests export",
            erase=f"elp requests erase {found.subject.option}",
        )
    )
    stays.append(
        phrase(
            "The sources of the deliveries, the folders that %(suggest)s wrote, backups, and copies that workers or "
            "people made elsewhere.",
            suggest="elp data suggest",
        )
    )
    return tuple(stays)
