"""Take out of an installed site what the service never imports: `trim.py SITE`.

A fifth of what the packages install is for building, testing or typing with them. Licences and
package metadata stay. What is left is imported once, so that a trim too far fails the build.
"""

import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = (
    "bin",
    "numpy/distutils",
    "numpy/f2py",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "*/**/tests",
    "**/*.pyi",
    "**/*.pxd",
    "**/*.h",
    "**/*.a",
)
IMPORTS = "numpy, onnxruntime, orjson, PIL.Image, PIL.AvifImagePlugin, prometheus_client, uvicorn"
IMPORTS += ", uvloop, httptools, fastapi, fastapi_swagger, click, opentelemetry.trace"
IMPORTS += ", pydantic_settings, python_multipart"

BYTECODE = ("-q", "--invalidation-mode", "unchecked-hash")
"""Bytecode that holds no time, so that two builds give the same files."""


def main() -> None:
    site = Path(sys.argv[1])
    for pattern in UNUSED:
        for path in list(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
    subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-B", "-c", f"import {IMPORTS}"],
        env={"PYTHONPATH": str(site), "ORT_DISABLE_TELEMETRY": "1"},
        check=True,
    )
    subprocess.run([sys.executable, "-m", "compileall", *BYTECODE, str(site)], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
