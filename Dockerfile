# Two images from one file:
#
#   docker build --target serve -t neurotwin:serve .     the runtime alone: no torch, no compiler, not root
#   docker build --target train -t neurotwin:train .     simulate, train, evaluate, export
#
#   docker run --rm -v "$PWD/bundles:/data:ro" neurotwin:serve --help

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS wheel
WORKDIR /build
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON_VERSION}-slim-bookworm AS base
# ONNX Runtime reports usage unless it is told not to before its first import.
ENV ORT_DISABLE_TELEMETRY=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 neurotwin \
    && install --directory --owner=neurotwin --group=neurotwin /data

# The build of torch is the one that pip's index offers (CUDA on x86-64); mount a pip.conf for another one.
FROM base AS train
ENV WANDB_MODE=offline
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /wheels/neurotwin-*.whl)[train,viz]"
USER neurotwin
WORKDIR /data
ENTRYPOINT ["neurotwin"]
CMD ["--help"]

# The last stage is the default one. EXTRAS="[serve]" adds what the HTTP service needs.
FROM base AS serve
ARG EXTRAS=""
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /wheels/neurotwin-*.whl)${EXTRAS}"
USER neurotwin
WORKDIR /data
ENTRYPOINT ["neurotwin"]
CMD ["--help"]
