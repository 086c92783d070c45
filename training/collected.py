"""Pictures that packages of Debian and npm carry under free licences: photos, and cut-out things.

    python -m training.collected training/collected

fetches and unpacks them. A quarter, chosen by name, is held out of training for the evaluation.
"""

import argparse
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HELD_OUT = 4
"""Of so many pictures one is held out."""


@dataclass(frozen=True)
class Package:
    """A package with pictures in it.

    Attributes:
        name: As its registry calls it.
        registry: Where it comes from.
        licence: Of its pictures.
        kind: Photos fill their frame; cutouts are things on a transparent ground.
        inside: The pictures, as a glob in the unpacked package.
    """

    name: str
    registry: Literal["debian", "npm"]
    licence: str
    kind: Literal["photos", "cutouts"]
    inside: str

    def pictures(self, folder: Path) -> list[Path]:
        """Its picture files, unpacked under `folder` by `fetch`, sorted."""
        return sorted((folder / _safe(self.name)).glob(self.inside))


PACKAGES = (
    Package(
        "plasma-workspace-wallpapers",
        "debian",
        "CC-BY-SA-4.0, LGPL-3",
        "photos",
        "usr/share/wallpapers/*/contents/images/1920x1*.*",
    ),
    Package(
        "lomiri-wallpapers-16.04",
        "debian",
        "CC-BY-4.0, CC-BY-SA, CC0",
        "photos",
        "usr/share/**/*.jpg",
    ),
    Package(
        "lomiri-wallpapers-20.04",
        "debian",
        "CC-BY-4.0, CC-BY-SA, CC0",
        "photos",
        "usr/share/**/*.jpg",
    ),
    Package("palapeli-data", "debian", "GPL-2+", "photos", "usr/share/**/*.jpg"),
    Package("ukui-wallpapers", "debian", "CC-BY-SA-3.0", "photos", "usr/share/**/*.jpg"),
    Package(
        "tuxpaint-stamps-default",
        "debian",
        "GPL-2",
        "cutouts",
        "usr/share/tuxpaint/stamps/[acfhmpv]*/**/*.png",
    ),
    Package("@lobehub/fluent-emoji-3d", "npm", "MIT", "cutouts", "package/assets/?????.webp"),
    Package(
        "openclipart-png",
        "debian",
        "public domain",
        "cutouts",
        "usr/share/openclipart/png/[aftpr]*/**/*.png",
    ),
)


def fetch(folder: Path) -> None:
    """Unpack every package under `folder`; what is there stays.

    Raises:
        subprocess.CalledProcessError: `apt-get`, `dpkg-deb` or `npm` failed.
    """
    for package in PACKAGES:
        place = folder / _safe(package.name)
        if place.exists():
            continue
        part = place.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        if package.registry == "debian":
            _run("apt-get", "download", package.name, folder=part)
            _run("dpkg-deb", "-x", str(next(part.glob("*.deb")).resolve()), ".", folder=part)
        else:
            _run("npm", "pack", "--silent", package.name, folder=part)
            with tarfile.open(next(part.glob("*.tgz"))) as archive:
                archive.extractall(part, filter="data")
        part.rename(place)


def pictures(folder: Path, kind: Literal["photos", "cutouts"], *, held_out: bool) -> list[Path]:
    """The files of one kind that training may see, or those that it may not."""
    found = [path for one in PACKAGES if one.kind == kind for path in one.pictures(folder)]
    return [path for path in found if is_held_out(path) == held_out]


def is_held_out(path: Path) -> bool:
    """Whether the evaluation alone may see it: by the start of its name, so that twins agree."""
    return zlib.crc32(path.stem.split("_")[0].lower().encode()) % HELD_OUT == 0


def _safe(name: str) -> str:
    return name.lstrip("@").replace("/", "-")


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the packages and say how many pictures each gave."""
    parser = argparse.ArgumentParser(prog="python -m training.collected", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args(arguments).folder
    fetch(folder)
    for package in PACKAGES:
        print(f"{package.name}: {len(package.pictures(folder)):,} {package.kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
