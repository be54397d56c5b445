# ndots as an image. Takes `-conf /etc/coredns/Corefile` as CoreDNS's image does; without arguments it serves the manifests
# mounted at /zones on port 53. The last stage is the default: node carries the file capability for ports below 1024, so it
# runs under the stock CoreDNS Deployment's security context (drop ALL, add NET_BIND_SERVICE, no privilege escalation).
# Where NET_BIND_SERVICE is not in the bounding set the kernel refuses to execute such a file: `--target nocap` is for
# clusters that set the sysctl net.ipv4.ip_unprivileged_port_start=0 instead, or listen on 1024 and above.
ARG NODE=node:24-bookworm-slim
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev

FROM ${NODE} AS setcap
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libcap2-bin
RUN setcap cap_net_bind_service=+ep /usr/local/bin/node

FROM ${RUNTIME} AS app
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ndots" \
      org.opencontainers.image.description="Cluster DNS server: Kubernetes service names, with CoreDNS's Corefile" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072
WORKDIR /app
COPY package.json LICENSE ./
COPY zones zones
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER 65532:65532
EXPOSE 53 53/udp 8080 8181 9153
# SIGUSR1 reloads, but until ndots' handler stands, Node answers it with an inspector: at an address that no machine has (RFC 5737)
# it can't listen. (`--disable-sigusr1` of newer Nodes blocks the signal for good.)
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=2", "--v8-pool-size=2", "--inspect-port=192.0.2.1:9229", "/app/dist/cli.js"]
CMD ["-conf", "/app/zones/container.Corefile"]

FROM app AS nocap
COPY --from=build /usr/local/bin/node /usr/local/bin/node

FROM app
COPY --from=setcap /usr/local/bin/node /usr/local/bin/node
