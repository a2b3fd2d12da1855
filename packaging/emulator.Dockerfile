# A small Alyx to test software against. From the root of a checkout:
#   docker build -f packaging/emulator.Dockerfile -t one-async-emulator .
#   docker run --rm -p 127.0.0.1:8000:8000 one-async-emulator
# It listens on port 8000; log in as demo/demo (reads and writes) or reader/reader (reads). These logins are public, so
# publish the port on trusted networks only. Options of `python -m one_async.emulator` can follow the image's name; with
# `-v alyx:/state one-async-emulator --state /state/alyx.sqlite` what clients write is kept.
FROM python:3.13-slim

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip install --no-cache-dir ".[emulator]" && rm -r /source/*

RUN useradd --create-home alyx && install -d -o alyx /state
USER alyx
WORKDIR /home/alyx
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import httpx; httpx.post('http://127.0.0.1:8000/auth-token', json={'username': 'reader', 'password': 'reader'}).raise_for_status()"]
ENTRYPOINT ["python", "-m", "one_async.emulator", "--host", "0.0.0.0", "--port", "8000"]
