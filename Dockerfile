# docker build -t kinema . && docker run --rm -p 8000:8000 kinema

FROM python:3.11-slim AS dependencies
# hadolint ignore=DL3008 # only `strip`, of which any version will do
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY requirements/build.lock requirements/serve.lock /build/
# The venv has no pip of its own: the base image's works on it from outside.
RUN python -m venv --without-pip /opt/kinema/venv \
 && python -m pip install --no-cache-dir --require-hashes -r /build/build.lock \
 && python -m pip --python /opt/kinema/venv/bin/python install --no-cache-dir --no-compile --require-hashes -r /build/serve.lock
# Taken out, 90 MB: onnxruntime for callers in C, tools for making models and extensions, random numbers and other parts of
# numpy that nothing here asks for, WebSocket clients, tests, stubs, and debug symbols, and the grammars of five hundred
# languages, of which tables on a terminal need none.
WORKDIR /opt/kinema/venv/lib/python3.11/site-packages
RUN rm -r onnxruntime/capi/libonnxruntime.so.* onnxruntime/datasets onnxruntime/quantization onnxruntime/tools \
      onnxruntime/transformers numpy/distutils numpy/f2py numpy/ma numpy/polynomial numpy/random \
      numpy/testing websockets/legacy websockets/sync websockets/trio \
 && find pygments/lexers -name '*.py' ! -name __init__.py ! -name _mapping.py ! -name python.py ! -name special.py -delete \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && find . -regex '.*\.\(a\|c\|h\|pxd\|pyi\|pyx\)' -delete \
 && strip --strip-debug httptools/parser/*.so uvloop/*.so \
 && python -m compileall -q -j 0 -x pygments/lexers --invalidation-mode unchecked-hash .

FROM dependencies AS project
WORKDIR /build
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY service service
COPY model model
COPY docker/healthcheck.py /opt/kinema/healthcheck.py
# A layer apart from the dependencies', so that a new release of the service ships megabytes. What makes models stays out.
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
 && python -m pip --python /opt/kinema/venv/bin/python install --no-compile --no-deps --target /opt/kinema/app wheels/*.whl \
 && rm -r /opt/kinema/app/model \
 && mkdir /opt/kinema/models && cp -r model/artifacts/default /opt/kinema/models/ \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/kinema/app \
 && chmod -R a+rX /opt/kinema

FROM python:3.11-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Kinema" \
      org.opencontainers.image.description="A REST microservice that recognises actions in video" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=dependencies /opt/kinema/venv /opt/kinema/venv
COPY --from=project /opt/kinema/healthcheck.py /opt/kinema/healthcheck.py
COPY --from=project /opt/kinema/models /opt/kinema/models
COPY --from=project /opt/kinema/app /opt/kinema/app
ENV PATH=/opt/kinema/app/bin:/opt/kinema/venv/bin:$PATH \
    PYTHONPATH=/opt/kinema/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    KINEMA_HOST=0.0.0.0 \
    KINEMA_PORT=8000 \
    KINEMA_MODEL=/opt/kinema/models/default
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-I", "-S", "/opt/kinema/healthcheck.py"]
ENTRYPOINT ["kinema"]
CMD ["serve"]
