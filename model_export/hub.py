"""Checkpoints from a Hugging Face hub, by way of huggingface-hub and its cache."""

import logging
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from model_export.checkpoints.formats import files, safetensors_file
from model_export.errors import CheckpointError

SCHEME = "hf://"

CONFIGURATION = ("config.json", "preprocessor_config.json")

WAYS_ON = "give a file with --weights FILE, or try things out with --weights random"


@dataclass(frozen=True)
class Fetched:
    """A checkpoint in the local cache; `revision` is the commit it is from."""

    folder: Path
    revision: str


def parse(address: str) -> tuple[str, str | None]:
    """Repository and revision of an address hf://ORG/REPOSITORY[@REVISION].

    Raises:
        CheckpointError: It is not of that form.
    """
    repository, _, revision = address.removeprefix(SCHEME).partition("@")
    if repository.count("/") != 1:
        raise CheckpointError(f"'{address}' is not of the form hf://ORG/REPOSITORY[@REVISION]")
    return repository, revision or None


def fetch(repository: str, revision: str | None) -> Fetched:
    """Get weights and configuration of a repository; what is in the cache is not fetched again.

    Raises:
        CheckpointError: The hub cannot be reached, or has no such repository, revision or weights.
    """
    # The client tells of every attempt; what comes of them is told below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return _fetch(repository, revision)
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repository} needs its terms accepted on the hub and HF_TOKEN set; or {WAYS_ON}"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(
            f"{constants.ENDPOINT} has no {repository}{at}, or HF_TOKEN may not see it; {WAYS_ON}"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # the client lets its HTTP library's errors through
        offline = constants.is_offline_mode()
        reached = f"cannot be fetched from {constants.ENDPOINT} ({type(error).__name__})"
        why = "HF_HUB_OFFLINE is set" if offline else reached
        raise CheckpointError(f"{repository} is not in the cache and {why}; {WAYS_ON}") from error


def _fetch(repository: str, revision: str | None) -> Fetched:
    for name in CONFIGURATION:
        if path := _file(repository, name, revision):
            # All from one commit, even if somebody pushes another one meanwhile.
            revision = path.parent.name
    for name in files.NAMES:
        path = _file(repository, name, revision)
        if path is None:
            continue
        if path.suffix == ".json":
            for shard in safetensors_file.shard_names(path):
                hf_hub_download(repository, shard, revision=path.parent.name)
        return Fetched(path.parent, path.parent.name)
    if constants.is_offline_mode():
        raise FileNotFoundError(repository)
    raise CheckpointError(
        f"{repository} has none of {', '.join(files.NAMES)}; download the file that has its "
        "weights and name it"
    )


def _file(repository: str, name: str, revision: str | None) -> Path | None:
    """A file of a repository in the cache, or None if the repository does not have it.

    Raises:
        LocalEntryNotFoundError: The hub cannot be asked.
    """
    try:
        return Path(hf_hub_download(repository, name, revision=revision))
    except LocalEntryNotFoundError:
        if constants.is_offline_mode():
            return None
        raise
    except EntryNotFoundError:
        return None
