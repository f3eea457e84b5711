"""Formats of programs that play the recording along with its labels: ELAN and WebVTT.

Both count in milliseconds; see :func:`speechattn.segments.whole_edges` for how times are rounded.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from speechattn.segments import whole_edges
from speechattn.transcription.formats.labels import WORDS, plain_tiers
from speechattn.transcription.formats.names import named

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription
    from speechattn.segments import Segment

MILLISECONDS = 1000  # a second
DATE = "1970-01-01T00:00:00Z"  # EAF requires a date; a fixed one keeps the bytes the same
_MIME_TYPES = {".wav": "audio/x-wav"}  # ELAN's name for it, and "unknown" for the others

_EAF_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="speechattn" DATE="{date}" FORMAT="3.0" VERSION="3.0"\
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="{media}" MIME_TYPE="{mime}" RELATIVE_MEDIA_URL="{relative}"/>
        <PROPERTY NAME="lastUsedAnnotationId">{count}</PROPERTY>
    </HEADER>
"""
_EAF_ANNOTATION = """\
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="ts{first}"\
 TIME_SLOT_REF2="ts{second}">
                <ANNOTATION_VALUE>{label}</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
"""
_EAF_TYPE = """\
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="{kind}" TIME_ALIGNABLE="true"/>
"""
_EAF_TAIL = "</ANNOTATION_DOCUMENT>\n"


def eaf(transcription: Transcription, file: str, silence: str) -> str:
    """Write an ELAN document (EAF 3.0) with the alignable tier ``phones``, silence included.

    Where the words are known, the tier ``words`` comes before it. The end of an annotation and the
    start of the next are two time slots of one value, as ELAN writes them. The recording is named
    by its path from the folder of the document, where ELAN finds it. As ELAN writes it, the path is
    not percent-encoded.
    """
    return eaf_tiers(list(plain_tiers(transcription)), file)


def eaf_tiers(tiers: Sequence[tuple[str, Sequence[Segment]]], file: str) -> str:
    """Write an ELAN document of tiers, each of which covers the recording; see :func:`eaf`.

    Between words there is no annotation.

    Args:
        tiers: name and segments of each.
        file: relative path of the recording.
    """
    name, media = PurePosixPath(file), named(file).media
    labelled = []
    for tier, segments in tiers:
        parts = zip(whole_edges(segments, MILLISECONDS), segments)
        labelled.append((tier, [one for one in parts if one[1].label or not tier.endswith(WORDS)]))
    edges = [edge for _, parts in labelled for edge, _ in parts]
    head = _EAF_HEAD.format(
        date=DATE,
        media=_attribute(media),
        relative=_attribute(media if media.startswith(("/", "../")) else f"./{media}"),
        mime=_MIME_TYPES.get(name.suffix.lower(), "unknown"),
        count=len(edges),
    )
    slots = [
        f'        <TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{time}"/>\n'
        for number, time in enumerate((time for edge in edges for time in edge), 1)
    ]
    lines = [head, "    <TIME_ORDER>\n", *slots, "    </TIME_ORDER>\n"]
    numbers = itertools.count(1)
    for tier, labels in labelled:
        kind = "word" if tier.endswith(WORDS) else "phone"
        lines.append(f'    <TIER LINGUISTIC_TYPE_REF="{kind}" TIER_ID="{_attribute(tier)}">\n')
        for (_, segment), i in zip(labels, numbers):
            label = xml_text(segment.label)
            lines.append(
                _EAF_ANNOTATION.format(number=i, first=2 * i - 1, second=2 * i, label=label)
            )
        lines.append("    </TIER>\n")
    kinds = ["word"] if any(tier.endswith(WORDS) for tier, _ in tiers) else []
    types = [_EAF_TYPE.format(kind=kind) for kind in (*kinds, "phone")]
    return "".join([*lines, *types, _EAF_TAIL])


def _attribute(text: str) -> str:
    """Encode the value of an XML attribute, within double quotes."""
    return xml_text(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


def xml_text(text: str) -> str:
    """Encode text between the tags of an XML document.

    Characters that XML 1.0 cannot hold in any form are written as Python escapes.
    """
    allowed = (c if _in_xml(c) else c.encode("unicode_escape").decode() for c in text)
    return _escaped("".join(allowed)).replace("\r", "&#13;")  # a bare one reads as a line feed


def _escaped(text: str) -> str:
    """Replace the marks of XML. (The standard library's way imports HTTP and TLS.)"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_xml(character: str) -> bool:
    """Whether a character is a Char of XML 1.0, section 2.2."""
    surrogate = "\ud800" <= character <= "\udfff"
    return character in "\t\n\r" or not (
        character < " " or surrogate or character in "\ufffe\uffff"
    )


def vtt_cues(
    transcription: Transcription, silence: str, voice: str = ""
) -> Iterator[tuple[int, str]]:
    """Yield the start of each cue, in milliseconds, and its text.

    Args:
        transcription: whose phones become cues.
        silence: label that becomes none.
        voice: tag before each label.
    """
    edges = whole_edges(transcription.phones, MILLISECONDS)
    for (start, end), segment in zip(edges, transcription.phones):
        if segment.label != silence:
            times = f"{clock(start)} --> {clock(end)}"
            yield start, f"{times}\n{voice}{vtt_text(segment.label)}\n"


def clock(milliseconds: int, point: str = ".") -> str:
    """Return a time as ``01:02:03.456``, perhaps with another sign than the point."""
    seconds, milliseconds = divmod(milliseconds, MILLISECONDS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def vtt_text(text: str) -> str:
    """Encode a label as the text of a cue.

    White space other than the plain space (a line end would end the cue) and invisible marks become
    character references. Control characters and lone surrogates, for which HTML has none, become
    the replacement character.
    """

    def referenced(character: str) -> str:
        kind = unicodedata.category(character)
        if character in "\t\n\r" or (kind in ("Zs", "Zl", "Zp", "Cf") and character != " "):
            return f"&#{ord(character)};"
        return "\ufffd" if kind in ("Cc", "Cs") else character

    return "".join(referenced(c) for c in _escaped(text))
