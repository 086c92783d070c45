"""Collections that a command line names: written by swin-embed, or a folder of images."""

import hashlib

from service.settings import Settings
from swin_embed.batch import library
from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import OutputError
from swin_embed.batch.recipe import Recipe
from swin_embed.batch.sources import find
from swin_embed.cli import engine


def opened(place: str, settings: Settings) -> Collection:
    """The collection at a place, or of the images there.

    What swin-embed wrote is taken as it is. Anything else is a source, and is embedded into the
    user's cache: all of it the first time, later what is new or has changed since.

    Raises:
        SourceError: there is nothing that could be embedded.
        ArtifactError: there is no model to embed it with.
    """
    given = Collection.at(place)
    if given.recipe() is not None:
        return given
    from swin_embed.batch.local import Local
    from swin_embed.cli import embed

    sources = find([place])
    with engine.started(settings) as embedder:
        local = Local(embedder)
        recipe = Recipe(local.card, local.digest)
        kept = library.of(place, recipe.digest)
        with kept.folder.alone():
            embed.into(kept, local, sources, recipe)
    return kept


def matching(recipe: Recipe, settings: Settings, url: str) -> Settings:
    """The settings with the model that made a collection: the one they name, a file beside it, or
    one that is kept in the user's cache.

    Raises:
        OutputError: none of them is that model.
    """
    given = settings.model
    beside = [] if given is None else [given, *sorted(given.parent.glob("*.onnx"))]
    for file in (*beside, *sorted((settings.home / "models").glob("*.onnx"))):
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == recipe.digest:
            return settings.model_copy(update={"model": file})
    raise OutputError(
        f"{url} holds vectors of {recipe.card.name} in {recipe.card.precision} "
        f"({recipe.digest[:12]}), and neither {given or 'SWIN_MODEL'} nor a model beside it or in "
        f"{settings.home} is that: name it with --model"
    )
