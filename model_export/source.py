"""From what somebody typed to a model and its weights."""

from dataclasses import replace
from pathlib import Path

from model_export import catalog, hub
from model_export.catalog import Entry
from model_export.checkpoints.formats.files import SUFFIXES
from model_export.checkpoints.reading import read
from model_export.checkpoints.seeded import seeded
from model_export.errors import CheckpointError
from model_export.network.parameters import Checkpoint


def find(name: str, weights: str | None) -> tuple[str, Entry, Checkpoint]:
    """What to call the model, what to build, and its weights.

    Args:
        name: A published name, or the address of a checkpoint to recognise: a file, a folder, or
            hf://ORG/REPOSITORY[@REVISION].
        weights: For a published name: `random`, `hub`, or such an address; if not given, those that
            come with this package, else the hub's.

    Raises:
        ExportError: There is no such model, or its weights cannot be had.
    """
    if name not in catalog.BY_NAME and _is_address(name):
        if weights is not None:
            raise CheckpointError(
                f"{name} is a checkpoint already; say what it is with NAME --weights {name}"
            )
        entry, checkpoint = _read(name, None)
        return entry.architecture.name, entry, checkpoint
    asked = catalog.find(name)
    called = name.rpartition("/")[2]  # in an address of the service a slash would end it
    if weights == "random":
        return called, asked, seeded(asked.architecture)
    if weights not in (None, "hub"):
        return called, *_read(weights, asked)
    if weights is None and asked.included is not None:
        return called, *_read(str(asked.included), asked)
    repository = name if "/" in name else asked.repository
    if repository is None:
        raise CheckpointError(
            f"{name} is not on the hub: {asked.elsewhere}; "
            + ("leave --weights out, or " if asked.included else "")
            + "give --weights FILE or --weights random"
        )
    entry, checkpoint = _read(hub.SCHEME + repository, asked)
    return called, entry, replace(checkpoint, licence=asked.licence)


def _is_address(text: str) -> bool:
    path = Path(text)
    return text.startswith(hub.SCHEME) or path.suffix in SUFFIXES or path.exists()


def _read(address: str, asked: Entry | None) -> tuple[Entry, Checkpoint]:
    if not address.startswith(hub.SCHEME):
        return read(Path(address), asked)
    repository, revision = hub.parse(address)
    fetched = hub.fetch(repository, revision)
    entry, checkpoint = read(fetched.folder, asked)
    weights = checkpoint.weights.model_copy(
        update={
            "source": f"{hub.SCHEME}{repository}/{checkpoint.weights.source}",
            "revision": fetched.revision,
        }
    )
    return entry, replace(checkpoint, weights=weights)
