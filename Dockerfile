# syntax=docker/dockerfile:1
# The image links Debian's libpq: TLS to PostgreSQL, and security updates with the base image.

FROM rust:1.95-bookworm AS build
# The system libpq instead of the one that simdepot builds by default.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpq-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The image's own toolchain: rust-toolchain.toml would make rustup fetch components that a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --no-default-features -p simdepot-api \
    && cp target/release/simdepot /usr/local/bin/simdepot

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/simdepot --create-home simdepot \
    && install -d -o simdepot -g simdepot /var/spool/simdepot
COPY --from=build /usr/local/bin/simdepot /usr/local/bin/simdepot
USER 10001
WORKDIR /var/lib/simdepot
# /var/lib/simdepot holds SQLite's file when no other database is given, /var/spool/simdepot the uploads at work. All
# else may be read-only.
ENV SIMDEPOT_LISTEN=0.0.0.0:8080 \
    SIMDEPOT_SPOOL_DIR=/var/spool/simdepot \
    DATABASE_URL=sqlite:///var/lib/simdepot/simdepot.db
VOLUME ["/var/lib/simdepot", "/var/spool/simdepot"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["simdepot", "healthcheck"]
ENTRYPOINT ["simdepot"]
CMD ["serve"]
