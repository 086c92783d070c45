# docker build -t swin-embed:cpu .                               the default model, on CPU
# docker build -t swin-embed:gpu --target gpu .                  the same on an NVIDIA GPU
# docker build -t swin-embed-export:cpu --target export .        the exporter by itself
# docker build --build-arg MODEL=mine.onnx .                     models/mine.onnx baked in
#
# How to run them, and how to build the same image twice: docs/operations.md, "Container".
#
# Without pillow-heif (HEIC), whose wheels are GPLv2: docs/operations.md has how to add it.

# A minor version, whose tag gets security fixes; a digest pins it:
# --build-arg PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS install
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/ /requirements/
COPY docker/trim.py docker/sbom.py /build/

FROM install AS install-cpu
RUN python3 -m pip install --require-hashes --no-compile --target /site -r /requirements/cpu.txt && \
    python3 /build/trim.py /site && python3 /build/sbom.py /site > /site/sbom.cdx.json

FROM install AS install-gpu
RUN python3 -m pip install --require-hashes --no-compile --target /site -r /requirements/gpu.txt && \
    python3 /build/trim.py /site && python3 /build/sbom.py /site > /site/sbom.cdx.json

# The exporter by itself, where a checkpoint becomes an artifact in the cluster that serves it.
FROM install AS install-export
RUN python3 -m pip install --require-hashes --no-compile --target /site -r /requirements/serve.txt && \
    python3 /build/sbom.py /site > /site/sbom.cdx.json

# What is written about every image; a release sets VERSION and REVISION (git rev-parse HEAD).
FROM ${PYTHON_IMAGE} AS labelled
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="swin-embed" \
      org.opencontainers.image.description="Swin Transformer image embeddings as a service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"

FROM labelled AS export
ENV PYTHONPATH=/site:/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=install-export /site/ /site/
COPY model_export/ /app/model_export/
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python3", "-m", "model_export"]

# The artifact to bake in: the one named by MODEL, or the default one, exported here.
FROM install AS model
ARG MODEL=
RUN test -n "$MODEL" || python3 -m pip install --require-hashes --target /site -r /requirements/serve.txt
COPY model_export/ /app/model_export/
COPY models/ /artifacts/
WORKDIR /app
RUN mkdir /models && \
    if [ -n "$MODEL" ]; then cp "/artifacts/$MODEL" /models/model.onnx; \
    else PYTHONPATH=/site python3 -m model_export swin_nano_patch4_window7_224 --output /models/model.onnx; fi

FROM ${PYTHON_IMAGE} AS app
COPY service/ /app/service/
COPY model_export/__init__.py model_export/console.py model_export/extras.py model_export/model_card.py /app/model_export/
COPY docker/healthcheck.py /app/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM labelled AS base
ENV PYTHONPATH=/site:/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SWIN_HOST=0.0.0.0,:: SWIN_PORT=8000 SWIN_MODEL=/models/model.onnx SWIN_LOG_FORMAT=json
COPY --from=app /app/ /app/
COPY --from=model /models/ /models/
WORKDIR /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python3", "/app/healthcheck.py"]
ENTRYPOINT ["python3", "-m", "service"]

# The bill of materials as a build product: docker build --target sbom --output . .
FROM scratch AS sbom
COPY --from=install-cpu /site/sbom.cdx.json /

FROM base AS gpu
COPY --from=install-gpu /site/ /site/

FROM base AS cpu
COPY --from=install-cpu /site/ /site/
