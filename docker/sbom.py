"""CycloneDX bill of materials of an installed site, as JSON on standard output: `sbom.py SITE`.

Read from the metadata that the packages carry; needs nothing but Python, so that it can run inside
the build that installs them.
"""

import json
import sys
from importlib.metadata import Distribution, distributions


def component(package: Distribution) -> dict[str, object]:
    """A package as a CycloneDX 1.6 component."""
    metadata = package.metadata
    name, version = metadata["Name"], metadata["Version"]
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    entry: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    if expression := metadata.get("License-Expression"):
        entry["licenses"] = [{"expression": expression}]
    elif licence := licence_name(package):
        entry["licenses"] = [{"license": {"name": licence}}]
    return entry


def licence_name(package: Distribution) -> str | None:
    """What a package without a licence expression says its licence is, on one line."""
    classifiers = package.metadata.get_all("Classifier") or []
    named = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License ::")]
    stated = (package.metadata.get("License") or "").strip().partition("\n")[0]
    return " and ".join(named) or stated or None


def bill(site: str) -> dict[str, object]:
    """The bill of materials of every package in `site`, sorted by name."""
    components = [component(package) for package in distributions(path=[site])]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "swin-embed"}},
        "components": sorted(components, key=lambda entry: str(entry["bom-ref"])),
    }


if __name__ == "__main__":
    json.dump(bill(sys.argv[1]), sys.stdout, indent=1)
