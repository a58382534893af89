# A server of Polyglot models on CPUs; docs/deploy.md says how to build and run it.
FROM python:3.11-slim

# PyTorch's CPU builds have an index of their own: pass its address, or 3 GB of CUDA come along unused
ARG PIP_EXTRA_INDEX_URL
RUN useradd --create-home --uid 10001 polyglot && install --directory --owner polyglot /data
WORKDIR /opt/polyglot
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt ".[serve]"

USER polyglot
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready')"]
# 0.0.0.0 is the container's own network: only what `docker run --publish` opens is reached from outside, and only with a key
ENTRYPOINT ["polyglot", "serve", "--host", "0.0.0.0", "--keys", "/data/keys.json", "--reviews", "sqlite:////data/reviews.db"]
CMD ["/model"]
