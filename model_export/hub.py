"""Checkpoints from a Hugging Face hub, by way of huggingface-hub and its cache."""

import logging
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from model_export.checkpoints.formats import files, safetensors_file
from model_export.errors import CheckpointError

SCHEME = "hf://"

CONFIGURATION = ("config.json", "processor_config.json", "preprocessor_config.json")

PATIENCE_S = 4
"""How long the hub may take to answer at all; the client would try for a minute.

With the start of the command, two seconds and more on a busy machine, that stays under ten."""

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
    # The client logs every attempt; the outcome is reported below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    silence = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else None
    try:
        silence = silence or _silence(repository, revision)
        return _fetch(repository, revision, cached=silence is not None)
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
        why = silence or _not_fetched(type(error).__name__)
        raise CheckpointError(f"{repository} is not in the cache and {why}; {WAYS_ON}") from error


def _not_fetched(reason: str) -> str:
    return f"cannot be fetched from {constants.ENDPOINT} ({reason})"


def _silence(repository: str, revision: str | None) -> str | None:
    """Why the hub cannot be asked; None if it answers, whatever the answer.

    Asked in a thread, as no timeout of the client bounds the look-up of the hub's address.
    """
    answer: Future[None] = Future()

    def ask() -> None:
        url = hf_hub_url(repository, CONFIGURATION[0], revision=revision)
        try:
            get_hf_file_metadata(url, timeout=PATIENCE_S)
        except HfHubHTTPError:
            answer.set_result(None)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    Thread(target=ask, daemon=True).start()
    try:
        answer.result(PATIENCE_S)
    except NoAnswer:
        return _not_fetched(f"no answer within {PATIENCE_S} s")
    except HFValidationError:
        raise
    except Exception as error:
        return _not_fetched(type(error).__name__)
    return None


def _fetch(repository: str, revision: str | None, *, cached: bool) -> Fetched:
    """Files of a repository: those in the cache, or from the hub if they are not there."""
    for name in CONFIGURATION:
        if path := _file(repository, name, revision, cached=cached):
            # All from one commit, even if somebody pushes another one meanwhile.
            revision = path.parent.name
    for name in files.NAMES:
        path = _file(repository, name, revision, cached=cached)
        if path is None:
            continue
        if path.suffix == ".json":
            for shard in safetensors_file.shard_names(path):
                hf_hub_download(
                    repository, shard, revision=path.parent.name, local_files_only=cached
                )
        return Fetched(path.parent, path.parent.name)
    if cached:
        raise FileNotFoundError(repository)
    raise CheckpointError(
        f"{repository} has none of {', '.join(files.NAMES)}; download the file that has its "
        "weights and name it"
    )


def _file(repository: str, name: str, revision: str | None, *, cached: bool) -> Path | None:
    """A file of a repository in the cache; None if it is not there, or not in the repository.

    Raises:
        LocalEntryNotFoundError: The hub does not answer any more.
    """
    try:
        return Path(hf_hub_download(repository, name, revision=revision, local_files_only=cached))
    except LocalEntryNotFoundError:
        if cached:
            return None
        raise
    except EntryNotFoundError:
        return None
