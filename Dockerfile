# Two images of one file. `docker build --target service .` is the service, without torch; `--target trainer` is the
# sandbox image that tests run in. Optional, where packages do not come straight from the internet: BuildKit secrets
# `ca` (a bundle of certificates) and `pip` (a pip.conf), and wheels in a folder `.wheels` of the build context.
ARG BASE=python:3.11-slim-bookworm

# A virtual environment, because not every base has pip.
FROM ${BASE} AS venv
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

FROM venv AS service-build
RUN --mount=type=bind,target=/context --mount=type=secret,id=ca --mount=type=secret,id=pip,target=/etc/pip.conf \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    cp -r /context /tmp/source && pip install --quiet -c /tmp/source/constraints.txt "/tmp/source[service,postgres]" && \
    rm -rf /tmp/source

FROM ${BASE} AS service
COPY --from=service-build /opt/venv /opt/venv
RUN useradd --uid 10001 --no-create-home ringfence && mkdir -p /var/lib/ringfence /database && \
    chown 10001 /var/lib/ringfence /database
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 RINGFENCE_STATE=/var/lib/ringfence
USER 10001
WORKDIR /var/lib/ringfence
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["ringfence"]
CMD ["serve"]

FROM venv AS trainer-build
# GPU=1 adds flash-linear-attention, whose kernels triton compiles while they run.
ARG GPU=0
RUN --mount=type=bind,target=/context --mount=type=secret,id=ca --mount=type=secret,id=pip,target=/etc/pip.conf \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python -c "import sys, tomllib; extras = tomllib.load(open('/context/pyproject.toml', 'rb'))['project']['optional-dependencies']; \
        print(*extras['trainer'], *(extras['gpu'] if sys.argv[1] == '1' else []), sep='\n')" "${GPU}" > /tmp/wanted && \
    pip install --quiet --find-links /context/.wheels -c /context/constraints.txt -r /tmp/wanted && rm /tmp/wanted

FROM ${BASE} AS trainer
ARG GPU=0
# A C compiler and Python's headers for triton; an official Python image brings its own headers.
RUN if [ "${GPU}" = 1 ]; then \
        apt-get update -qq && \
        apt-get install -qq --no-install-recommends gcc g++ libc6-dev $([ -x /usr/local/bin/python3 ] || echo python3-dev) && \
        rm -rf /var/lib/apt/lists/*; \
    fi
RUN useradd --uid 1000 --no-create-home --home-dir /tmp runner
COPY --from=trainer-build /opt/venv /opt/venv
# Of the runner what runs in sandboxes, and no more: least of all what the smoke data are made with.
COPY runner/__init__.py /opt/ringfence/runner/
COPY runner/inside /opt/ringfence/runner/inside
RUN echo /opt/ringfence > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ringfence.pth"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
USER 1000
WORKDIR /tmp
CMD ["python", "-c", "import torch; print(torch.__version__)"]
