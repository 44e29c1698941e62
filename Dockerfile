# Two images:
#
#   docker build -t shop-postgres .
#       PostgreSQL's official image with the extension, preloaded. A folder of the host that is mounted for the data must belong to user postgres.
#   docker build --target extension --build-arg BASE=ghcr.io/cloudnative-pg/postgresql:18-minimal-trixie -t tiktok-events .
#       The extension alone, for a server from that BASE, as CloudNativePG mounts it (PostgreSQL 18 and later; docs/kubernetes.md).
#
# BASE is Debian with the server of PG_MAJOR and with a source of packages that has its development files.
ARG PG_MAJOR=18
ARG BASE=postgres:${PG_MAJOR}-trixie

FROM $BASE AS build
ARG PG_MAJOR
USER root
# The libraries that every container from BASE has
RUN ldconfig -p | sed -n 's/.* => //p' | sort -u >/base-libraries
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc libc6-dev libcurl4-openssl-dev libssl-dev make postgresql-server-dev-$PG_MAJOR
COPY . /src
RUN make -j"$(nproc)" -C /src with_llvm=no PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config && \
    make -C /src with_llvm=no PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config DESTDIR=/installed install
# What CloudNativePG mounts: share/ and lib/, and in system/ the libraries that BASE lacks, with their licenses
RUN mkdir -p /image/share /image/lib /image/system /image/licenses/tiktok_events && \
    cp -r /installed/usr/share/postgresql/$PG_MAJOR/extension /image/share/ && \
    cp /installed/usr/lib/postgresql/$PG_MAJOR/lib/tiktok_events.so /image/lib/ && \
    cp /src/LICENSE /src/debian/copyright /image/licenses/tiktok_events/ && \
    ldd /image/lib/tiktok_events.so | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u | comm -23 - /base-libraries | while read -r library; do \
        cp -L "$library" /image/system/ && \
        package=$(dpkg -S "$(readlink -f "$library")" | sed 's/:.*//') && \
        mkdir -p "/image/licenses/$package" && cp -L "/usr/share/doc/$package/copyright" "/image/licenses/$package/" || exit 1; \
    done

FROM scratch AS extension
COPY --from=build /image/ /
USER 65532:65532

FROM $BASE AS server
ARG PG_MAJOR
USER root
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates libcurl4 && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /installed/ /
USER postgres
CMD ["postgres", "-c", "shared_preload_libraries=tiktok_events"]
