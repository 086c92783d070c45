"""The official clients against the real server: the same photo, the same bits, whoever asks.

Most are run as docs/clients.md has them: each recipe leaves a `vector`.
"""

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.images import jpeg
from tests.support.process import ROOT, SOON, running

CLIENTS = ROOT / ".venv" / "clients"
FRAMEWORKS = ROOT / ".venv" / "frameworks"
PAGE = (ROOT / "docs" / "clients.md").read_text()
SCRIPTS = ROOT / "tests" / "clients"


IN_CLIENTS = ("OpenAI", "KServe", "MLServer", "Triton", "Cohere", "Voyage", "infinity", "Azure")
NAMED = "swin_nano_patch4_window7_224,text-embedding-3-small"
"""What the recipes call the model."""

IMPORTS = 300
"""Seconds for a recipe: some import for half a minute where nothing is compiled yet."""


def recipes(language: str) -> list[tuple[str, str]]:
    """The code of the page in a language, each with the heading that it is under."""
    found = re.findall(rf"^## ([^\n]*)|^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    title = ""
    blocks = []
    for heading, code in found:
        title = heading or title
        if code:
            blocks.append((title, code))
    return blocks


(_, FIRST_LINES), *PYTHON = recipes("python")
PRINT = "\nimport numpy as np\nprint('\\n' + np.array(vector, '<f4').tobytes().hex())\n"
POSTGRES = """
import pgserver, tempfile
server = pgserver.get_server(tempfile.mkdtemp())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def printed(*command: str | Path, cwd: Path | None = None) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=IMPORTS, cwd=cwd)
    assert done.returncode == 0, (done.stderr + done.stdout).decode()
    return done.stdout


@pytest.fixture(scope="module")
def service(artifact):
    port = free_port()
    with running(model=artifact, grpc_port=port, model_aliases=NAMED) as (_, address):
        yield address, f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    path.write_bytes(jpeg("chelsea"))
    return path


@pytest.fixture
def expected(service, photo) -> str:
    """The vector's bits, in hex."""
    headers = {"Content-Type": "image/jpeg", "Accept": "application/octet-stream"}
    request = urllib.request.Request(f"{service[0]}/embed", photo.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=SOON) as answer:
        return answer.read().hex()


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_raw_and_multipart(service, photo, expected):
    address, _ = service
    jpeg_type = ("-H", "Content-Type: image/jpeg")
    raw = printed("curl", "-s", "--data-binary", f"@{photo}", *jpeg_type, f"{address}/embed")
    form = printed("curl", "-s", "-F", f"files=@{photo}", f"{address}/embed")
    for body in (raw, form):
        (vector,) = json.loads(body)["embeddings"]
        assert np.array(vector, "<f4").tobytes().hex() == expected


@pytest.mark.skipif(not CLIENTS.exists(), reason="needs make setup-clients")
def test_openai_and_tritonclient_for_python(service, photo, expected):
    python = CLIENTS / "bin" / "python"
    vectors = json.loads(printed(python, SCRIPTS / "python_clients.py", *service, photo))
    assert len(vectors) == 9
    assert set(vectors.values()) == {expected}


def recipe(code: str, service: tuple[str, str]) -> str:
    """A recipe for the service and the length that there are here."""
    address, grpc_address = service
    code = code.replace("localhost:8000", address.removeprefix("http://"))
    return code.replace("localhost:9000", grpc_address).replace("dim=512", "dim=128")


@pytest.mark.parametrize(
    ("title", "code"),
    [
        pytest.param(
            title,
            code,
            id=title,
            marks=pytest.mark.skipif(
                not (CLIENTS if title.startswith(IN_CLIENTS) else FRAMEWORKS).exists(),
                reason="needs make setup-clients"
                if title.startswith(IN_CLIENTS)
                else "needs make setup-frameworks",
            ),
        )
        for title, code in PYTHON
    ],
)
def test_a_recipe_of_the_page(title, code, service, photo, expected, tmp_path):
    shutil.copy(photo, tmp_path)
    if title == "pgvector":
        code = POSTGRES + code.replace(
            '"postgresql://postgres@localhost/postgres"', "server.get_uri()"
        )
    environment = CLIENTS if title.startswith(IN_CLIENTS) else FRAMEWORKS
    whole = recipe(FIRST_LINES + code + PRINT, service)
    said = printed(environment / "bin" / "python", "-W", "ignore", "-c", whole, cwd=tmp_path)
    assert said.decode().split()[-1] == expected


def test_weaviate_s_modules_find_what_they_ask_for(service):
    ((_, compose),) = recipes("yaml")
    weaviate = yaml.safe_load(compose)["services"]["weaviate"]["environment"]
    assert {weaviate["IMAGE_INFERENCE_API"], weaviate["CLIP_INFERENCE_API"]} == {
        "http://swin-embed:8000"
    }
    for path, status in {"/.well-known/live": 204, "/.well-known/ready": 204, "/meta": 200}.items():
        with urllib.request.urlopen(service[0] + path, timeout=SOON) as answer:
            assert answer.status == status


def test_the_table_has_the_versions_that_were_tried():
    locks = "".join(
        (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("frameworks", "clients")
    )
    tried = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", locks, re.MULTILINE))
    node = json.loads((SCRIPTS / "package.json").read_text())["dependencies"]
    told = re.findall(r"^\| .* \| `(.+)` (\S+) \|", PAGE, re.MULTILINE)
    assert len(told) > 15
    assert [(name, (tried | {"npm openai": node["openai"]})[name]) for name, _ in told] == told


@pytest.mark.skipif(
    not (shutil.which("node") and (CLIENTS / "node" / "node_modules").exists()),
    reason="needs Node and make setup-clients",
)
def test_openai_for_node(service, photo, expected):
    script = shutil.copy(SCRIPTS / "node_client.mjs", CLIENTS / "node")
    vectors = json.loads(printed("node", script, service[0], photo))
    assert len(vectors) == 2
    assert set(vectors.values()) == {expected}
    ((_, code),) = recipes("js")
    shown = "\nconsole.log(Buffer.from(Float32Array.from(vector).buffer).toString('hex'));\n"
    page = CLIENTS / "node" / "page.mjs"
    page.write_text(recipe(code.replace("photo.jpg", str(photo)) + shown, service))
    assert printed("node", page).decode().strip() == expected


@pytest.fixture
def document(service, tmp_path) -> Path:
    """The service's OpenAPI document, which clients are generated from."""
    path = tmp_path / "openapi.json"
    with urllib.request.urlopen(f"{service[0]}/openapi.json", timeout=SOON) as answer:
        path.write_bytes(answer.read())
    return path


@pytest.mark.slow
@pytest.mark.skipif(not CLIENTS.exists(), reason="needs make setup-clients")
def test_generated_clients_for_python(service, photo, expected, document):
    folder, python = document.parent, CLIENTS / "bin" / "python"
    shutil.copy(SCRIPTS / "generated_client.py", folder)
    package = ("generate", "--path", document, "--meta", "none", "--output-path", "generated")
    printed(CLIENTS / "bin" / "openapi-python-client", *package, cwd=folder)
    models = ("--output-model-type", "pydantic_v2.BaseModel", "--use-annotated")
    given = ("--input", document, "--input-file-type", "openapi", "--output", "models.py")
    literal = ("--enum-field-as-literal", "all", "--formatters", "builtin")
    printed(CLIENTS / "bin" / "datamodel-codegen", *given, *models, *literal, cwd=folder)
    whole = ("generated", "models.py", "generated_client.py")
    printed(python, "-m", "mypy", "--strict", *whole, cwd=folder)
    vectors = json.loads(printed(python, "generated_client.py", service[0], photo, cwd=folder))
    assert len(vectors) == 4
    assert set(vectors.values()) == {expected}


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("node") and (CLIENTS / "node" / "node_modules").exists()),
    reason="needs Node and make setup-clients",
)
def test_a_generated_client_for_typescript(service, photo, expected, document):
    folder = document.parent
    (folder / "node_modules").symlink_to(CLIENTS / "node" / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(SCRIPTS / "generated_client.mts", folder)
    tools = CLIENTS / "node" / "node_modules" / ".bin"
    printed(tools / "openapi-typescript", document, "--output", folder / "schema.d.ts", cwd=folder)
    as_is = ("--module", "nodenext", "--target", "es2022", "--types", "node")
    printed(tools / "tsc", "--strict", *as_is, "generated_client.mts", "schema.d.ts", cwd=folder)
    vectors = json.loads(printed("node", "generated_client.mjs", service[0], photo, cwd=folder))
    assert len(vectors) == 2
    assert set(vectors.values()) == {expected}
