"""Read objects with KServe's own models: kserve_objects.py FILE...; runs where its package is.

Prints JSON: the objects as the models tell them again, so that what they do not know is not there.
"""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import kserve
import kubernetes.client
import yaml

KINDS = {
    "ServingRuntime": "V1alpha1ServingRuntime",
    "InferenceService": "V1beta1InferenceService",
}

# Its models name those of Kubernetes, which its client looks for among its own, with types in an
# older generator's words.
for name in dir(kubernetes.client.models):
    kind = getattr(kubernetes.client.models, name)
    if hasattr(kind, "openapi_types"):
        kind.openapi_types = {
            field: re.sub(r"Dict\[(.*)\]$", r"dict(\1)", type_).replace("List[", "list[")
            for field, type_ in kind.openapi_types.items()
        }
        vars(kserve.models).setdefault(name, kind)
client = kserve.ApiClient()
read = []
for path in sys.argv[1:]:
    given = yaml.safe_load(Path(path).read_text())
    text = SimpleNamespace(data=json.dumps(given))
    told = client.sanitize_for_serialization(client.deserialize(text, KINDS[given["kind"]]))
    # Its model of a model has to have a name, which KServe gives it.
    told["spec"].get("predictor", {}).get("model", {}).pop("name", None)
    read.append(told)
print(json.dumps(read))
