"""Changed words: what an update of a program does to its log texts, made up for benchmarks.

The alternates were written for this benchmark, by hand, for the vocabulary of HDFS's log texts; identifiers of Java
packages and classes stay, since a rewording leaves them alone. Not taken from any thesaurus.
"""

import re
from collections.abc import Callable

import numpy as np

Reword = Callable[[str, np.random.Generator], str]

WORD = re.compile(r"[A-Za-z]+")
SYNONYMS = {
    "added": ("appended", "attached"),
    "addstoredblock": ("registerKeptChunk", "recordSavedPiece"),
    "allocateblock": ("assignChunk", "reservePiece"),
    "any": ("some", "whatever"),
    "are": ("remain", "stay"),
    "ask": ("request", "tell"),
    "be": ("become", "get"),
    "belong": ("pertain", "correspond"),
    "block": ("chunk", "segment"),
    "blockinfo": ("ChunkRecord", "SegmentEntry"),
    "blockmap": ("chunkTable", "segmentIndex"),
    "but": ("yet", "however"),
    "by": ("via", "through"),
    "ch": ("link", "pipe"),
    "changing": ("altering", "modifying"),
    "channel": ("link", "pipe"),
    "closed": ("shut", "ended"),
    "connected": ("linked", "attached"),
    "connection": ("link", "session"),
    "could": ("can", "might"),
    "datanode": ("worker", "storageHost"),
    "delete": ("erase", "purge"),
    "deleting": ("erasing", "purging"),
    "dest": ("target", "sink"),
    "does": ("can", "will"),
    "empty": ("blank", "void"),
    "error": ("problem", "fault"),
    "exception": ("failure", "fault"),
    "file": ("document", "path"),
    "for": ("regarding", "about"),
    "found": ("located", "seen"),
    "from": ("via", "off"),
    "got": ("hit", "met"),
    "in": ("within", "inside"),
    "interrupted": ("stopped", "broken"),
    "interruped": ("stopped", "broken"),
    "invalidset": ("obsoleteList", "staleGroup"),
    "is": ("was", "became"),
    "it": ("this", "that"),
    "left": ("remaining", "open"),
    "local": ("own", "near"),
    "meta": ("header", "descriptor"),
    "millis": ("ms", "milliseconds"),
    "mirror": ("replica", "copy"),
    "namesystem": ("Namespace", "Directory"),
    "not": ("never", "hardly"),
    "of": ("having", "with"),
    "offset": ("position", "shift"),
    "on": ("at", "upon"),
    "packet": ("frame", "datagram"),
    "packetresponder": ("AckWorker", "FrameReplier"),
    "peer": ("partner", "counterpart"),
    "read": ("fetch", "load"),
    "ready": ("prepared", "available"),
    "received": ("obtained", "accepted"),
    "receiveblock": ("acceptChunk", "takeSegment"),
    "receiving": ("obtaining", "accepting"),
    "redundant": ("duplicate", "superfluous"),
    "remote": ("distant", "far"),
    "replicate": ("copy", "clone"),
    "request": ("call", "demand"),
    "reset": ("dropped", "cleared"),
    "s": ("es", "list"),
    "served": ("delivered", "provided"),
    "serving": ("delivering", "providing"),
    "size": ("length", "bytes"),
    "src": ("origin", "sender"),
    "starting": ("launching", "beginning"),
    "stream": ("flow", "feed"),
    "succeeded": ("passed", "completed"),
    "terminating": ("stopping", "exiting"),
    "thread": ("task", "process"),
    "timeout": ("deadline", "limit"),
    "to": ("towards", "into"),
    "transfer": ("move", "ship"),
    "transmitted": ("sent", "shipped"),
    "trying": ("attempting", "wanting"),
    "unexpected": ("surprising", "unforeseen"),
    "updated": ("refreshed", "revised"),
    "verification": ("check", "validation"),
    "volumemap": ("diskIndex", "storeTable"),
    "waiting": ("pausing", "holding"),
    "while": ("when", "during"),
    "writeblock": ("storeChunk", "putSegment"),
    "writing": ("storing", "saving"),
}
FILLERS = ("currently", "successfully", "now", "data", "node", "internal", "operation", "handler", "state", "done")
HARMLESS = (  # events of no old template, as a new feature brings them
    "Heartbeat interval of <*> negotiated with coordinator <*>",
    "Cache statistics for pool <*>: <*> hits, <*> misses",
    "Lease of client <*> renewed until <*>",
)
FAULTS = (
    "Checksum mismatch, replica <*> is corrupt on <*>",
    "Disk failure detected at volume <*>, going read-only",
    "Out of memory in worker <*>, aborting",
)


def edit(text: str, chance: np.random.Generator) -> str:
    """Return the text with one or two words replaced by a filler, removed, or a filler inserted; parameters stay."""
    words = text.split()
    for _ in range(chance.integers(1, 3)):
        own = [place for place, word in enumerate(words) if "<*>" not in word]
        kind, filler = chance.integers(3), str(chance.choice(FILLERS))
        if kind == 0 or len(own) < 2:  # of a text of one word none is removed
            words.insert(int(chance.integers(len(words) + 1)), filler)
        elif kind == 1:
            words[int(chance.choice(own))] = filler
        else:
            words.pop(int(chance.choice(own)))
    return " ".join(words)


def replace_all(text: str, chance: np.random.Generator) -> str:
    """Return the text with every word of `SYNONYMS` replaced by one of its alternates, capitals kept at the front."""

    def alternate(found: re.Match) -> str:
        word = found[0]
        other = str(chance.choice(SYNONYMS.get(word.lower(), (word,))))
        return other[0].upper() + other[1:] if word[0].isupper() else other

    return WORD.sub(alternate, text)
