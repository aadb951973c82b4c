# The command line on processors.
#
#   docker build -f docs/deploy/cpu.Dockerfile -t kindling .
#   docker run --rm -it -v "$PWD:/work" -u "$(id -u):$(id -g)" kindling sft --out runs/first
#
# What the hub gives is kept in /work/.cache; HF_TOKEN is passed on with `-e HF_TOKEN`.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p native

FROM debian:bookworm-slim
COPY --from=build /src/target/release/kindling /usr/local/bin/kindling
ENV HF_HOME=/work/.cache/huggingface MODELSCOPE_CACHE=/work/.cache/modelscope
WORKDIR /work
# A container's `stop` is a SIGTERM: the run saves, and --resume goes on.
STOPSIGNAL SIGTERM
ENTRYPOINT ["kindling"]
CMD ["--help"]
