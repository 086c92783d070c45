import pytest

from swin_embed.__main__ import main
from tests.support.images import encode, noise


@pytest.fixture(scope="session")
def collection(tmp_path_factory, artifact):
    """What swin-embed wrote of eight images of noise, each with a copy with the same bytes and a
    smaller one; of one that is damaged, of one that is gone since, and of one named like markup."""
    folder = tmp_path_factory.mktemp("explored")
    photos = folder / "photos"
    for seed in range(8):
        place = photos / ("even" if seed % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        image = noise(64, 64, seed)
        (place / f"{seed}.png").write_bytes(encode(image))
        (place / f"{seed}-copy.png").write_bytes(encode(image))
        (place / f"{seed}-small.webp").write_bytes(encode(image.resize((48, 48)), "WEBP"))
    (photos / "damaged.png").write_bytes(b"not an image")
    (photos / "gone.png").write_bytes(encode(noise(64, 64, 99)))
    (photos / "<img src=x onerror=document.title='hit'>.png").write_bytes(encode(noise(60, 60, 98)))
    output = folder / "vectors"
    assert main(["embed", str(photos), f"--output={output}", f"--model={artifact}"]) == 3
    (photos / "gone.png").unlink()
    return output
