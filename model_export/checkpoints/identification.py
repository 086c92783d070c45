"""Which published model a checkpoint is, or what it is if it is none of them."""

from dataclasses import replace
from pathlib import Path

from model_export import catalog
from model_export.catalog import Entry
from model_export.checkpoints.configuration import Configuration
from model_export.checkpoints.recognition import Recognised
from model_export.checkpoints.sizes import architecture
from model_export.checkpoints.values import shown
from model_export.errors import CheckpointError
from model_export.network.architecture import Architecture


def identify(found: Recognised, said: Configuration, path: Path, asked: Entry | None) -> Entry:
    """What to build and how its images are prepared.

    In this order: what was asked for, what the configuration beside the file says, what the tensors
    say, what the names of the file and its folder say. Preprocessing is the configuration's if it
    has any, else the published model's.

    Raises:
        CheckpointError: Several published models fit and nothing tells which it is, or the
            windows cannot be known.
    """
    entry = asked or _configured(found, said, path) or _recognised(found, said, path)
    known = entry.architecture
    if asked is not None and said.says_geometry:
        _same(asked, said)
    if known.version == 2 and found.dialect.v2_mask_value is not None:
        known = replace(known, mask_value=found.dialect.v2_mask_value)
    if found.dialect.parts["norm"].startswith("hidden_states_norms"):  # a SwinBackbone
        known = replace(known, always_partition=True)
    prepared = said.preprocessing(known.image_size, entry.preprocessing)
    return replace(entry, architecture=known, preprocessing=prepared)


def _same(asked: Entry, said: Configuration) -> None:
    """Refuse a network that is named as one thing and configured as another.

    Raises:
        CheckpointError: It is.
    """
    known, told = asked.architecture, said.geometry(asked.architecture)
    if _anonymous(told) != _anonymous(known):
        raise CheckpointError(
            f"{asked.name} has {_geometry(known)}, and what lies beside the weights or in them "
            f"says {_geometry(told)}: leave the name out, or remove what is wrong"
        )


def _geometry(known: Architecture) -> str:
    windows = _anonymous(known).windows
    trained = f", trained with {known.pretrained_windows}" if known.pretrained_windows else ""
    shifted = ", always shifted" if known.always_partition else ""
    return f"images of {known.image_size} and windows of {windows}{trained}{shifted}"


def _configured(found: Recognised, said: Configuration, path: Path) -> Entry | None:
    """What a configuration file says, if there is one."""
    if not said.says_geometry:
        return None
    published = catalog.BY_NAME.get(said.published_name or "")
    tensors = architecture(found)
    # Tensors know all but the geometry; an architecture's name knows that too.
    known = tensors if published is None else _with_geometry(tensors, published.architecture)
    return _entry(said.geometry(known), found, path, published)


def _recognised(found: Recognised, said: Configuration, path: Path) -> Entry:
    """What tensors, and where they leave it open the names of file and folder, say."""
    tensors = architecture(found)
    fitting = [entry for entry in catalog.CATALOG if _fits(entry.architecture, tensors)]
    named = _named(path)
    if named in fitting:
        _check_sizes(said, named.architecture)
        return named
    geometries = {_anonymous(entry.architecture) for entry in fitting}
    if tensors.windows[-1] == 0 and len(geometries) != 1:
        names = ", ".join(dict.fromkeys(entry.architecture.name for entry in fitting))
        which = f"it fits {names}" if names else "no published model fits"
        raise CheckpointError(
            f"{path.name} is a Swin V2, whose tensors do not tell windows and image size: {which}; "
            "name it, python -m model_export NAME --weights FILE, or put config.json beside it"
        )
    known = fitting[0].architecture if len(geometries) == 1 else tensors
    _check_sizes(said, known)
    return _entry(known, found, path, None)


def _check_sizes(said: Configuration, known: Architecture) -> None:
    """Refuse what a training script that is not known calls the sizes, if it has others.

    Raises:
        CheckpointError: It has.
    """
    wanted = {"window_size": set(known.windows)}
    for name, values in said.sizes.items():
        numbers = {n for value in values for n in _numbers(value)}
        fitting = wanted.get(name, {known.image_size})
        if numbers and not numbers & fitting:
            raise CheckpointError(
                f"its settings say {name} {shown(values[0])}, and its tensors make a network for "
                f"{_geometry(known)}: name the published model it is, NAME --weights FILE, or put "
                "config.json beside it"
            )


def _numbers(value: object) -> list[int]:
    values = value if isinstance(value, list | tuple) else [value]
    return [n for n in values if isinstance(n, int) and not isinstance(n, bool)]


def _entry(known: Architecture, found: Recognised, path: Path, published: Entry | None) -> Entry:
    """An entry for an architecture: the published one if there is one, under whatever names."""
    if faults := known.faults():
        raise CheckpointError(
            f"{path.name}: {'; '.join(faults)}; padded windows are not built: put other sizes in "
            "config.json beside it"
        )
    same = [e for e in catalog.CATALOG if _anonymous(e.architecture) == _anonymous(known)]
    if published in same and published is not None:
        return published
    if named := _named(path):
        same.sort(key=lambda entry: entry != named)
    # torchvision trained and evaluates its own; whose other weights are, nothing here tells.
    ours = [e for e in same if (e.tag == "tv_in1k") == (found.dialect.name == "torchvision")]
    if ours:
        return ours[0]
    name = known.name
    if name.startswith(("swin_c", "swinv2_c")):
        name = f"{name}_window{max(known.windows)}_{known.image_size}"
    return Entry(replace(known, name=name), catalog.evaluation(known.image_size))


def _named(path: Path) -> Entry | None:
    """The published model that a file or its folder is named after, by the longest of its names."""
    for text in (path.stem.lower(), path.parent.name.lower()):
        names = [name for name in catalog.BY_NAME if name.lower() in text]
        if names:
            return catalog.BY_NAME[max(names, key=len)]
    return None


def _anonymous(known: Architecture) -> Architecture:
    """The architecture without what does not tell networks apart."""
    stages = range(len(known.depths))
    return replace(
        known,
        name="",
        windows=tuple(known.stage_window(stage) for stage in stages),
        pretrained_windows=tuple(known.bias_window(stage) for stage in stages),
        mask_value=0,
    )


def _with_geometry(tensors: Architecture, known: Architecture) -> Architecture:
    return replace(
        tensors,
        name=known.name,
        image_size=known.image_size,
        windows=known.windows,
        pretrained_windows=known.pretrained_windows,
    )


def _fits(published: Architecture, tensors: Architecture) -> bool:
    """Whether a published model has tensors of these shapes."""
    if tensors.windows[-1] == 0:
        tensors = _with_geometry(tensors, published)
    return _anonymous(published) == _anonymous(tensors)
