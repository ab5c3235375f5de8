# The deployment agent as a container that drives the engine of its host.
#   docker build -f deploy/agent.Dockerfile -t stellwerk-agent .
#   docker run -d --name stellwerk-agent --restart on-failure --env-file agent.env \
#     -v /var/run/docker.sock:/var/run/docker.sock -v stellwerk-agent:/var/lib/stellwerk-agent stellwerk-agent
# Whoever holds the engine's socket is root on the host; the agent is trusted with that, its container's own
# user adds nothing. `--stop-timeout 45` lets a drain end.
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
ENV PATH=/opt/stellwerk/bin:$PATH PYTHONUNBUFFERED=1
VOLUME /var/lib/stellwerk-agent
STOPSIGNAL SIGTERM
ENTRYPOINT ["stellwerk", "agent", "run", "--data-dir", "/var/lib/stellwerk-agent"]
