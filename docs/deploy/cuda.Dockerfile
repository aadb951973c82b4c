# The command line on NVIDIA cards. Kernels are compiled where they run, so the image keeps CUDA's compiler and headers;
# the host needs its driver and the NVIDIA Container Toolkit.
#
#   docker build -f docs/deploy/cuda.Dockerfile -t kindling:cuda .
#   docker run --rm -it --gpus all -v "$PWD:/work" kindling:cuda sft --device cuda --out runs/first
#
# The build fetches an LLVM from GitHub (README, other devices).
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p native --features cuda

FROM nvidia/cuda:12.8.1-devel-ubuntu24.04
COPY --from=build /src/target/release/kindling /usr/local/bin/kindling
# Compiled kernels stay with the caches of the hub and of ModelScope.
ENV HF_HOME=/work/.cache/huggingface MODELSCOPE_CACHE=/work/.cache/modelscope XDG_CACHE_HOME=/work/.cache
WORKDIR /work
STOPSIGNAL SIGTERM
ENTRYPOINT ["kindling"]
CMD ["--help"]
