# One static binary on an image with nothing but CA certificates, run by nobody in particular.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG RELEASE=""
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=${RELEASE}" -o /vestibule ./cmd/vestibule \
 && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /vestibule /vestibule
# SQLite and its key, where no other store is named: mount a volume here, or everything is gone with the container.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
VOLUME /data
ENV VESTIBULE_ADDR=0.0.0.0:8080
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/vestibule"]
CMD ["serve"]
