import pytest

from model_export import catalog
from model_export.errors import UnknownArchitectureError
from model_export.network.parameters import parameter_count


@pytest.mark.parametrize(
    ("name", "parameters", "dimensions"),
    [
        # The paper's tables count 28, 50, 88 and 197 million with a classifier of 1000 classes.
        ("swin_tiny_patch4_window7_224", 28_288_354 - 769 * 1000, 768),
        ("swin_small_patch4_window7_224", 49_606_258 - 769 * 1000, 768),
        ("swin_base_patch4_window7_224", 87_768_224 - 1025 * 1000, 1024),
        ("swin_large_patch4_window7_224", 196_532_476 - 1537 * 1000, 1536),
        ("swin_base_patch4_window12_384", 87_903_584 - 1025 * 1000, 1024),
        ("swin_large_patch4_window12_384", 196_735_516 - 1537 * 1000, 1536),
    ],
)
def test_published_architectures_have_their_published_size(name, parameters, dimensions):
    architecture = catalog.find(name).architecture
    assert parameter_count(architecture) == parameters
    assert architecture.embedding_dim == dimensions


def test_nano_is_256_wide_and_small():
    architecture = catalog.find("swin_nano_patch4_window7_224").architecture
    assert architecture.embedding_dim == 256
    assert parameter_count(architecture) <= 2_500_000


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("swin_large_patch4_window7_224_22kto1k", "swin_large_patch4_window7_224"),
        ("swin_large_patch4_window7_224_22kto1k_finetune", "swin_large_patch4_window7_224"),
        ("swin_large_patch4_window7_224.ms_in22k_ft_in1k", "swin_large_patch4_window7_224"),
        ("swin_base_patch4_window12_384_finetune", "swin_base_patch4_window12_384"),
        ("swin_tiny_patch4_window7_224.ms_in1k", "swin_tiny_patch4_window7_224"),
    ],
)
def test_names_of_timm_and_of_the_papers_repository_are_known(name, architecture):
    assert catalog.find(name).architecture.name == architecture


def test_every_name_is_one_entrys():
    names = [n for e in catalog.CATALOG for n in (e.name, *e.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("entry", catalog.CATALOG, ids=lambda entry: entry.architecture.name)
def test_windows_divide_every_stage(entry):
    architecture = entry.architecture
    assert entry.preprocessing.crop == architecture.image_size
    for stage in range(len(architecture.depths)):
        assert architecture.stage_side(stage) % architecture.stage_window(stage) == 0
        assert architecture.stage_channels(stage) == 32 * architecture.heads[stage]


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(UnknownArchitectureError, match="swin_tiny_patch4_window7_224"):
        catalog.find("swin_tiny_patch4_windw7_224")
