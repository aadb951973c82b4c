# The page behind nginx, with its files compressed once.
#
#   docker build -f docs/deploy/page.Dockerfile -t kindling-page .
#   docker run --rm -p 8080:8080 kindling-page          # then open http://127.0.0.1:8080
#
# Beside localhost, browsers give WebGPU and the page's own storage to https alone: put TLS before it.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm && rm -rf /var/lib/apt/lists/*
RUN rustup target add wasm32-unknown-unknown
RUN cargo install trunk --version 0.21.14 --locked
RUN cargo install wasm-bindgen-cli --version 0.2.130
RUN npm install --prefix /opt/binaryen binaryen@132.0.0
WORKDIR /src
COPY . .
RUN BINARYEN=/opt/binaryen/node_modules/binaryen trunk build --release

FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends nginx-light libnginx-mod-http-brotli-static \
  && rm -rf /var/lib/apt/lists/*
COPY docs/deploy/nginx.conf /etc/nginx/nginx.conf
COPY --from=build /src/dist /srv/kindling
USER www-data
EXPOSE 8080
STOPSIGNAL SIGQUIT
ENTRYPOINT ["nginx", "-g", "daemon off;"]
