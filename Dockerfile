# The program `local` with everything that it needs, for any machine or cloud that runs containers.
#
#   docker build --tag wechat-bundle .
#   docker run --env-file account.env --publish 127.0.0.1:8000:8000 --volume wechat-bundle:/data wechat-bundle
#
# account.env has the variables that `wechat-bundle --help` lists, one NAME=value a line; API_KEYS is required, because the program
# listens outside the container's loopback. A simulated account listens on loopback only: on Linux,
#   docker run --network host wechat-bundle --data /data
# A registry that copies Docker Hub can take its place: --build-arg REGISTRY=mirror.example.com/library

ARG REGISTRY=docker.io/library

FROM ${REGISTRY}/rust:1.95.0-slim-trixie AS build
WORKDIR /source
COPY . .
# The caches stay on the building machine, so that a second build compiles what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked -p local && cp target/release/local /usr/local/bin/wechat-bundle

FROM ${REGISTRY}/debian:trixie-slim
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wechat-bundle" \
      org.opencontainers.image.description="A backend for WeChat Official Accounts (微信公众号) on one machine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A new volume takes owner and mode of the folder in the image. A folder of the host that is mounted here must belong to 10001.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin wechat \
    && install --directory --owner wechat --mode 700 /data
# The roots by which WeChat's certificate is judged.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/wechat-bundle /usr/local/bin/wechat-bundle
COPY LICENSE /usr/share/doc/wechat-bundle/LICENSE
# By number, so that Kubernetes can see that it is not root.
USER 10001
VOLUME /data
EXPOSE 8000
# Asks port 8000: publish another port of the host instead of changing the program's.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/local/bin/wechat-bundle", "health"]
# In exec form the program is process 1 and gets SIGTERM, after which it finishes the requests in flight.
ENTRYPOINT ["/usr/local/bin/wechat-bundle"]
CMD ["--wechat", "https://api.weixin.qq.com", "--data", "/data", "--listen", "0.0.0.0", "--log", "json"]
