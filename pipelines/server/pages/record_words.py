"""Words of records about data, versions and pages in the reader's language; in English they are as recorded."""

from __future__ import annotations

from pipelines.texts.message_catalogue import Texts


def quarantine_words(said: Texts) -> dict[str, str]:
    """Return the reasons for which a clip is in quarantine."""
    say = said.say
    return {
        "silent": say("silent"),
        "too short": say("too short"),
        "too long": say("too long"),
        "clipped": say("clipped"),
        "noisy": say("noisy"),
        "dc offset": say("dc offset"),
        "unknown split": say("unknown split"),
        "duplicate": say("duplicate"),
        "empty transcript": say("empty transcript"),
        "outside alphabet": say("outside alphabet"),
        "rare letter": say("rare letter"),
        "transcript too long": say("transcript too long"),
        "not utf8": say("not utf8"),
        "no speaker": say("no speaker"),
        "no label": say("no label"),
        "several labels": say("several labels"),
        "other language": say("other language"),
        "duplicate words": say("duplicate words"),
        "unreadable": say("unreadable"),
        "corrupt": say("corrupt"),
        "cut off": say("cut off"),
        "empty": say("empty"),
        "nan": say("nan"),
        "no audio": say("no audio"),
        "no length": say("no length"),
        "not mono": say("not mono"),
        "wrong length": say("wrong length"),
        "too slow": say("too slow"),
        "missing": say("missing"),
        "misnamed": say("misnamed"),
        "unusable": say("unusable"),
        "not listed": say("not listed"),
        "out of file": say("out of file"),
        "overlapping": say("overlapping"),
        "bad group": say("bad group"),
        "unknown group": say("unknown group"),
        "tags": say("tags"),
        "reported": say("reported (by users)"),
        "invalidated": say("invalidated"),
        "annotators disagree": say("annotators disagree"),
        "badly aligned": say("badly aligned"),
        "not in transcript": say("not in transcript"),
        "not spoken": say("not spoken"),
    }


def data_words(said: Texts) -> dict[str, str]:
    """Return parts, figures and orders of the recordings, and measurements of the monitor."""
    say = said.say
    return {
        "speaker": say("speaker"),
        "label": say("label"),
        "group": say("group"),
        "text": say("text"),
        "split": say("split"),
        "Duration": say("Duration"),
        "Level": say("Level"),
        "Signal-to-noise ratio": say("Signal-to-noise ratio"),
        "Length of the transcript": say("Length of the transcript"),
        "characters": say("characters"),
        "file name": say("file name"),
        "longest first": say("longest first"),
        "shortest first": say("shortest first"),
        "quietest first": say("quietest first"),
        "loudest first": say("loudest first"),
        "lowest SNR first": say("lowest SNR first"),
        "tag": say("tag"),
        "clips": say("clips"),
        "allowed": say("allowed"),
        "forbidden": say("forbidden"),
        "distance of the backbone's features": say("distance of the backbone's features"),
        "distance": say("distance"),
        "confidence": say("confidence"),
        "share of blank frames": say("share of blank frames"),
        "blank share": say("blank share"),
        "signal-to-noise ratio": say("signal-to-noise ratio"),
        "snr": say("snr"),
        "level": say("level"),
        "length of a clip": say("length of a clip"),
        "seconds": say("seconds"),
    }


def page_words(said: Texts) -> dict[str, str]:
    """Return boxes of the lineage, groups of settings, plots of the gate, and headings of errors."""
    say = said.say
    return {
        "recordings": say("recordings (of a slot)"),
        "MLflow run": say("MLflow run"),
        "bundle": say("bundle"),
        "settings": say("settings"),
        "dataset": say("dataset"),
        "code": say("code"),
        "packages": say("packages"),
        "golden": say("golden"),
        "language": say("language"),
        "training": say("training"),
        "machine": say("machine"),
        "word": say("word"),
        "character": say("character"),
        "wrong words": say("wrong words"),
        "wrong characters": say("wrong characters"),
        "errors": say("errors"),
        "retraining": say("retraining"),
        "restart": say("restart"),
        "references": say("references"),
        "not readable": say("not readable"),
        "How sure is this?": say("How sure is this?"),
        "WER by recording condition": say("WER by recording condition"),
        "CER by recording condition": say("CER by recording condition"),
        "Detection error trade-off": say("Detection error trade-off"),
        "Error rate by recording condition": say("Error rate by recording condition"),
        "Which classes are confused": say("Which classes are confused"),
        "Not Found": say("Not Found"),
        "Bad Request": say("Bad Request"),
        "Forbidden": say("Forbidden"),
        "Method Not Allowed": say("Method Not Allowed"),
        "Gone": say("Gone"),
        "Internal Server Error": say("Internal Server Error"),
    }
