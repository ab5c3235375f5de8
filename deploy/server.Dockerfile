# The control plane as a container.
#   docker build -f deploy/server.Dockerfile -t stellwerk .
#   docker run -d --name stellwerk -v stellwerk:/var/lib/stellwerk -p 127.0.0.1:8443:8443 stellwerk
# An application that it deploys is best an image of its own, so that what runs is what was built:
#   FROM stellwerk
#   COPY manifests /srv/manifests
# deploy/kubernetes/ runs it in a cluster.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/stellwerk
COPY requirements.lock ./
RUN /opt/stellwerk/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY examples ./examples
RUN /opt/stellwerk/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
COPY --from=build /opt/stellwerk /opt/stellwerk
# The folder belongs to the user before it becomes a volume: a new volume takes the owner over.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/stellwerk && install -d /srv/manifests
ENV PATH=/opt/stellwerk/bin:$PATH PYTHONUNBUFFERED=1 \
    STELLWERK_DATA_DIR=/var/lib/stellwerk \
    STELLWERK_SERVER_HOST=0.0.0.0 \
    STELLWERK_SERVER_PORT=8443 \
    STELLWERK_TLS_ALL_LISTENERS=true \
    STELLWERK_CONDUCTOR_MANIFESTS=/srv/manifests
USER 65532:65532
VOLUME /var/lib/stellwerk
EXPOSE 8443 8081 9001 9090
STOPSIGNAL SIGTERM
# Reached from elsewhere it asks for API keys; the first one is in its log. Its certificate is of its own authority, whose
# root callers need:  docker exec stellwerk cat /var/lib/stellwerk/authority/servers/root-1.pem > ca.pem
ENTRYPOINT ["stellwerk"]
CMD ["serve"]
