# One image for all roles: `docker build -t rondel .`, then `docker run rondel distributor --help`.
# The last stage fetches nothing: all that it has comes from the one before, by the lock files.

FROM rust:1.95.0-slim-trixie AS rust

FROM python:3.13.12-trixie AS build
ENV CARGO_HOME=/usr/local/cargo \
    RUSTUP_HOME=/usr/local/rustup \
    PATH=/opt/rondel/bin:/usr/local/cargo/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
WORKDIR /src
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /opt/rondel && pip install --require-hashes -r requirements/run.lock
COPY . .
RUN maturin build --release --locked --out /dist \
    && pip install --no-deps --no-index /dist/rondel-*.whl \
    && pip uninstall --yes maturin pip \
    && python -m compileall -q /opt/rondel

FROM python:3.13.12-slim-trixie
LABEL org.opencontainers.image.title="Rondel" \
      org.opencontainers.image.description="A horizontally scalable, Prometheus-compatible metrics cluster" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/rondel /opt/rondel
RUN install -d -o 10001 -g 10001 /var/lib/rondel
ENV PATH=/opt/rondel/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/rondel
# HTTP, and the calls between processes.
EXPOSE 9009 9095
STOPSIGNAL SIGTERM
ENTRYPOINT ["rondel"]
CMD ["standalone", "--data-dir=/var/lib/rondel", "--http-listen=0.0.0.0:9009"]
